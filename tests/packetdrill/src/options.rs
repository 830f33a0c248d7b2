//! Socket options, and the connection settings that follow from them.

use crate::errno::{Answer, Errno};
use crate::machine::Machine;
use crate::socket::State;
use mpuser_engine::config::{ConnectionConfig, Keepalive};
use std::time::Duration;

/// `SOL_MPTCP`
pub const SOL_MPTCP: i32 = 284;
/// `TCP_IS_MPTCP`
pub const TCP_IS_MPTCP: i32 = 43;
/// `TCP_FASTOPEN_NO_COOKIE`
const TCP_FASTOPEN_NO_COOKIE: i32 = 34;
/// `MPTCP_INFO`
pub const MPTCP_INFO: i32 = 1;
/// Smallest buffers Linux makes (`SOCK_MIN_SNDBUF`, `SOCK_MIN_RCVBUF`), bytes.
const MIN_BUFFER: usize = 2304;

impl Machine {
    /// `setsockopt`
    ///
    /// # Errors
    ///
    /// `EINVAL`, `EDOM`, `ENOPROTOOPT`.
    pub fn set_option(&mut self, fd: i32, level: i32, name: i32, value: &[u8]) -> Answer<()> {
        if matches!(self.socket(fd)?.state, State::Epoll(_)) {
            return Err(Errno(libc::ENOTSOCK));
        }
        if (level, name) == (libc::SOL_SOCKET, libc::SO_LINGER) {
            let (on, seconds) = (integer(value)?, integer(value.get(4..).unwrap_or_default())?);
            let time = Duration::from_secs(u64::from(seconds.unsigned_abs()));
            self.socket_mut(fd)?.options.linger = (on != 0).then_some(time);
            return Ok(());
        }
        let number = integer(value)?;
        match level {
            libc::SOL_SOCKET => self.set_socket_option(fd, name, number),
            libc::SOL_TCP => self.set_tcp_option(fd, name, number),
            libc::IPPROTO_IPV6 if name == libc::IPV6_V6ONLY => {
                self.socket_mut(fd)?.options.v6_only = number != 0;
                Ok(())
            }
            libc::IPPROTO_IP | libc::IPPROTO_IPV6 => {
                self.socket_mut(fd)?.options.plain.insert((level, name), number);
                Ok(())
            }
            _ => Err(Errno(libc::ENOPROTOOPT)),
        }
    }

    fn set_socket_option(&mut self, fd: i32, name: i32, value: i32) -> Answer<()> {
        let options = &mut self.socket_mut(fd)?.options;
        // The kernel doubles what it is asked for.
        let doubled = (value.unsigned_abs() as usize).saturating_mul(2).max(MIN_BUFFER);
        match name {
            libc::SO_SNDBUF | libc::SO_SNDBUFFORCE => options.send_buffer = Some(doubled),
            libc::SO_RCVBUF | libc::SO_RCVBUFFORCE => options.receive_buffer = Some(doubled),
            libc::SO_KEEPALIVE => options.keepalive = value != 0,
            libc::SO_ERROR | libc::SO_TYPE | libc::SO_PROTOCOL | libc::SO_DOMAIN => {
                return Err(Errno(libc::ENOPROTOOPT));
            }
            _ => {
                options.plain.insert((libc::SOL_SOCKET, name), value);
            }
        }
        self.apply(fd)
    }

    fn set_tcp_option(&mut self, fd: i32, name: i32, value: i32) -> Answer<()> {
        let socket = self.socket_mut(fd)?;
        let connected = socket.connection().is_some();
        let options = &mut socket.options;
        let count = u32::try_from(value).ok();
        let positive = count.filter(|n| (1..=32_767).contains(n));
        match name {
            libc::TCP_NODELAY => options.nodelay = value != 0,
            libc::TCP_CORK => options.cork = value != 0,
            libc::TCP_MAXSEG => {
                let allowed = value == 0 || (88..=32_767).contains(&value);
                let size = u16::try_from(value).ok().filter(|_| allowed);
                let size = size.ok_or(Errno(libc::EINVAL))?;
                options.max_segment = (size > 0).then_some(size);
            }
            libc::TCP_KEEPIDLE => options.keep_idle = Some(positive.ok_or(Errno(libc::EINVAL))?),
            libc::TCP_KEEPINTVL => {
                options.keep_interval = Some(positive.ok_or(Errno(libc::EINVAL))?);
            }
            libc::TCP_KEEPCNT => {
                let allowed = positive.filter(|n| *n <= 127);
                options.keep_count = Some(allowed.ok_or(Errno(libc::EINVAL))?);
            }
            libc::TCP_USER_TIMEOUT => {
                let time = u64::from(count.ok_or(Errno(libc::EINVAL))?);
                options.user_timeout = (time > 0).then(|| Duration::from_millis(time));
            }
            libc::TCP_FASTOPEN_CONNECT => options.fast_open_connect = value != 0,
            TCP_FASTOPEN_NO_COOKIE if connected => return Err(Errno(libc::EINVAL)),
            TCP_FASTOPEN_NO_COOKIE => options.fast_open_without_cookie = value != 0,
            libc::TCP_FASTOPEN => {
                options.fast_open_server = value > 0;
                options.plain.insert((libc::SOL_TCP, name), value);
            }
            TCP_IS_MPTCP | libc::TCP_INFO => return Err(Errno(libc::ENOPROTOOPT)),
            _ => {
                options.plain.insert((libc::SOL_TCP, name), value);
            }
        }
        self.apply(fd)
    }

    /// Options that change a connection that is there already.
    fn apply(&mut self, fd: i32) -> Answer<()> {
        let socket = self.socket(fd)?;
        if let Some(id) = socket.connection() {
            let (nodelay, cork) = (socket.options.nodelay, socket.options.cork);
            self.endpoint.set_nagle(id, cork || !nodelay);
            self.settle();
        }
        Ok(())
    }

    /// `getsockopt`; at most `len` octets of the value.
    ///
    /// # Errors
    ///
    /// `ENOPROTOOPT` for what is not known.
    pub fn option(&mut self, fd: i32, level: i32, name: i32, len: usize) -> Answer<Vec<u8>> {
        let mut value = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => number(self.take_error(fd)?),
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let linger = self.socket(fd)?.options.linger;
                let seconds =
                    linger.map_or(0, |time| i32::try_from(time.as_secs()).unwrap_or(i32::MAX));
                [i32::from(linger.is_some()), seconds]
                    .into_iter()
                    .flat_map(i32::to_ne_bytes)
                    .collect()
            }
            (libc::SOL_TCP, libc::TCP_INFO) => self.tcp_info(fd)?,
            (SOL_MPTCP, MPTCP_INFO) => self.mptcp_info(fd)?,
            (libc::SOL_SOCKET, _) => number(self.socket_option(fd, name)?),
            (libc::SOL_TCP, _) => number(self.tcp_option(fd, name)?),
            _ => number(self.plain_option(fd, level, name)?),
        };
        value.truncate(len);
        Ok(value)
    }

    fn plain_option(&self, fd: i32, level: i32, name: i32) -> Answer<i32> {
        let options = &self.socket(fd)?.options;
        let v6_only = (level, name) == (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
        let plain = options.plain.get(&(level, name)).copied();
        if v6_only { Ok(i32::from(options.v6_only)) } else { plain.ok_or(Errno(libc::ENOPROTOOPT)) }
    }

    fn take_error(&mut self, fd: i32) -> Answer<i32> {
        let Some(id) = self.socket(fd)?.connection() else { return Ok(0) };
        let error = self.progress.get_mut(&id).and_then(|progress| progress.error.take());
        Ok(error.map_or(0, |error| error.0))
    }

    fn socket_option(&self, fd: i32, name: i32) -> Answer<i32> {
        let socket = self.socket(fd)?;
        let size = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        Ok(match name {
            libc::SO_TYPE => libc::SOCK_STREAM,
            libc::SO_PROTOCOL => socket.kind.protocol,
            libc::SO_DOMAIN => socket.kind.domain,
            libc::SO_ACCEPTCONN => i32::from(matches!(socket.state, State::Listening(_))),
            libc::SO_KEEPALIVE => i32::from(socket.options.keepalive),
            libc::SO_SNDBUF => {
                size(socket.options.send_buffer.unwrap_or(self.settings.send_buffer))
            }
            libc::SO_RCVBUF => {
                size(socket.options.receive_buffer.unwrap_or(self.settings.receive_buffer))
            }
            _ => socket.options.plain.get(&(libc::SOL_SOCKET, name)).copied().unwrap_or(0),
        })
    }

    fn tcp_option(&self, fd: i32, name: i32) -> Answer<i32> {
        let socket = self.socket(fd)?;
        let options = &socket.options;
        let or = |value: Option<u32>, default: u32| {
            i32::try_from(value.unwrap_or(default)).unwrap_or(i32::MAX)
        };
        Ok(match name {
            libc::TCP_NODELAY => i32::from(options.nodelay),
            libc::TCP_CORK => i32::from(options.cork),
            libc::TCP_FASTOPEN_CONNECT => i32::from(options.fast_open_connect),
            TCP_FASTOPEN_NO_COOKIE => i32::from(options.fast_open_without_cookie),
            libc::TCP_FASTOPEN => options.plain.get(&(libc::SOL_TCP, name)).copied().unwrap_or(0),
            libc::TCP_KEEPIDLE => or(options.keep_idle, 7200),
            libc::TCP_KEEPINTVL => or(options.keep_interval, 75),
            libc::TCP_KEEPCNT => or(options.keep_count, 9),
            libc::TCP_USER_TIMEOUT => {
                i32::try_from(options.user_timeout.unwrap_or_default().as_millis())
                    .unwrap_or(i32::MAX)
            }
            libc::TCP_MAXSEG => self.max_segment(fd)?,
            TCP_IS_MPTCP => {
                let plain = |id| self.endpoint.info(id).is_some_and(|info| info.fallback.is_some());
                let asked = socket.kind.protocol == libc::IPPROTO_MPTCP;
                i32::from(asked && !socket.connection().is_some_and(plain))
            }
            _ => options
                .plain
                .get(&(libc::SOL_TCP, name))
                .copied()
                .ok_or(Errno(libc::ENOPROTOOPT))?,
        })
    }

    /// What a segment carries now; before there is a connection, the default of RFC 9293 or what was asked for.
    fn max_segment(&self, fd: i32) -> Answer<i32> {
        let socket = self.socket(fd)?;
        let info = socket.connection().and_then(|id| self.endpoint.info(id));
        let established = info.and_then(|info| info.subflows.first().map(|first| first.mss));
        let asked = socket.options.max_segment.map_or(536, u32::from);
        Ok(i32::try_from(established.unwrap_or(asked)).unwrap_or(536))
    }

    /// The settings of a connection made by this socket.
    pub(crate) fn connection_config(&self, fd: i32) -> Answer<ConnectionConfig> {
        let socket = self.socket(fd)?;
        let options = &socket.options;
        let mptcp = socket.kind.protocol == libc::IPPROTO_MPTCP;
        let mut config = self.settings.connection(mptcp);
        config.nagle = options.cork || !options.nodelay;
        if let Some(bytes) = options.send_buffer {
            (config.send_buffer, config.initial_send_buffer) = (bytes, bytes);
        }
        if let Some(bytes) = options.receive_buffer {
            (config.receive_buffer, config.initial_receive_buffer) = (bytes, bytes);
        }
        config.tcp.keepalive = options.keepalive.then(|| Keepalive {
            idle: Duration::from_secs(options.keep_idle.unwrap_or(7200).into()),
            interval: Duration::from_secs(options.keep_interval.unwrap_or(75).into()),
            probes: options.keep_count.unwrap_or(9),
        });
        Ok(config)
    }

    /// `FIONREAD`/`SIOCINQ`, `SIOCOUTQ`, `SIOCOUTQNSD`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a listener, `ENOTTY` for other requests.
    pub fn ioctl(&mut self, fd: i32, request: u64) -> Answer<i32> {
        /// `SIOCOUTQNSD`
        const NOT_SENT: u64 = 0x894b;
        let socket = self.socket(fd)?;
        if matches!(socket.state, State::Listening(_)) {
            return Err(Errno(libc::EINVAL));
        }
        let (ahead, taken) = (socket.peeked.len() as u64, socket.taken);
        let info = socket.connection().and_then(|id| self.endpoint.info(id));
        let count = match request {
            libc::FIONREAD => {
                info.map_or(0, |info| info.bytes_received.saturating_sub(taken)) + ahead
            }
            libc::TIOCOUTQ => info.map_or(0, |info| info.write_seq.wrapping_sub(info.snd_una)),
            NOT_SENT => info.map_or(0, |info| {
                let written = info.bytes_acked + info.write_seq.wrapping_sub(info.snd_una);
                written.saturating_sub(info.bytes_sent)
            }),
            _ => return Err(Errno(libc::ENOTTY)),
        };
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }
}

fn number(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn integer(value: &[u8]) -> Answer<i32> {
    let octets = value.get(..4).and_then(|octets| octets.try_into().ok());
    octets.map(i32::from_ne_bytes).ok_or(Errno(libc::EINVAL))
}
