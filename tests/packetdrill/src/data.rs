//! Reading and writing.

use crate::errno::{Answer, Errno};
use crate::machine::Machine;
use crate::socket::State;
use crate::wait::Reply;
use mpuser_engine::addr::{ConnectionId, SocketAddr};
use mpuser_engine::error::{ReadError, WriteError};
use std::task::Poll;

/// Most octets of one read.
const MAX_READ: usize = 1 << 26;

impl Machine {
    pub(crate) fn try_read(
        &mut self,
        fd: i32,
        len: usize,
        flags: i32,
        got: &mut Vec<u8>,
    ) -> Poll<Answer<Reply>> {
        let (id, wait) = match self.reader(fd, flags) {
            Ok(found) => found,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if len == 0 {
            return Poll::Ready(Ok(Reply::Data(Vec::new())));
        }
        let peek = flags & libc::MSG_PEEK != 0;
        let all = flags & libc::MSG_WAITALL != 0 && !peek;
        while got.len() < len {
            match self.read_some(fd, id, len - got.len(), peek) {
                Ok(Some(data)) if data.is_empty() => break,
                Ok(Some(data)) => {
                    got.extend_from_slice(&data);
                    if peek {
                        break;
                    }
                }
                Ok(None) if wait && (all || got.is_empty()) => return Poll::Pending,
                Ok(None) if !got.is_empty() => break,
                Ok(None) => return Poll::Ready(Err(Errno(libc::EAGAIN))),
                Err(_) if !got.is_empty() => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(Reply::Data(std::mem::take(got))))
    }

    /// The connection a read goes to, and whether it may wait.
    fn reader(&self, fd: i32, flags: i32) -> Answer<(ConnectionId, bool)> {
        if flags & libc::MSG_OOB != 0 {
            return Err(Errno(libc::EINVAL));
        }
        if flags & libc::MSG_ERRQUEUE != 0 {
            return Err(Errno(libc::EAGAIN));
        }
        let socket = self.socket(fd)?;
        match socket.state {
            State::Connection(id) => {
                Ok((id, !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0))
            }
            State::Epoll(_) => Err(Errno(libc::EINVAL)),
            _ => Err(Errno(libc::ENOTCONN)),
        }
    }

    /// Some octets; none at the end, `None` when there is nothing yet.
    fn read_some(
        &mut self,
        fd: i32,
        id: ConnectionId,
        len: usize,
        peek: bool,
    ) -> Answer<Option<Vec<u8>>> {
        let socket = self.socket_mut(fd)?;
        if peek || !socket.peeked.is_empty() {
            self.read_ahead(fd, id, len)?;
            let socket = self.socket_mut(fd)?;
            let count = len.min(socket.peeked.len());
            if count > 0 {
                let data = socket.peeked.iter().copied().take(count).collect();
                if !peek {
                    socket.peeked.drain(..count);
                }
                return Ok(Some(data));
            }
        }
        let mut data = vec![0; len.min(MAX_READ)];
        match self.endpoint.read(self.now, id, &mut data) {
            Ok(count) => {
                data.truncate(count);
                self.socket_mut(fd)?.taken += count as u64;
                Ok(Some(data))
            }
            // What is there can still be read; after that it is the end.
            Err(ReadError::WouldBlock) if self.socket(fd)?.shut_read => Ok(Some(Vec::new())),
            Err(ReadError::WouldBlock) => Ok(None),
            Err(ReadError::NotFound | ReadError::Closed(_)) => self.end_of_stream(id),
        }
    }

    /// The error is told once, after that the stream is at its end.
    fn end_of_stream(&mut self, id: ConnectionId) -> Answer<Option<Vec<u8>>> {
        match self.progress.get_mut(&id).and_then(|progress| progress.error.take()) {
            Some(error) => Err(error),
            None => Ok(Some(Vec::new())),
        }
    }

    /// Fills what `MSG_PEEK` looks at.
    fn read_ahead(&mut self, fd: i32, id: ConnectionId, len: usize) -> Answer<()> {
        let have = self.socket(fd)?.peeked.len();
        let mut data = vec![0; len.saturating_sub(have).min(MAX_READ)];
        if data.is_empty() {
            return Ok(());
        }
        // An error or the end is for the read that follows.
        let count = self.endpoint.read(self.now, id, &mut data).unwrap_or(0);
        let socket = self.socket_mut(fd)?;
        socket.taken += count as u64;
        socket.peeked.extend(data.iter().take(count));
        Ok(())
    }

    pub(crate) fn try_write(
        &mut self,
        fd: i32,
        data: &[u8],
        flags: i32,
        remote: Option<SocketAddr>,
        taken: &mut usize,
    ) -> Poll<Answer<Reply>> {
        let (id, wait) = match self.writer(fd, data, flags, remote, taken) {
            Ok(found) => found,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if !wait && *taken > 0 && *taken == data.len() {
            return Poll::Ready(Ok(Reply::Done(*taken)));
        }
        loop {
            match self.write_some(fd, id, data.get(*taken..).unwrap_or_default()) {
                Ok(Some(count)) => *taken += count,
                Ok(None) if wait => return Poll::Pending,
                Ok(None) if *taken == 0 => return Poll::Ready(Err(Errno(libc::EAGAIN))),
                Err(error) if *taken == 0 => return Poll::Ready(Err(error)),
                Ok(None) | Err(_) => return Poll::Ready(Ok(Reply::Done(*taken))),
            }
            if *taken >= data.len() {
                return Poll::Ready(Ok(Reply::Done(*taken)));
            }
        }
    }

    /// The connection a write goes to, and whether it may wait.
    fn writer(
        &mut self,
        fd: i32,
        data: &[u8],
        flags: i32,
        remote: Option<SocketAddr>,
        taken: &mut usize,
    ) -> Answer<(ConnectionId, bool)> {
        let socket = self.socket(fd)?;
        let wait = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        match (&socket.state, remote) {
            (State::Connection(id), _) => Ok((*id, wait)),
            (State::Epoll(_), _) => Err(Errno(libc::EINVAL)),
            (State::Fresh, remote) => {
                let fast_open = remote.filter(|_| flags & libc::MSG_FASTOPEN != 0);
                let remote = socket.deferred.or(fast_open).ok_or(Errno(libc::EPIPE))?;
                *taken = self.start_connect(fd, remote, Some(data))?;
                let id = self.socket(fd)?.connection().ok_or(Errno(libc::EPIPE))?;
                let done = wait || *taken > 0;
                if done { Ok((id, wait)) } else { Err(Errno(libc::EINPROGRESS)) }
            }
            _ => Err(Errno(libc::EPIPE)),
        }
    }

    /// How many octets were taken; `None` when there is no room yet.
    fn write_some(&mut self, fd: i32, id: ConnectionId, data: &[u8]) -> Answer<Option<usize>> {
        let progress = self.progress.entry(id).or_default();
        if let Some(error) = progress.error.take() {
            return Err(error);
        }
        if progress.ended {
            return Err(Errno(libc::EPIPE));
        }
        if !progress.established {
            return Ok(None);
        }
        if self.socket(fd)?.shut_write {
            return Err(Errno(libc::EPIPE));
        }
        match self.endpoint.write(self.now, id, data) {
            Ok(count) => Ok(Some(count)),
            Err(WriteError::WouldBlock) => Ok(None),
            Err(_) => Err(Errno(libc::EPIPE)),
        }
    }
}
