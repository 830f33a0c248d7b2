//! Packets twice (M28) and out of order (M29).

use super::args::Args;
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::link::Holding;
use crate::packet::TcpPacket;
use crate::random::{chance, rng};
use crate::text;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
use std::collections::VecDeque;

/// Most copies that wait; no more are made meanwhile.
const MAX_COPIES: usize = 1 << 17;

/// A box that sends everything twice.
#[derive(Debug)]
pub(super) struct Duplicate {
    late: Duration,
    copies: VecDeque<(Instant, Direction, TcpPacket)>,
}

impl Duplicate {
    pub(super) fn new(args: &mut Args<'_>) -> Result<Self, String> {
        let late = args.value("late", text::duration)?.unwrap_or_default();
        Ok(Self { late, copies: VecDeque::new() })
    }
}

impl Middlebox for Duplicate {
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn) {
        turn.acted += 1;
        turn.send(direction, packet.clone());
        if self.late.is_zero() {
            turn.send(direction, packet);
        } else if self.copies.len() < MAX_COPIES {
            self.copies.push_back((turn.now + self.late, direction, packet));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.copies.front().map(|(at, ..)| *at)
    }

    fn on_timer(&mut self, turn: &mut Turn) {
        while self.copies.front().is_some_and(|(at, ..)| *at <= turn.now) {
            turn.emitted
                .extend(self.copies.pop_front().map(|(_, direction, packet)| (direction, packet)));
        }
    }
}

/// A box that holds packets back until later ones have passed.
#[derive(Debug)]
pub(super) struct Reorder {
    by: u32,
    probability: f64,
    held: Holding<(Direction, TcpPacket)>,
    rng: Rng,
}

impl Reorder {
    pub(super) fn new(args: &mut Args<'_>, seed: u64) -> Result<Self, String> {
        let by = args.value("by", |text| text::whole(text, 1..=1_000))?.unwrap_or(64);
        let probability = args.value("p", text::probability)?.unwrap_or(0.1);
        Ok(Self { by, probability, held: Holding::default(), rng: rng(seed, 13) })
    }
}

impl Middlebox for Reorder {
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn) {
        let late = chance(&mut self.rng, self.probability);
        let distance = 1 + self.rng.below(self.by);
        if late {
            turn.acted += 1;
            turn.emitted.extend(self.held.hold(turn.now, distance, (direction, packet)));
            return;
        }
        self.held.pass();
        turn.send(direction, packet);
        while let Some(held) = self.held.due(turn.now) {
            turn.emitted.push(held);
        }
    }

    fn next(&self) -> Option<Instant> {
        self.held.next()
    }

    fn on_timer(&mut self, turn: &mut Turn) {
        while let Some(held) = self.held.due(turn.now) {
            turn.emitted.push(held);
        }
    }
}
