//! Labs of the tests' own.

use super::{Run, finish, lab_allowed, pipes};
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use mpuser_tun::lab::{self, Lab, LabOptions};
use std::net::SocketAddr;
use std::process::{Child, Command};

/// The server's first address.
pub(crate) const SERVER: &str = "192.168.56.101";

/// A lab that is gone at the end.
pub(crate) struct TestLab(pub(crate) Lab);

impl TestLab {
    /// `None` where this machine does not allow one.
    pub(crate) fn up(name: &str) -> Option<Self> {
        if !lab_allowed(name) {
            return None;
        }
        let name = format!("cli-{name}-{}", std::process::id());
        let options = LabOptions { name, server_signal: false, ..LabOptions::default() };
        Some(Self(lab::up(&options).expect("doctor said that a lab can be made")))
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
        let address = SocketAddr::new(SERVER.parse().expect("an address"), port);
        let ns = self.0.netns("server").expect("the server's namespace");
        PeerServer::start(&ns, address, protocol, mode).expect("a kernel server")
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        let _ = lab::down(&self.0.state().name);
    }
}
