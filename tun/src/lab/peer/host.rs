//! A kernel in the hands of its other end: a network namespace whose only device is a TUN, so that whoever holds
//! the TUN plays every other host, packet by packet.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mpuser_engine::time::Instant as Moment;
use socket2::Socket;

use super::{Protocol, kernel_counters, now, socket};
use crate::device::{Device as _, PlainTun};
use crate::net::{ErrorKind, NetError, Netns, Result, ip, ip_batch, write_sysctl_if_there};

/// The name of the device inside the namespace.
const DEVICE: &str = "tun0";
/// How long an accept waits for its connection.
const ACCEPT: Duration = Duration::from_secs(2);
/// How long addresses may take to become usable, and how often to look.
const ADDRESSES: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);
/// `IFA_F_TENTATIVE`.
const TENTATIVE: u32 = 0x40;
/// Memory for received packets.
const ARENA: usize = 64 * 1024;

/// A kernel alone in a network namespace, behind a TUN device.
///
/// It belongs to the thread that made it: that thread is in the namespace. The namespace has no name and ends with
/// the thread, the sockets and the device.
#[derive(Debug)]
pub struct KernelHost {
    device: PlainTun,
    arena: BytesMut,
    listener: Option<Socket>,
    socket: Option<Socket>,
    started: Instant,
}

impl KernelHost {
    /// Moves the calling thread into a new namespace, makes the device there and everything reachable through it,
    /// sets `sysctls` (`net/mptcp/enabled` and its value; those this kernel lacks are left out), and runs `commands`
    /// through `ip -batch`, with `DEV` standing for the device.
    ///
    /// # Errors
    /// When the privilege is missing (`CAP_SYS_ADMIN`, `CAP_NET_ADMIN`), or a command fails.
    pub fn enter(sysctls: &[(&str, String)], commands: &[String]) -> Result<Self> {
        // SAFETY: unshare takes one integer and touches no memory of ours; it affects this thread only.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            let error = io::Error::last_os_error();
            return Err(NetError::new(
                ErrorKind::Permission,
                "cannot make a network namespace",
                error.to_string(),
                crate::net::PRIVILEGE_HELP,
            ));
        }
        for (key, value) in sysctls {
            write_sysctl_if_there(key, value)?;
        }
        let device = PlainTun::open(DEVICE)
            .map_err(|e| NetError::io("cannot make a TUN device in the new namespace", &e))?;
        let mut lines = vec!["link set lo up".to_owned(), format!("link set {DEVICE} up")];
        lines.extend(commands.iter().map(|line| line.replace("DEV", DEVICE)));
        ip_batch(&[], &lines)?;
        await_addresses();
        let arena = BytesMut::with_capacity(ARENA);
        Ok(Self { device, arena, listener: None, socket: None, started: now() })
    }

    /// Time since it was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.started)
    }

    /// Hands the kernel an IP packet.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn inject(&self, packet: &[u8]) -> io::Result<()> {
        self.device.send(Moment::ZERO, packet, &[], None)
    }

    /// The next packet the kernel sends, at most `limit` from now.
    pub fn next_packet(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let end = now() + limit;
        loop {
            match self.device.recv(Moment::ZERO, &mut self.arena) {
                Ok(received) => return Some(received.packet.to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
            let left = end.saturating_duration_since(now());
            if left.is_zero() {
                return None;
            }
            readable(self.device.fd(), left);
        }
    }

    /// Listens with MPTCP; `buffer` bytes of receive buffer, if given.
    ///
    /// # Errors
    /// As the system calls say.
    pub fn listen(&mut self, address: SocketAddr, buffer: Option<usize>) -> io::Result<()> {
        let listener = socket(Protocol::Mptcp, address)?;
        if let Some(buffer) = buffer {
            // The kernel doubles what it is given.
            listener.set_recv_buffer_size(buffer / 2)?;
        }
        if address.is_ipv6() {
            listener.set_only_v6(false)?;
        }
        listener.set_reuse_address(true)?;
        listener.bind(&address.into())?;
        listener.listen(128)?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Takes the next connection, which all other calls mean from then on; false when there is none.
    pub fn accept(&mut self) -> bool {
        let Some(listener) = &self.listener else { return false };
        readable(listener.as_fd(), ACCEPT);
        let Ok((socket, _)) = listener.accept() else { return false };
        let ready = socket.set_nonblocking(true).is_ok();
        self.socket = Some(socket);
        ready
    }

    /// Begins to connect with MPTCP.
    ///
    /// # Errors
    /// As the system calls say; a connection in progress is no error.
    pub fn connect(&mut self, remote: SocketAddr, buffer: Option<usize>) -> io::Result<()> {
        let socket = socket(Protocol::Mptcp, remote)?;
        if let Some(buffer) = buffer {
            socket.set_recv_buffer_size(buffer / 2)?;
        }
        socket.set_nonblocking(true)?;
        let outcome = socket.connect(&remote.into());
        self.socket = Some(socket);
        match outcome {
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            other => other,
        }
    }

    fn current(&self) -> io::Result<&Socket> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads at most `limit` bytes; none is the end of data.
    ///
    /// # Errors
    /// As `read` says; the socket's pending error first.
    pub fn read(&self, limit: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; limit];
        let read = self.current()?.read(&mut buffer)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Writes; returns how many bytes were taken.
    ///
    /// # Errors
    /// As `write` says.
    pub fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.current()?.write(data)
    }

    /// Ends the sending direction.
    pub fn shutdown(&self) {
        // A socket that is gone has nothing to end.
        let _ = self.current().and_then(|socket| socket.shutdown(Shutdown::Write));
    }

    /// Closes.
    pub fn close(&mut self) {
        self.socket = None;
    }

    /// Closes with `SO_LINGER` 0.
    pub fn abort(&mut self) {
        if let Ok(socket) = self.current() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        self.socket = None;
    }

    /// Runs `ip` with these words in the namespace.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, words: &[&str]) -> Result<()> {
        ip(words).map(drop)
    }

    /// All counters of the namespace, under the names of `nstat`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn counters(&self) -> Result<BTreeMap<String, u64>> {
        kernel_counters(&Netns::current()?)
    }
}

/// Waits until every IPv6 address of the namespace can be used: the kernel sees to that in the background, and late
/// where many namespaces are made at once.
fn await_addresses() {
    let end = now() + ADDRESSES;
    while now() < end {
        let all = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
        // Address, index, prefix length, scope, flags, name.
        let flags = all.lines().filter_map(|line| line.split_whitespace().nth(4));
        let tentative =
            |flags: &str| u32::from_str_radix(flags, 16).is_ok_and(|f| f & TENTATIVE != 0);
        if !flags.into_iter().any(tentative) {
            break;
        }
        std::thread::sleep(LOOK);
    }
}

/// Waits until there is something to read, or for `limit`.
fn readable(fd: BorrowedFd<'_>, limit: Duration) {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // Rounded up: a timeout of zero would be a busy loop.
    let limit = libc::c_int::try_from(limit.as_millis() + 1).unwrap_or(libc::c_int::MAX);
    // SAFETY: one pollfd, which outlives the call; a failure looks like a timeout.
    unsafe { libc::poll(&raw mut poll, 1, limit) };
}
