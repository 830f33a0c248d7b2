//! A set of offsets, kept as half-open ranges.

use alloc::vec::Vec;
use core::ops::Range;

/// A set of `u64` offsets, stored as sorted, disjoint, never touching ranges; at most as many as its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
    max_ranges: usize,
    covered: u64,
}

impl RangeSet {
    /// An empty set of at most `max_ranges` ranges (at least 1).
    #[must_use]
    pub const fn new(max_ranges: usize) -> Self {
        let max_ranges = if max_ranges == 0 { 1 } else { max_ranges };
        Self { ranges: Vec::new(), max_ranges, covered: 0 }
    }

    /// Adds `range`. False, and nothing changed, when that would take more ranges than allowed.
    pub fn insert(&mut self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        // The usual case: at the end of the last, or behind it.
        let from = match self.ranges.last() {
            Some(last) if range.start <= last.end => {
                self.ranges.partition_point(|r| r.end < range.start)
            }
            _ => self.ranges.len(),
        };
        let to = from + self.ranges.iter().skip(from).take_while(|r| r.start <= range.end).count();
        if from == to && self.ranges.len() >= self.max_ranges {
            return false;
        }
        let touched = self.ranges.get(from..to).unwrap_or(&[]);
        let merged =
            touched.iter().fold(range, |all, r| all.start.min(r.start)..all.end.max(r.end));
        let known: u64 = touched.iter().map(length).sum();
        self.covered += length(&merged) - known;
        self.ranges.splice(from..to, [merged]);
        true
    }

    /// Takes `range` out. False, and nothing changed, when the hole would take more ranges than allowed.
    pub fn remove(&mut self, range: Range<u64>) -> bool {
        if range.is_empty() {
            return true;
        }
        let from = self.ranges.partition_point(|r| r.end <= range.start);
        let to = from + self.ranges.iter().skip(from).take_while(|r| r.start < range.end).count();
        let touched = self.ranges.get(from..to).unwrap_or(&[]);
        let (Some(first), Some(last)) = (touched.first(), touched.last()) else { return true };
        let (left, right) = (first.start..range.start, range.end..last.end);
        let kept = [left, right].into_iter().filter(|r| !r.is_empty());
        if self.ranges.len() - touched.len() + kept.clone().count() > self.max_ranges {
            return false;
        }
        let known: u64 = touched.iter().map(length).sum();
        let rest: u64 = kept.clone().map(|r| length(&r)).sum();
        self.covered -= known - rest;
        self.ranges.splice(from..to, kept);
        true
    }

    /// `offset` is in the set.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        self.covering(offset).is_some()
    }

    /// All of `range` is in the set; an empty one always is.
    #[must_use]
    pub fn contains_range(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.covering(range.start).is_some_and(|r| range.end <= r.end)
    }

    fn covering(&self, offset: u64) -> Option<&Range<u64>> {
        let at = self.ranges.partition_point(|r| r.end <= offset);
        self.ranges.get(at).filter(|r| r.start <= offset)
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// The lowest range.
    #[must_use]
    pub fn first(&self) -> Option<Range<u64>> {
        self.ranges.first().cloned()
    }

    /// The highest range.
    #[must_use]
    pub fn last(&self) -> Option<Range<u64>> {
        self.ranges.last().cloned()
    }

    /// How many offsets are in the set.
    #[must_use]
    pub const fn covered(&self) -> u64 {
        self.covered
    }

    /// How many ranges they form.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Nothing is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.covered = 0;
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_limit_refuses_and_changes_nothing() {
        let mut set = RangeSet::new(2);
        assert!(set.insert(0..10) && set.insert(20..30));
        let before = set.clone();
        assert!(!set.insert(40..50) && !set.remove(5..6));
        assert_eq!(set, before);
        assert!(set.insert(10..20), "filling a gap needs no range");
        assert_eq!((set.len(), set.first(), set.covered()), (1, Some(0..30), 30));
        assert!(set.remove(5..25) && set.last() == Some(25..30));
        assert!(set.contains_range(&(25..30)) && !set.contains_range(&(4..6)));
        set.clear();
        assert!(set.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn agrees_with_a_set_of_numbers(
            ops in prop::collection::vec((any::<bool>(), 0u64..100, 0u64..20), 0..60),
            probe in 0u64..120, width in 0u64..10,
        ) {
            let (mut real, mut naive) = (RangeSet::new(1000), BTreeSet::new());
            for (insert, start, len) in ops {
                let range = start..start + len;
                if insert {
                    prop_assert!(real.insert(range.clone()));
                    naive.extend(range);
                } else {
                    prop_assert!(real.remove(range.clone()));
                    naive.retain(|n| !range.contains(n));
                }
                prop_assert_eq!(real.covered(), naive.len() as u64);
                prop_assert!(real.iter().flatten().eq(naive.iter().copied()));
                prop_assert!(real.ranges.windows(2).all(|w| w[0].end < w[1].start));
                prop_assert_eq!(real.contains(probe), naive.contains(&probe));
                prop_assert_eq!(real.contains_range(&(probe..probe + width)), (probe..probe + width).all(|n| naive.contains(&n)));
            }
        }
    }
}
