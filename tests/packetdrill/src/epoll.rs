//! `epoll`, level- and edge-triggered.

use crate::errno::{Answer, Errno};
use crate::machine::Machine;
use crate::poll::ALWAYS;
use crate::socket::{Kind, State};
use crate::wait::Reply;
use mpuser_engine::time::Instant;
use std::collections::BTreeMap;
use std::task::Poll;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// `EPOLLIN`, ...
    pub events: u32,
    /// What the application registered with the descriptor.
    pub data: u64,
}

/// A descriptor that is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    events: u32,
    data: u64,
    /// What was told last, and after how many events (edge-triggered).
    told: Option<(u32, u64)>,
    /// `EPOLLONESHOT`, and the shot is spent.
    spent: bool,
}

/// The descriptors an epoll instance watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epoll {
    watches: BTreeMap<i32, Watch>,
}

impl Machine {
    /// `epoll_create`
    ///
    /// # Errors
    ///
    /// `EMFILE`
    pub fn epoll_create(&mut self) -> Answer<i32> {
        let kind = Kind { domain: 0, protocol: 0 };
        self.sockets.open(kind, State::Epoll(Epoll::default()), false)
    }

    /// `epoll_ctl`
    ///
    /// # Errors
    ///
    /// `EBADF`, `EINVAL`, `EEXIST`, `ENOENT`.
    pub fn epoll_ctl(&mut self, epoll: i32, operation: i32, fd: i32, event: Ready) -> Answer<()> {
        self.socket(fd)?;
        let State::Epoll(instance) = &mut self.socket_mut(epoll)?.state else {
            return Err(Errno(libc::EINVAL));
        };
        let Ready { events, data } = event;
        let watch = Watch { events, data, told: None, spent: false };
        let known = instance.watches.contains_key(&fd);
        match operation {
            libc::EPOLL_CTL_ADD if known => return Err(Errno(libc::EEXIST)),
            libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL if !known => {
                return Err(Errno(libc::ENOENT));
            }
            libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD => {
                instance.watches.insert(fd, watch);
            }
            libc::EPOLL_CTL_DEL => {
                instance.watches.remove(&fd);
            }
            _ => return Err(Errno(libc::EINVAL)),
        }
        self.settle();
        Ok(())
    }

    pub(crate) fn try_epoll_wait(
        &mut self,
        epoll: i32,
        max: usize,
        deadline: Option<Instant>,
    ) -> Poll<Answer<Reply>> {
        let watches = match self.socket(epoll).map(|socket| &socket.state) {
            Ok(State::Epoll(instance)) if max > 0 => instance.watches.clone(),
            Ok(_) => return Poll::Ready(Err(Errno(libc::EINVAL))),
            Err(error) => return Poll::Ready(Err(error)),
        };
        let mut events = Vec::new();
        for (fd, mut watch) in watches {
            if events.len() >= max {
                break;
            }
            let found = self.look(fd, &mut watch);
            if let Ok(socket) = self.socket_mut(epoll)
                && let State::Epoll(instance) = &mut socket.state
            {
                match found {
                    Some(ready) => {
                        instance.watches.insert(fd, watch);
                        events.extend(
                            (ready != 0).then_some(Ready { events: ready, data: watch.data }),
                        );
                    }
                    // A closed descriptor leaves by itself.
                    None => {
                        instance.watches.remove(&fd);
                    }
                }
            }
        }
        if !events.is_empty() || deadline.is_some_and(|at| at <= self.now) {
            return Poll::Ready(Ok(Reply::Events(events)));
        }
        Poll::Pending
    }

    /// What there is to tell about a watched descriptor; `None` when it is closed.
    fn look(&mut self, fd: i32, watch: &mut Watch) -> Option<u32> {
        let connection = self.sockets.get(fd)?.connection();
        if watch.spent {
            return Some(0);
        }
        // The low bits of EPOLL... are those of POLL...
        let mask = watch.events | u32::from(ALWAYS.cast_unsigned());
        let ready = u32::from(self.ready(fd).cast_unsigned()) & mask;
        if watch.events & libc::EPOLLET.cast_unsigned() != 0 {
            let seen = connection.and_then(|id| self.progress.get(&id)).map_or(0, |p| p.events);
            let state = Some((ready, seen));
            if watch.told == state {
                return Some(0);
            }
            watch.told = state;
        }
        watch.spent = ready != 0 && watch.events & libc::EPOLLONESHOT.cast_unsigned() != 0;
        Some(ready)
    }
}
