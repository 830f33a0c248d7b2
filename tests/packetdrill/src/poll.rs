//! What a descriptor is ready for.

use crate::errno::Answer;
use crate::machine::Machine;
use crate::socket::{Socket, State};
use crate::wait::Reply;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::error::ReadError;
use mpuser_engine::time::Instant;
use std::task::Poll;

/// One question of `poll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollFd {
    /// The descriptor; a negative one is skipped.
    pub fd: i32,
    /// What is asked (`POLLIN`, ...).
    pub events: i16,
    /// What is so.
    pub revents: i16,
}

/// Told whether asked for or not.
pub(crate) const ALWAYS: i16 = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
const READ: i16 = libc::POLLIN | libc::POLLRDNORM;
const WRITE: i16 = libc::POLLOUT | libc::POLLWRNORM;

impl Machine {
    pub(crate) fn try_poll(
        &mut self,
        fds: &[PollFd],
        deadline: Option<Instant>,
    ) -> Poll<Answer<Reply>> {
        let mut fds = fds.to_vec();
        for entry in &mut fds {
            entry.revents = 0;
            if entry.fd >= 0 {
                entry.revents = self.ready(entry.fd) & (entry.events | ALWAYS);
            }
        }
        let any = fds.iter().any(|entry| entry.revents != 0);
        if any || deadline.is_some_and(|at| at <= self.now) {
            return Poll::Ready(Ok(Reply::Polled(fds)));
        }
        Poll::Pending
    }

    /// Everything a descriptor is ready for.
    pub(crate) fn ready(&mut self, fd: i32) -> i16 {
        let Some(socket) = self.sockets.get(fd) else { return libc::POLLNVAL };
        match &socket.state {
            State::Fresh => WRITE | libc::POLLHUP,
            State::Listening(ids) => {
                let waiting = ids.iter().any(|id| self.endpoint.acceptable(*id) > 0);
                if waiting { READ } else { 0 }
            }
            State::Connection(id) => {
                let id = *id;
                self.connection_ready(fd, id)
            }
            State::Epoll(_) => 0,
        }
    }

    fn connection_ready(&mut self, fd: i32, id: ConnectionId) -> i16 {
        let progress = self.progress.get(&id).copied().unwrap_or_default();
        let mut ready = 0;
        if progress.error.is_some() {
            ready |= libc::POLLERR;
        }
        if progress.ended {
            return ready | libc::POLLHUP | libc::POLLRDHUP | READ | WRITE;
        }
        if !progress.established {
            return ready;
        }
        let info = self.endpoint.info(id);
        let (mut room, mut peer_done) = (true, false);
        if let Some(info) = &info {
            room = info.write_seq.wrapping_sub(info.snd_una) < self.send_room(fd);
            peer_done = matches!(info.state, "CLOSE-WAIT" | "LAST-ACK" | "CLOSING" | "CLOSED");
        }
        let Some(socket) = self.sockets.get(fd) else { return ready };
        let (peeked, shut_read) = (!socket.peeked.is_empty(), socket.shut_read);
        let shut_write = socket.shut_write;
        let readable =
            !matches!(self.endpoint.read(self.now, id, &mut []), Err(ReadError::WouldBlock));
        if peeked || shut_read || readable {
            ready |= READ;
        }
        if shut_read || peer_done {
            ready |= libc::POLLRDHUP | READ;
        }
        if room || shut_write {
            ready |= WRITE;
        }
        if shut_write && (shut_read || peer_done) {
            ready |= libc::POLLHUP;
        }
        ready
    }

    /// What may wait to be acknowledged before a socket is no longer writable.
    fn send_room(&self, fd: i32) -> u64 {
        let set = self.sockets.get(fd).and_then(|socket: &Socket| socket.options.send_buffer);
        set.unwrap_or(self.settings.send_buffer) as u64
    }
}
