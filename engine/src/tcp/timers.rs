//! The timers of a socket, all in one place.

use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::time::Instant;

impl Socket {
    /// When [`Self::on_timeout`] wants to be called; `None`: no timer runs.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.reset_pending {
            return None;
        }
        match self.state {
            State::Closed => None,
            State::SynSent => self.handshake.deadline,
            State::SynReceived => {
                Instant::earliest(self.handshake.deadline, self.ack.poll_timeout())
            }
            State::TimeWait => Instant::earliest(self.time_wait, self.ack.poll_timeout()),
            _ => [self.send.loss_deadline(), self.probe_deadline()]
                .into_iter()
                .fold(self.ack.poll_timeout(), Instant::earliest),
        }
    }

    /// Runs every timer that is due.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.reset_pending {
            return;
        }
        self.ack.on_timeout(now);
        match self.state {
            State::Closed => {}
            State::SynSent | State::SynReceived => self.on_handshake_timeout(now),
            State::TimeWait => {
                if self.time_wait.is_some_and(|deadline| deadline <= now) {
                    self.finish(SocketEnd::Finished);
                }
            }
            _ => {
                if self.send.on_loss_timeout(now, self.params.config.max_retransmits) {
                    self.on_probe_timeout(now);
                } else {
                    self.finish(SocketEnd::Timeout);
                }
            }
        }
        debug_assert_eq!(self.check_invariants(), Ok(()));
    }
}
