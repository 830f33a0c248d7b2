//! The timers of a socket, all in one place.

use super::congestion::CoupledView;
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
            _ => [self.send.loss_deadline(), self.probe_deadline(), self.send.pacing_deadline()]
                .into_iter()
                .fold(self.ack.poll_timeout(), Instant::earliest),
        }
    }

    /// Runs every timer that is due.
    pub fn on_timeout(&mut self, now: Instant) {
        self.on_timeout_coupled(now, &CoupledView::NONE);
    }

    /// [`Self::on_timeout`] for congestion control that looks at the sibling subflows.
    pub fn on_timeout_coupled(&mut self, now: Instant, coupled: &CoupledView<'_>) {
        if self.reset_pending {
            return;
        }
        self.ack.on_timeout(now);
        self.send.check_pace(now);
        match self.state {
            State::Closed => {}
            State::SynSent | State::SynReceived => self.on_handshake_timeout(now),
            State::TimeWait => {
                if self.time_wait.is_some_and(|deadline| deadline <= now) {
                    self.finish(SocketEnd::Finished);
                }
            }
            _ => {
                let most = self.params.config.max_retransmits;
                if self.send.on_loss_timeout(now, most, coupled) {
                    self.on_probe_timeout(now);
                } else {
                    self.finish(SocketEnd::Timeout);
                }
            }
        }
        debug_assert_eq!(self.check_invariants(), Ok(()));
    }
}
