//! Bursts and pauses.

use super::{Desk, Traffic, draw};
use crate::direction::Direction;
use crate::scenario::Spread;
use mpuser_engine::time::{Duration, Instant};

/// Bytes written at once where there is a rate.
const PIECE: u64 = 1_400;

/// A source that comes and goes.
#[derive(Debug)]
pub(super) struct OnOff {
    on: Spread,
    off: Spread,
    rate: Option<u64>,
    /// When what it does now ends.
    until: Instant,
    sending: bool,
}

impl OnOff {
    pub(super) const fn new(on: Spread, off: Spread, rate: Option<u64>) -> Self {
        Self { on, off, rate, until: Instant::ZERO, sending: false }
    }

    fn step(&mut self, now: Instant, desk: &mut Desk) {
        if now >= self.until {
            self.sending = !self.sending;
            let spread = if self.sending { &self.on } else { &self.off };
            self.until = now + draw(spread, &mut desk.rng);
            let way = desk.way;
            if let (None, Some(pipe)) = (self.rate, desk.pipe(0, way)) {
                // what was written goes; the rest is not wanted any more
                pipe.goal = if self.sending { u64::MAX } else { pipe.written };
            }
        }
        desk.wake = Some(self.until);
        if let (true, Some(rate)) = (self.sending, self.rate) {
            desk.send(0, PIECE);
            let pause = Duration::from_nanos(PIECE * 8_000_000_000 / rate.max(1));
            desk.wake = Some(self.until.min(now + pause));
        }
    }
}

impl Traffic for OnOff {
    fn on_open(&mut self, now: Instant, _connection: usize, desk: &mut Desk) {
        self.until = now;
        self.step(now, desk);
    }

    fn on_read(&mut self, _: Instant, _: usize, _: Direction, _: &mut Desk) {}

    fn on_wake(&mut self, now: Instant, desk: &mut Desk) {
        self.step(now, desk);
    }
}
