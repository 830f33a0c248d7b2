//! The lab of forwarding proxies, for one test.

use super::{lab_allowed, pipes};
use mpuser_tun::lab;
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use mpuser_tun::lab::proxies::{self, ProxyLab, ProxyLabOptions};
use mpuser_tun::net::Netns;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command};

/// What the server listens on, in its own network.
pub(crate) const SERVER: &str = "10.91.0.2:7000";

/// The lab; gone at the end.
pub(crate) struct Proxies(pub(crate) ProxyLab);

impl Proxies {
    /// `None` where this machine does not allow it.
    pub(crate) fn up(name: &str, proxies: u8) -> Option<Self> {
        Self::with_rate(name, proxies, None)
    }

    /// The same where every way has this rate, as `tc` writes it.
    pub(crate) fn with_rate(name: &str, proxies: u8, rate: Option<&str>) -> Option<Self> {
        if !lab_allowed(name) {
            return None;
        }
        let name = format!("t{}-{name}", std::process::id());
        let options = ProxyLabOptions { name, proxies, rate: rate.map(str::to_owned) };
        Some(Self(proxies::up(&options).expect("doctor said that a lab can be made")))
    }

    /// The kernel's server.
    pub(crate) fn serve(&self, mode: Mode) -> PeerServer {
        let address: SocketAddr = SERVER.parse().expect("an address");
        PeerServer::start(&self.netns("server"), address, Protocol::Mptcp, mode).expect("a server")
    }

    /// Starts `mpuser` at the client.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let program = env!("CARGO_BIN_EXE_mpuser");
        self.spawn("client", &[&[program], args].concat())
    }

    /// Starts a program at a node.
    pub(crate) fn spawn(&self, node: &str, argv: &[&str]) -> Child {
        let mut command = Command::new("ip");
        let namespace = format!("mpu-{}-{node}", self.0.options.name);
        command.args(["netns", "exec", &namespace]).args(argv);
        pipes(&mut command);
        command.spawn().expect("ip runs")
    }

    /// The server's counters.
    pub(crate) fn counters(&self) -> BTreeMap<String, u64> {
        lab::peer::kernel_counters(&self.netns("server")).expect("the kernel's counters")
    }

    fn netns(&self, node: &str) -> Netns {
        self.0.netns(node).expect("it was made")
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        let _ = lab::down(&self.0.options.name);
    }
}

/// The address of proxy `number`, from 1, in the client's network.
pub(crate) fn proxy(number: usize) -> String {
    format!("10.90.0.{}", 10 + number)
}
