//! Rewrites sequence numbers (M13, M14), as firewalls do that do not trust the ends to choose them.

use super::args::Args;
use super::flow::Flows;
use super::{Middlebox, Turn};
use crate::direction::{Direction, PerDirection};
use crate::packet::{TcpPacket, bits};
use crate::random::rng;
use mpuser_engine::rng::Rng;
use mpuser_engine::wire::tcp_option::kind;

/// A box that shifts each direction's sequence numbers by a number of its own.
#[derive(Debug)]
pub(super) struct Isn {
    /// Forgets that SACK blocks are sequence numbers, too.
    keep_sack: bool,
    flows: Flows<PerDirection<u32>>,
    rng: Rng,
}

impl Isn {
    pub(super) fn new(args: &mut Args<'_>, seed: u64) -> Self {
        let keep_sack = args.flag("keep-sack");
        Self { keep_sack, flows: Flows::default(), rng: rng(seed, 10) }
    }
}

/// Changes every edge of the SACK blocks.
pub(super) fn shift_sack(packet: &mut TcpPacket, mut map: impl FnMut(u32) -> u32) {
    let Some(body) = packet.option_mut(kind::SACK) else { return };
    let (edges, _) = body.as_chunks_mut::<4>();
    for edge in edges {
        *edge = map(u32::from_be_bytes(*edge)).to_be_bytes();
    }
}

impl Middlebox for Isn {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        let rng = &mut self.rng;
        let shifts =
            *self.flows.of(direction, &packet, || PerDirection::from_fn(|_| rng.next_u32()));
        let back = *shifts.of(direction.reverse());
        packet.seq += *shifts.of(direction);
        if packet.has(bits::ACK) {
            packet.ack = packet.ack - back;
        }
        if !self.keep_sack {
            shift_sack(&mut packet, |edge| edge.wrapping_sub(back));
        }
        turn.acted += 1;
        turn.send(direction, packet);
    }
}
