//! When to acknowledge (RFC 9293 3.8.6.3, RFC 5681 4.2).

use super::recv::Arrival;
use crate::time::{Duration, Instant};

/// How urgently an acknowledgement is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Nothing to acknowledge, or it can wait.
    #[default]
    None,
    /// Now; a data segment will do.
    Now,
    /// Now, and on a segment of its own: a duplicate ACK, or somebody asked for one.
    Pure,
}

/// Decides between acknowledging now and later.
#[derive(Debug)]
pub(super) struct AckPolicy {
    delay: Duration,
    urgency: Urgency,
    deadline: Option<Instant>,
    /// Acknowledgements still to be sent without delay.
    quick: u32,
    /// When data arrived last.
    arrived: Option<Instant>,
    /// A challenge ACK is due (RFC 5961).
    challenge: bool,
    /// Octets received since the last acknowledgement went out.
    unacked: u64,
    /// The peer's full-sized segment as far as seen.
    segment: u64,
    /// What this end announced as MSS: larger payloads are several segments merged on the way.
    mss: u64,
}

impl AckPolicy {
    /// The first `quick` acknowledgements are not delayed.
    pub(super) fn new(delay: Duration, quick: u32, mss: u16) -> Self {
        let mss = u64::from(mss);
        Self {
            delay,
            quick,
            arrived: None,
            urgency: Urgency::None,
            deadline: None,
            challenge: false,
            unacked: 0,
            segment: mss.min(536),
            mss,
        }
    }

    /// Data (or a FIN) arrived.
    pub(super) fn on_arrival(&mut self, now: Instant, len: usize, arrival: Arrival) {
        let len = len as u64;
        if len > self.segment && len <= self.mss {
            self.segment = len;
        }
        self.unacked = self.unacked.saturating_add(len);
        self.arrived = Some(now);
        if arrival.out_of_order || arrival.overlap || arrival.duplicate || arrival.refused {
            self.demand(Urgency::Pure);
        } else if arrival.fin
            || arrival.filled_hole
            || self.quick > 0
            || self.unacked >= 2 * self.segment
        {
            self.demand(Urgency::Now);
        } else {
            self.deadline = self.deadline.or(Some(now + self.delay));
        }
    }

    /// An acknowledgement is due now.
    pub(super) fn demand(&mut self, urgency: Urgency) {
        self.urgency = self.urgency.max(urgency);
    }

    /// A challenge ACK is due now.
    pub(super) fn challenge(&mut self) {
        self.challenge = true;
        self.demand(Urgency::Pure);
    }

    pub(super) const fn is_challenge(&self) -> bool {
        self.challenge
    }

    pub(super) fn urgency(&self, now: Instant) -> Urgency {
        let due = self.deadline.is_some_and(|deadline| deadline <= now);
        if due { self.urgency.max(Urgency::Now) } else { self.urgency }
    }

    /// Data went out. Sent in answer to data that arrived just now, it shows an application that asks and answers:
    /// acknowledgements can wait for the next answer.
    pub(super) fn on_data_sent(&mut self, now: Instant) {
        if self.arrived.is_some_and(|at| now < at + self.delay) {
            self.quick = 0;
        }
    }

    /// A segment with an ACK field went out; a demand for a pure ACK is met by a pure one only.
    pub(super) fn on_ack_sent(&mut self, pure: bool) {
        self.deadline = None;
        self.quick = self.quick.saturating_sub(u32::from(self.unacked > 0));
        self.unacked = 0;
        if pure || self.urgency < Urgency::Pure {
            self.urgency = Urgency::None;
            self.challenge = false;
        }
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn on_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.demand(Urgency::Now);
        }
    }
}
