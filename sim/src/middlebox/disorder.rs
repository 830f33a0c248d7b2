//! Packets twice (M28) and out of order (M29).

use super::args::Args;
use super::{Emitted, Middlebox};
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
    acted: u64,
}

impl Duplicate {
    pub(super) fn new(args: &mut Args<'_>) -> Result<Self, String> {
        let late = args.value("late", text::duration)?.unwrap_or_default();
        Ok(Self { late, copies: VecDeque::new(), acted: 0 })
    }
}

impl Middlebox for Duplicate {
    fn on_packet(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: TcpPacket,
        out: &mut Emitted,
    ) {
        self.acted += 1;
        out.push((direction, packet.clone()));
        if self.late.is_zero() {
            out.push((direction, packet));
        } else if self.copies.len() < MAX_COPIES {
            self.copies.push_back((now + self.late, direction, packet));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.copies.front().map(|(at, ..)| *at)
    }

    fn on_timer(&mut self, now: Instant, out: &mut Emitted) {
        while self.copies.front().is_some_and(|(at, ..)| *at <= now) {
            out.extend(self.copies.pop_front().map(|(_, direction, packet)| (direction, packet)));
        }
    }

    fn acted(&self) -> u64 {
        self.acted
    }
}

/// A box that holds packets back until later ones have passed.
#[derive(Debug)]
pub(super) struct Reorder {
    by: u32,
    probability: f64,
    held: Holding<(Direction, TcpPacket)>,
    rng: Rng,
    acted: u64,
}

impl Reorder {
    pub(super) fn new(args: &mut Args<'_>, seed: u64) -> Result<Self, String> {
        let by = args.value("by", |text| text::whole(text, 1..=1_000))?.unwrap_or(64);
        let probability = args.value("p", text::probability)?.unwrap_or(0.1);
        Ok(Self { by, probability, held: Holding::default(), rng: rng(seed, 13), acted: 0 })
    }
}

impl Middlebox for Reorder {
    fn on_packet(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: TcpPacket,
        out: &mut Emitted,
    ) {
        let late = chance(&mut self.rng, self.probability);
        let distance = 1 + self.rng.below(self.by);
        if late {
            self.acted += 1;
            out.extend(self.held.hold(now, distance, (direction, packet)));
            return;
        }
        self.held.pass();
        out.push((direction, packet));
        while let Some(held) = self.held.due(now) {
            out.push(held);
        }
    }

    fn next(&self) -> Option<Instant> {
        self.held.next()
    }

    fn on_timer(&mut self, now: Instant, out: &mut Emitted) {
        while let Some(held) = self.held.due(now) {
            out.push(held);
        }
    }

    fn acted(&self) -> u64 {
        self.acted
    }
}
