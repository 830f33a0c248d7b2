//! One subflow after the other: as the v0.9x kernels do it, and with weights.

use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Scheduler, SchedulerView, SubflowSnapshot};
use alloc::vec::Vec;
use core::ops::Range;

#[derive(Debug)]
pub(super) struct RoundRobin {
    name: &'static str,
    /// Segments in a row, for each subflow by its number among them; the last holds for all the others.
    segments: Vec<u64>,
    /// One without room is passed over; otherwise everybody waits for it.
    cwnd_limited: bool,
    current: Option<SubflowId>,
    /// Bytes of its turn that are left.
    left: u64,
}

impl RoundRobin {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        Self::with("rr", spec, [spec.number("num_segments") as u64].into())
    }

    pub(super) fn weighted(spec: &SchedulerSpec) -> Self {
        Self::with("wrr", spec, spec.weights("weights").iter().map(|w| u64::from(*w)).collect())
    }

    fn with(name: &'static str, spec: &SchedulerSpec, segments: Vec<u64>) -> Self {
        Self { name, segments, cwnd_limited: spec.switch("cwnd_limited"), current: None, left: 0 }
    }

    fn eligible<'a>(
        &self,
        view: &SchedulerView<'a>,
    ) -> impl Iterator<Item = &'a SubflowSnapshot> + use<'a> {
        let (all, sendable) = (!self.cwnd_limited, view.sendable());
        view.regular().filter(move |s| all || s.is_open(sendable))
    }

    fn turn(&self, view: &SchedulerView<'_>, next: &SubflowSnapshot) -> u64 {
        let position = view.subflows.iter().filter(|s| s.id < next.id).count();
        let segments = self.segments.get(position).or(self.segments.last());
        segments.copied().unwrap_or(1).max(1) * next.segment()
    }
}

impl Scheduler for RoundRobin {
    fn name(&self) -> &str {
        self.name
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let current = self.eligible(view).find(|s| Some(s.id) == self.current && self.left > 0);
        let next = match current {
            Some(current) => current,
            None => {
                let after = self.eligible(view).filter(|s| Some(s.id) > self.current);
                let after = after.min_by_key(|s| s.id);
                let Some(next) = after.or_else(|| self.eligible(view).min_by_key(|s| s.id)) else {
                    return Action::Wait;
                };
                self.left = self.turn(view, next);
                next
            }
        };
        self.current = Some(next.id);
        if !next.is_open(view.sendable()) {
            return Action::Wait;
        }
        Action::Send { subflow: next.id, len: self.left.min(next.available) }
    }

    fn on_staged(&mut self, subflow: SubflowId, range: Range<u64>) {
        if Some(subflow) == self.current {
            self.left = self.left.saturating_sub(range.end - range.start);
        }
    }
}
