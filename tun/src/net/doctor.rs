//! What the machine lacks, in words, with the command that repairs it.

use std::fs::OpenOptions;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

use super::command::{find_tool, run};
use super::egress::{Egress, Reach, physical_paths};
use super::state::is_root;
use super::sysctl;
use crate::lab;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Something works less well, or only some commands need it.
    Warn,
    /// Paths cannot be set up.
    Fail,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check, stable.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub detail: String,
    /// The command that repairs it.
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, detail: detail.into(), fix: None }
    }

    fn bad(check: &'static str, level: Level, detail: impl Into<String>, fix: &str) -> Self {
        let fix = (!fix.is_empty()).then(|| fix.to_owned());
        Self { check, level, detail: detail.into(), fix }
    }
}

const TUN: &str = "/dev/net/tun";
const CAP_NET_ADMIN: u64 = 1 << 12;

/// All checks, for the namespace of the calling thread.
pub fn doctor() -> Vec<Finding> {
    let in_lab = lab::current().ok().flatten().is_some();
    let mut all = vec![
        tun_device(),
        capability(&std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default()),
        user_namespaces(is_root(), sysctl::read),
        tool("ip", "iproute2", Level::Fail, "nothing can be set up without it"),
        tool("tc", "iproute2", Level::Warn, "only rates and cuts of a lab need it"),
        nft(in_lab),
        forwarding(sysctl::read),
        rp_filter(sysctl::read),
        mptcp(sysctl::read),
        conntrack(sysctl::read),
    ];
    all.extend(forward_policy());
    all
}

/// Checks for one destination before anything is set up: is there a way, what will be needed for
/// it, and is that there.
pub fn preflight(dest: IpAddr, ways: &[Egress]) -> Vec<Finding> {
    let lab = lab::current().ok().flatten();
    let mut all = vec![route(dest, ways)];
    all.extend(sharing(ways));
    all.push(tun_device());
    all.push(capability(&std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default()));
    let translated = ways.iter().any(|w| {
        let routed = lab.as_ref().and_then(|l| l.engine_prefix(&w.dev, w.local)).is_some();
        w.reach != Reach::Local && !routed
    });
    if translated {
        all.push(match find_tool("nft") {
            Some(_) => Finding::ok("return-path", "answers come back by address translation (nft)"),
            None => Finding::bad(
                "return-path",
                Level::Fail,
                "answers can only come back by address translation, and nft is not installed",
                "apt-get install nftables",
            ),
        });
        all.extend(forward_policy());
    } else if !ways.is_empty() {
        all.push(Finding::ok("return-path", "the peer has a route to the engine's addresses"));
    }
    all
}

fn route(dest: IpAddr, ways: &[Egress]) -> Finding {
    if dest.is_loopback() {
        return Finding::bad(
            "route",
            Level::Fail,
            format!("{dest} is a loopback address: the kernel drops it on a TUN device"),
            "connect to another address of this machine",
        );
    }
    if ways.is_empty() {
        let fix = format!("ip route add {dest} via GATEWAY dev DEV");
        return Finding::bad("route", Level::Fail, format!("no interface leads to {dest}"), &fix);
    }
    let one = |w: &Egress| match (w.reach, w.gateway) {
        (Reach::Local, _) => format!("{} (this machine)", w.name),
        (_, Some(g)) => format!("{} by {} via {g}", w.name, w.dev),
        (Reach::Assumed, _) => format!("{} by {} (no route, tried on the link)", w.name, w.dev),
        _ => format!("{} by {}", w.name, w.dev),
    };
    let shown: Vec<String> = ways.iter().map(one).collect();
    Finding::ok("route", format!("to {dest}: {}", shown.join(", ")))
}

fn sharing(ways: &[Egress]) -> Option<Finding> {
    let (paths, physical) = (ways.len(), physical_paths(ways));
    (physical < paths).then(|| {
        Finding::bad(
            "physical-paths",
            Level::Warn,
            format!(
                "{paths} subflows, {physical} physical path(s): they share an interface's fate"
            ),
            "",
        )
    })
}

fn tun_device() -> Finding {
    let opened = OpenOptions::new().read(true).write(true).open(TUN);
    let Err(e) = opened else { return Finding::ok("tun", format!("{TUN} can be opened")) };
    match std::fs::metadata(TUN) {
        Err(_) => Finding::bad(
            "tun",
            Level::Fail,
            format!("{TUN} does not exist"),
            "sudo modprobe tun || { sudo mkdir -p /dev/net && sudo mknod -m 666 /dev/net/tun c 10 200; }",
        ),
        Ok(meta) => Finding::bad(
            "tun",
            Level::Fail,
            format!(
                "{TUN} cannot be opened: {e} (owner {}, mode {:04o}); a user namespace can make \
                 interfaces but not open this node",
                meta.uid(),
                meta.mode() & 0o7777
            ),
            "sudo chmod 666 /dev/net/tun",
        ),
    }
}

fn capability(status: &str) -> Finding {
    let effective = status
        .lines()
        .find_map(|l| l.strip_prefix("CapEff:"))
        .and_then(|h| u64::from_str_radix(h.trim(), 16).ok())
        .unwrap_or(0);
    if effective & CAP_NET_ADMIN != 0 {
        Finding::ok("net-admin", "this process has CAP_NET_ADMIN")
    } else {
        Finding::bad(
            "net-admin",
            Level::Fail,
            "this process lacks CAP_NET_ADMIN",
            "unshare -Urnm sh -c 'mount -t tmpfs none /run && mpuser demo', or run mpuser with sudo",
        )
    }
}

fn user_namespaces(root: bool, read: impl Fn(&str) -> Option<String>) -> Finding {
    const NAME: &str = "user-namespaces";
    let is = |key: &str, value: &str| read(key).as_deref() == Some(value);
    let level = if root { Level::Ok } else { Level::Warn };
    let bad = |what: &str, fix: &str| Finding::bad(NAME, level, what, fix);
    if is("user/max_user_namespaces", "0") {
        bad("user namespaces are switched off", "sudo sysctl -w user.max_user_namespaces=65536")
    } else if is("kernel/unprivileged_userns_clone", "0") {
        bad(
            "only root may make user namespaces",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        bad(
            "AppArmor takes the capabilities from user namespaces of plain users",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    } else {
        Finding::ok(NAME, "a plain user may make user namespaces")
    }
}

fn tool(name: &'static str, package: &str, missing: Level, why: &str) -> Finding {
    match find_tool(name) {
        Some(path) => Finding::ok(name, path),
        None => Finding::bad(
            name,
            missing,
            format!("{name} is not installed: {why}"),
            &format!("sudo apt-get install {package}"),
        ),
    }
}

fn nft(in_lab: bool) -> Finding {
    if in_lab && find_tool("nft").is_none() {
        return Finding::ok("nft", "not installed, and not needed in a lab");
    }
    tool("nft", "nftables", Level::Warn, "paths outside a lab need it for address translation")
}

fn forwarding(read: impl Fn(&str) -> Option<String>) -> Finding {
    match read("net/ipv4/ip_forward").as_deref() {
        Some("1") => Finding::ok("ip-forward", "IPv4 forwarding is on"),
        Some(_) => Finding::ok(
            "ip-forward",
            "IPv4 forwarding is off; mpuser switches it on for its interfaces while it runs",
        ),
        None => Finding::bad("ip-forward", Level::Fail, "net.ipv4.ip_forward cannot be read", ""),
    }
}

fn rp_filter(read: impl Fn(&str) -> Option<String>) -> Finding {
    let detail = match read("net/ipv4/conf/all/rp_filter").as_deref() {
        Some("1") => "strict; policy rules by source address satisfy it",
        Some("2") => "loose",
        Some("0") => "off for all (an interface may still have its own)",
        _ => "not known",
    };
    Finding::ok("rp-filter", detail)
}

fn mptcp(read: impl Fn(&str) -> Option<String>) -> Finding {
    match read("net/mptcp/enabled").as_deref() {
        Some("1") => Finding::ok("kernel-mptcp", "the kernel can be an MPTCP peer"),
        Some(_) => Finding::bad(
            "kernel-mptcp",
            Level::Warn,
            "MPTCP of the kernel is off: only a kernel *peer* on this machine needs it",
            "sudo sysctl -w net.mptcp.enabled=1",
        ),
        None => Finding::bad(
            "kernel-mptcp",
            Level::Warn,
            "this kernel has no MPTCP: labs with a kernel peer will not work",
            "",
        ),
    }
}

fn conntrack(read: impl Fn(&str) -> Option<String>) -> Finding {
    let number = |key: &str| read(key).and_then(|v| v.parse::<u64>().ok());
    let count = number("net/netfilter/nf_conntrack_count");
    let max = number("net/netfilter/nf_conntrack_max");
    match (count, max) {
        (Some(n), Some(max)) if max > 0 && n.saturating_mul(10) >= max.saturating_mul(9) => {
            Finding::bad(
                "conntrack",
                Level::Warn,
                format!("the connection tracking table is nearly full ({n} of {max})"),
                &format!("sudo sysctl -w net.netfilter.nf_conntrack_max={}", max.saturating_mul(2)),
            )
        }
        (Some(n), Some(max)) => Finding::ok("conntrack", format!("{n} of {max} entries in use")),
        _ => Finding::ok("conntrack", "not loaded"),
    }
}

/// A forward chain that drops by default (Docker, ufw, firewalld) swallows the paths' segments.
fn forward_policy() -> Option<Finding> {
    find_tool("nft")?;
    let text = run("nft", &["-j", "list", "chains"], None).ok()?;
    let chain = dropping_chain(&text)?;
    Some(Finding::bad(
        "forward-policy",
        Level::Warn,
        format!("the chain {chain} drops forwarded packets by default"),
        "sudo iptables -I FORWARD -i mpu+ -j ACCEPT && sudo iptables -I FORWARD -o mpu+ -j ACCEPT",
    ))
}

fn dropping_chain(json: &str) -> Option<String> {
    let all: serde_json::Value = serde_json::from_str(json).ok()?;
    all.get("nftables")?.as_array()?.iter().find_map(|item| {
        let chain = item.get("chain")?;
        let get = |key: &str| chain.get(key).and_then(serde_json::Value::as_str);
        (get("hook") == Some("forward") && get("policy") == Some("drop")).then(|| {
            let part = |key| get(key).unwrap_or("?");
            format!("{} {} {}", part("family"), part("table"), part("name"))
        })
    })
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
