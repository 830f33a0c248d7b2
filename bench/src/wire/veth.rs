//! Kernel to kernel over veth pairs, in a lab: what mpuser is held against.

use super::kernel::{App, Meter, Transfer, Way, receive, send, socket};
use super::place::{Cpu, STACK_CORE, pin};
use mpuser_tun::lab::peer::Protocol;
use mpuser_tun::lab::{self, Lab, LabOptions};
use socket2::Socket;
use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

/// Where the server listens.
pub const PORT: u16 = 5001;
/// How often to look whether the server is done.
const LOOK: Duration = Duration::from_millis(1);
/// How long the subflows get to open, before anything is measured.
const JOINS: Duration = Duration::from_millis(300);

/// A lab of this process' own. It goes when this is dropped.
#[derive(Debug)]
pub struct OwnLab(Lab);

impl OwnLab {
    /// A lab, for the case `id`.
    ///
    /// # Errors
    /// As [`lab::up`].
    pub fn up(id: &str, options: LabOptions) -> io::Result<Self> {
        let name = format!("bench-{id}-{}", std::process::id());
        lab::up(&LabOptions { name, ..options }).map(Self).map_err(io::Error::other)
    }

    /// The lab.
    #[must_use]
    pub const fn lab(&self) -> &Lab {
        &self.0
    }

    /// The server's first address and a port.
    ///
    /// # Errors
    /// The lab has no path.
    pub fn server(&self, port: u16) -> io::Result<SocketAddrV4> {
        let first = self.0.state().paths.first();
        first
            .map(|path| SocketAddrV4::new(path.server, port))
            .ok_or_else(|| io::Error::other("a lab without paths"))
    }

    /// Runs `work` in `node`.
    ///
    /// # Errors
    /// The namespace is gone, or what the work says.
    pub fn run<R: Send>(
        &self,
        node: &str,
        work: impl FnOnce() -> io::Result<R> + Send,
    ) -> io::Result<R> {
        self.0.in_namespace(node, work).map_err(io::Error::other)?
    }
}

impl Drop for OwnLab {
    fn drop(&mut self) {
        // whoever makes a lab next is told what is left
        let _ = lab::down(&self.0.state().name);
    }
}

/// Links without a limit between two kernels, with a subflow on one or on all of them.
///
/// # Errors
/// As [`OwnLab::up`].
pub fn free_lab(subflows: usize) -> io::Result<OwnLab> {
    let options =
        LabOptions { server_signal: false, client_subflow: subflows > 1, ..LabOptions::default() };
    OwnLab::up(&format!("veth{subflows}"), options)
}

/// Moves `bytes` octets from kernel to kernel: `Up` from client to server. `meter` is for the end that receives.
///
/// # Errors
/// The connection failed, or the octets are wrong.
pub fn transfer(
    lab: &OwnLab,
    way: Way,
    bytes: u64,
    meter: impl Fn() -> Meter + Sync,
) -> io::Result<Transfer> {
    let server = lab.server(PORT)?;
    let start = || App::metered(Protocol::Mptcp, server, way, bytes, meter());
    let app = lab.run("server", start)?;
    let socket = lab.run("client", || socket(Protocol::Mptcp))?;
    std::thread::scope(|scope| {
        let client = scope.spawn(|| client(&socket, server, way, bytes, meter()));
        let ours = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        while !app.is_done() {
            std::thread::sleep(LOOK);
        }
        let theirs = app.join()?;
        Ok(if way == Way::Up { Transfer { cpu: ours.cpu, ..theirs } } else { ours })
    })
}

fn client(
    socket: &Socket,
    server: SocketAddrV4,
    way: Way,
    bytes: u64,
    meter: Meter,
) -> io::Result<Transfer> {
    pin(STACK_CORE)?;
    socket.connect(&server.into())?;
    let before = Cpu::of_thread();
    match way {
        Way::Up => {
            let first = send(socket, 0, 1)?;
            std::thread::sleep(JOINS);
            send(socket, first, bytes)?;
            let cpu = Cpu::of_thread().since(before);
            Ok(Transfer { bytes, cpu, ..Transfer::default() })
        }
        Way::Down => receive(socket, bytes, meter),
    }
}
