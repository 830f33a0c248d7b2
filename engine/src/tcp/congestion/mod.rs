//! Congestion control: how many bytes may be in flight.
//!
//! Each subflow has its own (RFC 8684 3.3.8); [`CoupledView`] hands in the siblings' state, so a coupled algorithm
//! (RFC 6356) is one more implementation of [`CongestionControl`].

mod balia;
mod bbr;
mod coupled;
mod cubic;
mod ewtcp;
mod filter;
mod hystart;
mod lia;
mod new_reno;
mod olia;
mod window;
mod wvegas;

pub use super::rate::RateSample;
use crate::config::CongestionAlgorithm;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use cubic::Cubic;
use window::{Aimd, rate};

/// What one acceptable ACK tells the algorithm.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// When the ACK arrived.
    pub now: Instant,
    /// Octets acknowledged cumulatively by this ACK.
    pub newly_acked: u64,
    /// Octets acknowledged for the first time, cumulatively or selectively.
    pub newly_delivered: u64,
    /// Octets found lost by it.
    pub newly_lost: u64,
    /// Octets in flight before this ACK was processed.
    pub in_flight_before: u64,
    /// Octets in flight now.
    pub in_flight: u64,
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
    /// Delivery rate measured by this ACK.
    pub rate: Option<RateSample>,
}

/// A loss, or what is taken for one.
#[derive(Clone, Copy, Debug)]
pub struct CongestionEvent {
    /// When it was detected.
    pub now: Instant,
    /// Octets sent and not cumulatively acknowledged (FlightSize, RFC 5681 2), lost ones included.
    pub flight: u64,
    /// Octets thought to be in the network now, lost ones not.
    pub pipe: u64,
    /// Smoothed RTT.
    pub srtt: Option<Duration>,
}

/// Another subflow of the connection, as its siblings see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiblingView {
    /// Congestion window, octets; in fast recovery what it will be afterwards.
    pub cwnd: u64,
    /// Slow start threshold, octets; `u64::MAX` before the first congestion.
    pub ssthresh: u64,
    /// Smoothed RTT, never zero.
    pub srtt: Duration,
    /// Smallest RTT of the recent past.
    pub min_rtt: Duration,
    /// Sender's maximum segment size, octets.
    pub mss: u32,
    /// Fast recovery, or retransmission after a timeout, is under way.
    pub in_recovery: bool,
    /// OLIA: octets acknowledged since the last loss or between the last two, whichever is more.
    pub loss_interval: u64,
    /// wVegas: octets a second when its share was last chosen; 0 before that.
    pub equilibrium_rate: u64,
}

impl SiblingView {
    fn rate(&self) -> f64 {
        rate(self.cwnd, self.srtt)
    }
}

/// The other established subflows of a connection, stale and closing ones left out.
#[derive(Clone, Copy, Debug)]
pub struct CoupledView<'a> {
    /// In order of opening.
    pub others: &'a [SiblingView],
}

impl CoupledView<'_> {
    /// A subflow alone in the world.
    pub const NONE: CoupledView<'static> = CoupledView { others: &[] };
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
    /// Loss was detected and fast recovery begins: the multiplicative decrease. The flight is the one before the ACK
    /// that told.
    fn on_congestion(&mut self, event: &CongestionEvent, coupled: &CoupledView<'_>);
    /// The retransmission timer expired: one segment, and slow start (RFC 5681 3.1). Of several timeouts without
    /// progress only the first sets the threshold.
    fn on_retransmission_timeout(&mut self, event: &CongestionEvent, coupled: &CoupledView<'_>);
    /// Everything outstanding when recovery began is acknowledged.
    fn on_recovery_exit(&mut self, now: Instant);
    /// The last decrease answered a loss that was none: restore what it took.
    fn undo(&mut self);
    /// Nothing was sent for `idle`: an old window says nothing about the path now (RFC 5681 4.1).
    fn on_idle_restart(&mut self, idle: Duration, rto: Duration);
    /// The handshake had to be repeated: begin with one segment (RFC 5681 3.1).
    fn on_handshake_loss(&mut self);
    /// The layer above wants less on this path: the window shrinks to `factor` of it, and outside of slow start the
    /// threshold as well; see [`penalised`]. By default nothing: what models the path has no window of that kind.
    fn penalise(&mut self, factor: f64) {
        let _ = factor;
    }
    /// The maximum segment size changed.
    fn set_mss(&mut self, mss: u32);
    /// The rate to pace at, octets a second; `None` leaves pacing to the settings.
    fn pacing_rate(&self, _srtt: Option<Duration>) -> Option<u64> {
        None
    }
    /// The window holds in fast recovery, too: no proportional rate reduction.
    fn rules_recovery(&self) -> bool {
        false
    }
    /// It sends less than it could, on purpose: what is measured meanwhile says nothing of the path's rate.
    fn limits_itself(&self) -> bool {
        false
    }
    /// Adds what only the algorithm knows and its siblings need.
    fn tell(&self, _view: &mut SiblingView) {}
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
        CongestionAlgorithm::NewReno => Box::new(Aimd::new(mss, new_reno::NewReno)),
        CongestionAlgorithm::Cubic => Box::new(Cubic::new(mss)),
        CongestionAlgorithm::Lia => Box::new(Aimd::new(mss, lia::Lia)),
        CongestionAlgorithm::Olia => Box::new(Aimd::new(mss, olia::Olia::default())),
        CongestionAlgorithm::Balia => Box::new(Aimd::new(mss, balia::Balia)),
        CongestionAlgorithm::Wvegas => Box::new(Aimd::new(mss, wvegas::Wvegas::default())),
        CongestionAlgorithm::Ewtcp => Box::new(Aimd::new(mss, ewtcp::Ewtcp)),
        CongestionAlgorithm::Coupled => Box::new(Aimd::new(mss, coupled::Coupled)),
        CongestionAlgorithm::Bbr => Box::new(bbr::Bbr::new(mss)),
    }
}

#[cfg(test)]
mod coupled_tests;
#[cfg(test)]
mod tests;
