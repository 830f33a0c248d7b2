//! Data-level sending: what the application wrote, by data offset, until the peer acknowledged it.
//!
//! Offset 0 is the first octet the application writes; its DSN is IDSN + 1 (RFC 8684 3.1 [INI-38]).

use crate::addr::SubflowId;
use alloc::collections::VecDeque;
use bytes::{Bytes, BytesMut};
use core::ops::Range;

/// Octets the application's small writes are gathered into before they get a mapping.
const BLOCK: usize = 256 << 10;

/// Octets the application wrote.
#[derive(Debug)]
enum Block {
    /// Copied; there may be room for more behind them.
    Open(BytesMut),
    /// Handed over as they are.
    Shared(Bytes),
}

impl Block {
    fn len(&self) -> usize {
        match self {
            Self::Open(block) => block.len(),
            Self::Shared(block) => block.len(),
        }
    }

    /// Octets that can be added without another allocation.
    fn spare(&self) -> usize {
        match self {
            Self::Open(block) => block.capacity() - block.len(),
            Self::Shared(_) => 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Open(block) => block,
            Self::Shared(block) => block,
        }
    }

    fn split_to(&mut self, len: usize) -> Bytes {
        match self {
            Self::Open(block) => block.split_to(len).freeze(),
            Self::Shared(block) => block.split_to(len),
        }
    }
}

/// A range to be sent again on another subflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reinjection {
    /// Data offsets.
    pub(crate) range: Range<u64>,
    /// The subflow that carries it without success.
    pub(crate) origin: SubflowId,
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
    /// Given to a subflow and not acknowledged, by offset; kept for reinjection [DACK-4].
    sent: VecDeque<(u64, Bytes)>,
    /// Written and not yet given to a subflow.
    unsent: VecDeque<Block>,
    unsent_len: usize,
    /// Ranges waiting for another subflow, ascending and disjoint, all of them sent and not acknowledged.
    reinject: VecDeque<Reinjection>,
    capacity: usize,
    /// An octet acknowledged, with its offset: a window probe repeats it.
    last_acked: Option<(u64, Bytes)>,
}

impl SendQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            una: 0,
            nxt: 0,
            wnd_end: 0,
            sent: VecDeque::new(),
            unsent: VecDeque::new(),
            unsent_len: 0,
            reinject: VecDeque::new(),
            capacity,
            last_acked: None,
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

    /// Octets the application may still write.
    pub(crate) fn room(&self) -> usize {
        let used = usize::try_from(self.end() - self.una).unwrap_or(usize::MAX);
        self.capacity.saturating_sub(used)
    }

    /// Every octet written has been acknowledged.
    pub(crate) const fn is_drained(&self) -> bool {
        self.una == self.end()
    }

    /// Takes as much of `data` as there is room for.
    pub(crate) fn write(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(self.room());
        let mut rest = data.get(..taken).unwrap_or(&[]);
        while !rest.is_empty() {
            let spare = self.unsent.back().map_or(0, Block::spare);
            if spare == 0 {
                self.unsent.push_back(Block::Open(BytesMut::with_capacity(BLOCK)));
                continue;
            }
            let (head, tail) = rest.split_at(spare.min(rest.len()));
            if let Some(Block::Open(block)) = self.unsent.back_mut() {
                block.extend_from_slice(head);
            }
            rest = tail;
        }
        self.unsent_len += taken;
        taken
    }

    /// [`Self::write`] without copying.
    pub(crate) fn write_bytes(&mut self, mut data: Bytes) -> usize {
        data.truncate(self.room());
        let taken = data.len();
        if taken > 0 {
            self.unsent.push_back(Block::Shared(data));
            self.unsent_len += taken;
        }
        taken
    }

    /// The next new octets, at most `max`, as one piece; they count as given to a subflow. Where the application's
    /// writes end in the middle of a `unit`, that one is gathered from both, so that no segment is short for it.
    pub(crate) fn take_new(&mut self, max: usize, unit: usize) -> Option<(u64, Bytes)> {
        let front = self.unsent.front_mut()?;
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
        self.sent.push_back((at, piece.clone()));
        Some((at, piece))
    }

    /// `len` octets of as many blocks as needed.
    fn gather(&mut self, len: usize) -> Bytes {
        let mut piece = BytesMut::with_capacity(len);
        while piece.len() < len
            && let Some(front) = self.unsent.front_mut()
        {
            let part = front.split_to((len - piece.len()).min(front.len()));
            piece.extend_from_slice(&part);
            self.drop_used_up();
        }
        piece.freeze()
    }

    /// Forgets the first block if nothing is left of it and nothing will be written to it.
    fn drop_used_up(&mut self) {
        let last = self.unsent.len() == 1;
        if self.unsent.front().is_some_and(|b| b.len() == 0 && (b.spare() == 0 || !last)) {
            self.unsent.pop_front();
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
        let newly = ack.saturating_sub(self.una);
        if newly == 0 {
            return 0;
        }
        self.una = ack;
        while let Some((start, piece)) = self.sent.front_mut() {
            let end = *start + piece.len() as u64;
            if end > ack {
                break;
            }
            self.last_acked = Some((end - 1, piece.slice(piece.len() - 1..)));
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
        let index =
            self.sent.partition_point(|(start, piece)| start + piece.len() as u64 <= offset);
        let (start, piece) = self.sent.get(index)?;
        let skip = usize::try_from(offset.checked_sub(*start)?).ok()?;
        let len = piece.len().checked_sub(skip)?.min(max);
        (len > 0).then(|| piece.slice(skip..skip + len))
    }

    /// An octet that was acknowledged before, for a window probe, and its offset (K32).
    pub(crate) fn probe_octet(&self) -> Option<(u64, Bytes)> {
        self.last_acked.clone()
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

    /// `len` octets of the lowest range waiting have been given to a subflow.
    pub(crate) fn reinjected(&mut self, len: u64) {
        if let Some(front) = self.reinject.front_mut() {
            front.range.start = (front.range.start + len).min(front.range.end);
            if front.range.is_empty() {
                self.reinject.pop_front();
            }
        }
    }

    /// Forgets what waits for reinjection: there is only one subflow left and it retransmits by itself.
    pub(crate) fn clear_reinjections(&mut self) {
        self.reinject.clear();
    }

    /// What must hold after every event.
    pub(crate) fn check_invariants(&self) -> Result<(), &'static str> {
        if self.una > self.nxt {
            return Err("data-level SND.UNA beyond SND.NXT");
        }
        if self.sent.front().is_some_and(|(start, _)| *start > self.una) {
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

#[cfg(test)]
mod tests;
