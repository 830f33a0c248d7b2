//! Messages at a constant rate, which want to be there in time.

use super::{Desk, Traffic};
use crate::direction::Direction;
use mpuser_engine::time::{Duration, Instant};
use std::collections::VecDeque;

/// Messages at a constant rate.
#[derive(Debug)]
pub(super) struct Cbr {
    rate: u64,
    message: u64,
    deadline: Option<Duration>,
    /// When the messages under way were written.
    written: VecDeque<Instant>,
    begun: Option<Instant>,
    /// Messages written and read.
    count: u64,
    read: u64,
}

impl Cbr {
    pub(super) const fn new(rate: u64, message: u64, deadline: Option<Duration>) -> Self {
        let written = VecDeque::new();
        Self { rate, message, deadline, written, begun: None, count: 0, read: 0 }
    }

    fn write(&mut self, now: Instant, desk: &mut Desk) {
        let Some(begun) = self.begun else { return };
        // reckoned from the beginning, so that nothing adds up
        let due = |count: u64| {
            let nanos = u128::from(count) * u128::from(self.message) * 8_000_000_000;
            let nanos = nanos / u128::from(self.rate.max(1));
            begun + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        while due(self.count) <= now {
            self.written.push_back(due(self.count));
            self.count += 1;
            desk.send(0, self.message);
        }
        desk.wake = Some(due(self.count));
    }
}

impl Traffic for Cbr {
    fn on_open(&mut self, now: Instant, _connection: usize, desk: &mut Desk) {
        self.begun = Some(now);
        self.write(now, desk);
    }

    fn on_read(&mut self, now: Instant, connection: usize, _way: Direction, desk: &mut Desk) {
        let whole = desk.data(connection).delivered / self.message.max(1);
        while self.read < whole {
            self.read += 1;
            if let Some(written) = self.written.pop_front() {
                desk.complete(self.message, written, now, self.deadline);
            }
        }
    }

    fn on_wake(&mut self, now: Instant, desk: &mut Desk) {
        self.write(now, desk);
    }
}
