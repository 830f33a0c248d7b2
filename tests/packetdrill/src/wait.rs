//! Calls that cannot be answered yet.
//!
//! Whoever moves the machine tries the waiting calls again, at the very moment something happened; their threads only
//! fetch the answer. So the order of things, and the time at which a call came back, do not depend on who ran when.

use crate::epoll::Ready;
use crate::errno::{Answer, Errno};
use crate::machine::Machine;
use crate::poll::PollFd;
use mpuser_engine::addr::SocketAddr;
use mpuser_engine::time::Instant;
use std::collections::BTreeMap;
use std::task::Poll;

/// A call that may have to wait.
#[derive(Clone, Debug)]
pub enum Call {
    /// `accept`
    Accept {
        /// The listening socket.
        fd: i32,
        /// `SOCK_NONBLOCK` for the new one.
        nonblocking: bool,
    },
    /// `connect`; `None` is `AF_UNSPEC`, which undoes a connection.
    Connect {
        /// The socket.
        fd: i32,
        /// Where to.
        remote: Option<SocketAddr>,
    },
    /// Everything that reads.
    Read {
        /// The socket.
        fd: i32,
        /// Most octets.
        len: usize,
        /// `MSG_...`
        flags: i32,
        /// What is there already (`MSG_WAITALL`).
        got: Vec<u8>,
    },
    /// Everything that writes.
    Write {
        /// The socket.
        fd: i32,
        /// The octets.
        data: Vec<u8>,
        /// `MSG_...`
        flags: i32,
        /// For `MSG_FASTOPEN`.
        remote: Option<SocketAddr>,
        /// How many have been taken.
        taken: usize,
    },
    /// `poll`
    Poll {
        /// What is asked.
        fds: Vec<PollFd>,
        /// When it comes back empty-handed; `None` waits for ever.
        deadline: Option<Instant>,
    },
    /// `epoll_wait`
    EpollWait {
        /// The epoll descriptor.
        fd: i32,
        /// Most events.
        max: usize,
        /// As of `Poll`.
        deadline: Option<Instant>,
    },
}

impl Call {
    const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Poll { deadline, .. } | Self::EpollWait { deadline, .. } => *deadline,
            _ => None,
        }
    }
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A number, or nothing to say.
    Done(usize),
    /// A new connection.
    Accepted {
        /// Its descriptor.
        fd: i32,
        /// Who it is.
        peer: SocketAddr,
    },
    /// Octets; none at the end.
    Data(Vec<u8>),
    /// What is ready.
    Polled(Vec<PollFd>),
    /// What is ready.
    Events(Vec<Ready>),
}

/// Names a waiting call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The answer of a call that waited.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What it gave.
    pub answer: Answer<Reply>,
    /// When.
    pub at: Instant,
}

/// The calls that wait, and the answers nobody has fetched yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    calls: BTreeMap<Ticket, Call>,
    finished: BTreeMap<Ticket, Finished>,
    next: u64,
}

impl Waiting {
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.calls.values().filter_map(Call::deadline).min()
    }
}

impl Machine {
    /// Makes a call. `Err` is a ticket for the answer to come.
    ///
    /// # Errors
    ///
    /// The call has to wait.
    pub fn call(&mut self, mut call: Call) -> Result<Answer<Reply>, Ticket> {
        if let Poll::Ready(answer) = self.attempt(&mut call) {
            self.settle();
            return Ok(answer);
        }
        let ticket = Ticket(self.waiting.next);
        self.waiting.next += 1;
        self.waiting.calls.insert(ticket, call);
        self.settle();
        Err(ticket)
    }

    /// The answer of a call that waited, once.
    pub fn finished(&mut self, ticket: Ticket) -> Option<Finished> {
        self.waiting.finished.remove(&ticket)
    }

    /// Lets time run on until a call that waits has its answer: for a caller who is the only one to move the clock.
    ///
    /// `EDEADLK` when nothing will ever happen.
    pub fn run_until_finished(&mut self, ticket: Ticket) -> Finished {
        loop {
            if let Some(finished) = self.finished(ticket) {
                return finished;
            }
            let Some(due) = self.next_deadline() else {
                self.waiting.calls.remove(&ticket);
                return Finished { answer: Err(Errno(libc::EDEADLK)), at: self.now };
            };
            self.advance_to(due);
        }
    }

    /// Tries every waiting call again; true when one of them got its answer.
    pub(crate) fn retry_waiting(&mut self) -> bool {
        let mut any = false;
        let tickets: Vec<Ticket> = self.waiting.calls.keys().copied().collect();
        for ticket in tickets {
            let Some(mut call) = self.waiting.calls.remove(&ticket) else { continue };
            if let Poll::Ready(answer) = self.attempt(&mut call) {
                any = true;
                self.waiting.finished.insert(ticket, Finished { answer, at: self.now });
            } else {
                self.waiting.calls.insert(ticket, call);
            }
        }
        any
    }

    fn attempt(&mut self, call: &mut Call) -> Poll<Answer<Reply>> {
        match call {
            Call::Accept { fd, nonblocking } => self.try_accept(*fd, *nonblocking),
            Call::Connect { fd, remote } => self.try_connect(*fd, *remote),
            Call::Read { fd, len, flags, got } => self.try_read(*fd, *len, *flags, got),
            Call::Write { fd, data, flags, remote, taken } => {
                self.try_write(*fd, data, *flags, *remote, taken)
            }
            Call::Poll { fds, deadline } => self.try_poll(fds, *deadline),
            Call::EpollWait { fd, max, deadline } => self.try_epoll_wait(*fd, *max, *deadline),
        }
    }
}
