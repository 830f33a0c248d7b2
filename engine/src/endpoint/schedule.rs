//! Which connections have something to send, and when which of them wants the time.
//!
//! Cost grows with the number of busy connections, not with the number of idle ones.

use crate::addr::ConnectionId;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

/// Active connections in round-robin order, and the deadlines of all others.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    active: VecDeque<ConnectionId>,
    queued: BTreeSet<ConnectionId>,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
    deadline_of: BTreeMap<ConnectionId, Instant>,
}

impl Schedule {
    /// The connection may have something to send.
    pub(super) fn activate(&mut self, id: ConnectionId) {
        // Packets come in batches.
        if self.active.back() != Some(&id) && self.queued.insert(id) {
            self.active.push_back(id);
        }
    }

    /// The connection to ask next; it stays active.
    pub(super) fn front(&self) -> Option<ConnectionId> {
        self.active.front().copied()
    }

    /// The front connection had something: the next one is asked first next time.
    pub(super) fn rotate(&mut self) {
        if self.active.len() > 1 {
            self.active.rotate_left(1);
        }
    }

    /// The front connection has nothing to send until `deadline` or until something happens to it.
    pub(super) fn rest(&mut self, id: ConnectionId, deadline: Option<Instant>) {
        if self.queued.remove(&id) {
            self.active.retain(|queued| *queued != id);
        }
        self.set_deadline(id, deadline);
    }

    /// When a connection wants the time, whether it is active or not.
    pub(super) fn set_deadline(&mut self, id: ConnectionId, deadline: Option<Instant>) {
        if self.deadline_of.get(&id).copied() == deadline {
            return;
        }
        let old = match deadline {
            Some(at) => self.deadline_of.insert(id, at),
            None => self.deadline_of.remove(&id),
        };
        if let Some(old) = old {
            self.deadlines.remove(&(old, id));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, id));
        }
    }

    /// The connection is gone.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.rest(id, None);
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A connection whose deadline has passed; it becomes active.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ConnectionId> {
        let (at, id) = self.deadlines.first().copied()?;
        if at > now {
            return None;
        }
        self.set_deadline(id, None);
        self.activate(id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_connections_take_turns_and_resting_ones_wait_for_their_deadline() {
        let mut schedule = Schedule::default();
        let (a, b) = (ConnectionId(1), ConnectionId(2));
        schedule.activate(a);
        schedule.activate(b);
        schedule.activate(a);
        assert_eq!(schedule.front(), Some(a));
        schedule.rotate();
        assert_eq!(schedule.front(), Some(b));
        schedule.rest(b, Some(Instant::from_millis(5)));
        schedule.rest(a, None);
        assert_eq!(schedule.front(), None);
        assert_eq!(schedule.pop_due(Instant::from_millis(4)), None);
        assert_eq!(schedule.pop_due(Instant::from_millis(5)), Some(b));
        assert_eq!(schedule.front(), Some(b));
        schedule.remove(b);
        assert_eq!((schedule.front(), schedule.next_deadline()), (None, None));
    }
}
