//! Mappings this end announced on one subflow (RFC 8684 3.3.1), and what became of the octets they cover.

use alloc::collections::VecDeque;
use core::ops::Range;

/// One mapping announced, in offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentMapping {
    /// First octet, as an offset of the subflow's stream.
    pub(crate) start: u64,
    /// Octets covered.
    pub(crate) len: u32,
    /// Data offset of the first octet.
    pub(crate) data: u64,
    /// DSS checksum, when in use.
    pub(crate) checksum: Option<u16>,
    /// Its octets were queued for another subflow already.
    reinjected: bool,
}

impl SentMapping {
    pub(crate) const fn new(start: u64, len: u32, data: u64, checksum: Option<u16>) -> Self {
        Self { start, len, data, checksum, reinjected: false }
    }

    const fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    const fn data_range(&self) -> Range<u64> {
        self.data..self.data + self.len as u64
    }
}

/// The announced mappings of a subflow, by stream offset. An entry stays until its octets are acknowledged by the
/// subflow and at data level ([DACK-4] [DACK-10]); once announced it never changes [DSS-4].
#[derive(Debug, Default)]
pub(crate) struct SentMappings(VecDeque<SentMapping>);

impl SentMappings {
    pub(crate) fn push(&mut self, mapping: SentMapping) {
        self.0.push_back(mapping);
    }

    /// The mapping of the octet at this stream offset.
    pub(crate) fn at(&self, offset: u64) -> Option<&SentMapping> {
        let index = self.0.partition_point(|m| m.end() <= offset);
        self.0.get(index).filter(|m| m.start <= offset)
    }

    /// The data offset of the octet at this stream offset.
    pub(crate) fn data_at(&self, offset: u64) -> Option<u64> {
        let mapping = self.at(offset)?;
        Some(mapping.data + (offset - mapping.start))
    }

    /// Drops what both levels acknowledged: the subflow up to `una`, the data level up to `data_una`.
    pub(crate) fn on_ack(&mut self, una: u64, data_una: u64) {
        while self.0.front().is_some_and(|m| m.end() <= una && m.data_range().end <= data_una) {
            self.0.pop_front();
        }
    }

    /// Data ranges not acknowledged at data level and not yet queued for another subflow; they count as queued
    /// from now on.
    pub(crate) fn take_unacknowledged(
        &mut self,
        data_una: u64,
    ) -> impl Iterator<Item = Range<u64>> {
        self.0.iter_mut().filter_map(move |m| {
            let waiting = !m.reinjected && m.data_range().end > data_una;
            m.reinjected |= waiting;
            let range = m.data_range();
            #[cfg(feature = "mutations")]
            let range = crate::mutations::reinjected(range);
            waiting.then_some(range)
        })
    }

    /// What the subflow delivered (up to `una`) of the first octets missing at data level ([DACK-14], K30).
    pub(crate) fn delivered_hole(&self, una: u64, data_una: u64) -> Option<Range<u64>> {
        let delivered = self.0.iter().take_while(|m| m.end() <= una);
        let hole = delivered.into_iter().find(|m| m.data_range().contains(&data_una))?;
        Some(data_una..hole.data_range().end)
    }

    /// The octet missing first at data level is on its way on this subflow, which delivered up to `una`.
    pub(crate) fn carries(&self, una: u64, data_una: u64) -> bool {
        let begin = self.0.partition_point(|m| m.end() <= una);
        self.0.range(begin..).any(|m| m.data_range().contains(&data_una))
    }

    /// The subflow delivered (up to `una`) the very octet the data level waits for.
    pub(crate) fn has_delivered(&self, una: u64, data_una: u64) -> bool {
        self.delivered_hole(una, data_una).is_some()
    }

    /// Mappings of which the subflow delivered octets (up to `una`) that the data level did not acknowledge.
    pub(crate) fn count_delivered(&self, una: u64, data_una: u64) -> usize {
        let touched = self.0.iter().take_while(|m| m.start < una);
        touched.filter(|m| m.data_range().end > data_una).count()
    }

    /// The subflow works again: what is still in flight may be reinjected anew should it stall again.
    pub(crate) fn forget_reinjections(&mut self) {
        for mapping in &mut self.0 {
            mapping.reinjected = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn two() -> SentMappings {
        let mut sent = SentMappings::default();
        sent.push(SentMapping::new(0, 100, 1_000, None));
        sent.push(SentMapping::new(100, 50, 5_000, None));
        sent
    }

    #[test]
    fn an_offset_finds_its_mapping() {
        let sent = two();
        assert_eq!(sent.at(99).map(|m| m.data), Some(1_000));
        assert_eq!(sent.at(100).map(|m| m.data), Some(5_000));
        assert_eq!(sent.at(150), None);
    }

    /// RFC 8684 3.3.2, 3.3.6 [DACK-4] [DACK-10]: both acknowledgements are needed.
    #[test]
    fn a_mapping_is_kept_until_both_levels_acknowledged_it() {
        let mut sent = two();
        sent.on_ack(100, 0);
        assert!(sent.at(0).is_some());
        sent.on_ack(0, 1_100);
        assert!(sent.at(0).is_some());
        sent.on_ack(100, 1_100);
        assert!(sent.at(0).is_none() && sent.at(100).is_some());
    }

    #[test]
    fn unacknowledged_ranges_are_handed_out_once() {
        let mut sent = two();
        let ranges: Vec<_> = sent.take_unacknowledged(1_050).collect();
        assert_eq!(ranges, [1_000..1_100, 5_000..5_050]);
        assert_eq!(sent.take_unacknowledged(1_050).count(), 0);
        sent.forget_reinjections();
        assert_eq!(sent.take_unacknowledged(1_100).count(), 1);
        assert_eq!(sent.delivered_hole(100, 1_040), Some(1_040..1_100));
        assert_eq!(sent.delivered_hole(99, 1_040), None);
        assert!(sent.carries(99, 1_040) && !sent.carries(100, 1_040) && sent.carries(100, 5_000));
    }

    #[test]
    fn mappings_in_doubt_are_counted() {
        let sent = two();
        let counts = [(0, 0), (1, 0), (100, 0), (101, 0), (150, 1_099), (150, 1_100), (150, 5_050)];
        assert_eq!(
            counts.map(|(una, data)| sent.count_delivered(una, data)),
            [0, 1, 1, 2, 2, 1, 0]
        );
    }
}
