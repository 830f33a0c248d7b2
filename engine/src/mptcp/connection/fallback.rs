//! MPTCP is in question. What is to be done stands in `mptcp/fallback.rs`; here the question is put, and acted upon.

use super::{Connection, Mode, Timers};
use crate::config::FailedData;
use crate::counters::Counters;
use crate::error::{ConnectionError, FallbackReason, ResetReason};
use crate::event::Event;
use crate::mptcp::fallback::{
    FailExchange, Failed, InfiniteMapping, Standing, Trigger, Verdict, decide,
};
use crate::mptcp::subflow::{Phase, Subflow};
use crate::tcp::Segment;
use crate::time::{Duration, Instant};
use crate::wire::TcpOptions;
use crate::wire::mptcp::{DssMapping, MpFail, MptcpOption};

/// MP_FAILs sent without an infinite mapping coming back, before the subflow is given up.
const FAILS: u32 = 4;
/// How long it is awaited after a single one (K39).
const FAIL_ONCE: Duration = Duration::from_secs(120);

impl Connection {
    /// How things stand with the subflow at `index`, whose stream was handed on up to octet `at`.
    fn standing(&self, index: usize, at: u64) -> Standing {
        let subflow = self.subflows.get(index);
        let first = matches!(self.subflows.as_slice(), [first] if first.join.is_none());
        Standing {
            client: self.client,
            confirmed: self.confirmed,
            alone: first && !self.joined,
            unjoined: subflow.is_some_and(|s| s.join.is_none()) && !self.joined,
            joined: subflow.is_some_and(|s| s.join.is_some()),
            contiguous: at == self.recv.received(),
            remapped: self.remapped,
            fresh: self.recv.received() == 0,
            proven: subflow.is_some_and(|s| s.proven),
            awaiting: self.exchange.sent.is_some(),
            answered: self.exchange.received,
            ending: subflow.is_some_and(|s| s.phase == Phase::Closing) && !self.has_said_all(),
        }
    }

    /// The application has said its last word, and all of it was given to subflows.
    pub(super) fn has_said_all(&self) -> bool {
        self.close.is_requested() && self.send.unsent() == 0
    }

    /// Puts the question and does what the table says.
    pub(super) fn question(
        &mut self,
        now: Instant,
        index: usize,
        trigger: Trigger,
        counters: &mut Counters,
    ) -> Verdict {
        let at = self.subflows.get(index).map_or(0, |s| s.received.handed_on());
        self.question_at(now, index, trigger, at, counters)
    }

    /// The same for a subflow whose stream was handed on up to octet `at`.
    pub(super) fn question_at(
        &mut self,
        now: Instant,
        index: usize,
        trigger: Trigger,
        at: u64,
        counters: &mut Counters,
    ) -> Verdict {
        let verdict = match decide(trigger, &self.standing(index, at), &self.config.behaviour) {
            // There is nothing left to go on with: an MP_FASTCLOSE that waits for its answer goes on waiting.
            Verdict::FallBack(_) if self.finished => Verdict::Ignore,
            verdict => verdict,
        };
        count(trigger, verdict, counters);
        match verdict {
            Verdict::Ignore | Verdict::Hold | Verdict::SendFail => {}
            Verdict::FallBack(reason) => self.fall_back(reason),
            Verdict::AnswerFail => self.answer_fail(now),
            Verdict::Reset(reason) => self.reset_subflow(index, reason),
            Verdict::ResetWithFail => self.reset_with_fail(index),
        }
        verdict
    }

    /// Goes on as plain TCP (RFC 8684 3.7): the one place where MPTCP ends, for good [FB-21]. From here on no segment
    /// has an option [INI-15], Data ACKs among them [FB-19], the infinite mapping apart.
    pub(super) fn fall_back(&mut self, reason: FallbackReason) {
        if matches!(self.mode, Mode::Tcp(_)) {
            return;
        }
        let announced = match reason {
            FallbackReason::NoDssInAck => self.config.behaviour.announce_fallback,
            FallbackReason::PeerFailed => true,
            _ => false,
        };
        self.set_plain(reason);
        self.send.clear_reinjections();
        self.close.on_fallback();
        let (give_up, resume) = (self.timers.give_up, self.timers.resume);
        self.timers = Timers { give_up, resume, ..Timers::default() };
        self.exchange = FailExchange::default();
        let una = self.send.una();
        if let Some(first) = self.subflows.first_mut() {
            first.signals.clear();
            first.stale = false;
            first.received.give_up();
            if announced {
                // [FB-6] [FB-12]: it acts retroactively, from the last octet known to be intact.
                let (at, start) = (first.tcp.nxt(), una);
                first.infinite = Some(InfiniteMapping { at, start, data: una });
            }
            if first.phase == Phase::Handshake && first.tcp.is_established_or_later() {
                first.phase = Phase::Active;
            }
        }
        if reason != FallbackReason::SynWithoutCapable {
            self.emit(Event::Fallback(reason));
        }
    }

    /// The checksum of the mapping at data offset `data` is wrong; its first octet is octet `start` of the subflow's
    /// stream.
    pub(super) fn on_checksum_failed(
        &mut self,
        now: Instant,
        index: usize,
        data: u64,
        start: u64,
        counters: &mut Counters,
    ) {
        let data_seq = self.recv_base() + data;
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.fail = Some(data_seq);
        }
        // Data and stream offsets have to be the same for plain TCP.
        let at = if data == start { start } else { u64::MAX };
        let verdict = self.question_at(now, index, Trigger::ChecksumFailed, at, counters);
        if verdict != Verdict::SendFail {
            return;
        }
        self.exchange.sent = Some(Failed { stream: start, data, sends: 0, answered: false });
        self.send_fail(now);
        if self.config.behaviour.failed_data == FailedData::Deliver {
            self.deliver_raw(now, index, counters);
        }
    }

    /// (K39): Linux gives what failed to the application. Data and stream offsets are the same here.
    fn deliver_raw(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        while let Some((offset, piece)) =
            self.subflows.get_mut(index).and_then(|s| s.received.take_raw())
        {
            self.receive(now, offset, piece, counters);
        }
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.received.mend();
        }
    }

    /// MP_FAIL with the DSN of what failed, on an ACK [FB-12]; a timer looks after it.
    fn send_fail(&mut self, now: Instant) {
        let Some(failed) = &mut self.exchange.sent else { return };
        let factor = 1 << failed.sends.min(8);
        failed.sends += 1;
        let (data, wanted) = (failed.data, !failed.answered);
        if wanted {
            self.signal_fail(data);
        }
        let once = !self.config.behaviour.repeat_fail;
        self.timers.fail = Some(now + if once { FAIL_ONCE } else { self.interval() * factor });
    }

    fn signal_fail(&mut self, data: u64) {
        let data_seq = self.recv_base() + data;
        if let Some(first) = self.subflows.first_mut() {
            first.signal(MptcpOption::Fail(MpFail { data_seq }));
        }
    }

    /// No infinite mapping yet: MP_FAIL may have been lost, or the peer has nothing to say.
    pub(super) fn on_fail_timeout(&mut self, now: Instant, counters: &mut Counters) {
        self.timers.fail = None;
        let Some(failed) = self.exchange.sent else { return };
        if failed.sends < FAILS && self.config.behaviour.repeat_fail {
            if let Some(first) = self.subflows.first_mut() {
                first.resume_signals();
            }
            return self.send_fail(now);
        }
        if self.config.behaviour.failed_data == FailedData::Deliver && failed.answered {
            // Nothing was kept back, so nothing waits.
            self.exchange.sent = None;
            return;
        }
        self.question(now, 0, Trigger::FailUnanswered, counters);
    }

    /// MP_FAIL on a segment of the subflow at `index`. On a RST it says why; what the subflow carried is reinjected
    /// as for any other end [FB-10].
    pub(super) fn on_peer_fail(
        &mut self,
        now: Instant,
        index: usize,
        reset: bool,
        counters: &mut Counters,
    ) {
        counters.mp_fail_rx += 1;
        if reset {
            return;
        }
        if let Some(failed) = &mut self.exchange.sent {
            failed.answered = true;
        }
        self.question(now, index, Trigger::PeerFailed, counters);
    }

    /// [FB-13]: MP_FAIL in the reverse direction; the next new data says the rest.
    fn answer_fail(&mut self, now: Instant) {
        self.signal_fail(self.recv.received());
        if !self.exchange.received {
            self.exchange.received = true;
            self.timers.retransmit_backoff = 0;
            self.restart_retransmit(now);
        }
    }

    /// New data is there, after MP_FAIL: MPTCP ends with the infinite mapping it goes out under [FB-12].
    pub(super) fn end_with_new_data(&mut self) -> bool {
        let ready = |first: &Subflow| first.phase == Phase::Active && first.tcp.available() > 0;
        let due = self.exchange.received && self.send.unsent() > 0 && !self.finished;
        if !due || !self.subflows.first().is_some_and(ready) {
            return false;
        }
        if self.may_still_fall_back() {
            self.fall_back(FallbackReason::PeerFailed);
        } else {
            // The subflow damages what it carries, and something came or went out of order since.
            self.reset_subflow(0, ResetReason::MiddleboxInterference);
        }
        true
    }

    /// After MP_FAIL the peer has acknowledged everything on the subflow and not at data level: it keeps back what
    /// failed. Without new data that would stay so; what failed is sent again, as plain TCP.
    pub(super) fn end_with_old_data(&mut self, counters: &mut Counters) -> bool {
        let una = self.send.una();
        let Some(first) = self.subflows.first() else { return false };
        let at = first.tcp.next_write_offset();
        let kept_back = una < self.send.nxt() && first.tcp.una() >= at && first.tcp.can_send();
        if !kept_back || self.finished || !self.may_still_fall_back() {
            return false;
        }
        self.fall_back(FallbackReason::PeerFailed);
        self.plain.send = at - una;
        let mut next = una;
        while let Some(piece) = self.send.sent_at(next, usize::MAX) {
            next += piece.len() as u64;
            if let Some(first) = self.subflows.first_mut() {
                first.tcp.write(piece);
            }
        }
        counters.mptcp_retrans += 1;
        self.bytes_retrans += next - una;
        if let Some(first) = self.subflows.first_mut() {
            first.infinite = Some(InfiniteMapping { at, start: at, data: una });
        }
        true
    }

    fn may_still_fall_back(&self) -> bool {
        let at = self.subflows.first().map_or(0, |s| s.received.handed_on());
        let standing = Standing { awaiting: false, ..self.standing(0, at) };
        decide(Trigger::PeerFailed, &standing, &self.config.behaviour) == Verdict::AnswerFail
    }

    /// An infinite mapping with data (K41).
    pub(super) fn on_infinite_mapping(
        &mut self,
        now: Instant,
        index: usize,
        mapping: &DssMapping,
        counters: &mut Counters,
    ) {
        let Some(subflow) = self.subflows.get(index) else { return };
        let start = mapping.subflow_seq.to_offset(subflow.tcp.bytes_received());
        let near = self.recv_base() + self.recv.received();
        let data = mapping.data_seq.expand(near).since(self.recv_base()) as u64;
        let failed = self.exchange.sent;
        let fits = start.is_some_and(|start| match failed {
            Some(failed) => failed.is_joined_by(data, start),
            None => data == start,
        });
        let verdict = self.question(now, index, Trigger::InfiniteMapping { fits }, counters);
        let (Verdict::FallBack(_), Some(failed), Some(start)) = (verdict, failed, start) else {
            return;
        };
        // What was delivered already is not expected again.
        let kept_back = self.config.behaviour.failed_data == FailedData::Withhold;
        if kept_back && data != start && data == failed.data {
            // What failed comes again, so what was kept back goes.
            self.plain.recv = start.wrapping_sub(data);
            if let Some(subflow) = self.subflows.get_mut(index) {
                subflow.received.discard_raw_before(start);
            }
        }
    }

    /// Silence was taken for plain TCP [FB-6], and a mapping comes that puts the segment's data elsewhere than where they
    /// stand in the stream: the peer speaks MPTCP after all, and what is missing before went another way.
    pub(super) fn contradicts_silence(
        &self,
        index: usize,
        segment: &Segment,
        options: &TcpOptions,
    ) -> bool {
        let silent = self.mode == Mode::Tcp(FallbackReason::NoDssInAck);
        let mapping = options.dss.and_then(|dss| dss.mapping).filter(|m| !m.is_infinite());
        let (Some(mapping), true) = (mapping, silent && !segment.payload.is_empty()) else {
            return false;
        };
        let Some(subflow) = self.subflows.get(index) else { return false };
        let start = mapping.subflow_seq.to_offset(subflow.tcp.bytes_received());
        let near = self.recv_base() + self.recv.received();
        let data = mapping.data_seq.expand(near).since(self.recv_base()) as u64;
        start.is_some_and(|start| start.wrapping_sub(data) != self.plain.recv)
    }

    /// The wait for a mapping of what the subflow at `index` delivered is over.
    pub(super) fn on_mapping_overdue(
        &mut self,
        now: Instant,
        index: usize,
        counters: &mut Counters,
    ) {
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        if subflow.received.awaits_mapping() {
            return self.on_never_mapped(now, index, counters);
        }
        subflow.stop_waiting();
        if self.recv.has_gap() {
            self.question(now, index, Trigger::MappingsLost, counters);
        }
    }

    /// No mapping came for what the subflow at `index` delivers: it goes. If nothing at all was received since the last
    /// one went in the same way, a further one would be no better.
    pub(super) fn on_never_mapped(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        self.question(now, index, Trigger::NeverMapped, counters);
        let received = self.recv.received();
        let again = self.never_mapped.replace(received) == Some(received);
        if again && !self.has_usable_beside(index) {
            self.fail(ConnectionError::Protocol, ResetReason::MiddleboxInterference, true);
        }
    }

    /// RST with MP_FAIL [FB-9] [FB-14]; nothing that came behind the failure counts [FB-15].
    fn reset_with_fail(&mut self, index: usize) {
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.reset(ResetReason::MiddleboxInterference);
        }
    }

    /// The subflow that was to go on as plain TCP has ended: what failed comes again on another.
    pub(super) fn forget_fail_exchange(&mut self) {
        self.exchange = FailExchange::default();
        self.timers.fail = None;
    }
}

/// The kernel's counters.
fn count(trigger: Trigger, verdict: Verdict, counters: &mut Counters) {
    let falls = u64::from(matches!(verdict, Verdict::FallBack(_)));
    let resets = u64::from(matches!(verdict, Verdict::Reset(_)));
    counters.fallback_failed += resets + u64::from(verdict == Verdict::ResetWithFail);
    match trigger {
        Trigger::Handshake(_) | Trigger::PeerFailed | Trigger::FailUnanswered => {}
        Trigger::BareAck { .. } | Trigger::DataFinUnanswered | Trigger::BareFin { .. } => {
            counters.mp_capable_data_fallback += falls;
        }
        Trigger::NeverDataAcked | Trigger::NeverMapped | Trigger::MappingsLost => {
            counters.dss_no_match_tcp += resets;
        }
        Trigger::Unmapped { .. } => {
            counters.dss_fallback += falls;
            counters.dss_no_match_tcp += resets;
        }
        Trigger::ChecksumDisagreement | Trigger::MappingConflict => {
            counters.dss_not_matching += u64::from(trigger == Trigger::MappingConflict);
            counters.dss_corruption_fallback += falls;
            counters.dss_fallback += falls;
            counters.dss_corruption_reset += resets;
        }
        Trigger::ChecksumFailed => {
            counters.data_csum_err += 1;
            counters.dss_corruption_fallback += falls;
            counters.dss_corruption_reset += u64::from(verdict == Verdict::ResetWithFail);
        }
        Trigger::InfiniteMapping { .. } => {
            counters.infinite_map_rx += 1;
            counters.dss_fallback += falls;
        }
    }
}
