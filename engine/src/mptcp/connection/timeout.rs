//! Time passes.

use super::Connection;
use crate::counters::Counters;
use crate::error::{ConnectionError, ResetReason};
use crate::mptcp::fallback::{Trigger, Verdict};
use crate::mptcp::subflow::Subflow;
use crate::scheduling::{SchedulerEvent, SubflowSet};
use crate::time::{Duration, Instant};

/// Data-level retransmissions without any progress after which the subflow that delivered the octets is given up.
const DATA_RETRANSMISSIONS: u32 = 6;
/// DATA_FINs sent to a server that has not confirmed MPTCP before the client goes on as plain TCP.
const UNCONFIRMED_FINS: u32 = 4;
/// Least time that a Data ACK may take to come by itself when nothing is in flight any more.
const STARVED: Duration = Duration::from_micros(100);
/// The next question about the same octet comes after so many times as long: the peer's application may hold its lock.
const STARVED_BACKOFF: u32 = 4;
/// Questions about one octet; from there on the retransmission timer has the patience.
const STARVED_QUESTIONS: u32 = 6;

impl Connection {
    /// The earliest moment something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timers = &self.timers;
        let own = [timers.retransmit, timers.probe, timers.fin, timers.give_up, timers.resume];
        own.into_iter()
            .chain([timers.fail, timers.fast_close, timers.starved])
            .chain([self.paths_timeout(), self.retries.poll_timeout()])
            .chain([self.scheduling.poll_timeout(), self.watch.poll_timeout(), self.linger.due])
            .chain(self.subflows.iter().map(Subflow::poll_timeout))
            .flatten()
            .min()
    }

    /// Lets everything that is due happen.
    pub(crate) fn on_timeout(&mut self, now: Instant, counters: &mut Counters) {
        for index in 0..self.subflows.len() {
            self.on_subflow_timeout(now, index, counters);
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.timers.retransmit) {
            self.on_retransmit(now, counters);
        }
        if due(self.timers.starved) {
            self.on_starved();
        }
        if due(self.watch.poll_timeout()) {
            self.on_overdue(now, counters);
        }
        if due(self.linger.due) {
            self.on_linger(now);
        }
        if due(self.timers.probe) {
            self.on_probe(now, counters);
        }
        if due(self.timers.fail) {
            self.on_fail_timeout(now, counters);
        }
        if due(self.timers.fast_close) {
            self.on_fast_close_timeout(now);
        }
        if due(self.timers.fin) {
            self.on_fin_timeout(now, counters);
        }
        if due(self.timers.give_up) {
            self.on_give_up();
        }
        if due(self.timers.resume) {
            self.on_resume(now);
        }
        self.scheduling.on_timeout(now);
        self.paths.on_timeout(now);
        self.settle(now);
    }

    /// Out of patience: with closing, with resuming, or with FINs that nobody acknowledges.
    fn on_give_up(&mut self) {
        self.timers.give_up = None;
        if !self.finished {
            return self.fail(ConnectionError::Timeout, ResetReason::Unspecified, true);
        }
        for subflow in self.subflows.iter_mut().filter(|s| s.is_alive()) {
            subflow.reset(ResetReason::Unspecified);
        }
    }

    fn on_subflow_timeout(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        let timeouts = self.subflows.get(index).map_or(0, |s| s.tcp.backoff_count());
        self.tcp_on_timeout(now, index);
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        if subflow.tcp.backoff_count() > timeouts {
            self.scheduling.note(SchedulerEvent::RetransmissionTimeout(subflow.id));
        }
        if subflow.join_ack_at().is_some_and(|at| at <= now) {
            subflow.repeat_join_ack(now, self.config.tcp.max_syn_retransmits);
        }
        if subflow.doubt_at().is_some_and(|at| at <= now) && !subflow.probe_again(now) {
            // [ADDR-27]: nobody is there any more.
            subflow.reset(ResetReason::Unspecified);
            return;
        }
        if subflow.mapping_due().is_some_and(|at| at <= now) {
            return self.on_mapping_overdue(now, index, counters);
        }
        subflow.on_signal_time(now);
        if subflow.on_settled(now) {
            self.scheduling.note(SchedulerEvent::PathChanged(subflow.id));
        }
        // Silence, or an RTO: the way there may be broken while the way back is not.
        let suspect = self.is_suspect(now, index);
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        if suspect {
            subflow.postpone_suspicion(now);
        }
        let (timeouts, was_stale) = (subflow.tcp.backoff_count(), subflow.stale);
        if !self.is_mptcp() {
            return;
        }
        let early = self.config.behaviour.early_suspicion;
        let most = if early { 1 } else { self.config.stale_loss_cnt.max(1) };
        if !was_stale && ((early && suspect) || timeouts >= most) {
            self.on_suspect(index, counters);
        }
        let hopeless = self.config.behaviour.reset_stale_after.is_some_and(|n| timeouts >= n);
        if was_stale && hopeless && self.has_usable_beside(index) {
            // [DACK-12] [DACK-13]
            self.reset_subflow(index, ResetReason::UnacceptablePerformance);
        }
    }

    /// The peer has been silent on the subflow at `index` for too long. A short silence counts while the peer is heard on
    /// other subflows and what it misses first is what this one carries: Data ACKs come on all of them.
    fn is_suspect(&mut self, now: Instant, index: usize) -> bool {
        let Some(subflow) = self.subflows.get(index) else { return false };
        if subflow.suspect_at().is_none_or(|at| at > now) {
            return false;
        }
        let overdue = subflow.overdue_since();
        let heard = |s: &Subflow| overdue.is_some_and(|at| s.tcp.last_received_at() > at);
        let elsewhere =
            self.subflows.iter().enumerate().any(|(i, s)| i != index && s.is_usable() && heard(s));
        let awaited = subflow.sent.carries(subflow.tcp.una(), self.send.una());
        if subflow.is_silent_for_long(now) || (elsewhere && awaited) {
            return true;
        }
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.waive();
        }
        false
    }

    /// The DATA_FIN has to be repeated (K34), or was held back until now for want of a confirmation. It rides on
    /// ACKs, so no TCP notices that nobody answers: this end gives up after as many attempts as TCP would make for a
    /// segment.
    fn on_fin_timeout(&mut self, now: Instant, counters: &mut Counters) {
        if self.timers.fin_backoff >= self.config.tcp.max_retransmits {
            return self.fail(ConnectionError::Timeout, ResetReason::Unspecified, true);
        }
        self.timers.fin_backoff += 1;
        self.timers.fin = Some(now + self.fin_interval());
        if self.client && !self.confirmed {
            // With data on its way, too, it is the path that does not answer.
            let silent = self.subflows.iter().all(|s| s.tcp.una() >= s.tcp.nxt());
            if silent && self.timers.fin_backoff > UNCONFIRMED_FINS {
                let verdict = self.question(now, 0, Trigger::DataFinUnanswered, counters);
                if verdict != Verdict::Ignore {
                    return self.drain(now, 0, counters);
                }
            }
            for subflow in &mut self.subflows {
                subflow.keys_sent = false;
            }
        }
        if self.request_ack_everywhere() {
            self.close.on_sent();
        }
    }

    /// [DACK-14]: delivered at subflow level, never acknowledged at data level.
    fn on_retransmit(&mut self, now: Instant, counters: &mut Counters) {
        if self.exchange.received && self.end_with_old_data(counters) {
            return;
        }
        if let Some(first) = self.subflows.first().filter(|s| s.bare_acks > 0) {
            let trigger = first.bare_ack(self.send.una());
            // To a peer that has fallen back a data-level retransmission would be new data.
            self.restart_retransmit(now);
            let verdict = self.question(now, 0, trigger, counters);
            if verdict != Verdict::Ignore {
                return self.drain(now, 0, counters);
            }
        }
        if self.exchange.is_active() {
            // Nothing may go out twice now: a plain receiver would take it for new data.
            return self.restart_retransmit(now);
        }
        if self.send.next_reinjection().is_some() {
            // It may be waiting for no more than the news of a window.
            self.ask_for_windows(now);
        }
        let una = self.send.una();
        let hopeless = self.timers.retransmit_backoff >= DATA_RETRANSMISSIONS;
        for index in 0..self.subflows.len() {
            let deaf = |s: &Subflow| s.sent.has_delivered(s.tcp.una(), una);
            if hopeless && self.subflows.get(index).is_some_and(deaf) {
                self.question(now, index, Trigger::NeverDataAcked, counters);
            }
        }
        if !self.may_repeat() {
            return self.ask_for_data_ack(now);
        }
        self.repair_until = self.send.nxt();
        self.repair();
        self.timers.retransmit_backoff += 1;
        self.restart_retransmit(now);
    }

    /// Asks for the octets missing first at data level to be sent again, if a subflow delivered them. No more than
    /// that: what is behind them may have arrived, and a train in the same shape would meet with the same fate where a
    /// box joins segments. The Data ACK that answers tells what is missing next.
    fn repair(&mut self) {
        let una = self.send.una();
        for subflow in &self.subflows {
            if let Some(range) = subflow.sent.delivered_hole(subflow.tcp.una(), una) {
                self.send.reinject(range, subflow.id);
            }
        }
    }

    /// The Data ACK moved while what timed out is not all acknowledged: the next hole, unless it is on its way.
    pub(super) fn repair_next(&mut self) {
        let una = self.send.una();
        let on_its_way = |s: &Subflow| s.is_usable() && s.sent.carries(s.tcp.una(), una);
        if una < self.repair_until && !self.subflows.iter().any(on_its_way) {
            self.repair();
        }
    }

    /// What a plain receiver would take for new data may go out. The peer may have left MPTCP without a word (K24), but
    /// it cannot have any more once a subflow was joined (K26).
    const fn may_repeat(&self) -> bool {
        self.joined || self.config.behaviour.repeat_on_only_subflow
    }

    /// The only subflow delivered everything, and the Data ACK does not come. If the peer waits for a mapping, it will
    /// reset the subflow [DSS-14], and on the next one octets may be sent again. Otherwise it is slow, or plain TCP:
    /// the answer to a keepalive shows which.
    fn ask_for_data_ack(&mut self, now: Instant) {
        let una = self.send.una();
        self.timers.retransmit_backoff += 1;
        self.restart_retransmit(now);
        if self.subflows.first().is_some_and(|s| s.sent.has_delivered(s.tcp.una(), una)) {
            self.ask(0);
        }
    }

    /// Nothing is left to be sent. Where subflows have delivered everything and what the application has for them still
    /// waits for a Data ACK, none may come by itself: a Linux receiver whose application was just reading acknowledges
    /// segments at once and their data with the next one, which is ours to send.
    pub(super) fn note_starved(&mut self, now: Instant) {
        let (una, asked) = (self.send.una(), self.asked_starving());
        let starved = (self.write_blocked || self.send.unsent() > 0)
            && una < self.send.nxt()
            && asked < STARVED_QUESTIONS
            && self.is_mptcp()
            && self.confirmed
            && !self.exchange.is_active()
            && self.subflows.iter().all(|s| s.tcp.write_memory() == 0);
        if !starved {
            self.timers.starved = None;
            return;
        }
        let usable = self.subflows.iter().filter(|s| s.is_usable());
        let wait = |srtt: Duration| (srtt / 2).max(STARVED) * STARVED_BACKOFF.pow(asked);
        self.timers.starved = usable
            .filter_map(|s| s.tcp.srtt())
            .max()
            .map(|srtt| self.timers.starved.unwrap_or(now + wait(srtt)));
    }

    /// How often a Data ACK was asked for so since the last progress.
    fn asked_starving(&self) -> u32 {
        let una = self.send.una();
        self.timers.starved_asked.filter(|(at, _)| *at == una).map_or(0, |(_, asked)| asked)
    }

    /// A keepalive, with the octet delivered last if it is still here: without it, only one in half a second would be
    /// answered. One without an answer proves nothing here.
    fn on_starved(&mut self) {
        self.timers.starved = None;
        self.timers.starved_asked = Some((self.send.una(), self.asked_starving() + 1));
        if let Some(subflow) = self.subflows.iter_mut().find(|s| s.is_usable()) {
            let last = subflow.tcp.una().checked_sub(1);
            let delivered = last.and_then(|at| subflow.sent.data_at(at));
            match delivered.and_then(|at| self.send.sent_at(at, 1)) {
                Some(octet) => subflow.tcp.request_answer(octet),
                None => subflow.tcp.request_keepalive(),
            }
        }
    }

    /// Sends a keepalive on the subflow at `index`, or gives it up after as many without answer as TCP sends segments.
    fn ask(&mut self, index: usize) {
        let most = self.config.tcp.max_retransmits;
        if let Some(subflow) = self.subflows.get_mut(index)
            && !subflow.ask(most)
        {
            subflow.reset(ResetReason::UnacceptablePerformance);
        }
    }

    /// The peer's window is open, but not on any subflow that could carry data: it was told of on another one, or what
    /// told it got lost. A subflow obeys its own window [SND-4], so they are asked for it.
    fn ask_for_windows(&mut self, now: Instant) {
        let closed = |s: &Subflow| {
            s.is_usable() && s.tcp.in_flight() == 0 && s.tcp.unsent() == 0 && s.tcp.available() == 0
        };
        for index in 0..self.subflows.len() {
            if self.subflows.get(index).is_some_and(closed) {
                self.timers.probe_backoff += 1;
                self.ask(index);
                self.arm_probe(now);
            }
        }
    }

    /// The peer's data-level window is closed and nothing is in flight that could bring news: an octet it has
    /// already is sent in a fresh mapping (K32).
    fn on_probe(&mut self, now: Instant, counters: &mut Counters) {
        self.timers.probe = None;
        if self.send.unsent() == 0 {
            return;
        }
        if self.send.window() > 0 {
            return self.ask_for_windows(now);
        }
        self.timers.probe_backoff += 1;
        if self.exchange.is_active() {
            return self.arm_probe(now);
        }
        let meta = self.meta_view();
        let old = self.send.probe_octet();
        if old.is_some() && !self.may_repeat() {
            self.ask(0);
        } else if let Some(target) = self.subflows.iter_mut().find(|s| s.is_usable())
            && target.tcp.unsent() == 0
        {
            self.remapped |= old.is_some();
            self.bytes_sent += u64::from(old.is_none());
            // Where nothing was acknowledged so far, a new octet has to do; the subflow's TCP probes for it.
            if let Some((offset, octet)) = old.or_else(|| self.send.take_new(1, 1)) {
                counters.win_probe += 1;
                let end = offset + octet.len() as u64;
                target.stage(offset, octet, &meta);
                self.send.carried(offset..end, SubflowSet::of(target.id));
            }
        }
        let factor = 1 << self.timers.probe_backoff.min(8);
        self.timers.probe = Some(now + self.interval() * factor);
    }
}
