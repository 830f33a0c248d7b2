//! Lets no data pass a hole (M25): what comes out of order waits here, or is dropped.

use super::args::Args;
use super::flow::Flows;
use super::{Middlebox, Turn};
use crate::direction::{Direction, PerDirection};
use crate::packet::{TcpPacket, bits};
use mpuser_engine::seq::SeqNum;

/// Most segments that wait per direction of a flow; more is dropped.
const MAX_HELD: usize = 512;

#[derive(Debug, Default)]
struct Stream {
    next: Option<SeqNum>,
    held: Vec<TcpPacket>,
}

/// A box that wants every stream in order.
#[derive(Debug)]
pub(super) struct Hold {
    drop: bool,
    flows: Flows<PerDirection<Stream>>,
}

impl Hold {
    pub(super) fn new(args: &mut Args<'_>) -> Self {
        Self { drop: args.flag("drop"), flows: Flows::default() }
    }
}

impl Middlebox for Hold {
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn) {
        let stream = self.flows.of(direction, &packet, PerDirection::default).of_mut(direction);
        if packet.has(bits::SYN) {
            *stream = Stream::default();
        }
        let next = *stream.next.get_or_insert(packet.seq);
        if packet.seq_len() > 0 && packet.seq.since(next) > 0 {
            turn.acted += 1;
            if !self.drop && stream.held.len() < MAX_HELD {
                stream.held.push(packet);
            }
            return;
        }
        let mut next = if packet.end().since(next) > 0 { packet.end() } else { next };
        turn.send(direction, packet);
        while let Some(at) = stream.held.iter().position(|held| held.seq.since(next) <= 0) {
            let held = stream.held.swap_remove(at);
            if held.end().since(next) > 0 {
                next = held.end();
            }
            turn.send(direction, held);
        }
        stream.next = Some(next);
    }
}
