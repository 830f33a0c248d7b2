//! Distrusts an ACK for data it has not seen (M26): drops it, or lowers it to what it has seen.

use super::args::Args;
use super::flow::{Flows, Progresses};
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::{TcpPacket, bits};
use crate::random::{chance, rng};
use crate::text;
use mpuser_engine::rng::Rng;

/// A box that overlooks some data (it took another way) and disbelieves ACKs of it.
#[derive(Debug)]
pub(super) struct AckUnseen {
    rewrite: bool,
    /// Share of the segments with data that it does not see.
    blind: f64,
    flows: Flows<Progresses>,
    rng: Rng,
}

impl AckUnseen {
    pub(super) fn new(args: &mut Args<'_>, seed: u64) -> Result<Self, String> {
        let rewrite = match (args.flag("drop"), args.flag("rewrite")) {
            (true, true) => return Err("either drop or rewrite".to_owned()),
            (_, rewrite) => rewrite,
        };
        let blind = args.value("blind", text::probability)?.unwrap_or(0.05);
        Ok(Self { rewrite, blind, flows: Flows::default(), rng: rng(seed, 12) })
    }
}

impl Middlebox for AckUnseen {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        let unseen = chance(&mut self.rng, self.blind) && !packet.payload.is_empty();
        let flow = self.flows.of(direction, &packet, Progresses::default);
        if packet.is_syn() {
            *flow = Progresses::default();
        }
        if !unseen {
            flow.of_mut(direction).note(&packet);
        }
        let seen = flow.of(direction.reverse()).end;
        if let Some(seen) = seen.filter(|seen| packet.has(bits::ACK) && packet.ack.since(*seen) > 0)
        {
            turn.acted += 1;
            if !self.rewrite {
                return;
            }
            packet.ack = seen;
        }
        turn.send(direction, packet);
    }
}
