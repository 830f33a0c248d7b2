//! Random early detection (Floyd and Jacobson 1993), gentle (Floyd 2000).

use mpuser_engine::time::{Duration, Instant};

/// How early, and how much. Lengths are in packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RedConfig {
    /// Below this mean length nothing is dropped.
    pub min: f64,
    /// At this mean length packets are dropped with probability `p`, at twice it all are.
    pub max: f64,
    /// Probability at `max`.
    pub p: f64,
    /// Weight of the length now in the mean; 0.002 in the paper.
    pub weight: f64,
}

/// The state of the algorithm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Red {
    mean: f64,
    /// Packets since the last that was dropped.
    since: u32,
    /// Since when nothing has waited.
    empty: Option<Instant>,
}

/// A packet's time on the link, for the time in which the queue was empty: 1500 octets at 10 Mbit/s. The paper asks
/// for "a typical small packet"; what counts is that a long pause empties the mean.
const TYPICAL: Duration = Duration::from_micros(1_200);

impl Red {
    /// The probability with which a packet that finds `len` others is to be dropped.
    pub(super) fn probability(&mut self, now: Instant, len: usize, config: &RedConfig) -> f64 {
        if let Some(since) = self.empty.take().filter(|_| len == 0) {
            let packets = now.saturating_since(since).as_secs_f64() / TYPICAL.as_secs_f64();
            self.mean *= (1.0 - config.weight).powf(packets);
        }
        self.mean += config.weight * (len as f64 - self.mean);
        if self.mean < config.min {
            self.since = 0;
            return 0.0;
        }
        self.since = self.since.saturating_add(1);
        let share = |from: f64, to: f64| (self.mean - from) / (to - from).max(f64::MIN_POSITIVE);
        if self.mean >= config.max {
            return (config.p + (1.0 - config.p) * share(config.max, 2.0 * config.max)).min(1.0);
        }
        let p = config.p * share(config.min, config.max);
        // spreads drops evenly instead of geometrically
        let left = 1.0 - f64::from(self.since) * p;
        if left > 0.0 { (p / left).min(1.0) } else { 1.0 }
    }

    /// The packet was dropped. Always true.
    pub(super) const fn dropped(&mut self) -> bool {
        self.since = 0;
        true
    }

    /// Nothing waits any more.
    pub(super) const fn empty_since(&mut self, now: Instant) {
        self.empty = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probability_grows_with_the_mean_length() {
        let config = RedConfig { min: 5.0, max: 15.0, p: 0.1, weight: 0.002 };
        let settle = |len: usize| {
            let mut red = Red::default();
            (0..10_000).for_each(|_| {
                red.probability(Instant::ZERO, len, &config);
                red.dropped();
            });
            red.probability(Instant::ZERO, len, &config)
        };
        assert!(settle(4).abs() < 1e-12);
        // the first packet after a drop: p / (1 - p)
        assert!((settle(10) - 0.05 / 0.95).abs() < 1e-3, "{}", settle(10));
        assert!((settle(15) - 0.1).abs() < 2e-2);
        assert!((settle(20) - (0.1 + 0.9 / 3.0)).abs() < 1e-2);
        assert!((settle(40) - 1.0).abs() < 1e-12);
        // a burst is let through, and a pause forgets
        let mut red = Red::default();
        assert!((0..50).all(|len| red.probability(Instant::ZERO, len, &config) == 0.0));
        for _ in 0..10_000 {
            red.probability(Instant::ZERO, 12, &config);
        }
        red.empty_since(Instant::ZERO);
        assert!(red.probability(Instant::from_millis(10_000), 0, &config).abs() < 1e-12);
    }
}
