//! Makes retransmissions say what was said first (M27), as intrusion prevention does.

use super::flow::Flows;
use super::{Middlebox, Turn};
use crate::direction::{Direction, PerDirection};
use crate::packet::{TcpPacket, bits};
use bytes::Bytes;
use mpuser_engine::seq::SeqNum;
use std::collections::BTreeMap;

/// Octets remembered behind the newest one.
const MEMORY: u64 = 4 << 20;

/// What was said: segments by the offset of their first octet, not overlapping.
#[derive(Debug, Default)]
struct Said {
    /// Where the stream begins, or the first segment seen of it.
    first: Option<SeqNum>,
    /// The offset of the last segment looked at, to unwrap sequence numbers by.
    near: u64,
    pieces: BTreeMap<u64, Bytes>,
}

impl Said {
    fn offset(&mut self, seq: SeqNum) -> Option<u64> {
        let first = *self.first.get_or_insert(seq);
        let near = self.near + (1 << 32);
        // the offset nearest to the last one with these low 32 bits
        let low = seq.0.wrapping_sub(first.0);
        let distance = low.wrapping_sub(near as u32) as i32;
        let offset = near.checked_add_signed(distance.into())?.checked_sub(1 << 32)?;
        self.near = offset;
        Some(offset)
    }

    /// The payload as it was first said, which is remembered where it is new.
    fn first_copy(&mut self, seq: SeqNum, payload: &Bytes) -> Option<Bytes> {
        let start = self.offset(seq)?;
        let end = start + payload.len() as u64;
        let mut copy = payload.to_vec();
        let mut at = start;
        let mut fresh = Vec::new();
        let before = self.pieces.range(..start).next_back();
        let known = before.into_iter().chain(self.pieces.range(start..end));
        for (&begin, piece) in known {
            let stop = begin + piece.len() as u64;
            let (from, to) = (begin.max(start), stop.min(end));
            if from >= to {
                continue;
            }
            if at < from {
                fresh.push((at, from));
            }
            let source = piece.get((from - begin) as usize..(to - begin) as usize)?;
            copy.get_mut((from - start) as usize..(to - start) as usize)?.copy_from_slice(source);
            at = at.max(to);
        }
        if at < end {
            fresh.push((at, end));
        }
        for (from, to) in fresh {
            let piece = payload.slice((from - start) as usize..(to - start) as usize);
            self.pieces.insert(from, piece);
        }
        let oldest = end.saturating_sub(MEMORY);
        while let Some(entry) = self.pieces.first_entry().filter(|entry| *entry.key() < oldest) {
            entry.remove();
        }
        Some(copy.into())
    }
}

/// A box that remembers every octet.
#[derive(Debug, Default)]
pub(super) struct Normalise {
    flows: Flows<PerDirection<Said>>,
}

impl Middlebox for Normalise {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        let said = self.flows.of(direction, &packet, PerDirection::default).of_mut(direction);
        if packet.has(bits::SYN) {
            *said = Said { first: Some(packet.seq), ..Said::default() };
        } else if !packet.payload.is_empty()
            && let Some(copy) = said.first_copy(packet.seq, &packet.payload)
            && copy != packet.payload
        {
            turn.acted += 1;
            packet.payload = copy;
        }
        turn.send(direction, packet);
    }
}
