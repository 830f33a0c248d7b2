//! A page: objects over a few connections.

use super::{Desk, Traffic};
use crate::direction::Direction;
use mpuser_engine::time::Instant;
use std::collections::BTreeMap;

/// A page being fetched.
#[derive(Debug)]
pub(super) struct Web {
    objects: Vec<u64>,
    request: u64,
    /// The next object nobody has asked for.
    next: usize,
    /// By connection: the size of what was asked for, and when.
    asked: BTreeMap<usize, (u64, Instant)>,
    came: usize,
}

impl Web {
    pub(super) const fn new(objects: Vec<u64>, request: u64) -> Self {
        Self { objects, request, next: 0, asked: BTreeMap::new(), came: 0 }
    }

    fn ask(&mut self, now: Instant, connection: usize, desk: &mut Desk) {
        if let Some(size) = self.objects.get(self.next) {
            self.next += 1;
            self.asked.insert(connection, (*size, now));
            desk.ask(connection, self.request);
        }
    }
}

impl Traffic for Web {
    fn on_open(&mut self, now: Instant, connection: usize, desk: &mut Desk) {
        self.ask(now, connection, desk);
    }

    fn on_read(&mut self, now: Instant, connection: usize, way: Direction, desk: &mut Desk) {
        let data = desk.data(connection);
        let Some((size, since)) = self.asked.get(&connection).copied() else { return };
        if way != desk.way {
            let asked = desk.pipe(connection, way).copied().unwrap_or_default();
            if asked.delivered == asked.goal {
                desk.send(connection, size);
            }
        } else if data.delivered == data.goal {
            self.asked.remove(&connection);
            desk.complete(size, since, now, None);
            self.came += 1;
            desk.done = self.came == self.objects.len();
            self.ask(now, connection, desk);
        }
    }
}
