//! DSS mappings a subflow's peer announced: which data-level octets its stream octets are (RFC 8684 3.3.1).
//!
//! Everything is kept as offsets: stream offsets of the subflow, data offsets of the connection. A queue and not a
//! single slot, because segments arrive out of order and mappings with them.

use super::held::Held;
use crate::seq::{DataSeq, SubflowSeq};
use crate::wire::checksum::{Checksum, dss_checksum_valid};
use alloc::collections::VecDeque;
use bytes::Bytes;

/// Most mappings one subflow may have open; a window full of one-segment mappings stays below it.
const MAX_MAPPINGS: usize = 8_192;

/// A mapping as announced, in offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// First octet, as an offset of the subflow's stream.
    pub(crate) start: u64,
    /// Payload octets covered; a DATA_FIN is not counted here.
    pub(crate) len: u32,
    /// Data offset of the first octet.
    pub(crate) data: u64,
    /// Checksum and the fields it was computed over, when checksums are in use.
    pub(crate) checksum: Option<MappingChecksum>,
    /// A DATA_FIN follows its last octet, to be believed once the checksum is verified. Only with a checksum.
    pub(crate) data_fin: bool,
}

/// What is needed to verify a DSS checksum: the fields as they stood on the wire (RFC 8684 3.3.1 [DSS-9]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MappingChecksum {
    pub(crate) value: u16,
    pub(crate) data_seq: DataSeq,
    pub(crate) subflow_seq: SubflowSeq,
    pub(crate) data_len: u16,
}

impl Mapping {
    const fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    /// The same octets of the stream mapped to the same place.
    const fn same_octets(&self, other: &Self) -> bool {
        self.start == other.start
            && self.len == other.len
            && self.data == other.data
            && self.checksum.is_some() == other.checksum.is_some()
    }

    /// Same octets, wherever both reach: no contradiction between the two.
    const fn agrees_with(&self, other: &Self) -> bool {
        self.data.wrapping_sub(self.start) == other.data.wrapping_sub(other.start)
    }
}

/// What became of an announced mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MappingVerdict {
    /// Stored, or already known.
    Accepted,
    /// It contradicts a mapping that is in force [DSS-4].
    Conflict,
    /// Too many mappings are open.
    Overflow,
}

/// A piece of the subflow's stream, as the queue understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// Data for the connection, at this data offset.
    Data(u64, Bytes),
    /// A DATA_FIN at this data offset, verified.
    DataFin(u64),
    /// The checksum of a mapping is wrong. Its octets, and all that follow them, are kept back [FB-11] until
    /// [`MappingQueue::take_raw`] asks for them.
    ChecksumFailed {
        /// Data offset of its first octet.
        data: u64,
        /// Stream offset of its first octet.
        start: u64,
    },
    /// Octets no mapping covers, at this stream offset.
    Unmapped(u64, Bytes),
}

#[derive(Debug)]
struct Entry {
    mapping: Mapping,
    /// Octets held back until the checksum can be verified, and their sum so far.
    held: VecDeque<Bytes>,
    sum: Checksum,
}

/// The mappings of one subflow, oldest first.
#[derive(Debug, Default)]
pub(crate) struct MappingQueue {
    entries: VecDeque<Entry>,
    /// Stream octets before this offset have been mapped and handed on.
    consumed: u64,
    /// Pieces ready to be taken.
    ready: VecDeque<Mapped>,
    /// Mappings mean nothing from this stream offset on: a checksum was wrong, or plain TCP goes on from there.
    broken: Option<u64>,
    /// The stream from there on.
    raw: VecDeque<(u64, Bytes)>,
    raw_len: usize,
    /// Octets before `consumed` that came without a mapping.
    held: Held,
    /// The empty queue of a mapping handed on, for the next one.
    spare: VecDeque<Bytes>,
}

impl MappingQueue {
    /// Notes a mapping. Repeats, in full or in part, are harmless [INI-14] [DSS-22].
    pub(crate) fn insert(&mut self, mapping: Mapping) -> MappingVerdict {
        if self.broken.is_some() || mapping.len == 0 {
            return MappingVerdict::Accepted;
        }
        self.held.on_mapping(mapping.end());
        if mapping.end() <= self.consumed {
            self.release_held(mapping);
            return MappingVerdict::Accepted;
        }
        let at = self.entries.partition_point(|e| e.mapping.end() <= mapping.start);
        let mut next = at;
        while let Some(entry) = self.entries.get(next) {
            if entry.mapping.start >= mapping.end() {
                break;
            }
            // Linux repeats a mapping with DATA_FIN added to its length, which changes the checksum's pseudo-header
            // but no octet: no contradiction [DSS-4]. The DATA_FIN is kept.
            if entry.mapping.same_octets(&mapping) {
                if mapping.data_fin
                    && let Some(entry) = self.entries.get_mut(next)
                {
                    entry.mapping = mapping;
                }
                return MappingVerdict::Accepted;
            }
            // A checksum covers one exact range, so a partial overlap cannot be reconciled with it.
            let exact = mapping.checksum.is_some() || entry.mapping.checksum.is_some();
            if exact || !entry.mapping.agrees_with(&mapping) {
                return MappingVerdict::Conflict;
            }
            next += 1;
        }
        if next > at {
            self.extend_over(at, next, mapping);
            self.hand_on_held(mapping);
            return MappingVerdict::Accepted;
        }
        if self.entries.len() >= MAX_MAPPINGS {
            return MappingVerdict::Overflow;
        }
        let mut entry = Entry::new(mapping);
        if mapping.checksum.is_none() {
            self.hand_on_held(mapping);
        } else {
            entry.held = core::mem::take(&mut self.spare);
            if self.held.covers(mapping.start, self.consumed) {
                for (_, piece) in self.held.take(mapping.start, self.consumed) {
                    entry.hold(piece);
                }
            }
        }
        self.entries.insert(at, entry);
        MappingVerdict::Accepted
    }

    /// The mapping for octets that came before it [DSS-13], all of them.
    fn release_held(&mut self, mapping: Mapping) {
        if mapping.checksum.is_none() {
            return self.hand_on_held(mapping);
        }
        if !self.held.covers(mapping.start, mapping.end()) {
            return;
        }
        let mut entry = Entry::new(mapping);
        for (_, piece) in self.held.take(mapping.start, mapping.end()) {
            entry.hold(piece);
        }
        if entry.is_valid() {
            self.hand_on(entry);
        } else {
            // The stream went on since, so nobody could go on from there.
            let (data, start) = (mapping.data, self.consumed);
            self.ready.push_back(Mapped::ChecksumFailed { data, start });
        }
    }

    /// What is held of a mapping without checksum.
    fn hand_on_held(&mut self, mapping: Mapping) {
        for (at, piece) in self.held.take(mapping.start, mapping.end()) {
            let data = mapping.data.wrapping_add(at - mapping.start);
            self.ready.push_back(Mapped::Data(data, piece));
        }
    }

    /// Keeps octets that came without a mapping; false when more than `bound` of them came in a row.
    pub(crate) fn hold(&mut self, offset: u64, data: Bytes, bound: usize) -> bool {
        self.held.push(offset, data, bound)
    }

    /// Octets are held, and no mapping came since.
    pub(crate) const fn awaits_mapping(&self) -> bool {
        self.held.awaits_mapping()
    }

    /// What came without a mapping is not needed any more.
    pub(crate) fn forget_held(&mut self) {
        self.held = Held::default();
    }

    /// Replaces entries `at..next`, which all agree with `mapping`, by one that covers them all.
    fn extend_over(&mut self, at: usize, next: usize, mapping: Mapping) {
        let (mut start, mut end) = (mapping.start, mapping.end());
        for entry in self.entries.range(at..next) {
            start = start.min(entry.mapping.start);
            end = end.max(entry.mapping.end());
        }
        self.entries.drain(at + 1..next);
        // What was handed on is not needed, and a chain of overlapping mappings must not grow without end.
        start = start.max(self.consumed);
        if let Some(entry) = self.entries.get_mut(at) {
            entry.mapping.data = mapping.data.wrapping_add(start.wrapping_sub(mapping.start));
            entry.mapping.start = start;
            entry.mapping.len = u32::try_from(end - start).unwrap_or(u32::MAX);
        }
    }

    /// Stream octets before this offset have been handed on; those behind it are held, or have not been pushed.
    pub(crate) fn handed_on(&self) -> u64 {
        let held = self.entries.front().map_or(0, Entry::held_len);
        self.broken.unwrap_or(self.consumed - held)
    }

    /// Octets kept back because mappings mean nothing any more.
    pub(crate) const fn raw_len(&self) -> usize {
        self.raw_len
    }

    /// Mappings mean nothing any more: what is held, and what will be pushed, is raw.
    pub(crate) fn give_up(&mut self) {
        if self.broken.is_none() {
            let start = self.handed_on();
            let held = self.entries.pop_front().map(|entry| entry.held).unwrap_or_default();
            self.break_at(start, held);
        }
    }

    /// Mappings mean something again: what failed has been taken out.
    pub(crate) fn mend(&mut self) {
        if self.raw.is_empty() {
            self.broken = None;
        }
    }

    fn break_at(&mut self, start: u64, held: VecDeque<Bytes>) {
        self.entries.clear();
        self.forget_held();
        self.broken = Some(start);
        let mut at = start;
        for piece in held {
            let len = piece.len();
            self.keep_raw(at, piece);
            at += len as u64;
        }
    }

    fn keep_raw(&mut self, offset: u64, piece: Bytes) {
        self.raw_len += piece.len();
        self.raw.push_back((offset, piece));
    }

    /// The next piece kept back, with its stream offset.
    pub(crate) fn take_raw(&mut self) -> Option<(u64, Bytes)> {
        let (offset, piece) = self.raw.pop_front()?;
        self.raw_len -= piece.len();
        Some((offset, piece))
    }

    /// Forgets what was kept back from before this stream offset: it is sent again.
    pub(crate) fn discard_raw_before(&mut self, offset: u64) {
        while let Some((at, piece)) = self.raw.front_mut()
            && *at < offset
        {
            let cut = usize::try_from(offset - *at).unwrap_or(usize::MAX).min(piece.len());
            *at += cut as u64;
            self.raw_len -= cut;
            let _ = piece.split_to(cut);
            if piece.is_empty() {
                self.raw.pop_front();
            }
        }
    }

    /// Takes in the next in-order piece of the subflow's stream; results are fetched with [`Self::pop`].
    pub(crate) fn push(&mut self, offset: u64, mut data: Bytes) {
        let mut offset = offset;
        while !data.is_empty() {
            if self.broken.is_some() {
                let len = data.len() as u64;
                self.keep_raw(offset, data);
                offset += len;
                break;
            }
            while self.entries.front().is_some_and(|e| e.mapping.end() <= offset) {
                self.entries.pop_front();
            }
            let Some(entry) = self.entries.front_mut() else {
                self.consumed = offset + data.len() as u64;
                self.ready.push_back(Mapped::Unmapped(offset, data));
                return;
            };
            if entry.mapping.start > offset {
                let gap = usize::try_from(entry.mapping.start - offset).unwrap_or(usize::MAX);
                let unmapped = data.split_to(gap.min(data.len()));
                let at = offset;
                offset += unmapped.len() as u64;
                self.ready.push_back(Mapped::Unmapped(at, unmapped));
                continue;
            }
            let room = usize::try_from(entry.mapping.end() - offset).unwrap_or(usize::MAX);
            let piece = data.split_to(room.min(data.len()));
            let at = entry.mapping.data.wrapping_add(offset - entry.mapping.start);
            offset += piece.len() as u64;
            if entry.mapping.checksum.is_none() {
                self.ready.push_back(Mapped::Data(at, piece));
            } else {
                entry.hold(piece);
                if offset == entry.mapping.end() {
                    self.release();
                }
            }
        }
        self.consumed = offset;
        // Without this the last mapping would stay until the next piece arrives.
        while self.entries.front().is_some_and(|e| e.mapping.end() <= offset) {
            self.entries.pop_front();
        }
    }

    /// The data offset of `len` octets that come next in the subflow's stream, at `offset`, if one mapping without a
    /// checksum covers them and nothing else is to be done about them.
    pub(crate) fn maps_next(&self, offset: u64, len: u64) -> Option<u64> {
        let mapping = &self.entries.front()?.mapping;
        let covers = mapping.start <= offset && offset + len <= mapping.end();
        let open = mapping.checksum.is_none() && self.broken.is_none() && !self.is_ready();
        (covers && open).then(|| mapping.data.wrapping_add(offset - mapping.start))
    }

    /// Nothing is known of what comes next in the subflow's stream: there is room for a mapping that begins there.
    pub(crate) fn is_between_mappings(&self) -> bool {
        self.entries.is_empty() && self.broken.is_none() && !self.is_ready()
    }

    /// The octets [`Self::maps_next`] has spoken of, up to the stream offset `end`, were handed on.
    pub(crate) fn take_next(&mut self, end: u64) {
        self.consumed = end;
        if self.entries.front().is_some_and(|entry| entry.mapping.end() <= end) {
            self.entries.pop_front();
        }
    }

    /// The front mapping is complete: its octets are handed on if the checksum over them is right.
    fn release(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if !entry.is_valid() {
            let data = entry.mapping.data;
            let start = entry.mapping.end() - entry.held_len();
            self.break_at(start, entry.held);
            self.ready.push_back(Mapped::ChecksumFailed { data, start });
            return;
        }
        self.hand_on(entry);
    }

    fn hand_on(&mut self, mut entry: Entry) {
        let Mapping { data, data_fin, .. } = entry.mapping;
        let mut at = data;
        for piece in entry.held.drain(..) {
            let len = piece.len() as u64;
            self.ready.push_back(Mapped::Data(at, piece));
            at = at.wrapping_add(len);
        }
        self.spare = entry.held;
        if data_fin {
            self.ready.push_back(Mapped::DataFin(at));
        }
    }

    /// A mapping is known whose octets have not come.
    pub(crate) fn expects_mapped(&self) -> bool {
        !self.entries.is_empty()
    }

    /// There is something to take.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next piece, mapped.
    pub(crate) fn pop(&mut self) -> Option<Mapped> {
        self.ready.pop_front()
    }
}

impl Entry {
    const fn new(mapping: Mapping) -> Self {
        Self { mapping, held: VecDeque::new(), sum: Checksum::new() }
    }

    fn hold(&mut self, piece: Bytes) {
        self.sum.add_bytes(&piece);
        self.held.push_back(piece);
    }

    fn held_len(&self) -> u64 {
        self.held.iter().map(|piece| piece.len() as u64).sum()
    }

    fn is_valid(&self) -> bool {
        self.mapping.checksum.is_none_or(|c| {
            dss_checksum_valid(c.data_seq, c.subflow_seq, c.data_len, self.sum, c.value)
        })
    }
}

#[cfg(test)]
mod held_tests;
#[cfg(test)]
mod repeat_tests;
#[cfg(test)]
mod tests;
