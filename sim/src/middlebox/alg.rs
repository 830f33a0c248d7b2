//! Changes what is said (M22 to M24), as application-level gateways do that put another address into FTP's PORT:
//! one place of the stream gets longer or shorter, and all sequence numbers behind it move. Or it stays as long as it
//! was and says something else, which only a DSS checksum notices.

use super::args::Args;
use super::flow::{Flows, Progress};
use super::isn::shift_sack;
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::{TcpPacket, bits};
use crate::text;
use bytes::Bytes;
use mpuser_engine::seq::SeqNum;

#[derive(Clone, Copy, Debug)]
enum Change {
    Longer(u32),
    Shorter(u32),
    /// One octet becomes another.
    Flip,
}

/// A box that changes a stream at one place.
#[derive(Debug)]
pub(super) struct Alg {
    change: Change,
    /// Octets of the stream before the place.
    at: u64,
    direction: Direction,
    /// Per flow: how far it is, and where the place is once it was passed.
    flows: Flows<(Progress, Option<SeqNum>)>,
}

impl Alg {
    pub(super) fn new(args: &mut Args<'_>) -> Result<Self, String> {
        let longer = args.value("longer", |text| text::whole(text, 1..=1_000))?;
        let shorter = args.value("shorter", |text| text::whole(text, 1..=1_000))?;
        let change = match (longer, shorter, args.flag("flip")) {
            (Some(octets), None, false) => Change::Longer(octets),
            (None, Some(octets), false) => Change::Shorter(octets),
            (None, None, true) => Change::Flip,
            _ => return Err("say longer=N, shorter=N or flip".to_owned()),
        };
        let at = args.value("at", text::size)?.unwrap_or(20_000);
        let direction = args.direction().unwrap_or(Direction::Forward);
        Ok(Self { change, at, direction, flows: Flows::default() })
    }

    /// A sequence number of the sender as the receiver has to see it.
    fn outwards(&self, seq: SeqNum, place: SeqNum) -> SeqNum {
        let behind = seq.since(place);
        match self.change {
            Change::Longer(octets) if behind > 0 => seq + octets,
            Change::Shorter(octets) if behind > 0 => seq - octets.min(behind.unsigned_abs()),
            _ => seq,
        }
    }

    /// A number of the receiver's (an ACK, an edge of a SACK block) as the sender has to see it.
    fn inwards(&self, ack: SeqNum, place: SeqNum) -> SeqNum {
        let behind = ack.since(place);
        match self.change {
            Change::Longer(octets) if behind > 0 => ack - octets.min(behind.unsigned_abs()),
            Change::Shorter(octets) if behind > 0 => ack + octets,
            _ => ack,
        }
    }

    /// The payload of a segment with the place in it, changed.
    fn payload(&self, packet: &TcpPacket, place: SeqNum) -> Bytes {
        let len = packet.payload.len();
        // octets of the payload before the place; a segment may begin in the middle of what is cut out
        let before = usize::try_from(place.since(packet.seq)).unwrap_or(0).min(len);
        let head = packet.payload.get(..before).unwrap_or_default();
        let mut changed = head.to_vec();
        let skipped = match self.change {
            Change::Longer(octets) => {
                if place.since(packet.seq) >= 0 && before < len {
                    changed.extend(std::iter::repeat_n(b'+', octets as usize));
                }
                before
            }
            Change::Flip if place.since(packet.seq) >= 0 => {
                changed.extend(packet.payload.get(before).map(|octet| octet ^ 0xFF));
                (before + 1).min(len)
            }
            Change::Flip => before,
            Change::Shorter(octets) => {
                let until = place + octets;
                usize::try_from(until.since(packet.seq)).unwrap_or(0).clamp(before, len)
            }
        };
        changed.extend_from_slice(packet.payload.get(skipped..).unwrap_or_default());
        Bytes::from(changed)
    }
}

impl Middlebox for Alg {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        let (progress, place) = self.flows.of(direction, &packet, Default::default);
        if packet.is_syn() {
            (*progress, *place) = Default::default();
        }
        if direction == self.direction {
            // the SYN is an octet of its own
            let offset = progress.note(&packet).saturating_sub(1);
            let end = offset + packet.payload.len() as u64;
            if place.is_none() && !packet.has(bits::SYN) && (offset..end).contains(&self.at) {
                *place = Some(packet.seq + (self.at - offset) as u32);
            }
        }
        let Some(place) = *place else {
            turn.send(direction, packet);
            return;
        };
        if direction == self.direction {
            let changed = self.payload(&packet, place);
            packet.seq = self.outwards(packet.seq, place);
            packet.payload = changed;
        } else {
            if packet.has(bits::ACK) {
                packet.ack = self.inwards(packet.ack, place);
            }
            let this = &*self;
            shift_sack(&mut packet, |edge| this.inwards(SeqNum(edge), place).0);
        }
        turn.acted += 1;
        turn.send(direction, packet);
    }
}
