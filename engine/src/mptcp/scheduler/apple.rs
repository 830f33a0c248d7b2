//! The policies Apple documents for its devices: handover and interactive.

use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Scheduler, SchedulerView, SubflowSnapshot};
use crate::time::Duration;

/// One path at a time: backups only without a regular path, and among several the one last heard of, so that a server
/// answers where the client is.
#[derive(Debug)]
pub(super) struct Handover;

impl Scheduler for Handover {
    fn name(&self) -> &str {
        "handover"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let latest = |s: &&SubflowSnapshot| (s.last_received, core::cmp::Reverse(s.id));
        send_on(view, view.regular().max_by_key(latest))
    }
}

/// The first path (the one that is no backup) while its delay stays low, else the fastest of all, backups included.
#[derive(Debug)]
pub(super) struct Interactive {
    threshold: Duration,
}

impl Interactive {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        Self { threshold: Duration::from_millis(spec.number("threshold") as u64) }
    }
}

impl Scheduler for Interactive {
    fn name(&self) -> &str {
        "interactive"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let primary = view.regular().min_by_key(|s| s.id);
        if primary.is_some_and(|s| s.srtt.unwrap_or_default() < self.threshold) {
            return send_on(view, primary);
        }
        send_on(view, view.subflows.iter().min_by_key(|s| (s.rtt(), s.id)))
    }
}

fn send_on(view: &SchedulerView<'_>, subflow: Option<&SubflowSnapshot>) -> Action {
    match subflow {
        Some(s) if s.is_open(view.sendable()) => Action::Send { subflow: s.id, len: s.available },
        _ => Action::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, backup, picks, subflow, view};
    use super::*;
    use crate::time::Instant;

    #[test]
    fn handover_answers_where_it_last_heard() {
        let late = SubflowSnapshot {
            last_received: Instant::from_millis(9_000),
            ..subflow(1, 80, 2 * MSS)
        };
        assert_eq!(picks("handover", &view(&[subflow(0, 10, 2 * MSS), late]), 1), [Some(1)]);
        let regular = [subflow(0, 10, 2 * MSS), backup(late)];
        assert_eq!(picks("handover", &view(&regular), 1), [Some(0)]);
    }

    #[test]
    fn interactive_leaves_a_slow_first_path() {
        let cellular = backup(subflow(1, 60, 2 * MSS));
        for (rtt, full, expected) in
            [(240, false, Some(0)), (240, true, None), (260, false, Some(1)), (260, true, Some(1))]
        {
            let room = if full { 0 } else { 2 * MSS };
            let all = [subflow(0, rtt, room), cellular];
            assert_eq!(picks("interactive", &view(&all), 1), [expected], "{rtt} {full}");
        }
        let both_slow = [subflow(0, 260, 2 * MSS), backup(subflow(1, 300, 2 * MSS))];
        assert_eq!(picks("interactive", &view(&both_slow), 1), [Some(0)]);
    }
}
