//! Weighted Vegas (Cao, Xu, Fu: "Delay-based congestion control for multipath TCP", ICNP 2012): congestion is what
//! queues, and each subflow may keep a share of ten segments queued.

use super::window::{Own, Policy, Window, rate};
use super::{AckSample, SiblingView, min_ssthresh};
use crate::config::CongestionAlgorithm;
use crate::time::Duration;

/// Segments that all subflows together keep in queues.
const TOTAL_ALPHA: f64 = 10.0;
/// Least share of one subflow, and where it begins.
const LEAST_ALPHA: f64 = 2.0;
/// Segments in the queue that end slow start.
const GAMMA: f64 = 1.0;
/// Samples without which a round says nothing.
const LEAST_SAMPLES: u32 = 3;

/// wVegas. Once in a round trip: `diff = w (rtt - base) / rtt` segments are queued; the window follows `alpha_i`,
/// this subflow's share of [`TOTAL_ALPHA`] by rate. A loss halves as in Reno.
///
/// With one subflow it is Vegas with an alpha of ten segments, not Reno.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wvegas {
    base_rtt: Duration,
    alpha: f64,
    /// Octets a second when alpha was last chosen; 0: not yet.
    rate: u64,
    /// Least queueing delay since the queue was last drained.
    queue_delay: Option<Duration>,
    /// Octets of the round still to be acknowledged.
    round_left: u64,
    rtt_sum: Duration,
    samples: u32,
}

impl Default for Wvegas {
    fn default() -> Self {
        Self {
            base_rtt: Duration::MAX,
            alpha: LEAST_ALPHA,
            rate: 0,
            queue_delay: None,
            round_left: 0,
            rtt_sum: Duration::ZERO,
            samples: 0,
        }
    }
}

impl Wvegas {
    /// True once in a round trip.
    fn count(&mut self, sample: &AckSample) -> bool {
        if let Some(rtt) = sample.rtt_latest.filter(|rtt| !rtt.is_zero()) {
            self.base_rtt = self.base_rtt.min(rtt);
            self.rtt_sum += rtt;
            self.samples += 1;
        }
        self.round_left = self.round_left.saturating_sub(sample.newly_delivered);
        let over = self.round_left == 0;
        if over {
            self.round_left = sample.in_flight_before.saturating_sub(sample.newly_delivered).max(1);
        }
        over
    }

    /// Mean RTT, with enough samples: small windows take more than one round for them.
    fn end_round(&mut self) -> Option<Duration> {
        if self.samples < LEAST_SAMPLES {
            return None;
        }
        let samples = core::mem::take(&mut self.samples);
        Some(core::mem::take(&mut self.rtt_sum) / samples)
    }

    /// The share of this subflow, by the rates of all at the time each was last weighed.
    fn weigh(&mut self, window: u64, rtt: Duration, others: &[SiblingView]) {
        let own = rate(window, rtt);
        let sum = others.iter().fold(own, |sum, other| sum + other.equilibrium_rate as f64);
        self.rate = own as u64;
        self.alpha = (own / sum * TOTAL_ALPHA).max(LEAST_ALPHA);
    }

    fn adjust(
        &mut self,
        window: &mut Window,
        rtt: Duration,
        slow_start: bool,
        others: &[SiblingView],
    ) {
        let queueing = rtt.saturating_sub(self.base_rtt);
        let segments = window.cwnd as f64 / window.mss as f64;
        let diff = segments * (queueing.as_secs_f64() / rtt.as_secs_f64());
        if slow_start {
            if diff > GAMMA {
                let full = rate(window.cwnd, rtt) * self.base_rtt.as_secs_f64();
                window.cwnd = window.cwnd.min((full as u64).saturating_add(window.mss));
                window.ssthresh = window.ssthresh.min(window.cwnd);
            }
            return;
        }
        let balanced = diff >= self.alpha;
        if balanced {
            self.weigh(window.cwnd, rtt, others);
        }
        if diff > self.alpha {
            window.cwnd = window.cwnd.saturating_sub(window.mss);
            window.ssthresh = window.ssthresh.min(window.cwnd);
        } else if diff < self.alpha {
            window.cwnd = window.cwnd.saturating_add(window.mss);
        }
        if balanced {
            self.drain(window, rtt, queueing);
        }
    }

    /// What others queued is drained when it is as much as the least there was, to see the path's own delay again.
    /// Only a subflow that has its share queued can tell.
    fn drain(&mut self, window: &mut Window, rtt: Duration, queueing: Duration) {
        let least = self.queue_delay.map_or(queueing, |least| least.min(queueing));
        self.queue_delay = Some(least);
        if queueing >= least * 2 {
            let factor = self.base_rtt.as_secs_f64() / (2.0 * rtt.as_secs_f64());
            window.cwnd = (window.cwnd as f64 * factor) as u64;
            self.queue_delay = None;
        }
    }
}

impl Policy for Wvegas {
    const ALGORITHM: CongestionAlgorithm = CongestionAlgorithm::Wvegas;

    fn gain(&self, _own: &Own, _others: &[SiblingView]) -> f64 {
        1.0
    }

    fn on_ack(&mut self, window: &mut Window, sample: &AckSample, others: &[SiblingView]) {
        let (over, slow_start) = (self.count(sample), window.in_slow_start());
        // What slow start leaves of the ACK is not used: the window moves once in a round trip.
        window.slow_start(sample.newly_delivered);
        if over && let Some(rtt) = self.end_round() {
            let least = min_ssthresh(window.mss);
            let floor = least.min(window.cwnd);
            self.adjust(window, rtt, slow_start, others);
            window.cwnd = window.cwnd.max(floor);
            window.ssthresh = window.ssthresh.max(least);
        }
    }

    fn tell(&self, view: &mut SiblingView) {
        view.equilibrium_rate = self.rate;
    }
}
