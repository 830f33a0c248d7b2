//! Takes offence at options (M09 to M11): drops the segment, or answers it by a RST.

use super::args::Args;
use super::select::Select;
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::{TcpPacket, bits};
use mpuser_engine::seq::SeqNum;

/// A box that lets no MPTCP option through.
#[derive(Debug)]
pub(super) struct Block {
    select: Select,
    reset: bool,
}

impl Block {
    pub(super) fn dropping(args: &mut Args<'_>) -> Result<Self, String> {
        Ok(Self { select: Select::new(args)?, reset: false })
    }

    pub(super) fn resetting(args: &mut Args<'_>) -> Result<Self, String> {
        Ok(Self { select: Select::new(args)?, reset: true })
    }
}

/// The RST a host without the connection would answer (RFC 9293 3.5.2).
fn reset(packet: &TcpPacket) -> TcpPacket {
    let mut rst = if packet.has(bits::ACK) {
        packet.answer(packet.ack, SeqNum(0), bits::RST)
    } else {
        packet.answer(SeqNum(0), packet.end(), bits::RST | bits::ACK)
    };
    rst.window = 0;
    rst
}

impl Middlebox for Block {
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn) {
        let chosen = self.select.segment(direction, &packet);
        if !chosen || !packet.options.iter().any(|option| self.select.option(option)) {
            turn.send(direction, packet);
            return;
        }
        turn.acted += 1;
        if self.reset && !packet.has(bits::RST) {
            turn.send(direction.reverse(), reset(&packet));
        }
    }
}
