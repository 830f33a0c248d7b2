//! One subflow after the other, as the v0.9x kernels do it.

use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Scheduler, SchedulerView, SubflowSnapshot};
use core::ops::Range;

#[derive(Debug)]
pub(super) struct RoundRobin {
    /// Segments in a row.
    segments: u64,
    /// One without room is passed over; otherwise everybody waits for it.
    cwnd_limited: bool,
    current: Option<SubflowId>,
    /// Bytes of its turn that are left.
    left: u64,
}

impl RoundRobin {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        Self {
            segments: spec.number("num_segments") as u64,
            cwnd_limited: spec.switch("cwnd_limited"),
            current: None,
            left: 0,
        }
    }

    fn eligible<'a>(
        &self,
        view: &SchedulerView<'a>,
    ) -> impl Iterator<Item = &'a SubflowSnapshot> + use<'a> {
        let (all, unsent) = (!self.cwnd_limited, view.unsent);
        view.regular().filter(move |s| all || s.is_open(unsent))
    }
}

impl Scheduler for RoundRobin {
    fn name(&self) -> &str {
        "rr"
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
                self.left = self.segments * next.segment();
                next
            }
        };
        self.current = Some(next.id);
        if !next.is_open(view.unsent) {
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
