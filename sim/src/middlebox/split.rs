//! Cuts segments (M16, M17), as boxes do whose next link is narrower and as offload hardware does.

use super::args::Args;
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::{TcpPacket, bits};
use crate::text;
use mpuser_engine::wire::tcp_option::kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    All,
    First,
    Last,
}

/// A box that cuts segments into pieces.
#[derive(Debug)]
pub(super) struct Split {
    size: usize,
    keep: Keep,
}

impl Split {
    pub(super) fn new(args: &mut Args<'_>) -> Result<Self, String> {
        let size = args.value("size", |text| text::whole(text, 1..=65_000))?.unwrap_or(536);
        let keep = match (args.flag("first"), args.flag("last"), args.flag("all")) {
            (true, false, false) => Keep::First,
            (false, true, false) => Keep::Last,
            (false, false, _) => Keep::All,
            _ => return Err("options stay on the first, the last or all pieces".to_owned()),
        };
        Ok(Self { size: size as usize, keep })
    }
}

impl Middlebox for Split {
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn) {
        let pieces = packet.payload.len().div_ceil(self.size);
        if pieces < 2 || packet.has(bits::SYN) {
            turn.send(direction, packet);
            return;
        }
        turn.acted += 1;
        for index in 0..pieces {
            let (start, last) = (index * self.size, index + 1 == pieces);
            let end = packet.payload.len().min(start + self.size);
            let mut piece = packet.clone();
            piece.seq = packet.seq + start as u32;
            piece.payload = packet.payload.slice(start..end);
            if !last {
                piece.flags &= !(bits::FIN | bits::PSH);
            }
            let keeps = match self.keep {
                Keep::All => true,
                Keep::First => index == 0,
                Keep::Last => last,
            };
            if !keeps {
                piece.blank_options(|option| option.kind == kind::MPTCP);
            }
            turn.send(direction, piece);
        }
    }
}
