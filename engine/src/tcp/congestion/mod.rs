//! Congestion control: how many bytes may be in flight.
//!
//! Each subflow has its own (RFC 8684 3.3.8); [`CoupledView`] hands in the siblings' state, so a coupled algorithm
//! (RFC 6356) is one more implementation of [`CongestionControl`].

mod cubic;
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
    /// Fast recovery or retransmission after a timeout is under way.
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
    /// Congestion window. During fast recovery [`Prr`](crate::tcp::prr::Prr) decides below it.
    fn window(&self) -> u64;
    /// Slow start threshold; `u64::MAX` before the first congestion.
    fn ssthresh(&self) -> u64;
    /// An ACK that acknowledged something new. Call it outside and after recovery; inside fast recovery
    /// (`in_recovery` with `window() <= ssthresh()` not growing) it is ignored.
    fn on_ack(&mut self, sample: &AckSample, coupled: &CoupledView<'_>);
    /// Loss was detected and fast recovery begins: the multiplicative decrease. `in_flight` as before the loss.
    fn on_congestion(&mut self, now: Instant, in_flight: u64);
    /// The retransmission timer expired: one segment, and slow start (RFC 5681 3.1).
    fn on_retransmission_timeout(&mut self, now: Instant, in_flight: u64);
    /// Everything outstanding when recovery began is acknowledged.
    fn on_recovery_exit(&mut self, now: Instant);
    /// The last decrease answered a loss that was none: restore what it took.
    fn undo(&mut self);
    /// Nothing was sent for `idle`: an old window says nothing about the path now (RFC 5681 4.1).
    fn on_idle_restart(&mut self, idle: Duration, rto: Duration);
    /// The maximum segment size changed.
    fn set_mss(&mut self, mss: u32);
}

/// A new controller with the initial window of RFC 6928.
#[must_use]
pub fn new(algorithm: CongestionAlgorithm, mss: u32) -> Box<dyn CongestionControl> {
    match algorithm {
        CongestionAlgorithm::NewReno => Box::new(NewReno::new(mss)),
        CongestionAlgorithm::Cubic => Box::new(Cubic::new(mss)),
    }
}
