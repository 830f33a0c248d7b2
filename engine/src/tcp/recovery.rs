//! Loss detection and recovery of one sender: RACK-TLP (RFC 8985), NewReno (RFC 6582) without SACK, the timers.
//!
//! The socket reports what it sends and every acceptable ACK, and asks what to retransmit. How much may be sent is
//! for congestion control and [`Prr`](super::prr::Prr). Everything is in stream offsets: 0 is the first octet after
//! the SYN, FIN takes one.

use super::rack::Rack;
use super::rate::{RateEstimator, RateSample, Snapshot};
use super::rtt::RttEstimator;
use super::scoreboard::{Scoreboard, State, Transmission, Verdict};
use super::tlp::TailLossProbing;
use super::undo::Undo;
use crate::time::{Duration, Instant};
use core::ops::Range;

/// Duplicate ACKs that mean loss (RFC 5681 3.2), without SACK.
const DUP_THRESH: u32 = 3;

/// Which timer of the sender runs out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossTimer {
    /// A segment is lost unless its ACK comes by then (RFC 8985 6.3).
    Reordering,
    /// Probe for a lost tail (RFC 8985 7).
    TailLossProbe,
    /// Retransmission timeout (RFC 6298).
    Retransmission,
}

/// What an ACK changed. Act on the flags in the order of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AckOutcome {
    /// Octets acknowledged cumulatively, FIN included.
    pub(crate) newly_acked: u64,
    /// Octets acknowledged for the first time, cumulatively or selectively. Without SACK each duplicate ACK counts
    /// as one segment, and what they counted is not counted again (RFC 9937 6).
    pub(crate) newly_delivered: u64,
    /// Octets found lost.
    pub(crate) newly_lost: u64,
    /// Time since the oldest octet newly acknowledged was sent; never from retransmitted data (Karn), unless the
    /// timestamp echo tells which transmission arrived.
    pub(crate) rtt_sample: Option<Duration>,
    /// The last recovery answered no loss: `undo`, and `reset_backoff`. Recovery, if still under way, is over.
    pub(crate) spurious: bool,
    /// Recovery (fast, or after a timeout) is complete: `on_recovery_exit`.
    pub(crate) exit_recovery: bool,
    /// A probe repaired a lost tail: a decrease, but nothing to recover (RFC 8985 7.4). `on_congestion`, then
    /// `on_recovery_exit`.
    pub(crate) tail_loss_repaired: bool,
    /// Fast recovery begins: `on_congestion`, new `Prr`.
    pub(crate) enter_recovery: bool,
    /// Delivery rate.
    pub(crate) rate: Option<RateSample>,
}

/// What an expired timer asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeoutOutcome {
    /// Octets found lost; [`LossRecovery::next_lost`] yields them. In fast recovery already: `Prr::on_loss`.
    pub(crate) newly_lost: u64,
    /// Fast recovery begins (reordering timer): `on_congestion`, new `Prr`.
    pub(crate) enter_recovery: bool,
    /// The retransmission timer expired: `on_retransmission_timeout`.
    pub(crate) retransmission_timeout: bool,
    /// Send one segment, even beyond the congestion window.
    pub(crate) probe: Option<TailProbe>,
}

/// A tail loss probe to be sent (RFC 8985 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailProbe {
    /// When the timer was armed new data could be sent: send up to one segment of it, if that still holds.
    pub(crate) new_data: bool,
    /// Otherwise retransmit this, the last segment sent.
    pub(crate) last_segment: Range<u64>,
}

/// Why lost data are being retransmitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was lost, or all of it is repaired.
    Open,
    /// Fast recovery.
    Fast,
    /// After a retransmission timeout.
    Timeout,
}

/// What the peer's duplicate ACKs say when it does not tell which segments they answer.
#[derive(Clone, Copy, Debug, Default)]
struct DuplicateAcks {
    count: u32,
    /// Octets taken to have arrived above una.
    octets: u64,
}

/// Deadlines; an unset one does not run.
#[derive(Clone, Copy, Debug, Default)]
struct Timers {
    reordering: Option<Instant>,
    probe: Option<Instant>,
    retransmission: Option<Instant>,
    /// When the retransmission timer was last restarted (RFC 6298 5).
    rto_since: Instant,
    /// When new data were last sent or acknowledged.
    probe_since: Instant,
    can_send_new: bool,
}

/// All a sender knows about what it has in flight.
#[derive(Debug)]
pub(crate) struct LossRecovery {
    board: Scoreboard,
    sack: bool,
    /// Nothing gets lost on the path: nothing that looks like it is believed.
    reliable: bool,
    rack: Rack,
    tlp: TailLossProbing,
    rate: RateEstimator,
    duplicates: DuplicateAcks,
    phase: Phase,
    /// nxt when the last recovery began (RFC 6582 `recover`).
    recover: Option<u64>,
    undo: Option<Undo>,
    echo: Option<Instant>,
    /// An octet sent again to be answered.
    question: Option<u64>,
    timers: Timers,
}

/// What one ACK delivers, collected while the scoreboard takes it in.
struct Delivery {
    fack: u64,
    octets: u64,
    /// Send time of the oldest piece acknowledged that was sent once.
    oldest: Option<Instant>,
    oldest_sacked: Option<Instant>,
    newest: Option<(u64, Instant, Snapshot)>,
    retransmitted: bool,
    /// Something thought lost was acknowledged in order without having been sent again.
    lost_original: bool,
}

impl Delivery {
    fn add(&mut self, piece: &Transmission, cumulative: bool) {
        self.octets += piece.range.end - piece.range.start;
        self.lost_original |= cumulative && !piece.retransmitted && piece.state == State::Lost;
        if self.newest.is_none_or(|(order, ..)| order <= piece.order) {
            self.newest = Some((piece.order, piece.sent_at, piece.snapshot));
        }
        let oldest = if cumulative { &mut self.oldest } else { &mut self.oldest_sacked };
        if !piece.retransmitted {
            *oldest = Instant::earliest(*oldest, Some(piece.sent_at));
        }
        self.retransmitted |= cumulative && piece.retransmitted;
    }

    /// Karn's rule. Whatever a retransmission was acknowledged together with may have arrived long before.
    fn rtt(&self, now: Instant) -> Option<Duration> {
        let oldest = self.oldest.filter(|_| !self.retransmitted);
        oldest.or(self.oldest_sacked).map(|sent_at| now.saturating_since(sent_at))
    }
}

impl LossRecovery {
    /// Nothing sent. `mss` in octets.
    pub(crate) fn new(mss: u32, sack_enabled: bool, reliable: bool) -> Self {
        Self {
            reliable,
            board: Scoreboard::new(mss),
            sack: sack_enabled,
            rack: Rack::default(),
            tlp: TailLossProbing::default(),
            rate: RateEstimator::default(),
            duplicates: DuplicateAcks::default(),
            phase: Phase::Open,
            recover: None,
            undo: None,
            echo: None,
            question: None,
            timers: Timers::default(),
        }
    }

    /// The maximum segment size changed.
    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.board.set_mss(mss);
    }

    /// Whether both sides permit SACK, known after the handshake.
    pub(crate) const fn set_sack(&mut self, enabled: bool) {
        self.sack = enabled;
    }

    /// `range` was put on the wire: new data, beginning at [`Self::nxt`], or a retransmission.
    pub(crate) fn on_transmit(&mut self, now: Instant, range: Range<u64>, retransmission: bool) {
        let idle = self.board.outstanding() == 0;
        let snapshot = self.rate.on_send(now, idle);
        if retransmission {
            self.board.retransmit(now, &range, snapshot);
            if let Some(undo) = self.undo.as_mut().filter(|_| self.phase != Phase::Open) {
                undo.on_retransmit(now, range.end.saturating_sub(range.start));
            }
            if range.start <= self.board.una() {
                self.timers.rto_since = now;
            }
        } else {
            self.board.push(now, range.end, snapshot);
            self.timers.probe_since = now;
            if idle {
                self.timers.rto_since = now; // RFC 6298 5.1
            }
        }
        if self.tlp.on_transmit(self.board.nxt(), retransmission) {
            self.timers.rto_since = now; // RFC 8985 7.3
        }
    }

    /// Call before [`Self::on_ack`] with the latest moment at which the TSval the ACK echoes was on the clock (the
    /// end of its tick), if the peer sends timestamps: it tells originals from retransmissions (RFC 3522).
    pub(crate) const fn on_timestamp_echo(&mut self, sent_no_later_than: Instant) {
        self.echo = Some(sent_no_later_than);
    }

    /// The octet at `offset` goes out again although it was acknowledged, only to be answered: that the peer has it twice
    /// then tells nothing about the path.
    pub(crate) const fn on_question(&mut self, offset: u64) {
        self.question = Some(offset);
    }

    fn was_asked(&self, dsack: &Range<u64>) -> bool {
        self.question.is_some_and(|at| *dsack == (at..at + 1))
    }

    /// An acceptable ACK: `una` is the cumulative acknowledgement, `sacks` its blocks in the order of the option,
    /// D-SACK (RFC 2883) included. `is_dup_ack_candidate`: RFC 5681 2 calls it a duplicate and it carries no signal
    /// of a layer above (RFC 8684 [OPT-2]). Feed the RTT sample and call [`Self::rearm`] afterwards.
    pub(crate) fn on_ack(
        &mut self,
        now: Instant,
        una: u64,
        sacks: &[Range<u64>],
        rtt: &RttEstimator,
        is_dup_ack_candidate: bool,
    ) -> AckOutcome {
        let before = self.board.una();
        let una = una.clamp(before, self.board.nxt());
        let newly_acked = una - before;
        let echo = self.echo.take();
        let sacks = if self.sack { sacks } else { &[] };
        let dsack = duplicate_block(sacks, una);
        let delivery = self.deliver(now, una, sacks, dsack, echo, rtt);

        let mut outcome =
            AckOutcome { newly_acked, newly_delivered: delivery.octets, ..AckOutcome::default() };
        // RFC 7323 4: an echo tells even where Karn's rule forbids, so a back-off ends with the first progress.
        let echoed = echo.filter(|_| newly_acked > 0).map(|sent_at| now.saturating_since(sent_at));
        outcome.rtt_sample = delivery.rtt(now).or(echoed.filter(|rtt| !rtt.is_zero()));
        if newly_acked > 0 {
            (self.timers.rto_since, self.timers.probe_since) = (now, now); // RFC 6298 5.3
        }
        let dsack = dsack.filter(|dsack| !self.was_asked(dsack));
        if let Some(dsack) = dsack
            && !self.tlp.explains(dsack)
        {
            self.rack.on_dsack(una, self.board.nxt());
        }
        outcome.spurious =
            self.detect_spurious(newly_acked > 0, dsack, echo, delivery.lost_original);
        let plain_duplicate = is_dup_ack_candidate && sacks.is_empty();
        let repaired = self.tlp.on_ack(una, newly_acked > 0, dsack, plain_duplicate);
        outcome.tail_loss_repaired = repaired && self.phase == Phase::Open;
        if self.phase != Phase::Open && self.recover.is_none_or(|recover| una >= recover) {
            self.phase = Phase::Open;
            self.rack.on_recovery_exit();
            outcome.exit_recovery = true;
        }

        if self.reliable {
            // what is not acknowledged is under way
        } else if self.sack {
            outcome.newly_lost = self.run_rack(now, rtt);
        } else {
            let (lost, counted) = self.run_new_reno(newly_acked, is_dup_ack_candidate);
            outcome.newly_lost = lost;
            outcome.newly_delivered = outcome.newly_delivered.saturating_add_signed(counted);
        }
        outcome.enter_recovery = self.enter_if_lost(outcome.newly_lost);
        if let Some((_, sent_at, snapshot)) = delivery.newest {
            outcome.rate = self.rate.on_delivery(now, delivery.octets, (sent_at, snapshot));
        }
        outcome
    }

    /// Hands the acknowledged octets to the scoreboard and to RACK.
    fn deliver(
        &mut self,
        now: Instant,
        una: u64,
        sacks: &[Range<u64>],
        dsack: Option<&Range<u64>>,
        echo: Option<Instant>,
        rtt: &RttEstimator,
    ) -> Delivery {
        let min_rtt = rtt.min_rtt();
        let mut delivery = Delivery {
            fack: self.rack.fack(),
            octets: 0,
            oldest: None,
            oldest_sacked: None,
            newest: None,
            retransmitted: false,
            lost_original: false,
        };
        let rack = &mut self.rack;
        self.board.acknowledge(una, |piece| {
            delivery.add(piece, true);
            rack.on_delivered(now, piece, delivery.fack, echo, min_rtt);
        });
        let skip = usize::from(dsack.is_some());
        for block in sacks.iter().skip(skip) {
            self.board.sack(block, |piece| {
                delivery.add(piece, false);
                // The echo of an out-of-order segment's ACK is that of the last one in order (RFC 7323 4.3).
                rack.on_delivered(now, piece, delivery.fack, None, min_rtt);
            });
        }
        delivery
    }

    /// Ends a recovery that answered no loss.
    fn detect_spurious(
        &mut self,
        una_advanced: bool,
        dsack: Option<&Range<u64>>,
        echo: Option<Instant>,
        lost_original: bool,
    ) -> bool {
        let Some(undo) = self.undo.as_mut() else { return false };
        let una = self.board.una();
        let complete = una >= undo.recover();
        let mut spurious = una_advanced && undo.on_progress(echo, complete);
        if let Some(dsack) = dsack {
            spurious |= undo.on_dsack(dsack) && self.board.lost() == 0;
        }
        // In the spirit of F-RTO (RFC 5682): after a timeout, what was neither sent again nor reported by SACK is
        // acknowledged nevertheless, so it was late, not lost. When everything is acknowledged at once, it may have
        // been the ACKs that were lost; without SACK, a filled hole looks the same.
        spurious |= self.sack && self.phase == Phase::Timeout && lost_original && !complete;
        if spurious {
            self.undo = None;
            self.phase = Phase::Open;
            self.duplicates = DuplicateAcks::default();
            self.board.unmark_lost();
        }
        spurious
    }

    fn run_rack(&mut self, now: Instant, rtt: &RttEstimator) -> u64 {
        let in_recovery = self.phase != Phase::Open;
        let (lost, look_again) = self.rack.detect_loss(now, &mut self.board, in_recovery, rtt);
        self.timers.reordering = look_again;
        lost
    }

    /// Without SACK: counts duplicate ACKs (RFC 6582). Returns the octets lost, and how far the delivered octets
    /// differ from what was acknowledged.
    fn run_new_reno(&mut self, newly_acked: u64, duplicate: bool) -> (u64, i64) {
        let mss = self.board.mss();
        if newly_acked > 0 {
            self.duplicates.count = 0;
            let partial = self.phase == Phase::Fast;
            // A partial ACK is answered by the segment that was lost and by those that were counted.
            let counted = if partial { newly_acked.saturating_sub(mss) } else { newly_acked };
            let counted = counted.min(self.duplicates.octets);
            let left = if partial { self.duplicates.octets - counted } else { 0 };
            self.duplicates.octets = left;
            let lost =
                if partial && self.board.lost() == 0 { self.board.mark_first_lost() } else { 0 };
            return (lost, -i64::try_from(counted).unwrap_or(i64::MAX));
        }
        if !duplicate || self.phase == Phase::Timeout {
            return (0, 0);
        }
        self.duplicates.count = self.duplicates.count.saturating_add(1);
        let room = self.board.in_flight().saturating_sub(self.duplicates.octets + mss);
        let counted = mss.min(room);
        self.duplicates.octets += counted;
        // RFC 6582 3.2 step 2: duplicates caused by the last recovery's own retransmissions start no other.
        let fresh = self.recover.is_none_or(|recover| self.board.una() > recover);
        let lost = self.phase == Phase::Open && self.duplicates.count >= DUP_THRESH && fresh;
        let newly_lost = if lost { self.board.mark_first_lost() } else { 0 };
        (newly_lost, i64::try_from(counted).unwrap_or(i64::MAX))
    }

    fn enter_if_lost(&mut self, newly_lost: u64) -> bool {
        let enter = newly_lost > 0 && self.phase == Phase::Open;
        if enter {
            self.begin(Phase::Fast);
        }
        enter
    }

    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.recover = Some(self.board.nxt());
        self.undo = Some(Undo::new(self.board.una(), self.board.nxt()));
        self.tlp.cancel();
    }

    /// The lowest octets to retransmit, at most `max_len`.
    pub(crate) fn next_lost(&self, max_len: u64) -> Option<Range<u64>> {
        self.board.next_lost(max_len)
    }

    /// Octets in flight: sent, and neither acknowledged in any way nor lost (RFC 6675 `pipe`).
    pub(crate) const fn pipe(&self) -> u64 {
        self.board.in_flight().saturating_sub(self.duplicates.octets)
    }

    /// First octet not acknowledged.
    pub(crate) const fn una(&self) -> u64 {
        self.board.una()
    }

    /// First octet never sent.
    pub(crate) const fn nxt(&self) -> u64 {
        self.board.nxt()
    }

    /// nxt - una.
    pub(crate) const fn bytes_outstanding(&self) -> u64 {
        self.board.outstanding()
    }

    /// Octets above una that the peer reports to have.
    #[cfg(test)]
    pub(crate) const fn sacked_bytes(&self) -> u64 {
        self.board.sacked()
    }

    /// Octets lost and not yet retransmitted.
    pub(crate) const fn lost_bytes(&self) -> u64 {
        self.board.lost()
    }

    /// Fast recovery, or retransmission after a timeout.
    pub(crate) fn in_recovery(&self) -> bool {
        self.phase != Phase::Open
    }

    /// Fast recovery: `Prr` decides how much to send.
    pub(crate) fn in_fast_recovery(&self) -> bool {
        self.phase == Phase::Fast
    }

    /// The windows are open and there is nothing to send: rate samples will say less than the path can do.
    pub(crate) fn mark_app_limited(&mut self) {
        self.rate.mark_app_limited(self.pipe());
    }

    /// The next deadline, and what it is for.
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, LossTimer)> {
        let timers = [
            (self.timers.reordering, LossTimer::Reordering),
            (self.timers.probe, LossTimer::TailLossProbe),
            (self.timers.retransmission, LossTimer::Retransmission),
        ];
        let running = timers.into_iter().filter_map(|(at, timer)| Some((at?, timer)));
        running.min_by_key(|(at, _)| *at)
    }

    /// `timer` expired. Send what the outcome asks for, then call [`Self::rearm`].
    pub(crate) fn on_timeout(
        &mut self,
        now: Instant,
        timer: LossTimer,
        rtt: &mut RttEstimator,
    ) -> TimeoutOutcome {
        let mut outcome = TimeoutOutcome::default();
        if self.board.outstanding() == 0 {
            self.stop_timers();
            return outcome;
        }
        match timer {
            LossTimer::Reordering => {
                outcome.newly_lost = self.run_rack(now, rtt);
                outcome.enter_recovery = self.enter_if_lost(outcome.newly_lost);
            }
            LossTimer::TailLossProbe => {
                self.timers.probe = None;
                self.timers.rto_since = now;
                self.tlp.request();
                let new_data = self.timers.can_send_new;
                let last_segment = self.board.last_segment();
                outcome.probe =
                    last_segment.map(|last_segment| TailProbe { new_data, last_segment });
            }
            LossTimer::Retransmission => {
                rtt.back_off();
                self.board.forget_sacks_if_reneged();
                outcome.newly_lost = self.board.mark_lost(|_| Verdict::Lost);
                outcome.retransmission_timeout = true;
                // A second timeout of the same data belongs to the first.
                let repeated = self.phase == Phase::Timeout && rtt.backoff_count() > 1;
                let undo = self.undo.take().filter(|_| repeated);
                self.begin(Phase::Timeout);
                self.undo = undo.or(self.undo.take());
                self.duplicates = DuplicateAcks::default();
                self.timers.reordering = None;
                self.timers.rto_since = now; // RFC 6298 5.6
            }
        }
        outcome
    }

    /// On a reliable path: nothing was acknowledged for an RTO.
    pub(crate) fn on_silence(&mut self, now: Instant, rtt: &mut RttEstimator) {
        rtt.back_off();
        self.timers.rto_since = now;
    }

    /// Everything outstanding is to be sent again, for a reason that is not congestion: it was too big for the path.
    pub(crate) fn mark_all_lost(&mut self) {
        self.board.mark_lost(|_| super::scoreboard::Verdict::Lost);
        self.timers.reordering = None;
    }

    fn stop_timers(&mut self) {
        let timers = &mut self.timers;
        (timers.reordering, timers.probe, timers.retransmission) = (None, None, None);
    }

    /// Sets the timers; call it after every ACK, timeout and burst of transmissions. `can_send_new`: the socket has
    /// unsent data and the peer's window lets them out, whatever the congestion window says.
    pub(crate) fn rearm(&mut self, now: Instant, rtt: &RttEstimator, can_send_new: bool) {
        self.timers.can_send_new = can_send_new;
        if self.board.outstanding() == 0 {
            self.stop_timers();
            return;
        }
        let rto = (self.timers.rto_since + rtt.rto()).max(now);
        self.timers.retransmission = Some(rto);
        // RFC 8985 7.2
        let quiet = self.phase == Phase::Open && self.board.sacked() == 0 && self.board.lost() == 0;
        let probing = self.sack
            && !self.reliable
            && quiet
            && self.tlp.is_idle()
            && self.timers.reordering.is_none();
        let one_segment = self.board.outstanding() <= self.board.mss();
        let probe = self.timers.probe_since + TailLossProbing::timeout(rtt.srtt(), one_segment);
        self.timers.probe = probing.then(|| probe.clamp(now, rto));
    }
}

/// The D-SACK among the blocks: the first, if it lies below the cumulative acknowledgement or inside the second
/// (RFC 2883 4).
fn duplicate_block(sacks: &[Range<u64>], una: u64) -> Option<&Range<u64>> {
    let first = sacks.first()?;
    let inside =
        sacks.get(1).is_some_and(|outer| outer.start <= first.start && first.end <= outer.end);
    (first.start < una || inside).then_some(first)
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "recovery_sim.rs"]
mod sim;
