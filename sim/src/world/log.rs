//! The log of events: hashed for the digest, and shown to an observer.

use super::observer::{Observer, Packet as Seen, What};
use super::packet::Packet;
use crate::direction::Direction;
use crate::text::hex;
use mpuser_engine::time::Instant;
use sha2::{Digest as _, Sha256};

/// Octets gathered before they are hashed.
const GATHER: usize = 16 << 10;

/// The log of a run.
pub(crate) struct Log<'a> {
    hash: Sha256,
    gathered: Vec<u8>,
    pub(crate) observer: Option<&'a mut dyn Observer>,
}

impl<'a> Log<'a> {
    pub(crate) fn new(observer: Option<&'a mut dyn Observer>) -> Self {
        Self { hash: Sha256::new(), gathered: Vec::with_capacity(GATHER + 64), observer }
    }

    fn gather<const N: usize>(&mut self, record: [u8; N]) {
        self.gathered.extend_from_slice(&record);
        if self.gathered.len() >= GATHER {
            self.hash.update(&self.gathered);
            self.gathered.clear();
        }
    }

    /// Something happened to a packet; `link` is where it was dropped.
    pub(crate) fn packet(&mut self, now: Instant, what: What, packet: &Packet, path: (u32, u32)) {
        let (numbers, flags) = packet.key_fields();
        let size = packet.headers.len() + packet.payload.len();
        let first = u64::from(packet.route) << 32
            | (size as u64 & 0xffff) << 16
            | u64::from(what as u8) << 8
            | u64::from(packet.direction == Direction::Backward);
        let mut record = [0; 26];
        let parts = [now.as_nanos(), first, numbers];
        for (place, part) in record.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_be_bytes());
        }
        if let Some(place) = record.last_chunk_mut() {
            *place = flags.to_be_bytes();
        }
        self.gather(record);
        if let Some(observer) = &mut self.observer {
            let (flow, path) = path;
            observer.packet(
                now,
                what,
                &Seen {
                    flow,
                    path,
                    direction: packet.direction,
                    headers: &packet.headers,
                    payload: &packet.payload,
                },
            );
        }
    }

    /// An application has read.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        flow: u32,
        connection: u32,
        way: Direction,
        octets: u64,
    ) {
        let mut record = [0xff; 24];
        let second = u64::from(flow) << 32
            | u64::from(connection) << 1
            | u64::from(way == Direction::Backward);
        for (place, part) in record.chunks_exact_mut(8).zip([now.as_nanos(), second, octets]) {
            place.copy_from_slice(&part.to_be_bytes());
        }
        self.gather(record);
        if let Some(observer) = &mut self.observer {
            observer.read(now, flow, connection, way, octets);
        }
    }

    /// The digest of everything so far, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        let mut hash = self.hash.clone();
        hash.update(&self.gathered);
        hex(&hash.finalize())
    }
}
