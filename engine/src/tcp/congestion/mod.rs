//! Congestion control: how many bytes may be in flight.
//!
//! Each subflow has its own (RFC 8684 3.3.8); [`CoupledView`] hands in the siblings' state, so a coupled algorithm
//! (RFC 6356) is one more implementation of [`CongestionControl`].

mod cubic;
mod hystart;
mod new_reno;

use crate::config::CongestionAlgorithm;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
pub use cubic::Cubic;
pub use new_reno::NewReno;

/// What one acceptable ACK tells the algorithm.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// When the ACK arrived.
    pub now: Instant,
    /// Octets acknowledged cumulatively by this ACK.
    pub newly_acked: u64,
    /// Octets acknowledged for the first time, cumulatively or selectively.
    pub newly_delivered: u64,
    /// Octets in flight before this ACK was processed.
    pub in_flight_before: u64,
    /// Smoothed RTT.
    pub srtt: Option<Duration>,
    /// Smallest RTT of the recent past.
    pub min_rtt: Option<Duration>,
    /// RTT measured by this ACK.
    pub rtt_latest: Option<Duration>,
    /// The window was what kept the sender from sending more: only then may it grow (RFC 7661, RFC 9438 5.8).
    pub cwnd_limited: bool,
    /// Fast recovery or retransmission after a timeout is under way. The algorithms here know from
    /// [`CongestionControl::on_congestion`] and its kin; one that models the path wants to be told.
    pub in_recovery: bool,
}

/// One subflow of the connection, as its siblings see it.
#[derive(Clone, Copy, Debug)]
pub struct SiblingView {
    /// Congestion window, octets.
    pub cwnd: u64,
    /// Smoothed RTT.
    pub srtt: Duration,
    /// Sender's maximum segment size, octets.
    pub mss: u32,
}

/// All established subflows of a connection.
#[derive(Clone, Copy, Debug)]
pub struct CoupledView<'a> {
    /// The subflows, this one included.
    pub siblings: &'a [SiblingView],
    /// Index of this one.
    pub own: usize,
}

impl CoupledView<'_> {
    /// A subflow alone in the world.
    pub const NONE: CoupledView<'static> = CoupledView { siblings: &[], own: 0 };
}

/// A congestion control algorithm. All amounts are octets.
pub trait CongestionControl: core::fmt::Debug + Send {
    /// Name, as in [`CongestionAlgorithm::name`].
    fn name(&self) -> &'static str;
    /// Congestion window. During fast recovery proportional rate reduction decides instead.
    fn window(&self) -> u64;
    /// Slow start threshold; `u64::MAX` before the first congestion.
    fn ssthresh(&self) -> u64;
    /// An ACK that acknowledged something new. Ignored during fast recovery, when the window stands still.
    fn on_ack(&mut self, sample: &AckSample, coupled: &CoupledView<'_>);
    /// Loss was detected and fast recovery begins: the multiplicative decrease. `in_flight` is what was in flight
    /// before the ACK that told, lost octets included.
    fn on_congestion(&mut self, now: Instant, in_flight: u64);
    /// The retransmission timer expired: one segment, and slow start (RFC 5681 3.1). `in_flight` is everything
    /// outstanding. Of several timeouts without progress only the first sets the threshold.
    fn on_retransmission_timeout(&mut self, now: Instant, in_flight: u64);
    /// Everything outstanding when recovery began is acknowledged.
    fn on_recovery_exit(&mut self, now: Instant);
    /// The last decrease answered a loss that was none: restore what it took.
    fn undo(&mut self);
    /// Nothing was sent for `idle`: an old window says nothing about the path now (RFC 5681 4.1).
    fn on_idle_restart(&mut self, idle: Duration, rto: Duration);
    /// The handshake had to be repeated: begin with one segment (RFC 5681 3.1).
    fn on_handshake_loss(&mut self);
    /// The layer above wants less on this path: the window shrinks to `factor` of it, and outside of slow start the
    /// threshold as well; see [`penalised`].
    fn penalise(&mut self, factor: f64);
    /// The maximum segment size changed.
    fn set_mss(&mut self, mss: u32);
}

/// What an IPv4 or IPv6 packet can carry bounds the arithmetic.
fn segment_size(mss: u32) -> u64 {
    u64::from(mss.clamp(1, 65_535))
}

/// Initial window (RFC 6928): ten segments, within bounds for odd segment sizes.
fn initial_window(mss: u64) -> u64 {
    (10 * mss).min((2 * mss).max(14_600))
}

/// Smallest threshold: two segments (RFC 5681 3.1, RFC 9438 4.6).
fn min_ssthresh(mss: u64) -> u64 {
    2 * mss
}

/// Window and threshold after a pause (RFC 5681 4.1). Slow start leads back to three quarters of what was in use
/// (RFC 7661 4.4): the path has not shrunk for certain.
fn restart_window(cwnd: u64, ssthresh: u64, mss: u64, long: bool) -> (u64, u64) {
    let restart = initial_window(mss);
    if !long || cwnd <= restart {
        return (cwnd, ssthresh);
    }
    (restart, ssthresh.max(cwnd - cwnd / 4))
}

/// Window and threshold after a penalty: at least one segment, and two (NSDI'12 4.2, as the v0.9x kernels have it).
#[must_use]
pub fn penalised(cwnd: u64, ssthresh: u64, mss: u64, factor: f64) -> (u64, u64) {
    let part = |of: u64| (of as f64 * factor) as u64;
    let threshold = if cwnd >= ssthresh { part(ssthresh).max(min_ssthresh(mss)) } else { ssthresh };
    (part(cwnd).max(mss), threshold)
}

/// The same number of segments of another size, and never less than one.
fn rescale(cwnd: u64, from: u64, to: u64) -> u64 {
    let scaled = u128::from(cwnd) * u128::from(to) / u128::from(from.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX).max(to)
}

/// A new controller with the initial window of RFC 6928.
#[must_use]
pub fn new(algorithm: CongestionAlgorithm, mss: u32) -> Box<dyn CongestionControl> {
    match algorithm {
        CongestionAlgorithm::NewReno => Box::new(NewReno::new(mss)),
        CongestionAlgorithm::Cubic => Box::new(Cubic::new(mss)),
    }
}

#[cfg(test)]
mod tests;
