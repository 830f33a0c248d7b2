//! Memory for what the application wrote and no subflow has yet.

use bytes::{Bytes, BytesMut};

/// Octets the application wrote.
#[derive(Debug)]
pub(super) enum Block {
    /// Copied; there may be room for more behind them, of which so many octets are left out.
    Open { block: BytesMut, left_out: usize },
    /// Handed over as they are.
    Shared(Bytes),
}

impl Block {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Open { block, .. } => block.len(),
            Self::Shared(block) => block.len(),
        }
    }

    /// Octets that can be added without another allocation.
    pub(super) fn spare(&self) -> usize {
        match self {
            Self::Open { block, left_out } => {
                (block.capacity() - block.len()).saturating_sub(*left_out)
            }
            Self::Shared(_) => 0,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Open { block, .. } => block,
            Self::Shared(block) => block,
        }
    }

    pub(super) fn split_to(&mut self, len: usize) -> Bytes {
        match self {
            Self::Open { block, .. } => block.split_to(len).freeze(),
            Self::Shared(block) => block.split_to(len),
        }
    }

    /// Nothing is added to this block any more: the room behind its octets, as a block of its own.
    pub(super) fn close(&mut self) -> Option<Self> {
        let Self::Open { block, .. } = self else { return None };
        let written = block.split().freeze();
        let block = core::mem::take(block);
        *self = Self::Shared(written);
        Some(Self::Open { block, left_out: 0 })
    }
}
