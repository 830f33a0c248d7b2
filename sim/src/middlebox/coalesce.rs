//! Joins segments (M18, M19), as normalisers and offload hardware do.

use super::args::Args;
use super::flow::Flows;
use super::{Middlebox, Turn};
use crate::direction::{Direction, PerDirection};
use crate::packet::{TcpPacket, bits};
use crate::text;
use bytes::Bytes;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::tcp_option::kind;

#[derive(Debug)]
struct Pending {
    packet: TcpPacket,
    deadline: Instant,
}

type Waiting = PerDirection<Option<Pending>>;

/// A box that joins segments that follow each other.
#[derive(Debug)]
pub(super) struct Coalesce {
    /// Octets of data of a joined segment at most.
    max: usize,
    /// How long a segment waits for the next one.
    hold: Duration,
    keep_last: bool,
    flows: Flows<Waiting>,
}

impl Coalesce {
    pub(super) fn new(args: &mut Args<'_>) -> Result<Self, String> {
        let max = args.value("max", |text| text::whole(text, 2..=60_000))?.unwrap_or(2_920);
        let hold = args.value("hold", text::duration)?.unwrap_or(Duration::from_millis(1));
        let keep_last = match (args.flag("first"), args.flag("last")) {
            (true, true) => return Err("options are those of the first or the last".to_owned()),
            (_, last) => last,
        };
        Ok(Self { max: max as usize, hold, keep_last, flows: Flows::default() })
    }

    /// `next` behind `first`, if they fit together.
    fn join(&self, first: &TcpPacket, next: &TcpPacket) -> Option<TcpPacket> {
        let plain = |packet: &TcpPacket| packet.flags & !(bits::PSH | bits::FIN) == bits::ACK;
        let len = first.payload.len() + next.payload.len();
        let follows = first.seq + first.payload.len() as u32 == next.seq;
        if !(plain(first) && plain(next) && follows && len <= self.max) || first.has(bits::FIN) {
            return None;
        }
        let mut joined = next.clone();
        joined.seq = first.seq;
        joined.flags |= first.flags;
        let mut payload = Vec::with_capacity(len);
        payload.extend_from_slice(&first.payload);
        payload.extend_from_slice(&next.payload);
        joined.payload = Bytes::from(payload);
        if !self.keep_last {
            joined.options.retain(|option| option.kind != kind::MPTCP);
            let kept = first.options.iter().filter(|option| option.kind == kind::MPTCP);
            joined.options.extend(kept.cloned());
        }
        Some(joined)
    }
}

impl Middlebox for Coalesce {
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn) {
        let waiting = self.flows.of(direction, &packet, Waiting::default).of_mut(direction).take();
        let mut joined = None;
        if let Some(pending) = waiting {
            joined = self.join(&pending.packet, &packet);
            match joined {
                Some(_) => turn.acted += 1,
                // the order of what it does not join stays
                None => turn.send(direction, pending.packet),
            }
        }
        let packet = joined.unwrap_or(packet);
        let more = !packet.payload.is_empty()
            && packet.flags & !bits::PSH == bits::ACK
            && packet.payload.len() < self.max;
        if more {
            let deadline = turn.now + self.hold;
            let waiting = self.flows.of(direction, &packet, Waiting::default);
            *waiting.of_mut(direction) = Some(Pending { packet, deadline });
        } else {
            turn.send(direction, packet);
        }
    }

    fn next(&self) -> Option<Instant> {
        let waiting = self.flows.values().flat_map(|w| [&w.forward, &w.backward]);
        waiting.flatten().map(|pending| pending.deadline).min()
    }

    fn on_timer(&mut self, turn: &mut Turn) {
        for waiting in self.flows.values_mut() {
            for direction in Direction::BOTH {
                let due = waiting.of_mut(direction).take_if(|pending| pending.deadline <= turn.now);
                turn.emitted.extend(due.map(|pending| (direction, pending.packet)));
            }
        }
    }
}
