//! One client with one network card, forwarding proxies, one server behind them:
//!
//! ```text
//! a -- switch -- p1, p2, ... -- switch -- b
//! ```
//!
//! A proxy rewrites addresses (nftables, DNAT and masquerade) and knows nothing of MPTCP; the client has no route to the
//! server but through one.

use super::{finish, lab_allowed, pipes};
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use mpuser_tun::net::Netns;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command};

/// What the server listens on, in its own network.
pub(crate) const SERVER: &str = "10.91.0.2:7000";

/// The namespaces; gone at the end.
pub(crate) struct Proxies {
    prefix: String,
    nodes: Vec<String>,
}

impl Proxies {
    /// `None` where this machine does not allow it.
    pub(crate) fn up(name: &str, proxies: usize) -> Option<Self> {
        if !lab_allowed(name) {
            return None;
        }
        let mut lab =
            Self { prefix: format!("mpu-{name}-{}", std::process::id()), nodes: Vec::new() };
        for node in ["switch", "a", "b"] {
            lab.add(node);
        }
        let bridge = "link add {} type bridge\nlink set {} up\n";
        lab.ip("switch", &[bridge.replace("{}", "front"), bridge.replace("{}", "back")].concat());
        lab.plug("a", "eth0", "front", "10.90.0.1/24");
        lab.plug("b", "eth0", "back", "10.91.0.2/24");
        for number in 1..=proxies {
            let node = format!("p{number}");
            lab.add(&node);
            lab.plug(&node, "eth0", "front", &format!("{}/24", proxy(number)));
            lab.plug(&node, "eth1", "back", &format!("10.91.0.{}/24", 10 + number));
            let rules = format!(
                "table ip proxy {{\n\
                 chain in {{ type nat hook prerouting priority dstnat\n iifname eth0 tcp dport 7000 dnat to {SERVER}\n }}\n\
                 chain out {{ type nat hook postrouting priority srcnat\n oifname eth1 masquerade\n }}\n}}\n"
            );
            lab.feed(&node, &["nft", "-f", "-"], &rules);
            lab.feed(&node, &["sysctl", "-qw", "net.ipv4.ip_forward=1"], "");
        }
        lab.feed("b", &["ip", "mptcp", "limits", "set", "subflow", "8"], "");
        Some(lab)
    }

    /// The kernel's server.
    pub(crate) fn serve(&self, mode: Mode) -> PeerServer {
        let address: SocketAddr = SERVER.parse().expect("an address");
        PeerServer::start(&self.netns("b"), address, Protocol::Mptcp, mode).expect("a server")
    }

    /// Starts `mpuser` at the client.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name("a"), env!("CARGO_BIN_EXE_mpuser")]).args(args);
        pipes(&mut command);
        command.spawn().expect("ip runs")
    }

    /// The server's counters.
    pub(crate) fn counters(&self) -> BTreeMap<String, u64> {
        mpuser_tun::lab::peer::kernel_counters(&self.netns("b")).expect("the kernel's counters")
    }

    /// A node's lines for `ip -batch`.
    pub(crate) fn ip(&self, node: &str, lines: &str) {
        self.feed(node, &["ip", "-batch", "-"], lines);
    }

    fn name(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    fn netns(&self, node: &str) -> Netns {
        Netns::named(&self.name(node)).expect("it was made")
    }

    fn add(&mut self, node: &str) {
        let name = self.name(node);
        let made = Command::new("ip").args(["netns", "add", &name]).status().expect("ip runs");
        assert!(made.success(), "{name} cannot be made");
        self.nodes.push(name);
        self.ip(node, "link set lo up\n");
    }

    /// A cable from a node to the switch.
    fn plug(&self, node: &str, dev: &str, bridge: &str, address: &str) {
        let switch = self.name("switch");
        let port = format!("{node}-{dev}");
        self.ip(
            node,
            &format!(
                "link add {dev} type veth peer name {port} netns {switch}\n\
                 addr add {address} dev {dev}\nlink set {dev} up\n"
            ),
        );
        self.ip("switch", &format!("link set {port} master {bridge}\nlink set {port} up\n"));
    }

    /// Runs a program in a node, with this input; it has to succeed.
    fn feed(&self, node: &str, argv: &[&str], input: &str) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(node)]).args(argv);
        pipes(&mut command);
        let run = finish(command.spawn().expect("ip runs"), input.as_bytes());
        assert_eq!(run.code, Some(0), "{node}: {argv:?}\n{input}\n{}", run.stderr);
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        for name in &self.nodes {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// The address of proxy `number`, from 1, in the client's network.
pub(crate) fn proxy(number: usize) -> String {
    format!("10.90.0.{}", 10 + number)
}
