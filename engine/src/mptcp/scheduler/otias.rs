//! OTIAS, as the MP-DCCP module has it: the subflow on which the next segment would arrive first, its queue included.
//! Windows are not asked: segments wait on the subflow.

use crate::scheduling::{Action, Scheduler, SchedulerView, SubflowSnapshot};
use crate::time::Duration;

#[derive(Debug)]
pub(super) struct Otias;

/// Whole round trips until the queue is gone, and half of one to arrive. Segments.
fn arrival(queued: u64, window: u64, in_flight: u64, srtt: Duration) -> Duration {
    let beyond = queued.saturating_sub(window.saturating_sub(in_flight));
    let rounds = u32::try_from(beyond / window.max(1)).unwrap_or(u32::MAX);
    srtt.saturating_mul(rounds).saturating_add(srtt / 2)
}

fn arrival_on(s: &SubflowSnapshot) -> Duration {
    let queued = s.queued.div_ceil(s.segment());
    arrival(queued, s.window_segments(), s.in_flight_segments(), s.rtt())
}

impl Scheduler for Otias {
    fn name(&self) -> &str {
        "otias"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let room = |s: &&SubflowSnapshot| s.queue_room.max(s.available) > 0;
        match view.regular().filter(room).min_by_key(|s| (arrival_on(s), s.id)) {
            Some(s) => Action::Send { subflow: s.id, len: s.segment() },
            None => Action::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, picks, subflow, view};
    use super::*;

    /// Decision vector: the slow path wins, 50 ms against 70 ms.
    #[test]
    fn otias_vector() {
        let ms = Duration::from_millis;
        assert_eq!(arrival(30, 10, 10, ms(20)), ms(70));
        assert_eq!(arrival(0, 10, 4, ms(100)), ms(50));
        let fast = SubflowSnapshot { queued: 30 * MSS, in_flight: 10 * MSS, ..subflow(0, 20, 0) };
        let slow = SubflowSnapshot { in_flight: 4 * MSS, ..subflow(1, 100, 0) };
        assert_eq!(picks("otias", &view(&[fast, slow]), 1), [Some(1)]);
    }
}
