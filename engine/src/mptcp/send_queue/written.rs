//! What the application writes: copied into blocks, or handed over.

use super::SendQueue;
use super::block::Block;
use bytes::{Bytes, BytesMut};
use core::ops::RangeInclusive;

/// Octets the application's writes are gathered into before they get a mapping: so many while much is written, at least
/// so few for who writes little. Two of the longest pieces: what is only half full, or half acknowledged, takes as much of
/// the caches as what is full.
pub(super) const BLOCKS: RangeInclusive<usize> = 4 << 10..=128 << 10;

/// Octets handed over that are worth more than a copy of them.
pub(super) const LEAST_SHARED: usize = 4 << 10;

/// Used blocks whose memory may come back. A full queue has no more of them, if it is not very large.
const MAX_USED: usize = 64;

/// Blocks kept of those that are free.
const MAX_FREE: usize = 16;

/// Most ends of writes remembered; beyond that writes run together.
const MAX_BOUNDARIES: usize = 256;

impl SendQueue {
    /// Takes as much of `data` as there is room for.
    pub(crate) fn write(&mut self, data: &[u8]) -> usize {
        let taken = data.len().min(self.room());
        if self.unsent_len == 0 {
            self.begin_anew(taken);
        }
        let mut rest = data.get(..taken).unwrap_or(&[]);
        while !rest.is_empty() {
            let spare = self.unsent.back().map_or(0, Block::spare);
            if spare == 0 {
                // for the end of a write, too: a small block there would cut the next write up
                let block = self.new_block(taken);
                let ahead = self.unsent_len + taken - rest.len();
                let left_out = self.left_out(ahead, block.capacity());
                self.unsent.push_back(Block::Open { block, left_out });
                continue;
            }
            let (head, tail) = rest.split_at(spare.min(rest.len()));
            if let Some(Block::Open { block, .. }) = self.unsent.back_mut() {
                block.extend_from_slice(head);
            }
            rest = tail;
        }
        self.unsent_len += taken;
        self.note_boundary(taken);
        taken
    }

    /// Octets that are not used of a block behind `ahead` unsent ones, so that it ends where a piece does: what is left over
    /// there would make a packet of its own. Its beginning completes the last segment of those ahead.
    const fn left_out(&self, ahead: usize, capacity: usize) -> usize {
        let (longest, unit) = self.longest;
        let begun = ahead % unit;
        let completing = if begun > 0 { unit - begun } else { 0 };
        if capacity < completing + longest { 0 } else { (capacity - completing) % longest }
    }

    /// Nothing is left to be sent, so the next piece begins with what is written now, `len` octets: the open block is to end
    /// where a piece does, counted from here. One that has no room for a piece makes way if all of it does not fit.
    fn begin_anew(&mut self, len: usize) {
        let longest = self.longest.0;
        let Some(Block::Open { block, left_out }) = self.unsent.back_mut() else { return };
        let room = block.capacity();
        *left_out = if room < longest { 0 } else { room % longest };
        if room < longest.min(len)
            && let Some(Block::Open { block, .. }) = self.unsent.pop_back()
        {
            self.retire(block);
        }
    }

    /// A block for at least a part of `len` octets. The memory of one whose octets are all acknowledged comes back: fresh
    /// pages would cost more than what is written to them.
    pub(super) fn new_block(&mut self, len: usize) -> BytesMut {
        let (least, most) = (*BLOCKS.start(), *BLOCKS.end());
        let wanted = len.saturating_add(self.unsent_len).clamp(least, most).next_power_of_two();
        while let Some(front) = self.used.front_mut()
            && front.try_reclaim(least)
            && let Some(free) = self.used.pop_front()
        {
            if self.free.len() >= MAX_FREE {
                self.free.pop_front();
            }
            self.free.push_back(free);
        }
        // The one that became free last: caches still know it.
        while let Some(mut block) = self.free.pop_back() {
            if block.try_reclaim(wanted) {
                return block;
            }
        }
        BytesMut::with_capacity(wanted)
    }

    /// An idle connection keeps no memory for data: gives it back if it holds none.
    pub(crate) fn release(&mut self) {
        if self.is_drained() {
            self.used.clear();
            self.free.clear();
            self.unsent.clear();
            self.gathered = BytesMut::new();
        }
    }

    /// Nothing more is written to this block.
    pub(super) fn retire(&mut self, block: BytesMut) {
        if self.used.len() >= MAX_USED {
            self.used.pop_front();
        }
        self.used.push_back(block);
    }

    /// A write ends here.
    fn note_boundary(&mut self, taken: usize) {
        if taken == 0 {
            return;
        }
        if self.boundaries.len() >= MAX_BOUNDARIES {
            self.boundaries.pop_back();
        }
        self.boundaries.push_back(self.end());
    }

    /// [`Self::write`] without copying, if it is worth it: what a small piece of memory costs beside its octets would not
    /// be counted.
    pub(crate) fn write_bytes(&mut self, mut data: Bytes) -> usize {
        data.truncate(self.room());
        if data.len() < LEAST_SHARED {
            return self.write(&data);
        }
        let taken = data.len();
        // the room of an open block moves behind, so that not every small write needs a block of its own
        let rest = self.unsent.back_mut().filter(|last| last.spare() > 0).and_then(Block::close);
        if self.unsent.back().is_some_and(|last| last.len() == 0) {
            self.unsent.pop_back();
        }
        self.unsent.push_back(Block::Shared(data));
        self.unsent.extend(rest);
        self.unsent_len += taken;
        self.note_boundary(taken);
        taken
    }
}
