//! As much as goes.

use super::{Desk, Traffic};
use crate::direction::Direction;
use mpuser_engine::time::Instant;

/// A transfer of known or of no end.
#[derive(Debug)]
pub(super) struct Bulk {
    size: Option<u64>,
}

impl Bulk {
    pub(super) const fn new(size: Option<u64>) -> Self {
        Self { size }
    }
}

impl Traffic for Bulk {
    fn on_open(&mut self, _now: Instant, connection: usize, desk: &mut Desk) {
        desk.send(connection, self.size.unwrap_or(u64::MAX));
    }

    fn on_read(&mut self, now: Instant, connection: usize, _way: Direction, desk: &mut Desk) {
        if let Some(size) = self.size.filter(|size| desk.data(connection).delivered >= *size)
            && !desk.done
        {
            desk.complete(size, desk.begun, now, None);
            desk.done = true;
        }
    }
}
