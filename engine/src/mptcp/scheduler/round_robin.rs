//! One subflow after the other, a full segment each.

use super::{Pick, Scheduler, SchedulerView, candidates};
use crate::addr::SubflowId;

#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    last: Option<SubflowId>,
}

impl Scheduler for RoundRobin {
    fn name(&self) -> &'static str {
        "rr"
    }

    fn pick(&mut self, view: &SchedulerView<'_>) -> Pick {
        let after = candidates(view).filter(|s| Some(s.id) > self.last).min_by_key(|s| s.id);
        let Some(next) = after.or_else(|| candidates(view).min_by_key(|s| s.id)) else {
            return Pick::Wait;
        };
        self.last = Some(next.id);
        Pick::Send { subflow: next.id, len: next.available.min(u64::from(next.mss)) }
    }
}
