//! Written data that is not acknowledged yet: chunks by reference, found by stream offset.

use alloc::collections::VecDeque;
use bytes::Bytes;

/// The send buffer. A slice of it never spans two chunks, since the layer above describes the stream chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: VecDeque<(u64, Bytes)>,
    end: u64,
}

impl Chunks {
    /// Appends a chunk; its stream offset.
    pub(super) fn push(&mut self, data: Bytes) -> u64 {
        let offset = self.end;
        if !data.is_empty() {
            self.end += data.len() as u64;
            self.chunks.push_back((offset, data));
        }
        offset
    }

    /// Stream offset behind the last chunk.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// What is left of the chunk that holds `offset`, from there on. Empty if there is none.
    pub(super) fn rest(&self, offset: u64) -> Bytes {
        let after = self.chunks.partition_point(|(start, _)| *start <= offset);
        let Some((start, data)) = after.checked_sub(1).and_then(|at| self.chunks.get(at)) else {
            return Bytes::new();
        };
        let skip = usize::try_from(offset - start).unwrap_or(usize::MAX);
        if skip < data.len() { data.slice(skip..) } else { Bytes::new() }
    }

    /// Length of [`Self::rest`].
    pub(super) fn rest_len(&self, offset: u64) -> u64 {
        let after = self.chunks.partition_point(|(start, _)| *start <= offset);
        let chunk = after.checked_sub(1).and_then(|at| self.chunks.get(at));
        chunk.map_or(0, |(start, data)| (start + data.len() as u64).saturating_sub(offset))
    }

    /// Drops the chunks that lie wholly before `una`.
    pub(super) fn release(&mut self, una: u64) {
        while self.chunks.front().is_some_and(|(start, data)| start + data.len() as u64 <= una) {
            self.chunks.pop_front();
        }
    }

    /// Lets go of all data: the socket will not send again.
    pub(super) fn clear(&mut self) {
        self.chunks.clear();
    }
}
