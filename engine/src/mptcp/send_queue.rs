//! Data-level sending: what the application wrote, by data offset, until the peer acknowledged it.
//!
//! Offset 0 is the first octet the application writes; its DSN is IDSN + 1 (RFC 8684 3.1 [INI-38]).

mod block;
mod room;
mod written;

use block::Block;

use crate::addr::SubflowId;
use crate::scheduling::{InFlight, Outstanding, Reinjection, SubflowSet};
use alloc::collections::VecDeque;
use bytes::{Bytes, BytesMut};
use core::ops::Range;

/// The longest piece there is: the payload of an IP packet.
const LONGEST: usize = 65_535;

/// Octets given to subflows.
#[derive(Clone, Debug)]
struct Sent {
    start: u64,
    octets: Bytes,
    carriers: SubflowSet,
}

impl Sent {
    const fn end(&self) -> u64 {
        self.start + self.octets.len() as u64
    }
}

/// The send queue of a connection.
#[derive(Debug)]
pub(crate) struct SendQueue {
    /// SND.UNA at data level: everything before is acknowledged.
    una: u64,
    /// SND.NXT at data level: everything before has been given to a subflow.
    nxt: u64,
    /// Right edge of the peer's data-level window; never moves back (RFC 8684 3.3.5 [SND-1]).
    wnd_end: u64,
    /// The largest window the peer ever gave.
    wnd_max: u64,
    /// Given to a subflow and not acknowledged, by offset; kept for reinjection [DACK-4].
    sent: VecDeque<Sent>,
    /// Written and not yet given to a subflow.
    unsent: VecDeque<Block>,
    unsent_len: usize,
    /// Blocks of which nothing is left to be sent, the oldest first.
    used: VecDeque<BytesMut>,
    /// Blocks of which all octets are acknowledged, the last one that came to it at the end.
    free: VecDeque<BytesMut>,
    /// The longest piece that was asked for, and its unit.
    longest: (usize, usize),
    /// Memory for segments with octets of two blocks; empty between two of them.
    gathered: BytesMut,
    /// Ranges waiting for another subflow, ascending and disjoint, all of them sent and not acknowledged.
    reinject: VecDeque<Reinjection>,
    /// Octets there is room for, and the most there will ever be.
    capacity: usize,
    most: usize,
    /// Where the application's writes end, ascending.
    boundaries: VecDeque<u64>,
    /// An octet acknowledged, with its offset: a window probe repeats it.
    last_acked: Option<(u64, u8)>,
    /// Where the last short segment ends.
    short_end: u64,
}

impl SendQueue {
    /// One with room for `capacity` octets.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            una: 0,
            nxt: 0,
            wnd_end: 0,
            wnd_max: 0,
            sent: VecDeque::new(),
            unsent: VecDeque::new(),
            unsent_len: 0,
            used: VecDeque::new(),
            free: VecDeque::new(),
            longest: (1, 1),
            gathered: BytesMut::new(),
            reinject: VecDeque::new(),
            capacity,
            most: capacity,
            boundaries: VecDeque::new(),
            last_acked: None,
            short_end: 0,
        }
    }

    pub(crate) const fn una(&self) -> u64 {
        self.una
    }

    pub(crate) const fn nxt(&self) -> u64 {
        self.nxt
    }

    /// Offset one past the last octet written.
    pub(crate) const fn end(&self) -> u64 {
        self.nxt + self.unsent_len as u64
    }

    /// Octets written and not yet given to a subflow.
    pub(crate) const fn unsent(&self) -> u64 {
        self.unsent_len as u64
    }

    /// Octets of new data the peer's window allows.
    pub(crate) const fn window(&self) -> u64 {
        self.wnd_end.saturating_sub(self.nxt)
    }

    /// What the window leaves is worth a segment of `mss`, half of the largest window, all there is to send, or the
    /// only thing that can go on (sender silly-window avoidance, RFC 9293 3.8.6.2.1). A runt on a slow subflow would
    /// hold the whole window up for a round trip.
    pub(crate) const fn window_is_worth(&self, mss: u64) -> bool {
        let window = self.window();
        window >= mss
            || window >= self.unsent()
            || window >= self.wnd_max / 2
            || self.una == self.nxt
    }

    /// What goes out next may be short. Nagle's rule as Minshall and Linux have it: only a short segment in flight holds
    /// back another, so the end of a message does not wait for the full segments before it.
    pub(crate) const fn may_be_short(&self) -> bool {
        self.short_end <= self.una
    }

    /// What was taken last ends with a segment of less than full size.
    pub(crate) const fn was_short(&mut self) {
        self.short_end = self.nxt;
    }

    /// Every octet written has been acknowledged.
    pub(crate) const fn is_drained(&self) -> bool {
        self.una == self.end()
    }

    /// The next new octets, at most `max`, as one piece; they count as given to a subflow. Where the application's
    /// writes end in the middle of a `unit`, that one is gathered from both, so that no segment is short for it.
    pub(crate) fn take_new(&mut self, max: usize, unit: usize) -> Option<(u64, Bytes)> {
        let front = self.unsent.front_mut()?;
        if unit > 1 && (self.longest.0..=LONGEST).contains(&max) {
            self.longest = (max, unit);
        }
        let mut len = max.min(front.len());
        if len < max && len < self.unsent_len {
            len -= len % unit.max(1);
        }
        let piece = if len > 0 {
            let piece = front.split_to(len);
            self.drop_used_up();
            piece
        } else {
            self.gather(max.min(unit).min(self.unsent_len))
        };
        if piece.is_empty() {
            return None;
        }
        let at = self.nxt;
        self.nxt += piece.len() as u64;
        self.unsent_len -= piece.len();
        self.sent.push_back(Sent { start: at, octets: piece.clone(), carriers: SubflowSet::EMPTY });
        while self.boundaries.front().is_some_and(|end| *end <= self.nxt) {
            self.boundaries.pop_front();
        }
        Some((at, piece))
    }

    /// `len` octets of as many blocks as needed.
    fn gather(&mut self, len: usize) -> Bytes {
        if self.gathered.capacity() < len {
            let full = core::mem::take(&mut self.gathered);
            self.retire(full);
            self.gathered = self.new_block(len);
        }
        while self.gathered.len() < len
            && let Some(front) = self.unsent.front_mut()
        {
            let part = front.split_to((len - self.gathered.len()).min(front.len()));
            self.gathered.extend_from_slice(&part);
            self.drop_used_up();
        }
        self.gathered.split().freeze()
    }

    /// Forgets the first block if nothing is left of it and nothing will be written to it.
    fn drop_used_up(&mut self) {
        let last = self.unsent.len() == 1;
        if self.unsent.front().is_some_and(|b| b.len() == 0 && (b.spare() == 0 || !last))
            && let Some(Block::Open { block, .. }) = self.unsent.pop_front()
        {
            self.retire(block);
        }
    }

    /// The next new octets, at most `max`, as far as they stand in one piece; nothing changes.
    pub(crate) fn peek_new(&self, max: usize) -> Bytes {
        let front = self.unsent.front();
        front.map_or_else(Bytes::new, |block| {
            Bytes::copy_from_slice(block.bytes().get(..max.min(block.len())).unwrap_or(&[]))
        })
    }

    /// The first `len` new octets went another way and get no offset; how many there were.
    pub(crate) fn drop_new(&mut self, len: usize) -> usize {
        let mut left = len;
        while left > 0
            && let Some(block) = self.unsent.front_mut()
        {
            let piece = left.min(block.len());
            let _ = block.split_to(piece);
            left -= piece;
            self.unsent_len -= piece;
            if block.len() > 0 || self.unsent.len() == 1 {
                break;
            }
            self.unsent.pop_front();
        }
        len - left
    }

    /// Handles a Data ACK up to `ack` with a window whose right edge is `edge`, both offsets; returns how many
    /// octets it acknowledged. An ACK of something never sent changes nothing (K32); a subflow's own ACK says nothing
    /// about data and does not come here [DACK-8].
    pub(crate) fn on_data_ack(&mut self, ack: u64, edge: u64) -> u64 {
        if ack > self.nxt {
            return 0;
        }
        self.wnd_end = self.wnd_end.max(edge);
        self.wnd_max = self.wnd_max.max(edge.saturating_sub(ack));
        let newly = ack.saturating_sub(self.una);
        if newly == 0 {
            return 0;
        }
        self.una = ack;
        while let Some(front) = self.sent.front().filter(|sent| sent.end() <= ack) {
            self.last_acked = front.octets.last().map(|octet| (front.end() - 1, *octet));
            self.sent.pop_front();
        }
        while let Some(front) = self.reinject.front_mut() {
            front.range.start = front.range.start.max(ack);
            if !front.range.is_empty() {
                break;
            }
            self.reinject.pop_front();
        }
        newly
    }

    /// The peer's window as seen outside of MPTCP: plain TCP's subflow does the flow control itself.
    pub(crate) fn open_window(&mut self) {
        self.wnd_end = u64::MAX;
    }

    /// Sent octets from `offset` on, at most `max`, as one piece.
    pub(crate) fn sent_at(&self, offset: u64, max: usize) -> Option<Bytes> {
        let piece = self.sent.get(self.sent_index(offset))?;
        let skip = usize::try_from(offset.checked_sub(piece.start)?).ok()?;
        let len = piece.octets.len().checked_sub(skip)?.min(max);
        (len > 0).then(|| piece.octets.slice(skip..skip + len))
    }

    /// The same, of as many pieces as needed: what went out in several mappings may come again in one.
    pub(crate) fn sent_run(&self, offset: u64, max: usize) -> Option<Bytes> {
        let first = self.sent_at(offset, max)?;
        if first.len() == max || self.sent_at(offset + first.len() as u64, 1).is_none() {
            return Some(first);
        }
        let mut run = BytesMut::from(first);
        while run.len() < max
            && let Some(next) = self.sent_at(offset + run.len() as u64, max - run.len())
        {
            run.extend_from_slice(&next);
        }
        Some(run.freeze())
    }

    /// The piece with the octet at `offset`, or the first one behind it.
    fn sent_index(&self, offset: u64) -> usize {
        self.sent.partition_point(|sent| sent.end() <= offset)
    }

    /// `range` has been given to these subflows.
    pub(crate) fn carried(&mut self, range: Range<u64>, by: SubflowSet) {
        let mut index = self.sent_index(range.start);
        while let Some(piece) = self.sent.get(index).filter(|piece| piece.start < range.end) {
            let (start, end) = (piece.start, piece.end());
            if start < range.start {
                self.split(index, range.start - start);
                index += 1;
            }
            if end > range.end {
                self.split(index, range.end - start.max(range.start));
            }
            if let Some(piece) = self.sent.get_mut(index) {
                piece.carriers = piece.carriers.union(by);
            }
            index += 1;
        }
    }

    /// Makes two pieces of one, the first of them `len` octets long.
    fn split(&mut self, index: usize, len: u64) {
        let Some(piece) = self.sent.get_mut(index) else { return };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len == 0 || len >= piece.octets.len() {
            return;
        }
        let rest = piece.octets.split_off(len);
        let second = Sent { start: piece.end(), octets: rest, carriers: piece.carriers };
        self.sent.insert(index + 1, second);
    }

    /// These subflows are gone: they carry nothing.
    pub(crate) fn forget_carriers(&mut self, gone: SubflowSet) {
        for piece in &mut self.sent {
            piece.carriers = piece.carriers.without(gone);
        }
    }

    /// Asks for what of `range` none of `others` carries to be sent on a subflow other than `origin`.
    pub(crate) fn reinject_unless(
        &mut self,
        range: Range<u64>,
        origin: SubflowId,
        others: SubflowSet,
    ) {
        let mut at = range.start.max(self.una);
        while at < range.end
            && let Some(piece) = self.in_flight_at(at)
            && piece.range.start < range.end
        {
            let end = piece.range.end.min(range.end);
            if !piece.carriers.overlaps(others) {
                self.reinject(at.max(piece.range.start)..end, origin);
            }
            at = end;
        }
    }

    /// An octet that was acknowledged before, for a window probe, and its offset (K32).
    pub(crate) fn probe_octet(&self) -> Option<(u64, Bytes)> {
        self.last_acked.map(|(at, octet)| (at, Bytes::copy_from_slice(&[octet])))
    }

    /// Asks for `range` to be sent again on a subflow other than `origin`. What waits already is not asked for
    /// twice.
    pub(crate) fn reinject(&mut self, range: Range<u64>, origin: SubflowId) {
        let (mut start, end) = (range.start.max(self.una), range.end.min(self.nxt));
        let mut at = self.reinject.partition_point(|r| r.range.end <= start);
        while start < end {
            let (gap_end, next) = match self.reinject.get(at) {
                Some(waiting) => (waiting.range.start.min(end), waiting.range.end),
                None => (end, end),
            };
            if start < gap_end {
                at += self.insert_reinjection(at, start..gap_end, origin);
            }
            start = next;
            at += 1;
        }
    }

    /// Puts a range that overlaps none before the one at `at`, or lengthens the one before it; returns how many
    /// entries were added.
    fn insert_reinjection(&mut self, at: usize, range: Range<u64>, origin: SubflowId) -> usize {
        if let Some(before) = at.checked_sub(1).and_then(|i| self.reinject.get_mut(i))
            && before.origin == origin
            && before.range.end == range.start
        {
            before.range.end = range.end;
            return 0;
        }
        self.reinject.insert(at, Reinjection { range, origin });
        1
    }

    /// The lowest range waiting for reinjection.
    pub(crate) fn next_reinjection(&self) -> Option<&Reinjection> {
        self.reinject.front()
    }

    /// What `origin` carries need not go another way any more.
    pub(crate) fn withdraw_reinjections(&mut self, origin: SubflowId) {
        self.reinject.retain(|waiting| waiting.origin != origin);
    }

    /// `len` octets of the lowest range waiting have been given to a subflow.
    pub(crate) fn reinjected(&mut self, len: u64) {
        if let Some(front) = self.reinject.front_mut() {
            front.range.start = (front.range.start + len).min(front.range.end);
            if front.range.is_empty() {
                self.reinject.pop_front();
            }
        }
    }

    /// `range`, all of it one range waiting or part of one, has been given to a subflow.
    pub(crate) fn reinjected_range(&mut self, range: Range<u64>) {
        let index = self.reinject.partition_point(|r| r.range.end <= range.start);
        let Some(found) = self.reinject.get_mut(index) else { return };
        let rest = range.end..found.range.end;
        found.range.end = range.start;
        let origin = found.origin;
        if !rest.is_empty() {
            self.reinject.insert(index + 1, Reinjection { range: rest, origin });
        }
        if self.reinject.get(index).is_some_and(|r| r.range.is_empty()) {
            self.reinject.remove(index);
        }
    }

    /// Passes over the next new octets, at most `len`: they wait for a subflow. How many there were.
    pub(crate) fn set_aside(&mut self, len: u64) -> u64 {
        let mut left = len;
        while left > 0
            && let Some((at, piece)) = self.take_new(usize::try_from(left).unwrap_or(usize::MAX), 1)
        {
            let taken = piece.len() as u64;
            self.reinject(at..at + taken, Reinjection::SET_ASIDE);
            left -= taken;
        }
        len - left
    }

    /// Forgets what waits for reinjection: there is only one subflow left and it retransmits by itself.
    pub(crate) fn clear_reinjections(&mut self) {
        self.reinject.retain(|r| r.origin == Reinjection::SET_ASIDE);
    }

    /// What must hold after every event.
    pub(crate) fn check_invariants(&self) -> Result<(), &'static str> {
        if self.una > self.nxt {
            return Err("data-level SND.UNA beyond SND.NXT");
        }
        if self.sent.front().is_some_and(|sent| sent.start > self.una) {
            return Err("unacknowledged data was freed");
        }
        let mut free = self.una;
        for Reinjection { range, .. } in &self.reinject {
            if range.start < free || range.is_empty() || range.end > self.nxt {
                return Err("reinjections overlap or reach beyond what is outstanding");
            }
            free = range.end;
        }
        let blocks: usize = self.unsent.iter().map(Block::len).sum();
        if blocks != self.unsent_len {
            return Err("unsent length differs from the blocks");
        }
        Ok(())
    }
}

impl Outstanding for SendQueue {
    fn in_flight_at(&self, offset: u64) -> Option<InFlight> {
        let piece = self.sent.get(self.sent_index(offset.max(self.una)))?;
        Some(InFlight { range: piece.start.max(self.una)..piece.end(), carriers: piece.carriers })
    }

    fn reinjection_at(&self, offset: u64) -> Option<Reinjection> {
        self.reinject.get(self.reinject.partition_point(|r| r.range.end <= offset)).cloned()
    }

    fn boundary_after(&self, offset: u64) -> Option<u64> {
        self.boundaries.get(self.boundaries.partition_point(|end| *end <= offset)).copied()
    }
}

#[cfg(test)]
mod tests;
