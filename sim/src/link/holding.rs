//! Packets held back until later ones have passed.

use bytes::Bytes;
use mpuser_engine::time::{Duration, Instant};

/// Longest time a packet waits to be overtaken.
pub(crate) const MAX_HOLD: Duration = Duration::from_millis(50);

/// Most packets held back at once.
const MAX_HELD: usize = 1024;

#[derive(Debug)]
struct Held<T> {
    /// Goes when this many packets have passed in all.
    after: u64,
    /// Goes at this time at the latest.
    deadline: Instant,
    what: T,
}

/// A place where packets wait to be overtaken.
#[derive(Debug)]
pub(crate) struct Holding<T = Bytes> {
    passed: u64,
    held: Vec<Held<T>>,
}

impl<T> Default for Holding<T> {
    fn default() -> Self {
        Self { passed: 0, held: Vec::new() }
    }
}

impl<T> Holding<T> {
    /// Holds `what` back until `distance` later ones have passed; gives it back if too much is held already.
    pub(crate) fn hold(&mut self, now: Instant, distance: u32, what: T) -> Option<T> {
        if self.held.len() >= MAX_HELD {
            return Some(what);
        }
        let after = self.passed + u64::from(distance);
        self.held.push(Held { after, deadline: now + MAX_HOLD, what });
        None
    }

    /// How much is held back.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// A packet passed.
    pub(crate) const fn pass(&mut self) {
        self.passed += 1;
    }

    /// What has been overtaken by enough, or waited long enough.
    pub(crate) fn due(&mut self, now: Instant) -> Option<T> {
        if self.held.is_empty() {
            return None;
        }
        let passed = self.passed;
        let at = self.held.iter().position(|h| h.after <= passed || h.deadline <= now)?;
        Some(self.held.remove(at).what)
    }

    /// When something will have waited long enough.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.deadline).min()
    }
}
