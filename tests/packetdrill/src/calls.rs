//! Opening, connecting and closing sockets.

use crate::errno::{Answer, Errno};
use crate::machine::Machine;
use crate::socket::{Kind, State};
use crate::wait::Reply;
use mpuser_engine::addr::{ConnectionId, IpAddr, Ipv4Addr, Ipv6Addr, ListenerId, SocketAddr};
use std::task::Poll;

/// First port tried when none was asked for.
const FIRST_PORT: u16 = 32_768;

/// `::ffff:192.0.2.1` is `192.0.2.1`.
pub(crate) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address as a socket of this family shows it.
pub(crate) fn shown(domain: i32, address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(v4) if domain == libc::AF_INET6 => {
            SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), address.port())
        }
        _ => address,
    }
}

impl Machine {
    /// `socket`
    ///
    /// # Errors
    ///
    /// As Linux; only TCP and MPTCP over IPv4 and IPv6 are there.
    pub fn open(&mut self, domain: i32, kind: i32, protocol: i32) -> Answer<i32> {
        let (plain, nonblocking) = (kind & !libc::SOCK_CLOEXEC, libc::SOCK_NONBLOCK);
        if domain != libc::AF_INET && domain != libc::AF_INET6 {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        if plain & !nonblocking != libc::SOCK_STREAM {
            return Err(Errno(libc::ESOCKTNOSUPPORT));
        }
        let protocol = match protocol {
            0 | libc::IPPROTO_TCP => libc::IPPROTO_TCP,
            libc::IPPROTO_MPTCP if self.settings.enabled => libc::IPPROTO_MPTCP,
            libc::IPPROTO_MPTCP => return Err(Errno(libc::ENOPROTOOPT)),
            _ => return Err(Errno(libc::EPROTONOSUPPORT)),
        };
        let kind = Kind { domain, protocol };
        self.sockets.open(kind, State::Fresh, plain & nonblocking != 0)
    }

    /// `bind`
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is bound or connected, `EAFNOSUPPORT` for an address of another family.
    pub fn bind(&mut self, fd: i32, address: SocketAddr) -> Answer<()> {
        let socket = self.socket_mut(fd)?;
        if socket.kind.domain == libc::AF_INET && address.is_ipv6() {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        if socket.bound.is_some() || !matches!(socket.state, State::Fresh) {
            return Err(Errno(libc::EINVAL));
        }
        socket.bound = Some(unmapped(address));
        if !address.ip().is_unspecified() {
            self.own(unmapped(address).ip());
        }
        Ok(())
    }

    /// `listen`
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, or `EINVAL` for a connected socket.
    pub fn listen(&mut self, fd: i32, backlog: i32) -> Answer<()> {
        let socket = self.socket(fd)?;
        match socket.state {
            State::Fresh => {}
            State::Listening(_) => return Ok(()),
            _ => return Err(Errno(libc::EINVAL)),
        }
        let any = match socket.kind.domain {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut local = socket.bound.unwrap_or(SocketAddr::new(any, 0));
        if local.port() == 0 {
            local.set_port(FIRST_PORT);
        }
        let both = local.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !socket.options.v6_only;
        let config = self.connection_config(fd)?;
        // The kernel's queue is full when it holds more than the backlog.
        let backlog = usize::try_from(backlog).unwrap_or(0).saturating_add(1);
        let mut ids = vec![self.endpoint.listen(config.clone(), local, backlog)?];
        if both {
            let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), local.port());
            ids.push(self.endpoint.listen(config, v4, backlog)?);
        }
        let socket = self.socket_mut(fd)?;
        socket.bound = Some(local);
        socket.state = State::Listening(ids);
        Ok(())
    }

    pub(crate) fn try_accept(&mut self, fd: i32, nonblocking: bool) -> Poll<Answer<Reply>> {
        let socket = match self.socket(fd) {
            Ok(socket) => socket,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let State::Listening(ids) = &socket.state else {
            return Poll::Ready(Err(Errno(libc::EINVAL)));
        };
        let (ids, kind) = (ids.clone(), socket.kind);
        let (wait, options) = (!socket.nonblocking, socket.options.clone());
        match ids.into_iter().find_map(|id: ListenerId| self.endpoint.accept(id)) {
            Some(connection) => {
                let answer = self.sockets.open(kind, State::Connection(connection), nonblocking);
                Poll::Ready(answer.and_then(|new| {
                    self.socket_mut(new)?.options = options;
                    let peer = shown(kind.domain, self.peer(connection)?);
                    Ok(Reply::Accepted { fd: new, peer })
                }))
            }
            None if wait => Poll::Pending,
            None => Poll::Ready(Err(Errno(libc::EAGAIN))),
        }
    }

    fn peer(&self, connection: ConnectionId) -> Answer<SocketAddr> {
        let info = self.endpoint.info(connection).ok_or(Errno(libc::ECONNABORTED))?;
        info.subflows.first().map(|first| first.tuple.remote).ok_or(Errno(libc::ECONNABORTED))
    }

    pub(crate) fn try_connect(
        &mut self,
        fd: i32,
        remote: Option<SocketAddr>,
    ) -> Poll<Answer<Reply>> {
        let socket = match self.socket(fd) {
            Ok(socket) => socket,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let Some(remote) = remote else { return Poll::Ready(self.disconnect(fd)) };
        match &socket.state {
            State::Fresh => match self.start_connect(fd, remote) {
                Err(error) => Poll::Ready(Err(error)),
                Ok(()) if self.socket(fd).is_ok_and(|s| s.nonblocking) => {
                    Poll::Ready(Err(Errno(libc::EINPROGRESS)))
                }
                Ok(()) => Poll::Pending,
            },
            State::Connection(id) => {
                let (id, nonblocking, again) = (*id, socket.nonblocking, socket.connecting);
                self.connect_outcome(fd, id, nonblocking, again)
            }
            State::Listening(_) => Poll::Ready(Err(Errno(libc::EISCONN))),
            State::Epoll(_) => Poll::Ready(Err(Errno(libc::ENOTSOCK))),
        }
    }

    /// What `connect` says of a connection that exists: it is being opened, or was.
    fn connect_outcome(
        &mut self,
        fd: i32,
        id: ConnectionId,
        nonblocking: bool,
        connecting: bool,
    ) -> Poll<Answer<Reply>> {
        let progress = self.progress.entry(id).or_default();
        let (established, error) = (progress.established, progress.error);
        if !connecting {
            return Poll::Ready(Err(Errno(libc::EISCONN)));
        }
        if let Some(error) = error {
            progress.error = None;
            return Poll::Ready(Err(error));
        }
        if established {
            if let Ok(socket) = self.socket_mut(fd) {
                socket.connecting = false;
            }
            return Poll::Ready(Ok(Reply::Done(0)));
        }
        if progress.ended {
            return Poll::Ready(Err(Errno(libc::ECONNABORTED)));
        }
        if nonblocking { Poll::Ready(Err(Errno(libc::EALREADY))) } else { Poll::Pending }
    }

    /// Sends the SYN.
    pub(crate) fn start_connect(&mut self, fd: i32, remote: SocketAddr) -> Answer<()> {
        let config = self.connection_config(fd)?;
        let remote = unmapped(remote);
        let socket = self.socket(fd)?;
        if socket.kind.domain == libc::AF_INET && remote.is_ipv6() {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        let local = socket.bound.map(|bound| bound.ip()).filter(|ip| !ip.is_unspecified());
        self.own_some(remote.is_ipv4());
        let id = self.endpoint.connect(self.now, config, local, remote)?;
        self.progress.entry(id).or_default();
        let socket = self.socket_mut(fd)?;
        socket.state = State::Connection(id);
        socket.connecting = true;
        Ok(())
    }

    /// `connect` to `AF_UNSPEC`.
    fn disconnect(&mut self, fd: i32) -> Answer<Reply> {
        if let Some(id) = self.socket(fd)?.connection() {
            self.endpoint.abort(self.now, id);
            self.endpoint.close(self.now, id);
            self.forget(id);
        }
        let socket = self.socket_mut(fd)?;
        socket.state = State::Fresh;
        socket.connecting = false;
        (socket.shut_read, socket.shut_write) = (false, false);
        Ok(Reply::Done(0))
    }

    /// `shutdown`
    ///
    /// # Errors
    ///
    /// `ENOTCONN`, `EINVAL`.
    pub fn shutdown(&mut self, fd: i32, how: i32) -> Answer<()> {
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(Errno(libc::EINVAL)),
        };
        let id = match self.socket(fd)?.state {
            State::Connection(id) => id,
            State::Listening(_) if read => return self.unlisten(fd),
            State::Epoll(_) => return Err(Errno(libc::ENOTSOCK)),
            _ => return Err(Errno(libc::ENOTCONN)),
        };
        let progress = self.progress.get(&id).copied().unwrap_or_default();
        if progress.ended {
            return Err(Errno(libc::ENOTCONN));
        }
        let socket = self.socket_mut(fd)?;
        socket.shut_read |= read;
        socket.shut_write |= write;
        if write && progress.established {
            self.endpoint.shutdown(self.now, id);
        } else if write {
            self.endpoint.abort(self.now, id);
        }
        self.settle();
        Ok(())
    }

    fn unlisten(&mut self, fd: i32) -> Answer<()> {
        let socket = self.socket_mut(fd)?;
        if let State::Listening(ids) = std::mem::replace(&mut socket.state, State::Fresh) {
            for id in ids {
                self.endpoint.unlisten(self.now, id);
            }
        }
        self.settle();
        Ok(())
    }

    /// `close`
    ///
    /// # Errors
    ///
    /// `EBADF`
    pub fn close(&mut self, fd: i32) -> Answer<()> {
        let socket = self.sockets.close(fd).ok_or(Errno(libc::EBADF))?;
        match socket.state {
            State::Listening(ref ids) => {
                for id in ids {
                    self.endpoint.unlisten(self.now, *id);
                }
            }
            State::Connection(id) => {
                // With data nobody read the kernel tells the peer (RFC 2525 2.17).
                let abrupt = socket.options.linger.is_some_and(|time| time.is_zero());
                if abrupt || !socket.peeked.is_empty() {
                    self.endpoint.abort(self.now, id);
                }
                self.endpoint.close(self.now, id);
                self.forget(id);
            }
            _ => {}
        }
        self.settle();
        Ok(())
    }

    /// `fcntl` with `F_GETFL`, `F_SETFL`, `F_GETFD` and `F_SETFD`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for other commands.
    pub fn fcntl(&mut self, fd: i32, command: i32, argument: i64) -> Answer<i32> {
        let socket = self.socket_mut(fd)?;
        match command {
            libc::F_GETFL => {
                let blocking = if socket.nonblocking { libc::O_NONBLOCK } else { 0 };
                Ok(libc::O_RDWR | blocking)
            }
            libc::F_SETFL => {
                socket.nonblocking = argument & i64::from(libc::O_NONBLOCK) != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => Err(Errno(libc::EINVAL)),
        }
    }
}
