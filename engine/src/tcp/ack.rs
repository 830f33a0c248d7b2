//! What an ACK or a timer means for the sending half: loss recovery and congestion control are told, in one place.

use super::congestion::{AckSample, CongestionEvent, CoupledView};
use super::prr::Prr;
use super::rate::RateSample;
use super::recovery::AckOutcome;
use super::segment::Segment;
use super::send::Send;
use crate::time::{Duration, Instant};
use core::ops::Range;

/// SACK blocks of one segment as stream offsets.
#[derive(Debug, Default)]
struct SackRanges {
    ranges: [Range<u64>; 4],
    len: usize,
}

/// Octets under way before an ACK or a timer is acted upon.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// What is thought to be in the network (RFC 6675).
    pipe: u64,
    /// What is not acknowledged cumulatively (RFC 5681 FlightSize).
    outstanding: u64,
}

impl SackRanges {
    fn as_slice(&self) -> &[Range<u64>] {
        self.ranges.get(..self.len).unwrap_or(&[])
    }
}

impl Send {
    /// Blocks beyond what was sent, or of no length, say nothing. One before `una` reports a duplicate (RFC 2883).
    fn sack_ranges(&self, seg: &Segment) -> SackRanges {
        let mut sacks = SackRanges::default();
        for (start, end) in seg.options.sack.as_slice() {
            let (start, end) = (self.ack_offset(*start), self.ack_offset(*end));
            let valid = start >= 0 && start < end && end <= self.nxt as i64;
            let slot = sacks.ranges.get_mut(sacks.len).filter(|_| valid);
            if let Some(slot) = slot {
                *slot = start.unsigned_abs()..end.unsigned_abs();
                sacks.len += 1;
            }
        }
        sacks
    }

    /// Takes a valid ACK field at stream offset `offset`; payload octets acknowledged for the first time.
    pub(super) fn on_ack(
        &mut self,
        now: Instant,
        offset: i64,
        seg: &Segment,
        echoed: Option<Instant>,
        coupled: &CoupledView<'_>,
    ) -> u64 {
        let (Ok(ack), Some(number)) = (u64::try_from(offset), seg.ack) else { return 0 };
        if ack < self.una {
            return 0;
        }
        let edge = self.edge;
        self.update_window(ack, seg.seq, number, seg.window);
        // RFC 5681 2, and RFC 8684 3 [OPT-2]: a segment with a signal is no duplicate, whatever it looks like.
        let duplicate = ack == self.una
            && self.is_outstanding()
            && seg.is_empty()
            && edge == self.edge
            && !seg.carries_signal;
        let sacks = self.sack_ranges(seg);
        if !self.is_outstanding() && sacks.len == 0 {
            return 0;
        }
        let flight = Flight { pipe: self.loss.pipe(), outstanding: self.loss.bytes_outstanding() };
        let limited = self.una < self.limited_until;
        if let Some(at) = echoed {
            self.loss.on_timestamp_echo(at);
        }
        let outcome = self.loss.on_ack(now, ack, sacks.as_slice(), &self.rtt, duplicate);
        let newly_acked = self.advance(now, ack);
        if let Some(rtt) = outcome.rtt_sample {
            self.rtt.on_sample(rtt);
        } else if let Some(at) = echoed.filter(|_| outcome.newly_acked > 0) {
            // Karn's ambiguity does not touch an echo (RFC 7323 4); it is as coarse as the clock's tick.
            self.rtt.on_sample(now.saturating_since(at).max(Duration::from_millis(1)));
        }
        self.tell_congestion_control(now, &outcome, flight, limited, coupled);
        self.rearm(now);
        newly_acked
    }

    /// Moves una; payload octets newly acknowledged.
    fn advance(&mut self, now: Instant, ack: u64) -> u64 {
        if ack <= self.una {
            return 0;
        }
        let end = self.chunks.end();
        let octets = ack.min(end) - self.una.min(end);
        self.una = ack;
        self.chunks.release(ack);
        self.timeouts = 0;
        // The answer came while the probe was still to be sent.
        self.tail_probe = None;
        self.last_progress = now;
        octets
    }

    fn tell_congestion_control(
        &mut self,
        now: Instant,
        outcome: &AckOutcome,
        flight: Flight,
        limited: bool,
        coupled: &CoupledView<'_>,
    ) {
        if outcome.spurious {
            self.congestion.undo();
            self.rtt.reset_backoff();
        }
        if outcome.exit_recovery {
            self.congestion.on_recovery_exit(now);
        }
        if outcome.tail_loss_repaired {
            self.congestion.on_congestion(&self.event(now, flight), coupled);
            self.congestion.on_recovery_exit(now);
        }
        if outcome.enter_recovery {
            self.enter_recovery(now, flight, coupled);
        } else if !self.loss.in_fast_recovery() {
            self.prr = None;
        }
        if let Some(prr) = &mut self.prr {
            let advanced = outcome.newly_acked > 0;
            prr.on_ack(outcome.newly_delivered, self.loss.pipe(), outcome.newly_lost, advanced);
        }
        if let Some(rate) = outcome.rate {
            self.on_rate_sample(rate);
        }
        if outcome.newly_acked > 0 || outcome.newly_delivered > 0 {
            let sample = AckSample {
                now,
                newly_acked: outcome.newly_acked,
                newly_delivered: outcome.newly_delivered,
                newly_lost: outcome.newly_lost,
                in_flight: self.loss.pipe(),
                in_flight_before: flight.pipe,
                srtt: self.rtt.srtt(),
                min_rtt: self.rtt.min_rtt(),
                rtt_latest: outcome.rtt_sample,
                cwnd_limited: limited,
                in_recovery: self.loss.in_recovery(),
                rate: outcome.rate,
            };
            self.congestion.on_ack(&sample, coupled);
            if self.congestion.limits_itself() {
                self.loss.mark_app_limited();
            }
        }
    }

    /// A sample taken while the application was the limit counts only if it shows that more is possible.
    fn on_rate_sample(&mut self, rate: RateSample) {
        let Some(bytes) = rate.per_second() else { return };
        if !rate.app_limited || self.delivery_rate.is_none_or(|known| bytes >= known) {
            self.delivery_rate = Some(bytes);
        }
    }

    fn event(&self, now: Instant, flight: Flight) -> CongestionEvent {
        CongestionEvent {
            now,
            flight: flight.outstanding,
            pipe: self.loss.pipe(),
            srtt: self.rtt.srtt(),
        }
    }

    fn enter_recovery(&mut self, now: Instant, flight: Flight, coupled: &CoupledView<'_>) {
        self.congestion.on_congestion(&self.event(now, flight), coupled);
        let ssthresh = self.congestion.ssthresh();
        self.prr = (!self.congestion.rules_recovery())
            .then(|| Prr::new(ssthresh, flight.pipe, self.effective_mss(0)));
    }

    pub(super) fn loss_deadline(&self) -> Option<Instant> {
        self.loss.poll_timeout().map(|(at, _)| at)
    }

    /// Runs the sender's timer if it is due; `false` when the peer has been silent for `most` timeouts.
    pub(super) fn on_loss_timeout(
        &mut self,
        now: Instant,
        most: u32,
        coupled: &CoupledView<'_>,
    ) -> bool {
        if self.carrier.is_some() {
            return self.on_silence(now, most);
        }
        let Some((_, timer)) = self.loss.poll_timeout().filter(|(at, _)| *at <= now) else {
            return true;
        };
        let flight = Flight { pipe: self.loss.pipe(), outstanding: self.loss.bytes_outstanding() };
        let outcome = self.loss.on_timeout(now, timer, &mut self.rtt);
        if outcome.enter_recovery {
            self.enter_recovery(now, flight, coupled);
        } else if let Some(prr) = &mut self.prr {
            prr.on_loss(outcome.newly_lost);
        }
        if outcome.retransmission_timeout {
            if self.timeouts >= most {
                return false;
            }
            self.timeouts += 1;
            self.prr = None;
            self.tail_probe = None;
            self.congestion.on_retransmission_timeout(&self.event(now, flight), coupled);
        }
        if outcome.probe.is_some() {
            self.tail_probe = outcome.probe;
        }
        self.rearm(now);
        true
    }
}
