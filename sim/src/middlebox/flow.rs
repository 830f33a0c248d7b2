//! What boxes remember of TCP connections.

use crate::direction::{Direction, PerDirection};
use crate::packet::TcpPacket;
use mpuser_engine::addr::SocketAddr;
use mpuser_engine::seq::SeqNum;
use std::collections::BTreeMap;

/// Most flows a box remembers; the one with the lowest key goes for a new one.
const MAX_FLOWS: usize = 4096;

/// The ends of a flow, `a`'s first.
pub(super) type FlowKey = (SocketAddr, SocketAddr);

/// The flow of a packet that goes `direction`.
pub(super) const fn key(direction: Direction, packet: &TcpPacket) -> FlowKey {
    match direction {
        Direction::Forward => (packet.src, packet.dst),
        Direction::Backward => (packet.dst, packet.src),
    }
}

/// A value per flow.
#[derive(Debug)]
pub(super) struct Flows<T>(BTreeMap<FlowKey, T>);

impl<T> Default for Flows<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Flows<T> {
    /// The value of the packet's flow, made if there is none.
    pub(super) fn of(
        &mut self,
        direction: Direction,
        packet: &TcpPacket,
        make: impl FnOnce() -> T,
    ) -> &mut T {
        let key = key(direction, packet);
        if self.0.len() >= MAX_FLOWS && !self.0.contains_key(&key) {
            self.0.pop_first();
        }
        self.0.entry(key).or_insert_with(make)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }
}

/// How far one direction of a flow has been seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The sequence number behind everything seen.
    pub(super) end: Option<SeqNum>,
    /// Octets of sequence space up to there.
    bytes: u64,
}

impl Progress {
    /// Takes note of a segment; the octets of sequence space before it.
    pub(super) fn note(&mut self, packet: &TcpPacket) -> u64 {
        let known = *self.end.get_or_insert(packet.seq);
        let end = packet.end();
        let gain = end.since(known);
        let farthest = if gain > 0 { end } else { known };
        self.end = Some(farthest);
        self.bytes += u64::try_from(gain).unwrap_or(0);
        self.bytes.saturating_sub(u64::try_from(farthest.since(packet.seq)).unwrap_or(0))
    }
}

/// One [`Progress`] per direction.
pub(super) type Progresses = PerDirection<Progress>;
