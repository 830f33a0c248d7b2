//! Labs of the tests' own.

use super::{Run, finish, lab_allowed, pipes};
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use mpuser_tun::lab::{self, Lab, LabOptions};
use std::net::SocketAddr;
use std::process::{Child, Command};

/// The server's first address.
pub(crate) const SERVER: &str = "192.168.56.101";
/// And its counterpart.
pub(crate) const SERVER6: &str = "fd00:192:168:56::101";

/// A lab that is gone at the end.
pub(crate) struct TestLab(pub(crate) Lab);

impl TestLab {
    /// `None` where this machine does not allow one.
    pub(crate) fn up(name: &str) -> Option<Self> {
        lab_allowed(name).then(|| Self::make(name, false, None))
    }

    /// With links of this rate: without one a small transfer is over before there is a second subflow.
    pub(crate) fn up_at(name: &str, rate: &str) -> Option<Self> {
        lab_allowed(name).then(|| Self::make(name, false, Some(rate.to_owned())))
    }

    /// With IPv6 on every path, too. The server announces its other addresses: a neighbour answers for those of its own
    /// link only, so there is no other way over the other links.
    pub(crate) fn up_with_ipv6(name: &str) -> Option<Self> {
        lab_allowed(name).then(|| Self::make(name, true, None))
    }

    fn make(name: &str, ipv6: bool, rate: Option<String>) -> Self {
        let name = format!("cli-{name}-{}", std::process::id());
        let options = LabOptions { name, server_signal: ipv6, ipv6, rate, ..LabOptions::default() };
        Self(lab::up(&options).expect("doctor said that a lab can be made"))
    }

    pub(crate) fn start(&self, node: &str, args: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
        command.args(args);
        pipes(&mut command);
        self.0.spawn(node, command).expect("the binary runs in the lab")
    }

    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Run {
        finish(self.start("client", args), input)
    }

    pub(crate) fn serve(&self, port: u16, protocol: Protocol, mode: Mode) -> PeerServer {
        self.serve_at(SERVER, port, protocol, mode)
    }

    /// At another address than [`SERVER`].
    pub(crate) fn serve_at(
        &self,
        address: &str,
        port: u16,
        protocol: Protocol,
        mode: Mode,
    ) -> PeerServer {
        let address = SocketAddr::new(address.parse().expect("an address"), port);
        let ns = self.0.netns("server").expect("the server's namespace");
        PeerServer::start(&ns, address, protocol, mode).expect("a kernel server")
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        let _ = lab::down(&self.0.state().name);
    }
}
