//! Connections one after the other: one octet each way, then the end.

use super::kernel::{accept, listen, socket};
use super::ours;
use super::place::{Hop, KERNEL_CORE, STACK_CORE, pin, server};
use super::veth::{OwnLab, PORT};
use mpuser_engine::config::ConnectionConfig;
use mpuser_tun::Stack;
use mpuser_tun::clock;
use mpuser_tun::lab::peer::Protocol;
use socket2::Socket;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The octet that goes there and comes back.
const OCTET: u8 = 0x5a;
/// How often the server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// A server of the kernel's that answers one octet and closes.
struct Server {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Server {
    fn start(at: SocketAddrV4) -> io::Result<Self> {
        let listener = listen(Protocol::Mptcp, at)?;
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            pin(KERNEL_CORE)?;
            while !theirs.load(Ordering::Relaxed) {
                if let Some(connection) = accept(&listener, LOOK)? {
                    // a client that is gone has failed, and says so itself
                    let _ = answer(&connection);
                }
            }
            Ok(())
        });
        Ok(Self { stop, thread })
    }

    fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn answer(mut connection: &Socket) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut octet = [0];
    connection.read_exact(&mut octet)?;
    connection.write_all(&octet)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(count: usize, since: mpuser_engine::time::Instant) -> f64 {
    count as f64 / (clock::now().saturating_since(since)).as_secs_f64().max(1e-9)
}

fn check(octet: u8) -> io::Result<()> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "another octet came back");
    (octet == OCTET).then_some(()).ok_or_else(wrong)
}

/// mpuser connects `count` times to the kernel: connections per second.
///
/// # Errors
/// One of them failed or fell back.
pub fn ours(hop: Hop, count: usize) -> io::Result<f64> {
    let kernel = Server::start(server())?;
    let rate = ours::with_stack(hop, ConnectionConfig::default(), async move |stack: Stack| {
        let start = clock::now();
        for _ in 0..count {
            let mut stream = stack.connect(SocketAddr::V4(server())).await?;
            stream.write_all(&[OCTET]).await?;
            check(stream.read_u8().await?)?;
            if !stream.is_mptcp() {
                return Err(io::Error::other("fell back to plain TCP"));
            }
            stream.abort();
        }
        Ok(rate(count, start))
    });
    kernel.stop()?;
    rate
}

/// The kernel connects `count` times to the kernel over a veth pair: connections per second.
///
/// # Errors
/// One of them failed.
pub fn kernel(lab: &OwnLab, count: usize) -> io::Result<f64> {
    let at = lab.server(PORT)?;
    let server = lab.run("server", || Server::start(at))?;
    let rate = lab.run("client", || {
        let connecting = || {
            pin(STACK_CORE)?;
            let start = clock::now();
            for _ in 0..count {
                connect_once(at)?;
            }
            Ok(rate(count, start))
        };
        std::thread::scope(|scope| scope.spawn(connecting).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    server.stop()?;
    rate
}

fn connect_once(at: SocketAddrV4) -> io::Result<()> {
    let connection = socket(Protocol::Mptcp)?;
    connection.connect(&at.into())?;
    (&connection).write_all(&[OCTET])?;
    let mut octet = [0];
    (&connection).read_exact(&mut octet)?;
    check(octet[0])?;
    connection.set_linger(Some(Duration::ZERO))
}
