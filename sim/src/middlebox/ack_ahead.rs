//! Acknowledges in place of the receiver (M20), as performance-enhancing proxies do, and may lose what it
//! acknowledged (M21). It keeps copies and retransmits them itself.

use super::args::Args;
use super::flow::Flows;
use super::{Middlebox, Turn};
use crate::direction::{Direction, PerDirection};
use crate::packet::{RawTcpOption, TcpPacket, bits};
use crate::text;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::tcp_option::kind;
use std::collections::VecDeque;

/// Octets kept per direction of a flow; what comes beyond is passed on and not acknowledged.
const BUFFER: usize = 1 << 20;

/// Time without progress after which copies are sent again.
const RETRANSMIT: Duration = Duration::from_millis(300);

/// Times the copies are sent again without an answer; then nobody is there any more.
const TRIES: u32 = 30;

/// Copies sent again at once.
const BURST: usize = 10;

/// One direction of a flow.
#[derive(Debug, Default)]
struct Stream {
    /// What was acknowledged here and not yet by the receiver, in order.
    copies: VecDeque<TcpPacket>,
    bytes: usize,
    /// Next octet expected from the sender: what the box has acknowledged.
    next: Option<SeqNum>,
    /// When the copies are sent again.
    deadline: Option<Instant>,
    tries: u32,
    /// The sender's latest segment as it was passed on: copies take its ACK and timestamps, for old ones are no
    /// longer believed (RFC 5961 5, RFC 7323 5).
    latest: Option<TcpPacket>,
    /// The receiver's latest timestamp clock and window, for ACKs in its name.
    clock: Option<RawTcpOption>,
    window: u16,
    /// Octets seen, for the restart.
    seen: u64,
    /// Segments still to be lost.
    to_lose: u32,
    /// It has restarted: only passes on from now.
    restarted: bool,
}

/// A proxy that acknowledges ahead of the receiver.
#[derive(Debug)]
pub(super) struct AckAhead {
    /// Octets of a direction after which the box restarts and forgets.
    restart: Option<u64>,
    /// Segments it acknowledged, and had not passed on, at that moment.
    lose: u32,
    flows: Flows<PerDirection<Stream>>,
}

impl AckAhead {
    pub(super) fn new(args: &mut Args<'_>) -> Result<Self, String> {
        let restart = args.value("restart", text::size)?;
        let lose = args.value("lose", |text| text::whole(text, 1..=1_000))?.unwrap_or(8);
        Ok(Self { restart, lose, flows: Flows::default() })
    }
}

impl Stream {
    /// Takes a segment of the sender; the ACK in the receiver's name, if it may be given.
    fn take(&mut self, now: Instant, packet: &TcpPacket) -> Option<TcpPacket> {
        if packet.has(bits::SYN) {
            // data on it is left to the receiver
            *self = Self { next: Some(packet.seq + 1), ..Self::default() };
            return None;
        }
        let next = self.next?;
        let new = packet.seq == next && !packet.payload.is_empty() && packet.has(bits::ACK);
        let fits = self.bytes + packet.payload.len() <= BUFFER;
        if self.restarted || !new || !fits || packet.flags & (bits::FIN | bits::RST) != 0 {
            return None;
        }
        self.seen += packet.payload.len() as u64;
        self.bytes += packet.payload.len();
        self.next = Some(packet.end());
        self.copies.push_back(packet.clone());
        self.deadline.get_or_insert(now + RETRANSMIT);
        // timestamps are needed where they were agreed upon, or the ACK is not believed
        let theirs = packet.options.iter().find(|option| option.kind == kind::TIMESTAMPS);
        let mut ack = packet.answer(packet.ack, packet.end(), bits::ACK);
        ack.window = self.window;
        if let Some(theirs) = theirs {
            let mut body = self.clock.as_ref()?.body.clone();
            body.get_mut(4..8)?.copy_from_slice(theirs.body.get(..4)?);
            let stamps = RawTcpOption { kind: kind::TIMESTAMPS, body };
            ack.options = vec![RawTcpOption::NOP, RawTcpOption::NOP, stamps];
        }
        Some(ack)
    }

    /// Takes an ACK of the receiver, and puts it level with what the box has said.
    fn acknowledged(&mut self, now: Instant, packet: &mut TcpPacket) {
        self.window = packet.window;
        self.clock = packet.options.iter().find(|o| o.kind == kind::TIMESTAMPS).cloned();
        let ack = packet.ack;
        while self.copies.front().is_some_and(|copy| ack.since(copy.end()) >= 0) {
            let done = self.copies.pop_front();
            self.bytes -= done.map_or(0, |copy| copy.payload.len());
            self.deadline = Some(now + RETRANSMIT);
            self.tries = 0;
        }
        if self.copies.is_empty() {
            self.deadline = None;
        }
        if let Some(next) = self.next.filter(|next| !self.restarted && next.since(ack) > 0) {
            packet.ack = next;
            packet.options.retain(|option| option.kind != kind::SACK);
        }
    }
}

impl Stream {
    /// A copy as it would be sent now.
    fn renewed(&self, copy: &TcpPacket) -> TcpPacket {
        let mut copy = copy.clone();
        if let Some(latest) = &self.latest {
            (copy.ack, copy.window) = (latest.ack, latest.window);
            let theirs = latest.options.iter().find(|option| option.kind == kind::TIMESTAMPS);
            if let (Some(body), Some(theirs)) = (copy.option_mut(kind::TIMESTAMPS), theirs) {
                body.clone_from(&theirs.body);
            }
        }
        copy
    }
}

impl Middlebox for AckAhead {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        let streams = self.flows.of(direction, &packet, PerDirection::default);
        let stream = streams.of_mut(direction);
        let ack = stream.take(turn.now, &packet);
        let mut lost = false;
        if let Some(ack) = ack {
            turn.acted += 1;
            turn.send(direction.reverse(), ack);
            if self.restart.is_some_and(|at| stream.seen >= at) && stream.to_lose == 0 {
                stream.to_lose = self.lose;
            }
            if stream.to_lose > 0 {
                lost = true;
                stream.to_lose -= 1;
                if stream.to_lose == 0 {
                    let seen = stream.seen;
                    *stream = Stream { restarted: true, seen, ..Stream::default() };
                }
            }
        }
        if packet.has(bits::ACK) && !packet.has(bits::RST) {
            streams.of_mut(direction.reverse()).acknowledged(turn.now, &mut packet);
        }
        if packet.has(bits::ACK) && packet.flags & (bits::SYN | bits::RST) == 0 {
            let mut latest = packet.clone();
            latest.payload = bytes::Bytes::new();
            streams.of_mut(direction).latest = Some(latest);
        }
        if packet.has(bits::RST) {
            // nobody waits for the copies any more
            *streams = PerDirection::default();
        }
        if !lost {
            turn.send(direction, packet);
        }
    }

    fn next(&self) -> Option<Instant> {
        let streams = self.flows.values().flat_map(|s| [&s.forward, &s.backward]);
        streams.filter_map(|stream| stream.deadline).min()
    }

    fn on_timer(&mut self, turn: &mut Turn) {
        for streams in self.flows.values_mut() {
            for direction in Direction::BOTH {
                let stream = streams.of_mut(direction);
                if stream.deadline.is_none_or(|at| at > turn.now) {
                    continue;
                }
                stream.tries += 1;
                if stream.tries > TRIES {
                    *stream = Stream { restarted: true, ..Stream::default() };
                    continue;
                }
                stream.deadline = Some(turn.now + RETRANSMIT);
                let again = stream.copies.iter().take(BURST);
                turn.emitted.extend(again.map(|copy| (direction, stream.renewed(copy))));
            }
        }
    }
}
