//! The window of a loss-based algorithm: slow start, congestion avoidance by credit, decrease, undo (RFC 5681,
//! RFC 6582). [`Aimd`] drives it; what one algorithm does otherwise than Reno is its [`Policy`].

use super::{
    AckSample, CongestionControl, CongestionEvent, CoupledView, SiblingView, initial_window,
    min_ssthresh, segment_size,
};
use crate::config::CongestionAlgorithm;
use crate::time::{Duration, Instant};

/// What a policy may read and move.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) mss: u64,
    pub(super) cwnd: u64,
    pub(super) ssthresh: u64,
    /// Octets acknowledged towards the next step in congestion avoidance, weighted by the policy's gain; a step is
    /// due at a window's worth.
    credit: f64,
    pub(super) in_fast_recovery: bool,
    timed_out: bool,
    /// Window, threshold and credit before the last decrease.
    prior: Option<(u64, u64, f64)>,
}

impl Window {
    fn new(mss: u32) -> Self {
        let mss = segment_size(mss);
        Self {
            mss,
            cwnd: initial_window(mss),
            ssthresh: u64::MAX,
            credit: 0.0,
            in_fast_recovery: false,
            timed_out: false,
            prior: None,
        }
    }

    pub(super) const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Slow start with byte counting (RFC 3465), without a limit per ACK: receivers here acknowledge super-segments.
    /// Returns the octets left for congestion avoidance.
    pub(super) fn slow_start(&mut self, acked: u64) -> u64 {
        if !self.in_slow_start() {
            return acked;
        }
        let grow = acked.min(self.ssthresh - self.cwnd);
        self.cwnd += grow;
        acked - grow
    }

    /// `acked` octets in congestion avoidance, each worth `gain` of Reno's: one segment up for a window's worth of
    /// credit, one down for as much debt. A gain of 1 is Reno to the octet.
    pub(super) fn step(&mut self, acked: u64, gain: f64) {
        let cwnd = self.cwnd as f64;
        self.credit = (self.credit + acked as f64 * gain).clamp(-2.0 * cwnd, 2.0 * cwnd);
        if self.credit >= cwnd {
            self.credit -= cwnd;
            self.cwnd = self.cwnd.saturating_add(self.mss);
        } else if self.credit <= -cwnd {
            self.credit += cwnd;
            self.cwnd =
                self.cwnd.saturating_sub(self.mss).max(min_ssthresh(self.mss).min(self.cwnd));
        }
    }

    /// Octets earned of a segment that is not there yet; negative: of one that is about to go.
    fn earned(&self) -> f64 {
        let part = if self.cwnd == 0 { 0.0 } else { self.credit / self.cwnd as f64 };
        part.clamp(-1.0, 1.0) * self.mss as f64
    }

    /// The threshold becomes what of `remaining` is whole segments; the rest of it is credit. Were parts of segments
    /// dropped at each loss, small windows with small gains would lose several percent of their growth.
    fn decrease(&mut self, remaining: u64) {
        self.prior = Some((self.cwnd, self.ssthresh, self.credit));
        let part = remaining % self.mss;
        let whole = remaining - part;
        if whole == 0 {
            (self.ssthresh, self.credit) = (remaining, 0.0);
        } else {
            self.ssthresh = whole;
            self.credit = part as f64 / self.mss as f64 * whole as f64;
        }
    }
}

/// The subflow itself at the moment of a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Congestion window, octets; at a decrease what was in use of it.
    pub(super) cwnd: u64,
    /// Smoothed RTT; zero before the first sample.
    pub(super) srtt: Duration,
    pub(super) mss: u64,
}

impl Own {
    /// Rate of the window: octets a second.
    pub(super) fn rate(&self) -> f64 {
        rate(self.cwnd, self.srtt)
    }
}

/// `window / rtt`, octets a second; 0 for an unknown RTT.
pub(super) fn rate(window: u64, rtt: Duration) -> f64 {
    if rtt.is_zero() { 0.0 } else { window as f64 / rtt.as_secs_f64() }
}

/// What tells one algorithm from Reno.
pub(super) trait Policy: core::fmt::Debug + Send {
    /// Which one it is.
    const ALGORITHM: CongestionAlgorithm;

    /// What an acknowledged octet is worth in congestion avoidance; 1 is Reno, `mss * mss / cwnd` a segment.
    fn gain(&self, own: &Own, others: &[SiblingView]) -> f64;

    /// The window that remains after a loss.
    fn remaining(&self, own: &Own, _others: &[SiblingView]) -> u64 {
        (own.cwnd / 2).max(min_ssthresh(own.mss))
    }

    /// Octets were acknowledged, in whatever state.
    fn on_delivered(&mut self, _octets: u64) {}

    /// A loss (or a timeout) is answered by a decrease.
    fn on_loss(&mut self) {}

    /// An ACK outside of fast recovery that may open the window.
    fn on_ack(&mut self, window: &mut Window, sample: &AckSample, others: &[SiblingView]) {
        let acked = window.slow_start(sample.newly_delivered);
        if acked > 0 {
            let own =
                Own { cwnd: window.cwnd, srtt: sample.srtt.unwrap_or_default(), mss: window.mss };
            window.step(acked, self.gain(&own, others));
        }
    }

    /// Adds what the siblings need to know beside the window.
    fn tell(&self, _view: &mut SiblingView) {}
}

/// Additive increase, multiplicative decrease, with the steps of `P`.
#[derive(Clone, Debug)]
pub(super) struct Aimd<P> {
    window: Window,
    policy: P,
}

impl<P: Policy> Aimd<P> {
    /// The initial window of RFC 6928; `mss` in octets.
    pub(super) fn new(mss: u32, policy: P) -> Self {
        Self { window: Window::new(mss), policy }
    }

    fn decrease(&mut self, event: &CongestionEvent, coupled: &CoupledView<'_>) {
        let used = event.flight.min(self.window.cwnd) as f64 + self.window.earned();
        let own = Own {
            cwnd: used.max(0.0) as u64,
            srtt: event.srtt.unwrap_or_default(),
            mss: self.window.mss,
        };
        let remaining = self.policy.remaining(&own, coupled.others);
        self.window.decrease(remaining);
        self.policy.on_loss();
    }
}

impl<P: Policy> CongestionControl for Aimd<P> {
    fn name(&self) -> &'static str {
        P::ALGORITHM.name()
    }

    fn window(&self) -> u64 {
        self.window.cwnd
    }

    fn ssthresh(&self) -> u64 {
        self.window.ssthresh
    }

    fn on_ack(&mut self, sample: &AckSample, coupled: &CoupledView<'_>) {
        self.policy.on_delivered(sample.newly_delivered);
        if sample.newly_acked == 0 {
            return;
        }
        self.window.timed_out = false;
        if !self.window.in_fast_recovery && sample.cwnd_limited {
            self.policy.on_ack(&mut self.window, sample, coupled.others);
        }
    }

    fn on_congestion(&mut self, event: &CongestionEvent, coupled: &CoupledView<'_>) {
        self.decrease(event, coupled);
        self.window.cwnd = self.window.ssthresh;
        self.window.in_fast_recovery = true;
    }

    fn on_retransmission_timeout(&mut self, event: &CongestionEvent, coupled: &CoupledView<'_>) {
        // RFC 5681 3.1: the threshold is kept while the same segment times out again.
        if !self.window.timed_out {
            self.decrease(event, coupled);
        }
        self.window.timed_out = true;
        self.window.in_fast_recovery = false;
        self.window.cwnd = self.window.mss;
        self.window.credit = 0.0;
    }

    fn on_recovery_exit(&mut self, _now: Instant) {
        self.window.in_fast_recovery = false;
    }

    fn undo(&mut self) {
        let window = &mut self.window;
        if let Some((cwnd, ssthresh, credit)) = window.prior.take() {
            window.cwnd = window.cwnd.max(cwnd);
            window.ssthresh = window.ssthresh.max(ssthresh);
            window.credit = credit;
        }
        window.in_fast_recovery = false;
        window.timed_out = false;
    }

    fn on_idle_restart(&mut self, idle: Duration, rto: Duration) {
        let window = &mut self.window;
        (window.cwnd, window.ssthresh) =
            super::restart_window(window.cwnd, window.ssthresh, window.mss, idle > rto);
    }

    fn on_handshake_loss(&mut self) {
        self.window.cwnd = self.window.mss;
    }

    fn penalise(&mut self, factor: f64) {
        let window = &mut self.window;
        (window.cwnd, window.ssthresh) =
            super::penalised(window.cwnd, window.ssthresh, window.mss, factor);
    }

    fn set_mss(&mut self, mss: u32) {
        let mss = segment_size(mss);
        self.window.cwnd = super::rescale(self.window.cwnd, self.window.mss, mss);
        self.window.mss = mss;
    }

    fn tell(&self, view: &mut SiblingView) {
        self.policy.tell(view);
    }
}
