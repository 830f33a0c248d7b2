//! How often something may happen: so many at once, then one per interval.

use crate::time::{Duration, Instant};

/// A token bucket, kept as the moment at which it will be full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    burst: u32,
    interval: Duration,
    full_at: Instant,
}

impl Rate {
    /// `burst` at once (at least 1), then one per `interval`.
    pub(super) const fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, full_at: Instant::ZERO }
    }

    /// The moment at which the next one may happen; `now` or earlier means now.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        let slack = self.interval * self.burst.saturating_sub(1);
        now + self.full_at.saturating_since(now + slack)
    }

    /// Takes one if it may happen now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let ready = self.ready_at(now) <= now;
        if ready {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_per_interval() {
        let mut rate = Rate::new(3, Duration::from_secs(1));
        let start = Instant::from_millis(500);
        assert_eq!((0..10).filter(|_| rate.take(start)).count(), 3);
        assert_eq!(rate.ready_at(start), start + Duration::from_secs(1));
        let later = start + Duration::from_millis(1_000);
        assert_eq!((0..10).filter(|_| rate.take(later)).count(), 1);
        let rested = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| rate.take(rested)).count(), 3, "no more than the burst");
    }
}
