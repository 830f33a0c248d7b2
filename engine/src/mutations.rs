//! A deliberately broken engine, to see whether tests notice. Only with the feature `mutations`; nothing ships it.

use crate::seq::DataSeq;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutation {
    /// Nothing.
    None,
    /// Data ACKs are one octet ahead of what came.
    DataAckAhead,
    /// What another subflow takes over lacks its last octet.
    ReinjectionShort,
    /// What came a second time is trimmed by one octet too few.
    OverlapKept,
}

impl Mutation {
    /// Every one that breaks something.
    pub const ALL: [Self; 3] = [Self::DataAckAhead, Self::ReinjectionShort, Self::OverlapKept];
}

static CURRENT: AtomicU8 = AtomicU8::new(0);

/// Breaks every engine of this process in this way from now on.
pub fn set(mutation: Mutation) {
    CURRENT.store(mutation as u8, Ordering::Relaxed);
}

fn is(mutation: Mutation) -> bool {
    CURRENT.load(Ordering::Relaxed) == mutation as u8
}

/// The Data ACK to send when `received` octets came in order.
pub(crate) fn data_ack(ack: DataSeq, received: u64) -> DataSeq {
    if is(Mutation::DataAckAhead) && received > 0 { ack + 1 } else { ack }
}

/// What is given to another subflow.
pub(crate) fn reinjected(range: Range<u64>) -> Range<u64> {
    let short = is(Mutation::ReinjectionShort) && range.end - range.start > 1;
    range.start..range.end - u64::from(short)
}

/// Octets at the beginning of a piece that are there already.
pub(crate) fn overlap(skip: usize) -> usize {
    if is(Mutation::OverlapKept) { skip.saturating_sub(1) } else { skip }
}
