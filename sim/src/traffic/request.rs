//! Request and response.

use super::{Desk, Traffic};
use crate::direction::Direction;
use mpuser_engine::time::{Duration, Instant};

/// One after the other over one connection.
#[derive(Debug)]
pub(super) struct RequestResponse {
    request: u64,
    response: u64,
    every: Duration,
    left: Option<u32>,
    /// When the one under way was sent.
    asked: Option<Instant>,
    /// When the next may go.
    due: Instant,
}

impl RequestResponse {
    pub(super) const fn new(
        request: u64,
        response: u64,
        every: Duration,
        count: Option<u32>,
    ) -> Self {
        Self { request, response, every, left: count, asked: None, due: Instant::ZERO }
    }

    fn ask(&mut self, now: Instant, desk: &mut Desk) {
        if self.left == Some(0) {
            desk.done = true;
            return;
        }
        if now < self.due {
            desk.wake = Some(self.due);
            return;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        self.asked = Some(now);
        self.due = now + self.every;
        desk.ask(0, self.request);
    }
}

impl Traffic for RequestResponse {
    fn on_open(&mut self, now: Instant, _connection: usize, desk: &mut Desk) {
        self.ask(now, desk);
    }

    fn on_read(&mut self, now: Instant, connection: usize, way: Direction, desk: &mut Desk) {
        let data = desk.data(connection);
        if way != desk.way {
            // the server has got a request in full when this many have come
            let asked = desk.pipe(connection, way).map_or(0, |pipe| pipe.delivered / self.request);
            let answered = data.goal / self.response;
            desk.send(connection, asked.saturating_sub(answered) * self.response);
        } else if data.delivered == data.goal
            && let Some(asked) = self.asked.take()
        {
            desk.complete(self.response, asked, now, None);
            self.ask(now, desk);
        }
    }

    fn on_wake(&mut self, now: Instant, desk: &mut Desk) {
        if self.asked.is_none() {
            self.ask(now, desk);
        }
    }
}
