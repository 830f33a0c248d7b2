//! Data-level reassembly and the one receive window all subflows share (RFC 8684 3.3.4 [RCV-1]).

use super::arrivals::Arrivals;
use super::receive_tuning::Progress;
use crate::buffer::Assembler;
use crate::time::Instant;
use alloc::collections::VecDeque;
use bytes::{Buf, Bytes};

/// Most pieces that may wait for a hole to be filled: more than full segments in the default window. Beyond it the
/// assembler looks for neighbours to merge, at a cost that grows with this number.
const MAX_PIECES: usize = 4_096;

/// What became of a piece of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// New data became readable.
    InOrder,
    /// Kept until the hole before it is filled.
    OutOfOrder {
        /// Behind everything else that waits.
        tail: bool,
        /// Right behind a piece that waits.
        merges: bool,
    },
    /// Had arrived before [DSS-6].
    Duplicate,
    /// Beyond the window: dropped and not acknowledged [DACK-15].
    OutOfWindow,
}

/// The receive queue of a connection, by data offset (0 = first octet of the peer).
#[derive(Debug)]
pub(crate) struct RecvQueue {
    /// Everything before has arrived.
    nxt: u64,
    /// Right edge told on purpose; never moves back [RCV-2].
    promised: u64,
    /// What is taken: up to what was told, rounding included.
    edge: u64,
    /// The furthest right edge a segment has told.
    told: u64,
    capacity: usize,
    ready: VecDeque<Bytes>,
    ready_len: usize,
    out_of_order: Assembler,
    /// Offset of the peer's DATA_FIN, once announced.
    fin: Option<u64>,
    pub(crate) arrivals: Arrivals,
}

impl RecvQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            nxt: 0,
            promised: 0,
            edge: capacity as u64,
            told: 0,
            capacity,
            ready: VecDeque::new(),
            ready_len: 0,
            out_of_order: Assembler::new(MAX_PIECES),
            fin: None,
            arrivals: Arrivals::default(),
        }
    }

    /// The offset expected next; the DATA_FIN counts as one octet once everything before it is here [FIN-3].
    pub(crate) fn ack_offset(&self) -> u64 {
        self.nxt + u64::from(self.fin_reached())
    }

    /// In-order octets received.
    pub(crate) const fn received(&self) -> u64 {
        self.nxt
    }

    /// In-order octets that wait to be read.
    pub(crate) const fn readable_bytes(&self) -> u64 {
        self.ready_len as u64
    }

    /// Octets of window to offer now: what is free, and never less than what was promised.
    pub(crate) fn window(&self) -> u32 {
        u32::try_from(self.promised.max(self.free_edge()) - self.ack_offset()).unwrap_or(u32::MAX)
    }

    /// Where the free room ends; the DATA_FIN takes none.
    fn free_edge(&self) -> u64 {
        self.ack_offset() + self.capacity.saturating_sub(self.ready_len) as u64
    }

    /// There is room for `capacity` octets from now on, if that is more than there was.
    pub(crate) fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// How far things have come.
    pub(crate) const fn progress(&self) -> Progress {
        let (in_order, waiting) = self.level();
        Progress {
            arrived: in_order + waiting,
            in_order,
            taken: in_order.saturating_sub(self.ready_len as u64),
        }
    }

    /// How much of [`Self::window`] was told already.
    pub(crate) fn promised(&self) -> u32 {
        u32::try_from(self.promised.saturating_sub(self.ack_offset())).unwrap_or(u32::MAX)
    }

    /// A segment with the current Data ACK told this window. It may be a little more than was offered, for windows are
    /// told in units: such octets are taken, and not promised again, or each segment would add some.
    ///
    /// Returns the right edge it told, and whether that is beyond all that was told before.
    pub(crate) fn on_advertised(&mut self, window: u32) -> (u64, bool) {
        let told = self.ack_offset() + u64::from(window);
        let grew = told > self.told;
        self.told = self.told.max(told);
        self.edge = self.edge.max(told);
        self.promised = self.promised.max(told.min(self.free_edge()));
        (told, grew)
    }

    /// The window a subflow told `before` the present one is to be kept for this Data ACK, too: Linux reads the Data ACK
    /// of a segment before its window, and sends beyond one that has shrunk by what the two make. To drop that (K32)
    /// would cost the peer a timeout for every mapping. It is taken, not promised, and not more than as much again as
    /// the buffer.
    pub(crate) fn admit_late_window(&mut self, before: u32) {
        let most = (self.nxt + 2 * self.capacity as u64).saturating_sub(self.ready_len as u64);
        let end = self.ack_offset() + u64::from(before);
        self.edge = self.edge.max(end.min(most));
    }

    /// Octets up to `end` are to be taken although they were not promised here. An `end` in the upper half of the number
    /// range is one before the first octet.
    pub(crate) fn admit(&mut self, end: u64) {
        if end <= i64::MAX as u64 {
            self.edge = self.edge.max(end);
        }
    }

    /// [`Self::insert`], with a note of when it came.
    pub(crate) fn insert_at(&mut self, now: Instant, offset: u64, data: Bytes) -> Received {
        let (len, before) = (data.len() as u64, self.level());
        let received = self.insert(offset, data);
        if received != Received::OutOfWindow {
            self.arrivals.on_piece(now, (offset, len), before, self.level());
        }
        received
    }

    const fn level(&self) -> (u64, u64) {
        (self.nxt, self.out_of_order.buffered() as u64)
    }

    /// Takes in a piece. The first copy of an octet wins [DSS-5]. An offset in the upper half of the number range is
    /// one before the first octet.
    pub(crate) fn insert(&mut self, mut offset: u64, mut data: Bytes) -> Received {
        if offset > i64::MAX as u64 {
            let before = usize::try_from(offset.wrapping_neg()).unwrap_or(usize::MAX);
            data = data.split_off(before.min(data.len()));
            offset = 0;
        }
        let end = offset.saturating_add(data.len() as u64);
        if end <= self.nxt {
            return Received::Duplicate;
        }
        // Nothing comes after a DATA_FIN.
        let edge = self.fin.map_or(self.edge, |fin| fin.min(self.edge));
        if offset >= edge {
            return Received::OutOfWindow;
        }
        if end > edge {
            data.truncate(usize::try_from(edge - offset).unwrap_or(0));
        }
        if offset > self.nxt {
            let tail = self.out_of_order.end().is_some_and(|end| end <= offset);
            let merges = self.out_of_order.ends_at(offset);
            return match self.out_of_order.insert(offset, data) {
                0 => Received::Duplicate,
                _ => Received::OutOfOrder { tail, merges },
            };
        }
        let skip = usize::try_from(self.nxt - offset).unwrap_or(usize::MAX);
        #[cfg(feature = "mutations")]
        let skip = crate::mutations::overlap(skip);
        data.advance(skip.min(data.len()));
        if data.is_empty() {
            return Received::Duplicate;
        }
        if self.out_of_order.is_empty() {
            self.append(data);
        } else {
            // Octets beyond the hole may have arrived before: those stay.
            self.out_of_order.insert(self.nxt, data);
        }
        while !self.out_of_order.is_empty() {
            let Some(piece) = self.out_of_order.pop(self.nxt) else { break };
            self.append(piece);
        }
        Received::InOrder
    }

    /// Data that comes before offset 0 (RFC 8684 B.2 [TFO-2]): readable first, and in no sequence space.
    pub(crate) fn push_before(&mut self, data: Bytes) {
        self.ready_len += data.len();
        self.ready.push_front(data);
    }

    fn append(&mut self, piece: Bytes) {
        self.nxt += piece.len() as u64;
        self.ready_len += piece.len();
        self.ready.push_back(piece);
    }

    /// The peer's DATA_FIN stands at `offset`; false when it contradicts an earlier one or data already here.
    pub(crate) fn set_fin(&mut self, offset: u64) -> bool {
        match self.fin {
            Some(known) => known == offset,
            None if offset < self.nxt => false,
            None if self.out_of_order.end().is_some_and(|end| end > offset) => false,
            None => {
                self.fin = Some(offset);
                true
            }
        }
    }

    /// Everything up to and including the DATA_FIN is here.
    pub(crate) fn fin_reached(&self) -> bool {
        self.fin == Some(self.nxt)
    }

    /// The peer has announced its DATA_FIN.
    pub(crate) const fn has_fin(&self) -> bool {
        self.fin.is_some()
    }

    /// Octets are missing before some that are here, or before the DATA_FIN.
    pub(crate) fn has_gap(&self) -> bool {
        !self.out_of_order.is_empty() || self.fin.is_some_and(|fin| fin > self.nxt)
    }

    /// Octets the peer may send behind the furthest that came.
    pub(crate) fn room_told(&self) -> u64 {
        self.told.saturating_sub(self.out_of_order.end().unwrap_or(self.nxt))
    }

    /// There is data to read.
    pub(crate) fn is_readable(&self) -> bool {
        self.ready_len > 0
    }

    /// Nothing more will come out: the end was reached and everything read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ready_len == 0 && self.fin_reached()
    }

    /// Copies readable octets into `buf`.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> usize {
        let mut copied = 0;
        while let Some(front) = self.ready.front_mut() {
            let len = front.len().min(buf.len() - copied);
            let (Some(target), Some(piece)) = (buf.get_mut(copied..copied + len), front.get(..len))
            else {
                break;
            };
            target.copy_from_slice(piece);
            copied += len;
            if len < front.len() {
                front.advance(len);
                break;
            }
            self.ready.pop_front();
        }
        self.ready_len -= copied;
        copied
    }

    /// The next readable piece, at most `max` octets; empty when there is none.
    pub(crate) fn read_chunk(&mut self, max: usize) -> Bytes {
        let Some(front) = self.ready.front_mut() else { return Bytes::new() };
        let piece = front.split_to(max.min(front.len()));
        if front.is_empty() {
            self.ready.pop_front();
        }
        self.ready_len -= piece.len();
        piece
    }

    /// What must hold after every event.
    pub(crate) fn check_invariants(&self) -> Result<(), &'static str> {
        if self.nxt > self.edge {
            return Err("data beyond the promised window was accepted");
        }
        if self.out_of_order.end().is_some_and(|end| end > self.edge) {
            return Err("out-of-order data beyond the promised window");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
