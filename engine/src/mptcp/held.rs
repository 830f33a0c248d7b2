//! Octets of a subflow's stream that came without a mapping (RFC 8684 3.3.1 [DSS-12] [DSS-13]).

use alloc::collections::VecDeque;
use bytes::Bytes;

/// Most pieces kept; a window of full segments is far below it.
const MAX_PIECES: usize = 1_024;

/// The pieces, by stream offset.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pieces: VecDeque<(u64, Bytes)>,
    len: usize,
    /// Octets that came since the last mapping.
    run: usize,
}

impl Held {
    /// Adds octets from behind all others; of more than `bound` the oldest go. False when no mapping came for as many.
    pub(crate) fn push(&mut self, offset: u64, data: Bytes, bound: usize) -> bool {
        self.run = self.run.saturating_add(data.len());
        self.len += data.len();
        self.pieces.push_back((offset, data));
        while (self.len > bound || self.pieces.len() > MAX_PIECES)
            && let Some((_, oldest)) = self.pieces.pop_front()
        {
            self.len -= oldest.len();
        }
        self.run <= bound
    }

    /// A mapping came that ends at `end`. One from before all that is held says nothing.
    pub(crate) fn on_mapping(&mut self, end: u64) {
        if self.pieces.front().is_some_and(|(at, _)| end > *at) {
            self.run = 0;
        }
    }

    /// No mapping came since the last octets.
    pub(crate) const fn awaits_mapping(&self) -> bool {
        self.run > 0
    }

    /// Every octet of `from..to` is here.
    pub(crate) fn covers(&self, from: u64, to: u64) -> bool {
        let mut at = from;
        for (start, piece) in &self.pieces {
            if *start > at {
                break;
            }
            at = at.max(start + piece.len() as u64);
        }
        at >= to
    }

    /// Takes the octets of `from..to` out.
    pub(crate) fn take(&mut self, from: u64, to: u64) -> VecDeque<(u64, Bytes)> {
        let mut taken = VecDeque::new();
        let end = self.pieces.back().map_or(0, |(at, piece)| at + piece.len() as u64);
        if from >= end || self.pieces.front().is_none_or(|(at, _)| to <= *at) {
            return taken;
        }
        let within = |at: u64, edge: u64, len: usize| {
            usize::try_from(edge.saturating_sub(at)).unwrap_or(usize::MAX).min(len)
        };
        for (at, mut piece) in core::mem::take(&mut self.pieces) {
            let before = piece.split_to(within(at, from, piece.len()));
            let start = at + before.len() as u64;
            let wanted = piece.split_to(within(start, to, piece.len()));
            let rest = start + wanted.len() as u64;
            self.len -= wanted.len();
            let kept = [(at, before), (rest, piece)];
            self.pieces.extend(kept.into_iter().filter(|(_, piece)| !piece.is_empty()));
            if !wanted.is_empty() {
                taken.push_back((start, wanted));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests;
