use super::*;

fn subflow(id: u32, srtt_ms: u64, available: u64, backup: bool) -> SubflowSnapshot {
    SubflowSnapshot {
        id: SubflowId(id),
        srtt: Some(Duration::from_millis(srtt_ms)),
        cwnd: 14_000,
        in_flight: 1_400,
        available,
        mss: 1_400,
        backup,
    }
}

fn picks(
    kind: SchedulerKind,
    subflows: &[SubflowSnapshot],
    unsent: u64,
    times: usize,
) -> Vec<Option<u32>> {
    let mut scheduler = new(kind);
    let view = SchedulerView { now: Instant::ZERO, subflows, unsent, window: u64::MAX };
    (0..times)
        .map(|_| match scheduler.pick(&view) {
            Pick::Send { subflow, len } => {
                assert!(len > 0);
                Some(subflow.0)
            }
            Pick::Wait => None,
        })
        .collect()
}
use std::vec;
use std::vec::Vec;

#[test]
fn min_rtt_prefers_the_fastest_open_subflow() {
    let all = [subflow(0, 30, 2_800, false), subflow(1, 10, 2_800, false), subflow(2, 5, 0, false)];
    assert_eq!(picks(SchedulerKind::MinRtt, &all, 9_000, 1), [Some(1)]);
}

/// RFC 8684 3.3.8 [PRIO-1]: a backup carries data only when no regular subflow is there.
#[test]
fn backups_wait_while_a_regular_subflow_exists() {
    let regular_is_full = [subflow(0, 30, 0, false), subflow(1, 10, 2_800, true)];
    assert_eq!(picks(SchedulerKind::MinRtt, &regular_is_full, 9_000, 1), [None]);
    let only_backups = [subflow(1, 10, 2_800, true)];
    assert_eq!(picks(SchedulerKind::MinRtt, &only_backups, 9_000, 1), [Some(1)]);
}

#[test]
fn round_robin_visits_every_open_subflow() {
    let all =
        [subflow(0, 30, 2_800, false), subflow(3, 10, 2_800, false), subflow(7, 5, 2_800, false)];
    let expected = vec![Some(0), Some(3), Some(7), Some(0), Some(3)];
    assert_eq!(picks(SchedulerKind::RoundRobin, &all, 9_000, 5), expected);
}

/// A sliver of window is not filled with a small segment while full ones are in flight.
#[test]
fn slivers_of_window_are_left_alone() {
    let sliver = [subflow(0, 30, 100, false)];
    assert_eq!(picks(SchedulerKind::MinRtt, &sliver, 9_000, 1), [None]);
    assert_eq!(picks(SchedulerKind::MinRtt, &sliver, 80, 1), [Some(0)]);
    let idle = [SubflowSnapshot { in_flight: 0, ..sliver[0] }];
    assert_eq!(picks(SchedulerKind::MinRtt, &idle, 9_000, 1), [Some(0)]);
}
