//! The table of descriptors. Every descriptor handed out is a real one, open on the null device: whoever drives us
//! really closes what is left over.

use crate::epoll::Epoll;
use crate::errno::{Answer, Errno};
use mpuser_engine::addr::{ConnectionId, ListenerId, SocketAddr};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::time::Duration;

/// What a socket was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// `AF_INET` or `AF_INET6`.
    pub(crate) domain: i32,
    /// `IPPROTO_TCP` or `IPPROTO_MPTCP`.
    pub(crate) protocol: i32,
}

/// What has become of it.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Neither connected nor listening.
    Fresh,
    /// Listening; `[::]` listens on both families.
    Listening(Vec<ListenerId>),
    /// Connected, or on its way there.
    Connection(ConnectionId),
    /// Not a socket at all.
    Epoll(Epoll),
}

/// Socket options that mean something here; the others are in `plain`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) nodelay: bool,
    pub(crate) cork: bool,
    pub(crate) v6_only: bool,
    /// SO_LINGER, if it is on.
    pub(crate) linger: Option<Duration>,
    pub(crate) keepalive: bool,
    pub(crate) keep_idle: Option<u32>,
    pub(crate) keep_interval: Option<u32>,
    pub(crate) keep_count: Option<u32>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) max_segment: Option<u16>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) fast_open_connect: bool,
    pub(crate) fast_open_without_cookie: bool,
    /// `TCP_FASTOPEN` was set on a listener.
    pub(crate) fast_open_server: bool,
    /// Integer options without meaning here, as they were set.
    pub(crate) plain: BTreeMap<(i32, i32), i32>,
}

/// A descriptor.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) nonblocking: bool,
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) options: Settings,
    /// `connect` answered with EINPROGRESS, and nobody has asked again.
    pub(crate) connecting: bool,
    /// `connect` was put off until there is data for the SYN (`TCP_FASTOPEN_CONNECT`).
    pub(crate) deferred: Option<SocketAddr>,
    pub(crate) shut_read: bool,
    pub(crate) shut_write: bool,
    /// Read ahead of the application: it peeked.
    pub(crate) peeked: VecDeque<u8>,
    /// Octets the engine handed out for this socket.
    pub(crate) taken: u64,
    file: File,
}

impl Socket {
    fn new(kind: Kind, state: State, nonblocking: bool, file: File) -> Self {
        Self {
            kind,
            state,
            nonblocking,
            bound: None,
            options: Settings::default(),
            connecting: false,
            deferred: None,
            shut_read: false,
            shut_write: false,
            peeked: VecDeque::new(),
            taken: 0,
            file,
        }
    }

    /// The connection, if it has one.
    pub(crate) const fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Connection(id) => Some(id),
            _ => None,
        }
    }
}

/// All descriptors.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    by_fd: BTreeMap<i32, Socket>,
}

impl Sockets {
    /// A new descriptor.
    pub(crate) fn open(&mut self, kind: Kind, state: State, nonblocking: bool) -> Answer<i32> {
        let failed = |error: std::io::Error| Errno(error.raw_os_error().unwrap_or(libc::EMFILE));
        let file = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
        let fd = file.as_raw_fd();
        // A descriptor closed behind our back may come again.
        if let Some(stale) = self.by_fd.remove(&fd) {
            let _ = stale.file.into_raw_fd();
        }
        self.by_fd.insert(fd, Socket::new(kind, state, nonblocking, file));
        Ok(fd)
    }

    /// Closes one; the real descriptor goes with it.
    pub(crate) fn close(&mut self, fd: i32) -> Option<Socket> {
        self.by_fd.remove(&fd)
    }

    pub(crate) fn get(&self, fd: i32) -> Option<&Socket> {
        self.by_fd.get(&fd)
    }

    pub(crate) fn get_mut(&mut self, fd: i32) -> Option<&mut Socket> {
        self.by_fd.get_mut(&fd)
    }
}

/// At the end the descriptors left over belong to the driver, which has closed them or will.
impl Drop for Sockets {
    fn drop(&mut self) {
        for (_, socket) in std::mem::take(&mut self.by_fd) {
            let _ = socket.file.into_raw_fd();
        }
    }
}
