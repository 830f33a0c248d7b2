//! What a stranger sends: packets made of what passed by, and of random octets.

use super::dice::Dice;
use super::setup::Forgery;
use crate::world::Side;
use bytes::Bytes;
use mpuser_engine::seq::SeqNum;
use mpuser_sim::packet::{RawTcpOption, TcpPacket, bits};
use std::collections::VecDeque;

/// A packet for this end and the path it comes over; `None` if nothing came to that end so far.
pub(super) fn forge(
    forgery: Forgery,
    to: Side,
    seed: u64,
    recent: &VecDeque<(Side, usize, Vec<u8>)>,
) -> Option<(usize, Vec<u8>)> {
    let mut dice = Dice::new(seed, 0xf0);
    let known: Vec<_> = recent.iter().filter(|(side, ..)| *side == to).collect();
    let (_, path, octets) = known.get(dice.below(known.len()))?;
    if forgery == Forgery::Replay {
        return Some((*path, octets.clone()));
    }
    let mut packet = TcpPacket::parse(&Bytes::from(octets.clone()))?;
    packet.seq = SeqNum(dice.number() as u32);
    packet.ack = SeqNum(dice.number() as u32);
    match forgery {
        Forgery::Blind => {
            let kinds =
                [bits::RST, bits::RST | bits::ACK, bits::ACK, bits::FIN | bits::ACK, bits::SYN];
            // a SYN in SYN-SENT is a simultaneous open, which TCP cannot tell from this
            let count = kinds.len() - usize::from(to == Side::Client);
            packet.flags = dice.pick(&kinds[..count]);
            if dice.percent(50) {
                packet.options.clear();
            }
        }
        Forgery::Join => {
            packet.flags = bits::SYN;
            packet.src.set_port(1_024 + dice.below(60_000) as u16);
            packet.payload = Bytes::new();
            let body = (0..10).map(|n| if n == 0 { 0x10 } else { dice.number() as u8 }).collect();
            packet.options = vec![RawTcpOption { kind: 30, body }];
        }
        Forgery::Noise | Forgery::Replay => {
            let len = dice.below(38);
            let body = (0..len).map(|_| dice.number() as u8).collect();
            packet.options = vec![RawTcpOption { kind: 30, body }];
        }
    }
    Some((*path, packet.emit().to_vec()))
}
