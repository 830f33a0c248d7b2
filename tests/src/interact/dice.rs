//! Draws, in the shapes the suite needs.

use mpuser_engine::rng::Rng;
use mpuser_engine::time::Duration;
use mpuser_sim::random;

/// A generator for one purpose of one seed.
pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self(random::rng(seed, purpose))
    }

    /// 0 to below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound.max(1) as u32) as usize
    }

    /// True in `percent` of the cases.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From `low` to `high`, small numbers as likely as large ones: each doubling has the same share.
    pub(super) fn spread(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1) as f64;
        let exponent = f64::from(self.0.next_u32()) / f64::from(u32::MAX);
        (low * (high as f64 / low).powf(exponent)) as u64
    }

    /// As [`Self::spread`], in microseconds.
    pub(super) fn time(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.spread(low, high))
    }

    pub(super) fn share(&mut self, low: f64, high: f64) -> f64 {
        self.spread((low * 1e6) as u64, (high * 1e6) as u64) as f64 / 1e6
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }
}
