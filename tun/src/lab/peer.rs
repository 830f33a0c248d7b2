//! The kernel as a peer: servers and a measuring client over its own MPTCP sockets, and its
//! counters.

mod client;
mod counters;
mod host;
mod server;

pub use client::{KernelClient, Transfer};
pub use counters::{counter_delta, kernel_counters};
pub use host::KernelHost;
pub use server::{Mode, PeerServer};

use std::net::SocketAddr;
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::net::{ErrorKind, NetError};

/// What the kernel's socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// MPTCP, which may fall back to TCP.
    Mptcp,
    /// Plain TCP.
    Tcp,
}

const IPPROTO_MPTCP: i32 = 262;

/// The period of the bytes that [`KernelClient`] and [`Mode::Source`] send: a prime, so that no
/// shift by a segment or a buffer goes unnoticed.
const PERIOD: usize = 251;

/// How many bytes are read or written at a time.
const CHUNK: usize = 64 * 1024;

/// Enough of the pattern to take any chunk from: byte `i` of a stream is `i % 251`.
fn pattern() -> Vec<u8> {
    (0..PERIOD).cycle().filter_map(|i| u8::try_from(i).ok()).take(CHUNK + PERIOD).collect()
}

/// Byte `position` of a stream and those behind it, at most `len` and at most a chunk.
fn pattern_at(pattern: &[u8], position: u64, len: u64) -> &[u8] {
    let start = usize::try_from(position % PERIOD as u64).unwrap_or(0);
    let len = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK);
    pattern.get(start..start + len).unwrap_or_default()
}

fn socket_error(what: &str, e: &std::io::Error) -> NetError {
    let help = "see the kernel's side with `ss -tniM` in that namespace";
    NetError::new(ErrorKind::Socket, what, e.to_string(), help)
}

/// A socket in the namespace of this thread. Cubic where it is allowed: the machine's default may
/// be bbr, which is erratic on a single MPTCP path.
fn socket(protocol: Protocol, addr: SocketAddr) -> std::io::Result<Socket> {
    let number = match protocol {
        Protocol::Mptcp => IPPROTO_MPTCP,
        Protocol::Tcp => libc::IPPROTO_TCP,
    };
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(number.into()))?;
    let _ = socket.set_tcp_congestion(b"cubic");
    Ok(socket)
}

/// A listener of the kernel's in the namespace of this thread, for tokio; `[::]` takes both families.
///
/// # Errors
/// As the system calls say. It has to be called inside the runtime.
pub fn kernel_listener(bind: SocketAddr, protocol: Protocol) -> std::io::Result<TcpListener> {
    let listener = socket(protocol, bind)?;
    if bind.is_ipv6() {
        listener.set_only_v6(false)?;
    }
    listener.set_reuse_address(true)?;
    listener.bind(&bind.into())?;
    listener.listen(128)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener.into())
}

/// A connection of the kernel's from the namespace of this thread, for tokio.
///
/// # Errors
/// As the system calls say. It has to be called inside the runtime.
pub async fn kernel_connection(
    remote: SocketAddr,
    protocol: Protocol,
) -> std::io::Result<TcpStream> {
    let socket = socket(protocol, remote)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&remote.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    stream.take_error()?.map_or(Ok(stream), Err)
}

#[expect(clippy::disallowed_methods, reason = "measures the kernel, not the engine")]
fn now() -> Instant {
    Instant::now()
}
