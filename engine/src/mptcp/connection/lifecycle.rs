//! Subflows and the connection come to their ends.

use super::{Connection, MAX_ENDED, Mode};
use crate::counters::Counters;
use crate::error::{ConnectionError, ResetReason};
use crate::event::{Event, SubflowEnd};
use crate::mptcp::subflow::{Phase, Subflow};
use crate::scheduling::{SchedulerEvent, SubflowSet};
use crate::tcp::{SocketEnd, State};
use crate::time::{Duration, Instant};

/// First wait before a connection without subflows is resumed by a new join; doubled each time.
const RESUME_INTERVAL: Duration = Duration::from_secs(1);
/// Resumptions in a row that brought no octet forward, although there were some to send, before the connection ends.
const FRUITLESS_RESUMPTIONS: u32 = 16;

impl Connection {
    /// Brings the connection in line with what its subflows have become. Called after every event.
    pub(super) fn settle(&mut self, now: Instant) {
        if matches!(self.mode, Mode::Tcp(_)) {
            self.on_plain_progress(now);
        }
        self.report_ended(now);
        self.close_subflows_when_complete();
        self.remove_closed();
        match self.mode {
            _ if self.finished => {}
            Mode::Tcp(_) | Mode::Offered => self.settle_plain(),
            Mode::Mptcp => self.settle_mptcp(now),
        }
    }

    /// Tells the application about subflows that ended, and takes over what they carried.
    fn report_ended(&mut self, now: Instant) {
        for index in 0..self.subflows.len() {
            let others = self.usable_beside(index);
            let Some(subflow) = self.subflows.get_mut(index) else { break };
            if subflow.is_alive() || subflow.reported {
                continue;
            }
            subflow.reported = true;
            self.last_end = subflow.tcp.end();
            self.last_reset = subflow.peer_reset;
            if self.client && subflow.phase == Phase::Handshake {
                let (local, remote) = (subflow.tuple.local.ip(), subflow.tuple.remote);
                self.retries.on_failed(now, local, remote);
            }
            let was_established = subflow.phase != Phase::Handshake || subflow.join.is_none();
            let (id, tuple, cause) = (subflow.id, subflow.tuple, subflow.ending());
            subflow.hand_over(&mut self.send, others);
            self.scheduling.note(SchedulerEvent::PathRemoved(id));
            for id in subflow.unsaid_withdrawals() {
                self.paths.withdraw(id);
            }
            self.paths.touch();
            self.forget_fail_exchange();
            if was_established || cause != SubflowEnd::Finished {
                self.emit(Event::SubflowClosed { subflow: id, tuple, cause });
            }
        }
    }

    /// Data carried by subflows that are closing has to go another way.
    pub(super) fn reinject_closing(&mut self) {
        let others = self.usable_beside(usize::MAX);
        for subflow in self.subflows.iter_mut().filter(|s| s.phase == Phase::Closing) {
            subflow.hand_over(&mut self.send, others);
        }
    }

    /// [FIN-5] [FIN-6]: FINs on every subflow once both DATA_FINs are acknowledged. Never before all data is, too
    /// [FIN-4]. A stale one with a queue would have to send all of that first, for nobody: it is reset [FIN-7].
    fn close_subflows_when_complete(&mut self) {
        if !self.is_mptcp() || !self.close.is_complete() || !self.send.is_drained() {
            return;
        }
        let fin_first = !self.config.behaviour.ack_before_fin;
        for subflow in self.subflows.iter_mut().filter(|s| s.phase != Phase::Closing) {
            if fin_first {
                subflow.tcp.send_fin_first();
            }
            if subflow.stale && subflow.tcp.una() < subflow.tcp.next_write_offset() {
                subflow.reset(ResetReason::TooMuchOutstandingData);
            } else {
                subflow.close_or_give_up();
            }
        }
    }

    fn remove_closed(&mut self) {
        let (ended, removed, send) = (&mut self.ended, &mut self.removed, &mut self.send);
        self.subflows.retain(|subflow| {
            let keep = !subflow.tcp.is_closed();
            if !keep {
                if ended.len() >= MAX_ENDED {
                    ended.remove(0);
                }
                ended.push(subflow.info());
                removed.push(subflow.tuple);
                send.forget_carriers(SubflowSet::of(subflow.id));
            }
            keep
        });
    }

    fn settle_plain(&mut self) {
        if self.subflows.iter().any(Subflow::is_alive) {
            return;
        }
        let error = match self.last_end {
            _ if self.error.is_some() => self.error,
            Some(SocketEnd::Refused) => Some(ConnectionError::Refused),
            Some(SocketEnd::Reset) if !self.established => Some(ConnectionError::Refused),
            Some(SocketEnd::Reset) => Some(ConnectionError::Reset),
            Some(SocketEnd::Timeout) if !self.established => Some(ConnectionError::ConnectTimeout),
            Some(SocketEnd::Timeout) => Some(ConnectionError::Timeout),
            Some(SocketEnd::CarrierLost) if !self.established => Some(ConnectionError::Unreachable),
            Some(SocketEnd::CarrierLost) => Some(ConnectionError::Reset),
            Some(SocketEnd::Aborted) => Some(ConnectionError::Aborted),
            Some(SocketEnd::Finished) | None => None,
        };
        self.finish(error);
    }

    fn settle_mptcp(&mut self, now: Instant) {
        let alive = self.subflows.iter().any(Subflow::is_alive);
        if self.close.is_complete() && self.send.is_drained() {
            // The data level is done [FIN-8]. Subflows get some time to end in order; dead ones may not take more.
            self.finish(None);
            self.timers.give_up = alive.then(|| now + self.config.close_timeout);
            return;
        }
        // One that has said its FIN and waits for the other can carry nothing, and the other may never come.
        let spent = |s: &Subflow| s.phase == Phase::Closing && s.tcp.state() == State::FinWait2;
        if self.subflows.iter().any(|s| s.is_alive() && !spent(s)) {
            return;
        }
        // Prohibited now is not unknown for ever: the peer may not know yet that the old path is dead. What it calls
        // transient passes, too [RST-4].
        let passes = self.last_reset.is_some_and(|reset| {
            reset.transient || reset.reason == ResetReason::AdministrativelyProhibited
        });
        let refused = self.last_end == Some(SocketEnd::Refused) && !passes;
        let pointless = self.timers.give_up.is_none() && !self.is_worth_resuming();
        if !self.confirmed || pointless || (refused && self.timers.give_up.is_some()) {
            // Nobody could join, every join ends as the last one did, or nobody at the other end knows the connection.
            let timed_out = self.last_end == Some(SocketEnd::Timeout);
            let error = if timed_out { ConnectionError::Timeout } else { ConnectionError::Reset };
            self.finish(Some(error));
            // A spent subflow waits for a FIN that may never come.
            self.timers.give_up = alive.then(|| now + self.config.close_timeout);
            return;
        }
        if self.timers.give_up.is_none() {
            // [FIN-9]: break before make; a join within this time resumes the connection.
            self.timers.give_up = Some(now + self.config.close_timeout);
        }
        if self.client && self.timers.resume.is_none() {
            self.timers.resume = Some(now);
        }
    }

    /// The last subflow has ended. A join resumes the connection [FIN-9], and begins the wait anew; where one after the
    /// other ends without any progress, that would go on for ever.
    fn is_worth_resuming(&mut self) -> bool {
        let at = Some((self.send.una(), self.recv.received()));
        let owes = self.send.una() < self.send.nxt() || self.send.unsent() > 0;
        let again = owes && self.timers.lost_at == at;
        self.timers.lost_at = at;
        self.timers.fruitless = if again { self.timers.fruitless + 1 } else { 0 };
        self.timers.fruitless <= FRUITLESS_RESUMPTIONS
    }

    /// Ends the connection at data level; subflows may linger in TIME-WAIT.
    pub(super) fn finish(&mut self, error: Option<ConnectionError>) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.error = error;
        self.timers = super::Timers::default();
        self.retries.clear();
        self.emit(Event::Readable);
        self.emit(Event::Writable);
        self.emit(Event::Closed(error));
    }

    /// Ends the connection at once: every subflow is reset, with MP_FASTCLOSE if `fast_close` [FC-3].
    pub(super) fn fail(&mut self, error: ConnectionError, reason: ResetReason, fast_close: bool) {
        if self.finished {
            return;
        }
        self.error = Some(error);
        // RSTs leave in the order in which the subflows were opened.
        self.cursor = 0;
        for subflow in self.subflows.iter_mut().filter(|s| s.is_alive()) {
            subflow.fast_close = fast_close && subflow.phase != Phase::Handshake;
            subflow.reset(reason);
        }
        self.finish(Some(error));
    }

    /// The subflow at `index` makes progress again.
    pub(super) fn on_recovered(&mut self, index: usize, counters: &mut Counters) {
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        subflow.stale = false;
        subflow.sent.forget_reinjections();
        counters.subflow_recover += 1;
        // It was late, and nothing of it is lost: what has not gone out again by now need not.
        if subflow.tcp.backoff_count() == 0 && !subflow.tcp.in_recovery() {
            self.send.withdraw_reinjections(subflow.id);
        }
        let subflow = subflow.id;
        self.scheduling.note(SchedulerEvent::PathChanged(subflow));
        self.emit(Event::SubflowStale { subflow, stale: false });
    }

    /// Another subflow can carry what the one at `index` carries.
    pub(super) fn has_usable_beside(&self, index: usize) -> bool {
        self.subflows.iter().enumerate().any(|(i, s)| i != index && s.is_usable())
    }

    /// The subflow at `index` has been silent for too long: others carry its data from now on ([DACK-9]: its own
    /// retransmissions go on).
    pub(super) fn on_suspect(&mut self, index: usize, counters: &mut Counters) {
        if !self.has_usable_beside(index) {
            return;
        }
        let others = self.usable_beside(index);
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        subflow.stale = true;
        counters.subflow_stale += 1;
        subflow.hand_over(&mut self.send, others);
        let subflow = subflow.id;
        self.scheduling.note(SchedulerEvent::PathChanged(subflow));
        self.emit(Event::SubflowStale { subflow, stale: true });
    }

    /// Time to try again to resume a connection that has no subflow left.
    pub(super) fn on_resume(&mut self, now: Instant) {
        self.paths.retry();
        let doubled = self.timers.resume_interval.max(RESUME_INTERVAL).saturating_mul(2);
        let doubled = doubled.min(self.config.close_timeout);
        self.timers.resume_interval = doubled;
        self.timers.resume = Some(now + doubled);
    }

    /// Nothing is left but sockets in TIME-WAIT.
    pub(crate) fn is_quiet(&self) -> bool {
        self.finished && self.subflows.iter().all(|s| s.tcp.state() == State::TimeWait)
    }

    /// Nothing but TIME-WAIT keeps it.
    pub(crate) fn lingers(&self) -> bool {
        self.is_quiet() && !self.subflows.is_empty()
    }

    /// It can be forgotten: nobody will ask for it, and its end has been told.
    pub(crate) fn is_gone(&self) -> bool {
        self.finished && self.released && self.subflows.is_empty() && !self.has_events()
    }
}
