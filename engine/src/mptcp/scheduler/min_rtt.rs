//! The subflow with the lowest smoothed RTT whose window is open: Linux' default of the v0.9x kernels.

use super::{Pick, Scheduler, SchedulerView, candidates};
use crate::time::Duration;

#[derive(Debug)]
pub(super) struct MinRtt;

impl Scheduler for MinRtt {
    fn name(&self) -> &'static str {
        "minrtt"
    }

    fn pick(&mut self, view: &SchedulerView<'_>) -> Pick {
        // A subflow without a sample counts as slow: its handshake gives it one soon enough.
        candidates(view)
            .min_by_key(|s| (s.srtt.unwrap_or(Duration::MAX), s.id))
            .map_or(Pick::Wait, |s| Pick::Send { subflow: s.id, len: s.available })
    }
}
