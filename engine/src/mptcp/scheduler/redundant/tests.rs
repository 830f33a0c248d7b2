use super::super::tests::{MSS, Queues, scheduler, subflow, view};
use crate::addr::SubflowId;
use crate::scheduling::{Action, InFlight, SchedulerView, SubflowSnapshot};
use std::vec;
use std::vec::Vec;

const ALL: [&str; 7] = [
    "redundant-r1",
    "redundant-r2",
    "redundant-r3",
    "redundant-r4",
    "redundant-r5",
    "redundant-r6",
    "redundant-r7",
];

/// A connection in a few lines: `new` segments to send, subflows with room for `room` segments each and no
/// acknowledgements. What each subflow sent, as offsets in segments.
fn run(name: &str, rooms: &[u64], new: u64) -> Vec<Vec<u64>> {
    let mut scheduler = scheduler(name);
    let mut queues = Queues::default();
    let mut subflows: Vec<SubflowSnapshot> = (0_u32..)
        .zip(rooms)
        .map(|(id, room)| SubflowSnapshot {
            queue_room: room * MSS,
            ..subflow(id, 10 + 10 * u64::from(id), room * MSS)
        })
        .collect();
    let mut sent = vec![Vec::new(); rooms.len()];
    let mut nxt = 0;
    for _ in 0..1_000 {
        let shot = subflows.clone();
        let unsent = new * MSS - nxt;
        let view = SchedulerView { unsent, nxt, queues: &queues, ..view(&shot) };
        let (id, range) = match scheduler.schedule(&view) {
            Action::Send { subflow, len } => {
                assert!(unsent > 0, "{name}: nothing new");
                (subflow, nxt..nxt + len.min(MSS))
            }
            Action::Duplicate { subflow, range } => {
                (subflow, range.start..range.end.min(range.start + MSS))
            }
            Action::Wait => return sent,
            other => panic!("{name}: {other:?}"),
        };
        let s = &mut subflows[id.0 as usize];
        assert!(s.available >= MSS, "{name}: no room");
        s.available -= MSS;
        s.queue_room -= MSS;
        sent[id.0 as usize].push(range.start / MSS);
        match queues.in_flight.iter_mut().find(|f| f.range.start == range.start) {
            Some(found) => {
                assert!(!found.is_on(s), "{name}: twice on one subflow");
                found.carriers = found.carriers.union(s.set);
            }
            None => queues.in_flight.push(InFlight { range: range.clone(), carriers: s.set }),
        }
        nxt = nxt.max(range.end);
        scheduler.on_staged(id, range);
    }
    panic!("{name}: it never waits");
}

/// The out-of-tree kernels halved the goodput of a single subflow and sent a hundred times the payload.
#[test]
fn redundant_with_one_subflow_sends_the_payload_once() {
    for name in ALL {
        assert_eq!(run(name, &[100], 5), [vec![0, 1, 2, 3, 4]], "{name}");
    }
}

#[test]
fn with_room_enough_everybody_sends_everything() {
    for name in ALL {
        let sent = run(name, &[9, 9, 9], 4);
        for mut on_one in sent {
            on_one.sort_unstable();
            assert_eq!(on_one, [0, 1, 2, 3], "{name}");
        }
    }
}

/// The slow subflow has room for two segments: what each rule makes of that.
#[test]
fn the_rules_differ_where_room_is_short() {
    // R1 drops the copies that find no room, R4 and R6 make none.
    for name in ["redundant-r1", "redundant-r4", "redundant-r6"] {
        assert_eq!(run(name, &[6, 2], 6), [vec![0, 1, 2, 3, 4, 5], vec![0, 1]], "{name}");
    }
    // R5 uses both for new data as long as there is some.
    assert_eq!(run("redundant-r5", &[6, 2], 8), [vec![0, 1, 2, 3, 4, 5], vec![6, 7]]);
    // The others never send anything new on the slow one before it has what the fast one sent.
    for name in ["redundant-r2", "redundant-r3", "redundant-r7"] {
        let sent = run(name, &[6, 2], 8);
        assert_eq!(sent[1], [0, 1], "{name}");
        assert_eq!(sent[0], [0, 1, 2, 3, 4, 5], "{name}");
    }
}

/// R7 does not give a late subflow what was sent before it came; R3 does.
#[test]
fn a_late_subflow() {
    let both = [subflow(0, 10, 0), subflow(1, 20, 5 * MSS)];
    let queues = Queues {
        in_flight: vec![InFlight { range: 0..MSS, carriers: both[0].set }],
        ..Queues::default()
    };
    let late = SchedulerView { unsent: 0, nxt: MSS, queues: &queues, ..view(&both) };
    assert_eq!(scheduler("redundant-r7").schedule(&late), Action::Wait);
    let again = Action::Duplicate { subflow: SubflowId(1), range: 0..MSS };
    assert_eq!(scheduler("redundant-r3").schedule(&late), again);
}
