//! After the idea of QAware (IFIP Networking 2018): the backlog that waits on this machine tells of a full path earlier
//! than any RTT. The subflow on which the next segment would arrive first, by backlog over drain rate plus half an RTT.
//!
//! The paper reads the backlog off the network device. Here the subflow's own queue stands for it.

use crate::scheduling::{Action, Scheduler, SchedulerView, SubflowSnapshot};
use crate::time::Duration;

#[derive(Debug)]
pub(super) struct QAware;

fn completion(s: &SubflowSnapshot) -> Duration {
    let rate = if s.delivery_rate > 0 { s.delivery_rate } else { s.pacing_rate };
    let backlog = (s.queued + s.segment()).saturating_sub(s.available);
    let drained = u128::from(backlog) * 1_000_000 / u128::from(rate.max(1));
    let drained = Duration::from_micros(u64::try_from(drained).unwrap_or(u64::MAX));
    (s.rtt() / 2).saturating_add(drained)
}

impl Scheduler for QAware {
    fn name(&self) -> &str {
        "qaware"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let room = |s: &&SubflowSnapshot| s.queue_room.max(s.available) > 0;
        match view.regular().filter(room).min_by_key(|s| (completion(s), s.id)) {
            Some(s) => Action::Send { subflow: s.id, len: s.segment() },
            None => Action::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, picks, subflow, view};
    use super::*;

    #[test]
    fn a_backlog_outweighs_a_short_rtt() {
        let fast = SubflowSnapshot { delivery_rate: 100 * MSS, ..subflow(0, 20, 0) };
        let slow = subflow(1, 100, 4 * MSS);
        // Two segments at 100 a second take 20 ms: 30 ms in all against 50. Six take 60.
        for (queued, expected) in [(MSS, 0), (5 * MSS, 1)] {
            let all = [SubflowSnapshot { queued, ..fast }, slow];
            assert_eq!(picks("qaware", &view(&all), 1), [Some(expected)], "{queued}");
        }
    }
}
