//! Ending a connection at once (RFC 8684 3.5).

use super::Connection;
use crate::config::FastCloseForm;
use crate::counters::Counters;
use crate::crypto::Key;
use crate::error::{ConnectionError, ResetReason};
use crate::mptcp::subflow::Phase;
use crate::time::Instant;

/// Retransmissions of MP_FASTCLOSE [FC-6] [FC-7].
const RETRANSMISSIONS: u32 = 3;

impl Connection {
    /// Ends the connection at once. Option A leaves one subflow behind, in FASTCLOSE_WAIT, until the peer's RST or
    /// the last retransmission.
    pub(crate) fn abort(&mut self, now: Instant) {
        if self.finished {
            return;
        }
        let error = ConnectionError::Aborted;
        let Some(speaker) = self.fast_close_subflow() else {
            return self.fail(error, ResetReason::Unspecified, true);
        };
        // [FC-2]: the word on one subflow, RST on the others.
        for (index, subflow) in self.subflows.iter_mut().enumerate().filter(|(_, s)| s.is_alive()) {
            if index == speaker {
                subflow.phase = Phase::Closing;
                subflow.fast_closing = true;
                subflow.tcp.request_ack();
            } else {
                subflow.reset(ResetReason::Unspecified);
            }
        }
        self.finish(Some(error));
        self.rearm_fast_close(now);
    }

    /// The subflow to say it on: the quickest of those that work. None where option R is the way: before the peer
    /// has confirmed MPTCP an ACK could be taken for the third packet of plain TCP (K5).
    fn fast_close_subflow(&self) -> Option<usize> {
        let option_a = self.config.behaviour.fast_close == FastCloseForm::Ack;
        if !option_a || !self.is_mptcp() || !self.confirmed {
            return None;
        }
        let works =
            |s: &crate::mptcp::subflow::Subflow| s.phase == Phase::Active && s.tcp.can_send();
        let candidates = self.subflows.iter().enumerate().filter(|(_, s)| works(s));
        candidates.min_by_key(|(_, s)| (s.stale, s.tcp.srtt())).map(|(index, _)| index)
    }

    fn rearm_fast_close(&mut self, now: Instant) {
        let waiting = self.subflows.iter().find(|s| s.fast_closing && s.is_alive());
        // Nobody waits for the end of what was given up: an RTO backed off to minutes is no measure.
        let most = self.config.close_timeout / (RETRANSMISSIONS + 1);
        self.timers.fast_close = waiting.map(|s| now + s.tcp.rto().min(most));
    }

    /// No RST came within one RTO [FC-5]: once more, three times in all, then the RST is ours [FC-8].
    pub(super) fn on_fast_close_timeout(&mut self, now: Instant) {
        let last = self.timers.fast_close_retries >= RETRANSMISSIONS;
        self.timers.fast_close_retries += 1;
        for subflow in self.subflows.iter_mut().filter(|s| s.fast_closing && s.is_alive()) {
            if last {
                subflow.fast_close = true;
                subflow.reset(ResetReason::Unspecified);
            } else {
                subflow.tcp.request_ack();
            }
        }
        self.timers.fast_close = None;
        if !last {
            self.rearm_fast_close(now);
        }
    }

    /// MP_FASTCLOSE of the peer, on an ACK or a RST: RST on every subflow that is left. A wrong key is ignored
    /// [FC-1]. In FASTCLOSE_WAIT both ends had the same idea [FC-4].
    pub(super) fn on_fast_close(&mut self, receiver_key: Key, counters: &mut Counters) {
        if receiver_key != self.own_key {
            return;
        }
        counters.mp_fastclose_rx += 1;
        if !self.finished {
            return self.fail(ConnectionError::FastClosed, ResetReason::Unspecified, false);
        }
        for subflow in self.subflows.iter_mut().filter(|s| s.is_alive()) {
            subflow.reset(ResetReason::Unspecified);
        }
        self.timers.fast_close = None;
    }
}
