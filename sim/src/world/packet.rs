//! Packets in the world: headers and payload apart, so that payload is never copied.

use crate::direction::Direction;
use crate::link::{Cargo, fragmentation_needed};
use bytes::Bytes;

/// Octets of the longest headers of IPv4 and TCP, and some.
const ROOM: usize = 100;

/// Headers beside everything else of a packet, in one place: a packet under way is one allocation.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    len: u8,
    octets: [u8; ROOM],
}

impl Headers {
    const EMPTY: Self = Self { len: 0, octets: [0; ROOM] };

    /// Becomes these, as far as there is room.
    pub(crate) fn set(&mut self, headers: &[u8]) {
        let len = headers.len().min(ROOM);
        if let (Some(place), Some(headers)) = (self.octets.get_mut(..len), headers.get(..len)) {
            place.copy_from_slice(headers);
        }
        self.len = len as u8;
    }

    pub(crate) const fn clear(&mut self) {
        self.len = 0;
    }
}

impl std::ops::Deref for Headers {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// No number of a subflow.
pub(crate) const NO_TAG: u32 = u32::MAX;

/// A packet on its way. Boxed, so that it moves by its address.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// IP and TCP headers; empty where `payload` is the whole packet.
    pub(crate) headers: Headers,
    /// What follows the headers.
    pub(crate) payload: Bytes,
    /// Its way.
    pub(crate) route: u32,
    /// Which way along it.
    pub(crate) direction: Direction,
    /// Links crossed.
    pub(crate) hop: u16,
    /// The sender's number for the subflow, or [`NO_TAG`].
    pub(crate) tag: u32,
}

impl Packet {
    pub(crate) fn blank() -> Box<Self> {
        Box::new(Self {
            headers: Headers::EMPTY,
            payload: Bytes::new(),
            route: 0,
            direction: Direction::Forward,
            hop: 0,
            tag: NO_TAG,
        })
    }

    /// Another packet along the same way: all of it in one piece.
    pub(crate) fn whole(&self, bytes: Bytes, direction: Direction, hop: u16) -> Box<Self> {
        let (route, tag) = (self.route, NO_TAG);
        Box::new(Self { headers: Headers::EMPTY, payload: bytes, route, direction, hop, tag })
    }

    /// The packet in one piece.
    pub(crate) fn to_bytes(&self) -> Bytes {
        if self.headers.is_empty() {
            return self.payload.clone();
        }
        [&*self.headers, &*self.payload].concat().into()
    }

    /// The headers, or the whole packet.
    pub(crate) fn beginning(&self) -> &[u8] {
        if self.headers.is_empty() { &self.payload } else { &self.headers }
    }

    /// Octets of TCP payload.
    pub(crate) fn data_len(&self) -> usize {
        if !self.headers.is_empty() {
            return self.payload.len();
        }
        let at = |index: usize| self.payload.get(index).copied().map_or(0, usize::from);
        let ip = (at(0) & 15) * 4;
        let protocol = at(9);
        if protocol != 6 {
            return 0;
        }
        self.payload.len().saturating_sub(ip + (at(ip + 12) >> 4) * 4)
    }

    /// Sequence and acknowledgement numbers as they stand in the header, and the bits with the flags.
    pub(crate) fn key_fields(&self) -> (u64, u16) {
        let bytes = self.beginning();
        let field = |at: usize| bytes.get(at..).unwrap_or_default();
        let numbers = field(24).first_chunk().map_or(0, |n| u64::from_be_bytes(*n));
        let flags = field(32).first_chunk().map_or(0, |f| u16::from_be_bytes(*f));
        (numbers, flags)
    }
}

impl Cargo for Box<Packet> {
    fn size(&self) -> usize {
        self.headers.len() + self.payload.len()
    }

    fn flip(&mut self, bit: u32) {
        let mut bytes = self.to_bytes();
        bytes.flip(bit);
        self.headers.clear();
        self.payload = bytes;
    }

    fn fragmentation_needed(&self, mtu: u16) -> Option<Self> {
        // the quote needs headers and a little more
        let message = fragmentation_needed(&self.to_bytes(), mtu)?;
        Some(self.whole(message, self.direction, self.hop))
    }
}
