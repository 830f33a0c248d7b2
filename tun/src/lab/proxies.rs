//! A client with one network card, proxies that forward packets and know nothing of MPTCP, one server behind them:
//!
//! ```text
//! mpu-NAME-client          mpu-NAME-p1, p2 ...                 mpu-NAME-server
//!   eth0 10.90.0.1 ---+--- eth0 10.90.0.11  eth1 10.91.0.11 ---+--- 10.91.0.2 eth0
//!                     +--- eth0 10.90.0.12  eth1 10.91.0.12 ---+
//!                     +--- mpu-NAME-switch, 10.90.0.254, 10.91.0.254: the direct way
//! ```
//!
//! A proxy sends every TCP connection to its address on to the server, and rewrites both addresses (nftables, DNAT and
//! masquerade).

use super::build::{cut_device, ipv4_only, limit};
use super::state::{Node, Saved, check_name};
use super::{LabOptions, devices_in, find_or_make, privileged};
use crate::net::{ErrorKind, NetError, Netns, Result, ip, ip_batch, run, write_sysctl};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// What this lab is called unless it is named.
pub const NAME: &str = "proxies";
/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 1);
/// The server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 2);
/// Most proxies of a lab.
pub const MAX_PROXIES: u8 = 8;

const SCHEMA: &str = "mpuser.lab.proxies/1";
const SWITCH: &str = "switch";

/// How the lab is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyLabOptions {
    /// As in [`LabOptions`].
    pub name: String,
    /// How many proxies, 1 to 8.
    pub proxies: u8,
    /// The rate of every way, through a proxy or direct, in each direction, as `tc` writes it; none: unlimited.
    pub rate: Option<String>,
}

impl Default for ProxyLabOptions {
    fn default() -> Self {
        Self { name: NAME.to_owned(), proxies: 2, rate: None }
    }
}

/// A proxy of the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabProxy {
    /// Its role among the nodes: `p1`, `p2` ...
    pub role: String,
    /// Its address towards the client.
    pub front: Ipv4Addr,
    /// Its address towards the server, which the server sees.
    pub back: Ipv4Addr,
}

/// The lab, up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyLab {
    /// The version of this format.
    pub schema: String,
    /// What it was built with.
    pub options: ProxyLabOptions,
    /// Its namespaces.
    pub nodes: Vec<Node>,
    /// Its proxies.
    pub proxies: Vec<LabProxy>,
}

impl Saved for ProxyLab {
    fn is_of(&self, name: &str) -> bool {
        self.schema == SCHEMA && self.options.name == name
    }

    fn stands(&self) -> bool {
        self.nodes.iter().all(|node| {
            let dev = if node.role == SWITCH { "front" } else { "eth0" };
            node.is_there() && devices_in(&node.namespace).unwrap_or_default().contains(&dev.into())
        })
    }
}

/// Makes the lab, or finds it as it should be, every proxy at work. One of this name with other options, or half of one,
/// is removed first.
///
/// # Errors
///
/// A name or number that cannot be, no root, a tool that is missing.
pub fn up(options: &ProxyLabOptions) -> Result<ProxyLab> {
    check_name(&options.name)?;
    if !(1..=MAX_PROXIES).contains(&options.proxies) {
        return Err(NetError::new(
            ErrorKind::Usage,
            format!("{} proxies cannot be", options.proxies),
            format!("the lab has 1 to {MAX_PROXIES}"),
            "for example: mpuser lab up proxies --proxies 2",
        ));
    }
    privileged("make the lab's namespaces")?;
    let is_wanted = |lab: &ProxyLab| lab.options == *options;
    let found =
        |lab: &ProxyLab| lab.proxies.iter().try_for_each(|proxy| lab.cut(&proxy.role, false));
    find_or_make(&options.name, is_wanted, found, |_| build(options))
}

fn build(options: &ProxyLabOptions) -> Result<ProxyLab> {
    let proxies = (1..=options.proxies).map(|number| LabProxy {
        role: format!("p{number}"),
        front: Ipv4Addr::new(10, 90, 0, 10 + number),
        back: Ipv4Addr::new(10, 91, 0, 10 + number),
    });
    let proxies: Vec<LabProxy> = proxies.collect();
    let roles = ["client", "server", SWITCH].into_iter();
    let roles = roles.chain(proxies.iter().map(|proxy| proxy.role.as_str()));
    let nodes = roles.map(|role| Node::make(&options.name, role)).collect::<Result<Vec<_>>>()?;
    let lab = ProxyLab { schema: SCHEMA.to_owned(), options: options.clone(), nodes, proxies };
    for node in &lab.nodes {
        let forwards = node.role != "server";
        Netns::named(&node.namespace)?.run(|| sysctls(forwards))??;
    }
    lab.ip(SWITCH, &switch_lines())?;
    lab.plug("client", "eth0", CLIENT)?;
    lab.plug("server", "eth0", SERVER)?;
    lab.ip("client", &[format!("route add default via {}", Ipv4Addr::new(10, 90, 0, 254))])?;
    lab.ip("server", &server_lines())?;
    for proxy in &lab.proxies {
        lab.plug(&proxy.role, "eth0", proxy.front)?;
        lab.plug(&proxy.role, "eth1", proxy.back)?;
        let rules = rules();
        lab.netns(&proxy.role)?.run(|| run("nft", &["-f", "-"], Some(&rules)))??;
    }
    lab.limit()?;
    Ok(lab)
}

fn sysctls(forwards: bool) -> Result<()> {
    ipv4_only()?;
    write_sysctl("net/ipv4/ip_forward", if forwards { "1" } else { "0" })
}

/// Two bridges, and the switch itself as the router between them.
fn switch_lines() -> Vec<String> {
    let bridges = [("front", 90), ("back", 91)].into_iter().flat_map(|(name, net)| {
        [
            format!("link add {name} type bridge"),
            format!("address add 10.{net}.0.254/24 dev {name}"),
            format!("link set {name} up"),
        ]
    });
    bridges.chain(["link set lo up".to_owned()]).collect()
}

/// The machine's default congestion control may be bbr, which is erratic on a single MPTCP path.
fn server_lines() -> Vec<String> {
    vec![
        format!(
            "route replace 10.91.0.0/24 dev eth0 proto kernel scope link src {SERVER} congctl cubic"
        ),
        "route add default via 10.91.0.254 congctl cubic".to_owned(),
        "mptcp limits set subflows 8 add_addr_accepted 8".to_owned(),
    ]
}

/// What makes a box a forwarding proxy.
fn rules() -> String {
    format!(
        "table ip proxy {{\n\
         chain in {{ type nat hook prerouting priority dstnat\n iifname eth0 meta l4proto tcp dnat to {SERVER}\n }}\n\
         chain out {{ type nat hook postrouting priority srcnat\n oifname eth1 masquerade\n }}\n}}\n"
    )
}

impl ProxyLab {
    /// The namespace of a node: `client`, `server`, `p1` ...
    ///
    /// # Errors
    ///
    /// There is none of that role.
    pub fn netns(&self, role: &str) -> Result<Netns> {
        Netns::named(&self.node(role)?.namespace)
    }

    fn node(&self, role: &str) -> Result<&Node> {
        Node::of_role(&self.options.name, &self.nodes, role)
    }

    /// The proxy at this address towards the client.
    #[must_use]
    pub fn proxy_at(&self, front: Ipv4Addr) -> Option<&LabProxy> {
        self.proxies.iter().find(|proxy| proxy.front == front)
    }

    /// Drops everything that arrives at a proxy, without a word to anybody, or stops doing so: it is dead, and its
    /// cables are in.
    ///
    /// # Errors
    ///
    /// There is none of that role, or `tc` refuses.
    pub fn cut(&self, role: &str, cut: bool) -> Result<()> {
        let namespace = &self.node(role)?.namespace;
        ["eth0", "eth1"].iter().try_for_each(|dev| cut_device(namespace, dev, cut))
    }

    fn ip(&self, role: &str, lines: &[String]) -> Result<()> {
        ip_batch(&["-n", &self.node(role)?.namespace], lines)
    }

    /// A cable from a node to the switch, on the side of its address.
    fn plug(&self, role: &str, dev: &str, address: Ipv4Addr) -> Result<()> {
        let switch = &self.node(SWITCH)?.namespace;
        let bridge = if address.octets()[1] == 90 { "front" } else { "back" };
        let port = format!("{role}-{dev}");
        self.ip(
            role,
            &[
                "link set lo up".to_owned(),
                format!("link add {dev} type veth peer name {port} netns {switch}"),
                format!("address add {address}/24 dev {dev}"),
                format!("link set {dev} up"),
            ],
        )?;
        ip(&["-n", switch, "link", "set", &port, "master", bridge, "up"]).map(drop)
    }

    /// Each proxy towards both sides, and the direct way.
    fn limit(&self) -> Result<()> {
        let LabOptions { burst, latency, .. } = LabOptions::default();
        let rate = self.options.rate.as_deref();
        let all = self.proxies.iter().flat_map(|p| [(p.role.as_str(), "eth0"), (&p.role, "eth1")]);
        for (role, dev) in all.chain([(SWITCH, "front"), (SWITCH, "back")]) {
            limit(&self.node(role)?.namespace, dev, rate, (&burst, &latency))?;
        }
        Ok(())
    }
}
