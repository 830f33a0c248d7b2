//! A server of the kernel's: echo, discard or source.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use socket2::Socket;

use super::{CHUNK, Protocol, pattern, pattern_at, socket, socket_error};
use crate::net::{Netns, Result};

/// What the server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Sends back what it reads; at the peer's end of data it ends its own.
    Echo,
    /// Reads to the end of data, then ends its own.
    Discard,
    /// Sends this many bytes, ends its data, then reads to the peer's end of data.
    Source(u64),
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    live: Mutex<BTreeMap<u64, TcpStream>>,
}

/// A server in a namespace: a thread that accepts and one for each connection. Dropping it ends
/// them all.
#[derive(Debug)]
pub struct PeerServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// How often the accepting thread looks whether it is to stop, in milliseconds.
const LOOK_MS: libc::c_int = 50;

impl PeerServer {
    /// Listens on `bind` (port 0: any) in `ns`. With one address of several the kernel resets the
    /// joins to the others it announces, so `0.0.0.0` is what an MPTCP server wants.
    pub fn start(ns: &Netns, bind: SocketAddr, protocol: Protocol, mode: Mode) -> Result<Self> {
        let listen = || -> std::io::Result<(Socket, SocketAddr)> {
            let listener = socket(protocol, bind)?;
            listener.set_reuse_address(true)?;
            listener.bind(&bind.into())?;
            listener.listen(128)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?.as_socket().unwrap_or(bind);
            Ok((listener, address))
        };
        // A socket stays in the namespace it was made in, whatever thread uses it.
        let (listener, address) = ns
            .run(listen)?
            .map_err(|e| socket_error(&format!("cannot listen on {bind} with the kernel"), &e))?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let accepting = std::thread::Builder::new()
            .name("kernel-peer".to_owned())
            .spawn(move || accept_all(&listener, &theirs, mode))
            .map_err(|e| socket_error("cannot start a thread", &e))?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes read from all connections.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Bytes written to all connections.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for PeerServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn accept_all(listener: &Socket, shared: &Arc<Shared>, mode: Mode) {
    let mut threads = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        if !readable(listener) {
            continue;
        }
        let Ok((socket, _)) = listener.accept() else { continue };
        if socket.set_nonblocking(false).is_err() {
            continue;
        }
        let stream = TcpStream::from(socket);
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        if let Ok(copy) = stream.try_clone() {
            lock(shared).insert(number, copy);
        }
        let theirs = Arc::clone(shared);
        threads.retain(|t: &JoinHandle<()>| !t.is_finished());
        threads.push(std::thread::spawn(move || {
            // The peer sees a broken connection by itself; there is nobody else to tell.
            let _ = serve(&stream, &theirs, mode);
            lock(&theirs).remove(&number);
        }));
    }
    for stream in lock(shared).values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, BTreeMap<u64, TcpStream>> {
    shared.live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits a little for a connection.
fn readable(listener: &Socket) -> bool {
    let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, alive for the whole call, and the count says one.
    unsafe { libc::poll(&raw mut poll, 1, LOOK_MS) > 0 }
}

fn serve(mut stream: &TcpStream, shared: &Shared, mode: Mode) -> std::io::Result<()> {
    if let Mode::Source(bytes) = mode {
        let pattern = pattern();
        let mut position = 0;
        while position < bytes {
            let chunk = pattern_at(&pattern, position, bytes - position);
            stream.write_all(chunk)?;
            position += chunk.len() as u64;
            shared.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        stream.shutdown(Shutdown::Write)?;
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = match stream.read(&mut buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let Some(read) = buffer.get(..n).filter(|b| !b.is_empty()) else { break };
        shared.received.fetch_add(n as u64, Ordering::Relaxed);
        if mode == Mode::Echo {
            stream.write_all(read)?;
            shared.sent.fetch_add(n as u64, Ordering::Relaxed);
        }
    }
    match mode {
        Mode::Source(_) => Ok(()),
        Mode::Echo | Mode::Discard => stream.shutdown(Shutdown::Write),
    }
}
