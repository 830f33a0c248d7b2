//! Building the seed topology, and changing its links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::state::{LabPath, LabPath6, LabState, Node, lab_of};
use super::{LabOptions, devices_in};
use crate::net::{
    ErrorKind, NetError, Netns, Prefix, Result, ip, ip_batch, named_namespaces, read_sysctl, run,
    tc_batch, write_sysctl, write_sysctl_if_there,
};

const CLIENT: &str = "client";
const SERVER: &str = "server";

/// The links' interfaces and the third byte of their networks.
const LINKS: [(&str, u8); 3] = [("eth1", 56), ("eth2", 57), ("eth3", 58)];

/// The links of the seed.
pub(super) fn paths(options: &LabOptions) -> Vec<LabPath> {
    LINKS
        .iter()
        .map(|&(dev, net)| LabPath {
            dev: dev.to_owned(),
            client: Ipv4Addr::new(192, 168, net, 100),
            server: Ipv4Addr::new(192, 168, net, 101),
            engine_prefix: options
                .routed
                .then(|| Prefix::new(Ipv4Addr::new(10, 83, net, 0).into(), 24)),
            ipv6: options.ipv6.then(|| LabPath6 {
                client: alike([192, 168, net, 100]),
                server: alike([192, 168, net, 101]),
                engine_prefix: options
                    .routed
                    .then(|| Prefix::new(alike([10, 83, net, 0]).into(), 112)),
            }),
        })
        .collect()
}

/// 192.168.56.100 and fd00:192:168:56::100: the decimal digits, read as hexadecimal ones.
fn alike(v4: [u8; 4]) -> Ipv6Addr {
    let [a, b, c, d] = v4.map(|n| {
        let n = u16::from(n);
        n / 100 * 0x100 + n / 10 % 10 * 0x10 + n % 10
    });
    Ipv6Addr::new(0xfd00, a, b, c, 0, 0, 0, d)
}

/// Builds everything. On an error the caller removes what was made.
pub(super) fn build(options: &LabOptions) -> Result<LabState> {
    let paths = paths(options);
    let nodes = [CLIENT, SERVER].into_iter().map(|role| Node::make(&options.name, role));
    let state = LabState::new(options, nodes.collect::<Result<_>>()?, paths);
    let (client, server) = (&state.node(CLIENT)?.namespace, &state.node(SERVER)?.namespace);
    let veth = |p: &LabPath| {
        let dev = &p.dev;
        format!("link add {dev} netns {client} type veth peer name {dev} netns {server}")
    };
    ip_batch(&[], &state.paths.iter().map(veth).collect::<Vec<_>>())?;
    for (role, ns) in [(CLIENT, client), (SERVER, server)] {
        Netns::named(ns)?.run(|| sysctls(role, &state))??;
        ip_batch(&["-n", ns], &addresses(role, &state))?;
    }
    for path in &state.paths {
        set_link(&state, path, true)?;
        set_rate(&state, path, options.rate.as_deref())?;
    }
    // After the links: an endpoint names its interface.
    for (role, ns) in [(CLIENT, client), (SERVER, server)] {
        ip_batch(&["-n", ns], &mptcp(role, &state))?;
    }
    Ok(state)
}

/// Addresses are good at once and stay when a link is down; nobody asks for routers.
const IPV6_SETTINGS: [(&str, &str); 4] =
    [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0"), ("keep_addr_on_down", "1")];

fn sysctls(role: &str, state: &LabState) -> Result<()> {
    for key in ["all", "default"] {
        write_sysctl(&format!("net/ipv4/conf/{key}/rp_filter"), "0")?;
    }
    for LabPath { dev, .. } in &state.paths {
        write_sysctl(&format!("net/ipv4/conf/{dev}/rp_filter"), "0")?;
        if state.options.ipv6 {
            for (key, value) in IPV6_SETTINGS {
                write_sysctl(&format!("net/ipv6/conf/{dev}/{key}"), value)?;
            }
        } else {
            // Nobody speaks IPv6 here, and its neighbour discovery would only blur packet counts.
            write_sysctl_if_there(&format!("net/ipv6/conf/{dev}/disable_ipv6"), "1")?;
        }
    }
    if role == CLIENT {
        write_sysctl("net/ipv4/ip_forward", "1")?;
        // In IPv6 paths switch it on for themselves: the machine-wide one makes every device join groups of routers.
    }
    if read_sysctl("net/mptcp/enabled").is_none() {
        return Err(NetError::new(
            ErrorKind::NotFound,
            "the lab cannot have the kernel as a peer",
            "this kernel has no MPTCP (CONFIG_MPTCP)",
            "use a kernel of 5.6 or later as a distribution builds it",
        ));
    }
    write_sysctl("net/mptcp/enabled", "1")?;
    let Some(wanted) = &state.options.congestion else { return Ok(()) };
    let there = read_sysctl("net/ipv4/tcp_available_congestion_control").unwrap_or_default();
    if there.split_whitespace().any(|c| c == wanted) {
        return Ok(());
    }
    Err(NetError::new(
        ErrorKind::Usage,
        format!("the lab's routes cannot use the congestion control {wanted}"),
        format!("this kernel has {there}"),
        format!("name one of those, or run: modprobe tcp_{wanted}"),
    ))
}

/// In a lab of IPv4 alone, whose packets may come by any link.
pub(super) fn ipv4_only() -> Result<()> {
    for key in ["all", "default"] {
        write_sysctl(&format!("net/ipv4/conf/{key}/rp_filter"), "0")?;
        write_sysctl_if_there(&format!("net/ipv6/conf/{key}/disable_ipv6"), "1")?;
    }
    Ok(())
}

fn own_addresses(role: &str, path: &LabPath) -> Vec<IpAddr> {
    if role == CLIENT { path.client_addresses() } else { path.server_addresses() }
}

/// The network of an address of a link.
fn network(own: IpAddr) -> Prefix {
    Prefix::new(own, if own.is_ipv4() { 24 } else { 64 })
}

fn addresses(role: &str, state: &LabState) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned()];
    for path in &state.paths {
        for own in own_addresses(role, path) {
            let (len, dev) = (network(own).prefix_len(), &path.dev);
            let nodad = if own.is_ipv6() { " nodad" } else { "" };
            lines.push(format!("address add {own}/{len} dev {dev}{nodad}"));
        }
    }
    lines
}

fn mptcp(role: &str, state: &LabState) -> Vec<String> {
    let mut lines = vec!["mptcp limits set subflows 8 add_addr_accepted 8".to_owned()];
    let flag = match role {
        CLIENT if state.options.client_subflow => "subflow",
        SERVER if state.options.server_signal => "signal",
        _ => return lines,
    };
    // With the interface: without it the kernel sends every upload by the first link.
    for path in state.paths.iter().skip(1) {
        for own in own_addresses(role, path) {
            lines.push(format!("mptcp endpoint add {own} dev {} {flag}", path.dev));
        }
    }
    lines
}

/// The routes of one link at one end. The kernel makes the connected one by itself, but without
/// the congestion control, and it drops all of them when the link goes down.
fn routes(role: &str, state: &LabState, path: &LabPath) -> Vec<String> {
    let dev = &path.dev;
    let with =
        state.options.congestion.as_ref().map_or_else(String::new, |c| format!(" congctl {c}"));
    let mut lines = Vec::new();
    for own in own_addresses(role, path) {
        let net = network(own);
        lines.push(match own {
            IpAddr::V4(_) => {
                format!("route replace {net} dev {dev} proto kernel scope link src {own}{with}")
            }
            IpAddr::V6(_) => format!("route replace {net} dev {dev} proto kernel metric 256{with}"),
        });
    }
    let six = path.ipv6.and_then(|six| Some((six.engine_prefix?, IpAddr::V6(six.client))));
    let four = path.engine_prefix.map(|prefix| (prefix, IpAddr::V4(path.client)));
    for (engines, client) in four.into_iter().chain(six).filter(|_| role == SERVER) {
        lines.push(format!("route replace {engines} via {client} dev {dev}{with}"));
    }
    lines
}

pub(super) fn set_link(state: &LabState, path: &LabPath, up: bool) -> Result<()> {
    let word = if up { "up" } else { "down" };
    // Both ends first: a route by an interface whose other end is down would be "linkdown".
    for node in &state.nodes {
        ip(&["-n", &node.namespace, "link", "set", &path.dev, word])?;
    }
    if up {
        for node in &state.nodes {
            ip_batch(&["-n", &node.namespace], &routes(&node.role, state, path))?;
        }
    }
    Ok(())
}

pub(super) fn set_rate(state: &LabState, path: &LabPath, rate: Option<&str>) -> Result<()> {
    let bucket = (state.options.burst.as_str(), state.options.latency.as_str());
    let mut ends = state.nodes.iter();
    ends.try_for_each(|node| limit(&node.namespace, &path.dev, rate, bucket))
}

/// Limits what leaves by a device to `rate`, with a bucket of so many bytes and so much time in the queue, as `tc`
/// writes them; or takes the limit away.
pub(super) fn limit(
    namespace: &str,
    dev: &str,
    rate: Option<&str>,
    (burst, latency): (&str, &str),
) -> Result<()> {
    let Some(rate) = rate else {
        let delete = ["-n", namespace, "qdisc", "del", "dev", dev, "root"];
        return absent_is_fine(run("tc", &delete, None));
    };
    let line =
        format!("qdisc replace dev {dev} root tbf rate {rate} burst {burst} latency {latency}");
    tc_batch(&["-n", namespace], &[line])
}

/// A one-instruction classic BPF program: return 2, TC_ACT_SHOT.
const DROP_ALL: &str = "1,6 0 0 2,";

pub(super) fn cut(state: &LabState, path: &LabPath, cut: bool) -> Result<()> {
    state.nodes.iter().try_for_each(|node| cut_device(&node.namespace, &path.dev, cut))
}

/// Drops what arrives at a device, or stops doing so.
pub(super) fn cut_device(namespace: &str, dev: &str, cut: bool) -> Result<()> {
    if !cut {
        let delete = ["-n", namespace, "qdisc", "del", "dev", dev, "clsact"];
        return absent_is_fine(run("tc", &delete, None));
    }
    // On arrival, so that no sender gets a local error. The verdict is the program's own
    // ("da"), so no action module is needed.
    let lines = [
        format!("qdisc replace dev {dev} clsact"),
        format!("filter replace dev {dev} ingress pref 1 handle 1 bpf da bytecode \"{DROP_ALL}\""),
    ];
    tc_batch(&["-n", namespace], &lines)
}

fn absent_is_fine(result: Result<String>) -> Result<()> {
    const ABSENT: [&str; 6] = [
        "Cannot find specified qdisc",
        "Invalid handle",
        "handle of zero",
        "No such file",
        "Cannot find device",
        "No such device",
    ];
    match result {
        Err(e) if e.kind == ErrorKind::Command && ABSENT.iter().any(|a| e.because.contains(a)) => {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Removes the namespaces of a lab; whether any was there.
pub(super) fn remove(name: &str) -> Result<bool> {
    let there = named_namespaces();
    let of_lab = |ns: &&String| lab_of(ns).is_some_and(|lab| lab == name);
    let ours: Vec<&String> = there.iter().filter(of_lab).collect();
    for ns in &ours {
        // A program inside keeps a namespace alive after its name is gone, so the links go first.
        // One may go by itself at any moment, when its other end went with a namespace before.
        for dev in devices_in(ns)?.iter().filter(|dev| dev.contains("eth")) {
            absent_is_fine(ip(&["-n", ns, "link", "delete", dev]))?;
        }
    }
    for ns in &ours {
        ip(&["netns", "delete", ns])?;
    }
    Ok(!ours.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(options: LabOptions) -> LabState {
        LabState::new(&options, vec![], paths(&options))
    }

    #[test]
    fn lines_of_the_seed() {
        let s = state(LabOptions::default());
        assert_eq!(
            addresses(CLIENT, &s),
            [
                "link set lo up",
                "address add 192.168.56.100/24 dev eth1",
                "address add 192.168.57.100/24 dev eth2",
                "address add 192.168.58.100/24 dev eth3"
            ]
        );
        assert_eq!(
            mptcp(SERVER, &s),
            [
                "mptcp limits set subflows 8 add_addr_accepted 8",
                "mptcp endpoint add 192.168.57.101 dev eth2 signal",
                "mptcp endpoint add 192.168.58.101 dev eth3 signal"
            ]
        );
        assert_eq!(mptcp(CLIENT, &s).len(), 1);
        assert_eq!(
            routes(SERVER, &s, &s.paths[1]),
            [
                "route replace 192.168.57.0/24 dev eth2 proto kernel scope link src \
                 192.168.57.101 congctl cubic",
                "route replace 10.83.57.0/24 via 192.168.57.100 dev eth2 congctl cubic"
            ]
        );
        assert_eq!(routes(CLIENT, &s, &s.paths[1]).len(), 1);
    }

    #[test]
    fn ipv6_reads_alike() {
        let s = state(LabOptions { ipv6: true, ..LabOptions::default() });
        assert_eq!(addresses(SERVER, &s)[2], "address add fd00:192:168:56::101/64 dev eth1 nodad");
        assert_eq!(
            mptcp(SERVER, &s)[1..3],
            [
                "mptcp endpoint add 192.168.57.101 dev eth2 signal",
                "mptcp endpoint add fd00:192:168:57::101 dev eth2 signal"
            ]
        );
        assert_eq!(
            routes(SERVER, &s, &s.paths[2])[1..],
            [
                "route replace fd00:192:168:58::/64 dev eth3 proto kernel metric 256 congctl cubic",
                "route replace 10.83.58.0/24 via 192.168.58.100 dev eth3 congctl cubic",
                "route replace fd00:10:83:58::/112 via fd00:192:168:58::100 dev eth3 congctl cubic"
            ]
        );
    }

    #[test]
    fn options_change_the_lines() {
        let s = state(LabOptions {
            routed: false,
            congestion: None,
            client_subflow: true,
            server_signal: false,
            ..LabOptions::default()
        });
        assert_eq!(
            routes(SERVER, &s, &s.paths[0]),
            ["route replace 192.168.56.0/24 dev eth1 proto kernel scope link src 192.168.56.101"]
        );
        assert_eq!(mptcp(SERVER, &s).len(), 1);
        assert_eq!(mptcp(CLIENT, &s)[1], "mptcp endpoint add 192.168.57.100 dev eth2 subflow");
    }
}
