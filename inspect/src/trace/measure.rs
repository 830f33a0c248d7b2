//! Small measures: times, overlaps, delays.

use mpuser_engine::buffer::RangeSet;
use std::collections::BTreeMap;
use std::ops::Range;

/// Round trips: how many, the shortest, the longest, the mean; in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    /// Samples.
    pub count: u64,
    /// The shortest.
    pub min: i64,
    /// The longest.
    pub max: i64,
    /// The latest.
    pub last: i64,
    sum: i64,
}

impl Rtt {
    pub(super) const fn new() -> Self {
        Self { count: 0, min: i64::MAX, max: 0, last: 0, sum: 0 }
    }

    pub(super) fn sample(&mut self, time: i64) {
        let time = time.max(0);
        self.count += 1;
        self.last = time;
        self.min = self.min.min(time);
        self.max = self.max.max(time);
        self.sum = self.sum.saturating_add(time);
    }

    /// The mean, if there is a sample.
    #[must_use]
    pub fn mean(&self) -> Option<i64> {
        i64::try_from(self.count).ok().filter(|count| *count > 0).map(|count| self.sum / count)
    }
}

/// How many of `range` are in `set`.
pub(super) fn overlap(set: &RangeSet, range: Range<u64>) -> u64 {
    if range.is_empty() || set.last().is_none_or(|last| last.end <= range.start) {
        return 0;
    }
    let common = |r: Range<u64>| r.end.min(range.end).saturating_sub(r.start.max(range.start));
    set.iter().rev().take_while(|r| r.end > range.start).map(common).sum()
}

/// Adds `range`; where that would be too many ranges, the lowest hole is forgotten. Gives how many octets are new.
pub(super) fn add(set: &mut RangeSet, range: Range<u64>) -> u64 {
    let new = (range.end - range.start) - overlap(set, range.clone());
    if !set.insert(range.clone()) {
        let mut all = set.iter();
        if let (Some(first), Some(second)) = (all.next(), all.next()) {
            drop(all);
            set.insert(first.end..second.start);
            set.insert(range);
        }
    }
    new
}

/// How long data waits for data before it: the price of several paths.
pub(super) struct Ordering {
    /// The first octet that has not come.
    pub(super) next: u64,
    /// What has come ahead of it: where it ends, when, in which packet.
    pub(super) ahead: BTreeMap<u64, (u64, Option<i64>, u64)>,
    /// Octets that had to wait.
    pub(super) waited: u64,
    /// Time they waited, octet by octet added up, in nanosecond octets.
    sum: u128,
    /// The longest wait.
    pub(super) longest: i64,
    /// Octets in all.
    total: u64,
}

/// So much may be ahead.
const MOST_AHEAD: usize = 1 << 16;

impl Ordering {
    pub(super) const fn new() -> Self {
        Self { next: 1, ahead: BTreeMap::new(), waited: 0, sum: 0, longest: 0, total: 0 }
    }

    /// `range` has come at `time`.
    pub(super) fn arrived(&mut self, range: Range<u64>, time: Option<i64>, packet: u64) {
        if range.end <= self.next {
            return;
        }
        self.total += range.end - range.start.max(self.next);
        if range.start > self.next {
            if self.ahead.len() < MOST_AHEAD {
                let entry = self.ahead.entry(range.start).or_insert((range.end, time, packet));
                entry.0 = entry.0.max(range.end);
            }
            return;
        }
        self.next = range.end;
        while let Some((start, (end, since, _))) =
            self.ahead.first_key_value().map(|(k, v)| (*k, *v))
        {
            if start > self.next {
                break;
            }
            self.ahead.pop_first();
            if end > self.next {
                if let (Some(since), Some(now)) = (since, time) {
                    let wait = now.saturating_sub(since).max(0);
                    self.waited += end - self.next;
                    self.longest = self.longest.max(wait);
                    self.sum += u128::from(wait.unsigned_abs()) * u128::from(end - self.next);
                }
                self.next = end;
            }
        }
    }

    /// The mean wait of an octet, in nanoseconds.
    pub(super) fn mean(&self) -> i64 {
        let mean = self.sum.checked_div(u128::from(self.total)).unwrap_or_default();
        i64::try_from(mean).unwrap_or(i64::MAX)
    }
}
