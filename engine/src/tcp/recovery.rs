//! Loss detection and recovery of one sender: RACK-TLP (RFC 8985), NewReno (RFC 6582) without SACK, timers.

use super::rtt::RttEstimator;
use crate::time::{Duration, Instant};
use core::ops::Range;

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

/// One measurement of the rate at which data is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateSample {
    /// Octets delivered in `interval`.
    pub(crate) delivered: u64,
    /// The longer of the time they took to send and to be acknowledged.
    pub(crate) interval: Duration,
    /// The application had nothing to send in between: the path can do at least this.
    pub(crate) app_limited: bool,
}

/// What an ACK changed. In this order: `enter_recovery`, `exit_recovery`, `spurious`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AckOutcome {
    /// Octets acknowledged cumulatively, FIN included.
    pub(crate) newly_acked: u64,
    /// Octets acknowledged for the first time, cumulatively or selectively.
    pub(crate) newly_delivered: u64,
    /// Octets found lost.
    pub(crate) newly_lost: u64,
    /// Time since the oldest octet newly acknowledged was sent; never from retransmitted data (Karn).
    pub(crate) rtt_sample: Option<Duration>,
    /// Fast recovery begins: `CongestionControl::on_congestion`, new `Prr`.
    pub(crate) enter_recovery: bool,
    /// Recovery (fast or after a timeout) is complete: `on_recovery_exit`. Together with `enter_recovery` when a
    /// probe repaired a lost tail: a decrease, but nothing left to recover (RFC 8985 7.4).
    pub(crate) exit_recovery: bool,
    /// The last recovery answered no loss; it is over: `undo`, and reset the RTO's back-off.
    pub(crate) spurious: bool,
    /// Delivery rate.
    pub(crate) rate: Option<RateSample>,
}

/// What a timer asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeoutOutcome {
    /// Octets found lost; `next_lost` yields them.
    pub(crate) newly_lost: u64,
    /// Fast recovery begins (reordering timer): `on_congestion`, new `Prr`.
    pub(crate) enter_recovery: bool,
    /// The retransmission timer expired: `on_retransmission_timeout`, and retransmit at once.
    pub(crate) retransmission_timeout: bool,
    /// Send one segment beyond the congestion window.
    pub(crate) probe: Option<TailProbe>,
}

/// A tail loss probe to be sent (RFC 8985 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailProbe {
    /// New data was there to be sent when the timer was armed: send up to one segment of it, if it still is.
    pub(crate) new_data: bool,
    /// Else retransmit this, the last segment sent.
    pub(crate) last_segment: Range<u64>,
}

/// All a sender knows about what it has in flight.
#[derive(Debug)]
pub(crate) struct LossRecovery {}

impl LossRecovery {
    /// Nothing sent. `mss` in octets.
    pub(crate) fn new(mss: u32, sack_enabled: bool) -> Self;
    pub(crate) fn set_mss(&mut self, mss: u32);
    pub(crate) fn set_sack(&mut self, enabled: bool);
    /// Octets `range` were put on the wire: new data (`range` begins at nxt), or a retransmission.
    pub(crate) fn on_transmit(&mut self, now: Instant, range: Range<u64>, retransmission: bool);
    /// optional, call right before on_ack: the latest moment at which the echoed TSval was on our timestamp clock
    /// (the END of its tick)
    pub(crate) fn on_timestamp_echo(&mut self, sent_no_later_than: Instant);
    pub(crate) fn on_ack(&mut self, now: Instant, una: u64, sacks: &[Range<u64>], rtt: &RttEstimator,
        is_dup_ack_candidate: bool) -> AckOutcome;
    pub(crate) fn next_lost(&self, max_len: u64) -> Option<Range<u64>>;
    pub(crate) fn pipe(&self) -> u64;
    pub(crate) fn una(&self) -> u64;
    pub(crate) fn nxt(&self) -> u64;
    pub(crate) fn bytes_outstanding(&self) -> u64;
    pub(crate) fn sacked_bytes(&self) -> u64;
    pub(crate) fn lost_bytes(&self) -> u64;
    pub(crate) fn in_recovery(&self) -> bool;         // fast recovery or after RTO
    pub(crate) fn in_fast_recovery(&self) -> bool;    // Prr governs sending
    pub(crate) fn mark_app_limited(&mut self);
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, LossTimer)>;
    pub(crate) fn on_timeout(&mut self, now: Instant, timer: LossTimer, rtt: &mut RttEstimator) -> TimeoutOutcome;
    pub(crate) fn rearm(&mut self, now: Instant, rtt: &RttEstimator, can_send_new: bool);
}
// prr.rs:
// pub(crate) struct Prr; Prr::new(ssthresh, recover_fs /* flight at entry */, mss)
//   on_ack(newly_delivered, pipe /* after the ack */, newly_lost, una_advanced: bool); on_sent(bytes); budget() -> u64
