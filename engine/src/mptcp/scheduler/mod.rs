//! Which subflow carries the next bytes: a decision from a read-only view.

mod min_rtt;
mod round_robin;

use crate::addr::SubflowId;
use crate::config::SchedulerKind;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use core::fmt;

/// One usable subflow at the moment of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubflowSnapshot {
    /// Which one.
    pub id: SubflowId,
    /// Smoothed round-trip time; `None` before the first sample.
    pub srtt: Option<Duration>,
    /// Congestion window, bytes.
    pub cwnd: u64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// New bytes its congestion window and the peer's window allow right now.
    pub available: u64,
    /// Payload of one full segment, bytes.
    pub mss: u32,
    /// Either side asked for it to be used as backup only (RFC 8684 3.3.8).
    pub backup: bool,
}

/// What a scheduler sees: values, no handle on the connection.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerView<'a> {
    /// Now.
    pub now: Instant,
    /// Usable subflows: established, not stale, none that is closing.
    pub subflows: &'a [SubflowSnapshot],
    /// Bytes written by the application and not yet given to a subflow.
    pub unsent: u64,
    /// New bytes the data-level window allows.
    pub window: u64,
}

/// A scheduler's answer. The connection checks it before it obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pick {
    /// Give the next bytes to this subflow, at most `len`.
    Send {
        /// Which one.
        subflow: SubflowId,
        /// At most this many bytes.
        len: u64,
    },
    /// Send nothing until something changes.
    Wait,
}

/// A scheduling policy. It may keep memory of its own, and has no other effect than its answer.
pub trait Scheduler: fmt::Debug + Send {
    /// The name `--sched` takes.
    fn name(&self) -> &'static str;

    /// Says who carries the next bytes. Called only when there are some and the window is open.
    fn pick(&mut self, view: &SchedulerView<'_>) -> Pick;
}

/// The scheduler of this kind.
#[must_use]
pub fn new(kind: SchedulerKind) -> Box<dyn Scheduler> {
    match kind {
        SchedulerKind::MinRtt => Box::new(min_rtt::MinRtt),
        SchedulerKind::RoundRobin => Box::new(round_robin::RoundRobin::default()),
    }
}

impl SubflowSnapshot {
    /// There is room for a full segment, or for all there is; or the pipe is empty and anything is better than
    /// nothing.
    #[must_use]
    pub fn is_open(&self, unsent: u64) -> bool {
        let wanted = u64::from(self.mss).min(unsent);
        self.available > 0 && (self.available >= wanted || self.in_flight == 0)
    }
}

/// The subflows worth considering: regular ones that are open, backups only when no regular one exists
/// (RFC 8684 3.3.8 [PRIO-1]).
fn candidates<'a>(view: &'a SchedulerView<'_>) -> impl Iterator<Item = &'a SubflowSnapshot> {
    let backup = view.subflows.iter().all(|s| s.backup);
    view.subflows.iter().filter(move |s| s.backup == backup && s.is_open(view.unsent))
}

#[cfg(test)]
mod tests;
