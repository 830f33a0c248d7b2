//! The mappings one end of a subflow has announced, and their checksums.

use mpuser_engine::buffer::RangeSet;
use mpuser_engine::wire::Checksum;
use std::collections::BTreeMap;

/// So many are kept; the oldest go first.
const MOST: usize = 4096;
/// So many mappings with checksums may be incomplete, each of them up to 64 KiB.
const MOST_OPEN: usize = 64;

/// One mapping.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// Octets of data; a DATA_FIN is not counted.
    pub(super) len: u64,
    /// Relative data sequence number of the first.
    pub(super) dsn: i64,
    /// The packet that announced it.
    pub(super) packet: u64,
    /// The checksum, until it is judged.
    pub(super) checksum: Option<Sum>,
    /// What it has to be, once known.
    pub(super) right: Option<u16>,
}

/// A checksum to be verified.
#[derive(Clone, Debug)]
pub(super) struct Sum {
    /// The full data sequence number.
    pub(super) data_seq: u64,
    /// As it stands in the option.
    pub(super) ssn: u32,
    /// Likewise.
    pub(super) data_len: u16,
    /// Likewise.
    pub(super) checksum: u16,
    held: Option<(Vec<u8>, RangeSet)>,
    /// Packets that repeat the mapping with other checksums.
    others: Vec<(u64, u16)>,
}

/// So many repetitions with other checksums are judged.
const MOST_OTHERS: usize = 8;

impl Sum {
    pub(super) const fn new(data_seq: u64, ssn: u32, data_len: u16, checksum: u16) -> Self {
        Self { data_seq, ssn, data_len, checksum, held: None, others: Vec::new() }
    }

    /// The same for the `len` octets alone: Linux adds a DATA_FIN to the length of a mapping when it repeats it behind the
    /// last of several segments, and takes it off the checksum.
    pub(super) fn without_fin(self, len: u64) -> Self {
        if u64::from(self.data_len) != len + 1 {
            return self;
        }
        let (sum, carry) = self.checksum.overflowing_add(1);
        Self { data_len: self.data_len - 1, checksum: sum + u16::from(carry), ..self }
    }

    /// It is right for these octets.
    pub(super) fn fits(&self, data: &[u8]) -> bool {
        self.with_fits(self.checksum, data)
    }

    /// What is to be said of it and of its repetitions, and the checksum that is right, if one of them is.
    fn judge(&self, packet: u64, data: &[u8]) -> (Option<u16>, Vec<Verdict>) {
        let mut right = None;
        let all = std::iter::once((packet, self.checksum)).chain(self.others.iter().copied());
        let judged = all
            .map(|(packet, checksum)| {
                if self.with_fits(checksum, data) {
                    right = Some(checksum);
                    Verdict::Right
                } else {
                    Verdict::Wrong(packet)
                }
            })
            .collect();
        (right, judged)
    }

    fn with_fits(&self, checksum: u16, data: &[u8]) -> bool {
        let mut payload = Checksum::new();
        payload.add_bytes(data);
        mpuser_engine::wire::dss_checksum_valid(
            mpuser_engine::seq::DataSeq(self.data_seq),
            mpuser_engine::seq::SubflowSeq(self.ssn),
            self.data_len,
            payload,
            checksum,
        )
    }
}

/// What became of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong(u64),
}

/// How an announcement goes with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insert {
    /// There was none for these octets.
    New,
    /// It repeats what was said.
    Again,
    /// The packet that said otherwise.
    Conflict(u64),
    /// It repeats what was said, with a checksum that is known to be wrong.
    OtherSum,
}

/// By relative subflow sequence number.
#[derive(Default)]
pub(super) struct Mappings {
    all: BTreeMap<i64, Mapping>,
    open: usize,
}

impl Mappings {
    pub(super) const fn new() -> Self {
        Self { all: BTreeMap::new(), open: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes a mapping of the octets from `start` on.
    pub(super) fn insert(&mut self, start: i64, mapping: Mapping) -> Insert {
        let end = start + mapping.len.cast_signed();
        let mut again = false;
        for (at, old) in self.all.range_mut(..end).rev() {
            let old_end = at + old.len.cast_signed();
            if old_end <= start {
                // mappings overlap little: the next ones are before this one
                break;
            }
            if old.dsn - at != mapping.dsn - start {
                return Insert::Conflict(old.packet);
            }
            if let (true, Some(new)) = (*at == start && old.len == mapping.len, &mapping.checksum) {
                match (&mut old.checksum, old.right) {
                    (Some(sum), _)
                        if sum.checksum != new.checksum && sum.others.len() < MOST_OTHERS =>
                    {
                        sum.others.push((mapping.packet, new.checksum));
                    }
                    (None, Some(right)) if right != new.checksum => return Insert::OtherSum,
                    _ => {}
                }
            }
            again |= *at <= start && old_end >= end;
        }
        if again {
            return Insert::Again;
        }
        // a longer one takes the place of those within it, so that ends are in the order of beginnings
        while let Some(at) = self.all.range(start..end).next().map(|(at, _)| *at) {
            let old = self.all.remove(&at);
            self.gone(old);
        }
        self.all.insert(start, mapping);
        if self.all.len() > MOST {
            let old = self.all.pop_first().map(|(_, old)| old);
            self.gone(old);
        }
        Insert::New
    }

    fn gone(&mut self, old: Option<Mapping>) {
        let held = old.and_then(|map| map.checksum).is_some_and(|sum| sum.held.is_some());
        self.open -= usize::from(held);
    }

    /// The parts of `start..end` that are mapped: where each begins, how long it is, its data sequence number.
    pub(super) fn pieces(&self, start: i64, end: i64) -> Vec<(i64, i64, i64)> {
        let mut found = Vec::new();
        let mut upto = end;
        for (at, mapping) in self.all.range(..end).rev() {
            let from = start.max(*at);
            let to = upto.min(at + mapping.len.cast_signed());
            if from < to {
                found.push((from, to - from, mapping.dsn + (from - at)));
                upto = from;
            } else if at + mapping.len.cast_signed() <= start {
                break;
            }
        }
        found.reverse();
        found
    }

    /// The packet with the mapping to `to` that would continue the one before it, and be continued, if it was to `from`.
    pub(super) fn misplaced(&self, from: i64, to: i64) -> Option<u64> {
        let (start, found) = self.all.iter().find(|(_, mapping)| mapping.dsn == to)?;
        let len = found.len.cast_signed();
        let before = self.all.range(..start).next_back();
        let continues = before.is_some_and(|(at, old)| {
            at + old.len.cast_signed() == *start && old.dsn + old.len.cast_signed() == from
        });
        let after = self.all.get(&(start + len));
        let continued = after.is_some_and(|next| next.dsn == from + len);
        (continues && continued).then_some(found.packet)
    }

    /// Octets from `start` on have come; gives the checksums that can now be judged.
    pub(super) fn octets(&mut self, start: i64, data: &[u8]) -> Vec<Verdict> {
        let end = start + data.len() as i64;
        let mut verdicts = Vec::new();
        for (at, mapping) in self.all.range_mut(..end).rev() {
            let map_end = at + mapping.len.cast_signed();
            if map_end <= start {
                break;
            }
            let Some(sum) = &mut mapping.checksum else { continue };
            let from = start.max(*at);
            let to = end.min(map_end);
            let part = |a: i64, b: i64| {
                let index = |n: i64| usize::try_from(n - start).unwrap_or_default();
                data.get(index(a)..index(b)).unwrap_or_default()
            };
            let packet = mapping.packet;
            let right = if from == *at && to == map_end {
                Some(sum.judge(packet, part(from, to)))
            } else {
                if sum.held.is_none() {
                    if self.open >= MOST_OPEN {
                        continue;
                    }
                    self.open += 1;
                    let len = usize::try_from(mapping.len).unwrap_or_default();
                    sum.held = Some((vec![0; len], RangeSet::new(64)));
                }
                let Some((held, have)) = &mut sum.held else { continue };
                let into = usize::try_from(from - at).unwrap_or_default();
                let bytes = part(from, to);
                if let Some(space) = held.get_mut(into..into + bytes.len()) {
                    space.copy_from_slice(bytes);
                    have.insert(into as u64..(into + bytes.len()) as u64);
                }
                let whole = have.covered() == mapping.len;
                if whole {
                    let held = std::mem::take(held);
                    Some(sum.judge(packet, &held))
                } else {
                    None
                }
            };
            if let Some((right, judged)) = right {
                self.open -= usize::from(sum.held.is_some());
                mapping.checksum = None;
                mapping.right = right;
                verdicts.extend(judged);
            }
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpuser_engine::seq::{DataSeq, SubflowSeq};

    /// "abcd" as one mapping over two segments; `lens` are the lengths in the options, 5 with a DATA_FIN.
    fn verdicts(lens: [u16; 2], spoilt: u16) -> Vec<Verdict> {
        let mut maps = Mappings::new();
        let mut verdicts = Vec::new();
        for (packet, len) in (1..).zip(lens) {
            let mut payload = Checksum::new();
            payload.add_bytes(b"abcd");
            let sum = mpuser_engine::wire::dss_checksum(DataSeq(1000), SubflowSeq(1), len, payload);
            let spoilt = if packet == 2 { spoilt } else { 0 };
            let sum = Sum::new(1000, 1, len, sum ^ spoilt).without_fin(4);
            let right = None;
            maps.insert(0, Mapping { len: 4, dsn: 0, packet, checksum: Some(sum), right });
            let at = 2 * (packet as usize - 1);
            verdicts.extend(maps.octets(at as i64, &b"abcd"[at..at + 2]));
        }
        verdicts
    }

    /// RFC 8684 3.3.3 [FIN-1]: the octets are the same, the checksum is another one.
    #[test]
    fn a_repeated_mapping_may_gain_a_data_fin() {
        for lens in [[4, 4], [4, 5], [5, 4], [5, 5]] {
            let found = verdicts(lens, 0);
            assert!(!found.is_empty() && found.iter().all(|v| *v == Verdict::Right), "{found:?}");
            assert!(verdicts(lens, 0x0100).contains(&Verdict::Wrong(2)), "{lens:?}");
        }
    }
}
