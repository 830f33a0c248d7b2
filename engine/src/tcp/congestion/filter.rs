//! What BBR remembers of a path: the most and the least of late.

use crate::time::{Duration, Instant};

/// Rounds a measurement of bandwidth counts.
const ROUNDS: usize = 10;
/// Time after which the path's RTT has to be seen anew.
const LIFETIME: Duration = Duration::from_secs(10);

/// The largest of the measurements of this round and the nine before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundMax {
    rounds: [u64; ROUNDS],
    current: usize,
    max: u64,
}

impl RoundMax {
    pub(super) fn add(&mut self, value: u64) {
        if let Some(round) = self.rounds.get_mut(self.current) {
            *round = value.max(*round);
        }
        self.max = self.max.max(value);
    }

    /// A new round begins, and the oldest is forgotten. What was the maximum stays so until something is measured.
    pub(super) fn next_round(&mut self) {
        self.current = (self.current + 1) % ROUNDS;
        if let Some(round) = self.rounds.get_mut(self.current) {
            *round = 0;
        }
        let rest = self.rounds.iter().copied().max().filter(|max| *max > 0);
        self.max = rest.unwrap_or(self.max);
    }

    pub(super) const fn get(&self) -> u64 {
        self.max
    }
}

/// The smallest RTT; after ten seconds without one as small, the next is believed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MinFilter {
    least: Option<(Duration, Instant)>,
}

impl MinFilter {
    /// True when the minimum had expired.
    pub(super) fn add(&mut self, now: Instant, sample: Option<Duration>) -> bool {
        let expired = self.least.is_some_and(|(_, at)| now > at + LIFETIME);
        if let Some(sample) = sample.filter(|rtt| !rtt.is_zero())
            && (expired || self.least.is_none_or(|(least, _)| sample <= least))
        {
            self.least = Some((sample, now));
        }
        expired
    }

    /// The minimum was seen again.
    pub(super) fn renew(&mut self, now: Instant) {
        self.least = self.least.map(|(least, _)| (least, now));
    }

    pub(super) fn get(&self) -> Option<Duration> {
        self.least.map(|(least, _)| least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_lasts_ten_rounds() {
        let mut max = RoundMax::default();
        max.add(100);
        for _ in 0..9 {
            max.next_round();
            max.add(50);
            assert_eq!(max.get(), 100);
        }
        max.next_round();
        assert_eq!(max.get(), 50);
        // Nothing measured for long: better an old value than none.
        (0..20).for_each(|_| max.next_round());
        assert_eq!(max.get(), 50);
    }

    #[test]
    fn the_minimum_expires() {
        let ms = Duration::from_millis;
        let mut min = MinFilter::default();
        assert!(!min.add(Instant::from_millis(0), Some(ms(20))));
        assert!(!min.add(Instant::from_millis(9_000), Some(ms(30))));
        assert_eq!(min.get(), Some(ms(20)));
        assert!(min.add(Instant::from_millis(10_001), Some(ms(30))));
        assert_eq!(min.get(), Some(ms(30)));
    }
}
