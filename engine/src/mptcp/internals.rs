//! The queues of a connection, for who tests them from outside of the crate: the fuzzer. No part of the interface; not
//! there without the feature `internals`.

use super::mapping::{Mapped, Mapping, MappingChecksum, MappingQueue, MappingVerdict};
use super::recv_queue::{Received, RecvQueue};
use crate::seq::{DataSeq, SubflowSeq};
use bytes::Bytes;

/// A mapping a peer announces, in offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// First octet, as an offset of the subflow's stream.
    pub start: u64,
    /// Payload octets covered.
    pub len: u16,
    /// Data offset of the first octet, and the DSN of the checksum's pseudo-header.
    pub data: u64,
    /// The checksum, when checksums are in use.
    pub checksum: Option<u16>,
    /// A DATA_FIN follows; counted in the length of the pseudo-header.
    pub data_fin: bool,
}

impl Announcement {
    const fn mapping(self) -> Mapping {
        let Self { start, len, data, checksum, data_fin } = self;
        let checksum = match checksum {
            None => None,
            Some(value) => Some(MappingChecksum {
                value,
                data_seq: DataSeq(data),
                subflow_seq: SubflowSeq::from_offset(start),
                data_len: len.wrapping_add(data_fin as u16),
            }),
        };
        let data_fin = data_fin && checksum.is_some();
        Mapping { start, len: len as u32, data, checksum, data_fin }
    }
}

/// A piece of a subflow's stream as the mappings explain it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data at this data offset.
    Data(u64, Bytes),
    /// A DATA_FIN at this data offset.
    DataFin(u64),
    /// The checksum of the mapping with this data offset is wrong, from this stream offset on.
    ChecksumFailed(u64, u64),
    /// No mapping covers these octets at this stream offset.
    Unmapped(u64, Bytes),
}

/// The mappings of a subflow.
#[derive(Debug, Default)]
pub struct Mappings(MappingQueue);

impl Mappings {
    /// Notes a mapping; false when it contradicts another one.
    pub fn announce(&mut self, announcement: Announcement) -> bool {
        self.0.insert(announcement.mapping()) == MappingVerdict::Accepted
    }

    /// The next octets of the stream.
    pub fn push(&mut self, offset: u64, data: Bytes) {
        self.0.push(offset, data);
    }

    /// Keeps unmapped octets for a mapping that comes later; false when no mapping came for `bound` of them.
    pub fn hold(&mut self, offset: u64, data: Bytes, bound: usize) -> bool {
        self.0.hold(offset, data, bound)
    }

    /// The next piece.
    pub fn pop(&mut self) -> Option<Piece> {
        Some(match self.0.pop()? {
            Mapped::Data(at, data) => Piece::Data(at, data),
            Mapped::DataFin(at) => Piece::DataFin(at),
            Mapped::ChecksumFailed { data, start } => Piece::ChecksumFailed(data, start),
            Mapped::Unmapped(at, data) => Piece::Unmapped(at, data),
        })
    }

    /// What is kept back since a checksum failed.
    pub fn pop_raw(&mut self) -> Option<(u64, Bytes)> {
        self.0.take_raw()
    }
}

/// What became of a piece of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Data became readable.
    InOrder,
    /// Kept until the hole before it is filled.
    OutOfOrder,
    /// Had arrived before.
    Duplicate,
    /// Beyond the window.
    OutOfWindow,
}

/// The receive queue of a connection.
#[derive(Debug)]
pub struct Reassembly(RecvQueue);

impl Reassembly {
    /// A queue with room for so many octets.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(RecvQueue::new(capacity))
    }

    /// Takes in a piece.
    pub fn insert(&mut self, offset: u64, data: Bytes) -> Arrival {
        match self.0.insert(offset, data) {
            Received::InOrder => Arrival::InOrder,
            Received::OutOfOrder { .. } => Arrival::OutOfOrder,
            Received::Duplicate => Arrival::Duplicate,
            Received::OutOfWindow => Arrival::OutOfWindow,
        }
    }

    /// A segment told the peer this window.
    pub fn advertise(&mut self, window: u32) {
        self.0.on_advertised(window);
    }

    /// The window to be told now.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.0.window()
    }

    /// The DATA_FIN stands at this offset; false when that cannot be.
    pub fn set_fin(&mut self, offset: u64) -> bool {
        self.0.set_fin(offset)
    }

    /// What the Data ACK says, as an offset.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.0.ack_offset()
    }

    /// The next readable piece; empty when there is none.
    pub fn read(&mut self, most: usize) -> Bytes {
        self.0.read_chunk(most)
    }

    /// See [`Endpoint::check_invariants`](crate::Endpoint::check_invariants).
    ///
    /// # Errors
    /// The first violated one.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.0.check_invariants()
    }
}
