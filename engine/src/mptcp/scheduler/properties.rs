//! Every scheduler over random views: it does not panic, does not answer what would be refused, and does not leave an open
//! subflow idle where it claims to be work-conserving.

use super::tests::{Queues, scheduler};
use crate::addr::SubflowId;
use crate::config::SCHEDULERS;
use crate::scheduling::{
    Action, InFlight, LossState, Outstanding as _, Reinjection, Scheduler, SchedulerEvent,
    SchedulerView, SubflowSet, SubflowSnapshot,
};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use proptest::prelude::*;
use std::vec::Vec;

/// Those that never wait while a regular subflow is open and there is something to send.
const WORK_CONSERVING: [&str; 11] = [
    "minrtt",
    "rr",
    "wrr",
    "redundant-r1",
    "redundant-r2",
    "redundant-r3",
    "redundant-r4",
    "redundant-r5",
    "redundant-r7",
    "stms",
    "redundant-r6",
];
const MSS: u64 = 1_400;

fn subflow(id: u32) -> impl Strategy<Value = SubflowSnapshot> {
    let rtt = prop_oneof![Just(None), (0_u64..2_000_000).prop_map(Some)];
    let windows = (1_u64..200, 0_u64..220, 0_u64..300, prop::option::of(2_u64..200));
    let rates = (0_u64..100_000_000, 0_u64..100_000_000, 0_u64..200_000);
    (rtt, windows, rates, any::<bool>(), 0_u32..3, 0_u64..100_000).prop_map(
        move |(
            rtt,
            (cwnd, flying, queued, ssthresh),
            (pacing, delivery, var),
            backup,
            loss,
            ago,
        )| {
            let srtt = rtt.map(Duration::from_micros);
            let available = cwnd.saturating_sub(flying + queued) * MSS;
            let write_memory = (flying + queued) * MSS;
            SubflowSnapshot {
                id: SubflowId(id),
                set: SubflowSet::of(SubflowId(id)),
                srtt,
                min_rtt: srtt,
                rttvar: Duration::from_micros(var),
                rto: Duration::from_millis(200),
                cwnd: cwnd * MSS,
                ssthresh: ssthresh.map_or(u64::MAX, |s| s * MSS),
                in_flight: flying * MSS,
                queued: queued * MSS,
                write_memory,
                available,
                queue_room: (3 * cwnd * MSS).saturating_sub(write_memory),
                mss: MSS as u32,
                peer_window: 1 << 20,
                pacing_rate: pacing,
                delivery_rate: delivery,
                loss: [LossState::Open, LossState::Recovery, LossState::Loss][loss as usize],
                timeouts: loss / 2,
                backup,
                backup_here: backup,
                backup_peer: false,
                stale: false,
                last_received: Instant::from_micros(ago),
                last_acked: Instant::from_micros(ago / 2),
            }
        },
    )
}

/// A view without its borrows.
#[derive(Clone, Debug)]
struct Owned {
    subflows: Vec<SubflowSnapshot>,
    queues: Queues,
    unsent: u64,
    window: u64,
    una: u64,
    nxt: u64,
    now: Instant,
}

fn owned() -> impl Strategy<Value = Owned> {
    let subflows = (1_u32..5).prop_flat_map(|n| (0..n).map(subflow).collect::<Vec<_>>());
    let pieces = prop::collection::vec((1_u64..20, any::<u8>()), 0..12);
    let waiting = prop::collection::vec(any::<bool>(), 12);
    let sizes = (0_u64..2_000_000, 0_u64..2_000_000, 0_u64..1_000_000, 0_u64..100_000);
    (subflows, pieces, waiting, sizes).prop_map(|(subflows, pieces, waiting, sizes)| {
        let (unsent, window, una, now) = sizes;
        let known = subflows.iter().fold(SubflowSet::EMPTY, |all, s| all.union(s.set));
        let (mut queues, mut at) = (Queues::default(), una);
        for ((len, carriers), waits) in pieces.into_iter().zip(waiting) {
            let range = at..at + len * 700;
            at = range.end;
            let on = (0..4).filter(|i| carriers >> i & 1 == 1).map(SubflowId);
            let on = SubflowSet::of_all(on.filter(|id| known.overlaps(SubflowSet::of(*id))));
            if waits {
                queues.waiting.push(Reinjection { range: range.clone(), origin: SubflowId(9) });
            }
            queues.in_flight.push(InFlight { range, carriers: on });
        }
        queues.boundaries.push(at + unsent / 2 + 1);
        Owned {
            subflows,
            queues,
            unsent,
            window,
            una,
            nxt: at,
            now: Instant::from_millis(500 + now),
        }
    })
}

impl Owned {
    fn view(&self, interest_in_new: bool) -> SchedulerView<'_> {
        SchedulerView {
            now: self.now,
            subflows: &self.subflows,
            unsent: self.unsent,
            window: if interest_in_new { self.window } else { 0 },
            una: self.una,
            nxt: self.nxt,
            window_end: self.nxt + self.window,
            send_buffer: 4 << 20,
            queues: &self.queues,
        }
    }

    /// Why the connection would refuse this answer.
    fn refusal(&self, view: &SchedulerView<'_>, action: &Action) -> Option<&'static str> {
        let target = |id: &SubflowId| self.subflows.iter().find(|s| s.id == *id);
        let room = |id: &SubflowId| target(id).map_or(0, |s| s.available.max(s.queue_room));
        match action {
            Action::Send { subflow, len } => {
                let nothing = *len == 0 || view.sendable() == 0 || room(subflow) == 0;
                nothing.then_some("nothing new can go there")
            }
            Action::Duplicate { subflow, range } => {
                let Some(found) = self.queues.in_flight_at(range.start) else {
                    return Some("not in flight");
                };
                let on = target(subflow).is_none_or(|s| found.is_on(s));
                let outside = range.is_empty() || found.range.start > range.start;
                (on || outside || room(subflow) == 0).then_some("no such duplicate")
            }
            Action::Reinject { subflow, range } => {
                let Some(found) = self.queues.reinjection_at(range.start) else {
                    return Some("not waiting");
                };
                let outside = range.is_empty() || found.range.start > range.start;
                (outside || room(subflow) == 0).then_some("no such reinjection")
            }
            Action::Penalise { subflow, factor } => (target(subflow).is_none()
                || !(0.1..=1.0).contains(factor))
            .then_some("no such penalty"),
            Action::SetAside { len } => {
                (*len == 0 || view.sendable() == 0 || self.subflows.len() < 2)
                    .then_some("nothing to set aside")
            }
            _ => None,
        }
    }
}

/// Shows the views one after the other, and checks each answer.
fn run(name: &str, views: &[Owned]) {
    let mut scheduler: Box<dyn Scheduler> = scheduler(name);
    let interest = scheduler.interest();
    for owned in views {
        let view = owned.view(true);
        let able = view.sendable() > 0
            || (interest.in_flight && view.una < view.nxt)
            || (interest.reinjections && !owned.queues.waiting.is_empty());
        if !able {
            continue;
        }
        if interest.events {
            for event in [
                SchedulerEvent::DataAck { una: view.una },
                SchedulerEvent::Ack { subflow: SubflowId(0), bytes: 1_400 },
                SchedulerEvent::WindowClosed,
            ] {
                scheduler.on_event(&view, event);
            }
        }
        let action = scheduler.schedule(&view);
        assert_eq!(owned.refusal(&view, &action), None, "{name}: {action:?}");
        assert_eq!(scheduler.take_fault(), None);
        let open = view.regular().any(|s| s.is_open(view.sendable()) && s.is_open(view.unsent));
        let idle = matches!(action, Action::Wait | Action::WaitUntil(_));
        if WORK_CONSERVING.contains(&name) && view.sendable() > 0 && open {
            assert!(!idle, "{name} waits though a subflow is open");
        }
        match action {
            Action::Send { subflow, len } => {
                scheduler.on_staged(subflow, view.nxt..view.nxt + len.min(view.sendable()));
            }
            Action::Duplicate { subflow, range } | Action::Reinject { subflow, range } => {
                scheduler.on_staged(subflow, range);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_scheduler_answers_what_would_be_refused(views in prop::collection::vec(owned(), 1..8)) {
        for doc in SCHEDULERS {
            run(doc.name, &views);
        }
    }
}
