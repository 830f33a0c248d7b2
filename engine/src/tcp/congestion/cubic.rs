//! CUBIC (RFC 9438), with HyStart++ (RFC 9406) in the initial slow start.
//!
//! All in integers: octets and microseconds. The constants C = 0.4 and beta = 0.7 are fractions below.

use super::hystart::{Growth, HyStart};
use super::{
    AckSample, CongestionControl, CongestionEvent, CoupledView, initial_window, min_ssthresh,
    segment_size,
};
use crate::time::{Duration, Instant};

/// beta = 7/10: what remains of the window after a loss (RFC 9438 4.6).
const BETA: (u64, u64) = (7, 10);
/// (1 + beta) / 2 = 17/20: the plateau after a loss below the last one (fast convergence, RFC 9438 4.7).
const FAST_CONVERGENCE: (u64, u64) = (17, 20);
/// alpha = 3 (1 - beta) / (1 + beta) = 9/17: Reno's growth for CUBIC's decrease (RFC 9438 4.3).
const ALPHA: (u128, u128) = (9, 17);
/// Fraction bits of the Reno estimate.
const ESTIMATE_BITS: u32 = 16;
/// 10/4 * 10^18: 1/C with seconds cubed in microseconds.
const INVERSE_C: u128 = 2_500_000_000_000_000_000;
/// Longest time from the plateau that matters, in microseconds: the window has no bound by then.
const MAX_DISTANCE: i128 = 10_000_000_000;

/// One congestion avoidance stage.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// Its beginning; moved on by the time in which the window was not used.
    start: Instant,
    /// Time from the beginning to the plateau, microseconds.
    k: u64,
    /// Window of the plateau, octets.
    origin: u64,
    /// Reno's window, octets shifted by [`ESTIMATE_BITS`].
    estimate: u128,
    /// Fraction of an octet left over: numerator over the window.
    remainder: u128,
}

/// What a decrease changes, to take it back.
#[derive(Clone, Copy, Debug)]
struct Prior {
    cwnd: u64,
    ssthresh: u64,
    w_max: u64,
    cwnd_prior: u64,
    epoch: Option<Epoch>,
}

/// CUBIC.
#[derive(Clone, Debug)]
pub(super) struct Cubic {
    mss: u64,
    cwnd: u64,
    ssthresh: u64,
    w_max: u64,
    /// Window before the last decrease.
    cwnd_prior: u64,
    epoch: Option<Epoch>,
    last_ack: Instant,
    hystart: HyStart,
    in_fast_recovery: bool,
    timed_out: bool,
    prior: Option<Prior>,
}

impl Cubic {
    /// The initial window of RFC 6928; `mss` in octets.
    #[must_use]
    pub(super) fn new(mss: u32) -> Self {
        let mss = segment_size(mss);
        Self {
            mss,
            cwnd: initial_window(mss),
            ssthresh: u64::MAX,
            w_max: 0,
            cwnd_prior: 0,
            epoch: None,
            last_ack: Instant::ZERO,
            hystart: HyStart::default(),
            in_fast_recovery: false,
            timed_out: false,
            prior: None,
        }
    }

    /// Slow start; returns the octets left for congestion avoidance.
    fn slow_start(&mut self, sample: &AckSample) -> u64 {
        let acked = sample.newly_delivered;
        let growth = if self.ssthresh == u64::MAX {
            self.hystart.on_ack(sample, self.cwnd / self.mss)
        } else {
            Growth::By(acked)
        };
        match growth {
            Growth::Done => {
                self.ssthresh = self.cwnd;
                acked
            }
            Growth::By(octets) => {
                let grow = octets.min(self.ssthresh - self.cwnd);
                self.cwnd += grow;
                octets - grow
            }
        }
    }

    fn begin_epoch(&self, now: Instant) -> Epoch {
        // Above the old plateau, and after a timeout, the stage begins on its own plateau (RFC 9438 4.8).
        let origin = self.w_max.max(self.cwnd);
        let distance = u128::from(origin - self.cwnd) * INVERSE_C / u128::from(self.mss);
        let estimate = u128::from(self.cwnd) << ESTIMATE_BITS;
        Epoch { start: now, k: cube_root(distance), origin, estimate, remainder: 0 }
    }

    /// W_cubic: the window `elapsed` into the stage (RFC 9438 4.2).
    fn w_cubic(&self, epoch: &Epoch, elapsed: Duration) -> u64 {
        let elapsed = i128::try_from(elapsed.as_micros()).unwrap_or(i128::MAX);
        let t = elapsed.saturating_sub(i128::from(epoch.k)).clamp(-MAX_DISTANCE, MAX_DISTANCE);
        let offset = t * t * t * i128::from(self.mss) / INVERSE_C as i128;
        u64::try_from((i128::from(epoch.origin) + offset).max(0)).unwrap_or(u64::MAX)
    }

    fn congestion_avoidance(&mut self, sample: &AckSample, acked: u64) {
        let mut epoch = self.epoch.unwrap_or_else(|| self.begin_epoch(sample.now));
        let elapsed = sample.now.saturating_since(epoch.start);
        let cwnd = u128::from(self.cwnd);
        let mut reno = (u128::from(acked) * u128::from(self.mss)) << ESTIMATE_BITS;
        if (epoch.estimate >> ESTIMATE_BITS) < u128::from(self.cwnd_prior) {
            reno = reno * ALPHA.0 / ALPHA.1;
        }
        epoch.estimate += reno / cwnd;
        let estimate = u64::try_from(epoch.estimate >> ESTIMATE_BITS).unwrap_or(u64::MAX);
        if self.w_cubic(&epoch, elapsed) < estimate {
            // Reno-friendly region (RFC 9438 4.3).
            self.cwnd = self.cwnd.max(estimate);
        } else {
            // Concave and convex regions (RFC 9438 4.4, 4.5): reach the curve one RTT ahead.
            let ahead = elapsed + sample.srtt.unwrap_or_default();
            let ceiling = self.cwnd.saturating_add(self.cwnd / 2);
            let target = self.w_cubic(&epoch, ahead).clamp(self.cwnd, ceiling);
            let gain = u128::from(target - self.cwnd) * u128::from(acked) + epoch.remainder;
            epoch.remainder = gain % cwnd;
            self.cwnd = self.cwnd.saturating_add(u64::try_from(gain / cwnd).unwrap_or(u64::MAX));
        }
        self.epoch = Some(epoch);
    }

    fn decrease(&mut self) {
        self.prior = Some(Prior {
            cwnd: self.cwnd,
            ssthresh: self.ssthresh,
            w_max: self.w_max,
            cwnd_prior: self.cwnd_prior,
            epoch: self.epoch.take(),
        });
        // RFC 9438 4.6 takes the flight size, or cwnd where it grows only when used, as here.
        self.ssthresh = scale(self.cwnd, BETA).max(min_ssthresh(self.mss));
        self.cwnd_prior = self.cwnd;
        let converge = self.cwnd < self.w_max;
        self.w_max = if converge { scale(self.cwnd, FAST_CONVERGENCE) } else { self.cwnd };
    }
}

impl CongestionControl for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn window(&self) -> u64 {
        self.cwnd
    }

    fn ssthresh(&self) -> u64 {
        self.ssthresh
    }

    fn on_ack(&mut self, sample: &AckSample, _coupled: &CoupledView<'_>) {
        let since_last = sample.now.saturating_since(self.last_ack);
        self.last_ack = sample.now;
        if sample.newly_acked == 0 {
            return;
        }
        self.timed_out = false;
        if self.in_fast_recovery {
            return;
        }
        if !sample.cwnd_limited {
            // The curve stands still while the window is not used (RFC 9438 5.8).
            if let Some(epoch) = &mut self.epoch {
                epoch.start = (epoch.start + since_last).min(sample.now);
            }
            return;
        }
        let mut acked = sample.newly_delivered;
        if self.cwnd < self.ssthresh {
            acked = self.slow_start(sample);
        }
        if self.cwnd >= self.ssthresh && acked > 0 {
            self.congestion_avoidance(sample, acked);
        }
    }

    fn on_congestion(&mut self, _event: &CongestionEvent, _coupled: &CoupledView<'_>) {
        self.decrease();
        self.cwnd = self.ssthresh;
        self.in_fast_recovery = true;
    }

    fn on_retransmission_timeout(&mut self, _event: &CongestionEvent, _coupled: &CoupledView<'_>) {
        // The threshold is kept while the same segment times out again (RFC 5681 3.1).
        if !self.timed_out {
            self.decrease();
        }
        self.timed_out = true;
        self.in_fast_recovery = false;
        self.cwnd = self.mss;
        self.w_max = 0;
        self.epoch = None;
    }

    fn on_recovery_exit(&mut self, _now: Instant) {
        self.in_fast_recovery = false;
    }

    fn undo(&mut self) {
        if let Some(prior) = self.prior.take() {
            self.cwnd = self.cwnd.max(prior.cwnd);
            self.ssthresh = self.ssthresh.max(prior.ssthresh);
            self.w_max = self.w_max.max(prior.w_max);
            self.cwnd_prior = prior.cwnd_prior;
            self.epoch = prior.epoch;
        }
        self.in_fast_recovery = false;
        self.timed_out = false;
    }

    fn on_idle_restart(&mut self, idle: Duration, rto: Duration) {
        (self.cwnd, self.ssthresh) =
            super::restart_window(self.cwnd, self.ssthresh, self.mss, idle > rto);
        self.epoch = None;
    }

    fn on_handshake_loss(&mut self) {
        self.cwnd = self.mss;
    }

    fn penalise(&mut self, factor: f64) {
        (self.cwnd, self.ssthresh) = super::penalised(self.cwnd, self.ssthresh, self.mss, factor);
    }

    fn set_mss(&mut self, mss: u32) {
        let mss = segment_size(mss);
        self.cwnd = super::rescale(self.cwnd, self.mss, mss);
        self.mss = mss;
        self.epoch = None;
    }
}

fn scale(value: u64, (numerator, denominator): (u64, u64)) -> u64 {
    value / denominator * numerator + value % denominator * numerator / denominator
}

/// The largest integer whose cube is not above `value`; exact up to 2^126.
fn cube_root(value: u128) -> u64 {
    let mut root = 0u128;
    for bit in (0..42).rev() {
        let candidate = root | 1 << bit;
        if candidate * candidate * candidate <= value {
            root = candidate;
        }
    }
    root as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn cube_root_is_exact(root in 0u64..1 << 42, below in 0u128..1000) {
            let cube = u128::from(root).pow(3);
            prop_assert_eq!(cube_root(cube), root);
            if root > 50 {
                prop_assert_eq!(cube_root(cube - 1 - below), root - 1);
            }
        }
    }

    #[test]
    fn fractions_do_not_overflow() {
        assert_eq!((scale(u64::MAX, BETA), scale(19, BETA)), (u64::MAX / 10 * 7 + 3, 13));
    }
}
