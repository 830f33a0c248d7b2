//! Views by hand, and what every scheduler has to keep to.

use super::*;
use crate::addr::SubflowId;
use crate::config::SCHEDULERS;
use crate::scheduling::{
    Action, InFlight, Outstanding, Reinjection, SchedulerView, SubflowSet, SubflowSnapshot,
};
use crate::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

pub(super) const MSS: u64 = 1_400;

pub(super) fn scheduler(spec: &str) -> Box<dyn Scheduler> {
    new(&SchedulerSpec::parse(spec).expect(spec))
}

/// A subflow with a window of ten segments, one of them in flight.
pub(super) fn subflow(id: u32, srtt_ms: u64, available: u64) -> SubflowSnapshot {
    let srtt = Duration::from_millis(srtt_ms);
    SubflowSnapshot {
        id: SubflowId(id),
        set: SubflowSet::of(SubflowId(id)),
        srtt: Some(srtt),
        min_rtt: Some(srtt),
        rttvar: srtt / 4,
        rto: srtt * 2,
        cwnd: 10 * MSS,
        ssthresh: u64::MAX,
        in_flight: MSS,
        write_memory: MSS,
        available,
        queue_room: 29 * MSS,
        mss: MSS as u32,
        peer_window: 1 << 20,
        pacing_rate: 20 * MSS * 1_000 / srtt_ms.max(1),
        ..SubflowSnapshot::default()
    }
}

pub(super) fn backup(s: SubflowSnapshot) -> SubflowSnapshot {
    SubflowSnapshot { backup: true, backup_here: true, ..s }
}

/// Queues by hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    pub(super) in_flight: Vec<InFlight>,
    pub(super) waiting: Vec<Reinjection>,
    pub(super) boundaries: Vec<u64>,
}

impl Outstanding for Queues {
    fn in_flight_at(&self, offset: u64) -> Option<InFlight> {
        self.in_flight.iter().find(|f| f.range.end > offset).cloned()
    }

    fn reinjection_at(&self, offset: u64) -> Option<Reinjection> {
        self.waiting.iter().find(|r| r.range.end > offset).cloned()
    }

    fn boundary_after(&self, offset: u64) -> Option<u64> {
        self.boundaries.iter().copied().find(|end| *end > offset)
    }
}

/// Much to send, a wide window, nothing in flight at data level.
pub(super) fn view(subflows: &[SubflowSnapshot]) -> SchedulerView<'_> {
    SchedulerView {
        now: Instant::from_millis(10_000),
        subflows,
        unsent: 1 << 20,
        window: 1 << 20,
        una: 0,
        nxt: 0,
        window_end: 1 << 20,
        send_buffer: 4 << 20,
        queues: &(),
    }
}

/// Who carries the next bytes, `times` times over.
pub(super) fn picks(spec: &str, view: &SchedulerView<'_>, times: usize) -> Vec<Option<u32>> {
    let mut scheduler = scheduler(spec);
    let mut offset = view.nxt;
    (0..times)
        .map(|_| match scheduler.schedule(view) {
            Action::Send { subflow, len } => {
                let len = len.min(MSS).min(view.unsent);
                assert!(len > 0);
                scheduler.on_staged(subflow, offset..offset + len);
                offset += len;
                Some(subflow.0)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn min_rtt_prefers_the_fastest_open_subflow() {
    let all = [subflow(0, 30, 2_800), subflow(1, 10, 2_800), subflow(2, 5, 0)];
    assert_eq!(picks("minrtt", &view(&all), 1), [Some(1)]);
}

/// RFC 8684 3.3.8 [PRIO-1]: a backup carries data only when no regular subflow is there.
#[test]
fn backups_wait_while_a_regular_subflow_exists() {
    let regular_is_full = [subflow(0, 30, 0), backup(subflow(1, 10, 2_800))];
    let only_backups = [backup(subflow(1, 10, 2_800))];
    for spec in ["minrtt", "rr"] {
        assert_eq!(picks(spec, &view(&regular_is_full), 1), [None], "{spec}");
        assert_eq!(picks(spec, &view(&only_backups), 1), [Some(1)], "{spec}");
    }
}

#[test]
fn round_robin_visits_every_open_subflow() {
    let all = [subflow(0, 30, 2_800), subflow(3, 10, 2_800), subflow(7, 5, 2_800)];
    let expected = vec![Some(0), Some(3), Some(7), Some(0), Some(3)];
    assert_eq!(picks("rr", &view(&all), 5), expected);
    let twice = vec![Some(0), Some(0), Some(3), Some(3), Some(7)];
    assert_eq!(picks("rr,num_segments=2", &view(&all), 5), twice);
}

/// Without `cwnd_limited` the turn is kept, even where the subflow has no room.
#[test]
fn round_robin_may_wait_for_a_full_subflow() {
    let all = [subflow(0, 30, 2_800), subflow(3, 10, 0)];
    assert_eq!(picks("rr", &view(&all), 3), [Some(0), Some(0), Some(0)]);
    assert_eq!(picks("rr,cwnd_limited=off", &view(&all), 3), [Some(0), None, None]);
}

/// A sliver of window is not filled with a small segment while full ones are in flight.
#[test]
fn slivers_of_window_are_left_alone() {
    let sliver = [subflow(0, 30, 100)];
    assert_eq!(picks("minrtt", &view(&sliver), 1), [None]);
    assert_eq!(picks("minrtt", &SchedulerView { unsent: 80, ..view(&sliver) }, 1), [Some(0)]);
    let idle = [SubflowSnapshot { in_flight: 0, ..sliver[0] }];
    assert_eq!(picks("minrtt", &view(&idle), 1), [Some(0)]);
}

/// NSDI'12 4.2: the oldest bytes hold the window closed on a subflow five times slower.
#[test]
fn a_closed_window_brings_a_penalty_and_a_retransmission() {
    let all = [subflow(0, 100, 2_800), subflow(1, 20, 2_800)];
    let oldest = InFlight { range: 0..2_800, carriers: all[0].set };
    let queues = Queues { in_flight: vec![oldest], ..Queues::default() };
    let closed =
        SchedulerView { nxt: 2_800, window: 0, window_end: 2_800, queues: &queues, ..view(&all) };
    let penalty = Action::Penalise { subflow: SubflowId(0), factor: 0.5 };
    let again = Action::Duplicate { subflow: SubflowId(1), range: 0..2_800 };
    let mut both = scheduler("minrtt");
    assert!(both.interest().in_flight);
    assert_eq!((both.schedule(&closed), both.schedule(&closed)), (penalty.clone(), again.clone()));
    let later = SchedulerView { now: closed.now + Duration::from_millis(20), ..closed };
    assert_eq!(both.schedule(&later), penalty, "once in an RTT of the fast one");
    assert_eq!(scheduler("minrtt,penalise=off").schedule(&closed), again);
    assert_eq!(scheduler("minrtt,penalise=off,ratio=6").schedule(&closed), Action::Wait);
    assert!(!scheduler("minrtt,penalise=off,opportunistic=off").interest().in_flight);
    // less than a segment of window is as good as none, and a full send buffer as a closed window, whatever Nagle holds
    let sliver = SchedulerView { window_end: 2_900, ..closed };
    assert_eq!(scheduler("minrtt,penalise=off").schedule(&sliver), again);
    let open = SchedulerView { unsent: 200, window_end: 90_000, ..closed };
    assert_eq!(scheduler("minrtt,penalise=off").schedule(&open), Action::Wait);
    let full = SchedulerView { send_buffer: 3_000, ..open };
    assert_eq!(scheduler("minrtt,penalise=off").schedule(&full), again);
    let carried = InFlight { range: 0..2_800, carriers: all[0].set.union(all[1].set) };
    let queues = Queues { in_flight: vec![carried], ..Queues::default() };
    let closed = SchedulerView { queues: &queues, ..closed };
    assert_eq!(scheduler("minrtt,penalise=off").schedule(&closed), Action::Wait);
}

/// Every name makes the scheduler of that name.
#[test]
fn every_scheduler_listed_is_there() {
    for doc in SCHEDULERS {
        assert_eq!(scheduler(doc.name).name(), doc.name);
    }
}
