use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const MSS: u32 = 10;

fn board(sent: u64) -> Scoreboard {
    let mut board = Scoreboard::new(MSS);
    board.push(Instant::ZERO, sent, Snapshot::default());
    board
}

fn layout(board: &Scoreboard) -> Vec<(u64, u64, State)> {
    board.entries().map(|e| (e.range.start, e.range.end, e.state)).collect()
}

#[test]
fn a_super_segment_is_cut_only_where_it_must_be() {
    let mut board = board(100);
    assert_eq!(layout(&board), [(0, 100, State::InFlight)]);
    board.sack(&(10..20), |_| {});
    board.sack(&(20..30), |_| {});
    board.sack(&(50..60), |_| {});
    board.sack(&(30..50), |_| {});
    let expected = [(0, 10, State::InFlight), (10, 60, State::Sacked), (60, 100, State::InFlight)];
    assert_eq!(layout(&board), expected);
    assert_eq!((board.sacked(), board.sacked_segments(), board.in_flight()), (50, 5, 50));
    board.acknowledge(15, |piece| assert_eq!(piece.range, 0..10));
    assert_eq!((board.una(), board.sacked(), board.outstanding()), (15, 45, 85));
    board.acknowledge(60, |_| unreachable!("was sacked before"));
    assert_eq!((board.sacked(), board.sacked_segments()), (0, 0));
}

#[test]
fn lost_neighbours_are_retransmitted_together_up_to_the_limit() {
    let mut board = Scoreboard::new(MSS);
    for end in [10, 20, 30, 40] {
        board.push(Instant::from_millis(end), end, Snapshot::default());
    }
    board.sack(&(30..40), |_| {});
    assert_eq!(board.mark_lost(|_| Verdict::Lost), 30);
    assert_eq!(board.next_lost(25), Some(0..25));
    board.retransmit(Instant::from_millis(50), &(0..25), Snapshot::default());
    assert_eq!((board.next_lost(u64::MAX), board.lost()), (Some(25..30), 5));
    board.retransmit(Instant::from_millis(50), &(25..30), Snapshot::default());
    assert_eq!((board.next_lost(u64::MAX), board.next_lost(0)), (None, None));
    assert_eq!(board.last_segment(), Some(25..30));
}

#[test]
fn reneging_is_noticed_by_a_sacked_front() {
    // RFC 2018 8: what was selectively acknowledged may be dropped.
    let mut board = board(30);
    board.sack(&(10..20), |_| {});
    board.forget_sacks_if_reneged();
    assert_eq!(board.sacked(), 10);
    board.acknowledge(10, |_| {});
    board.forget_sacks_if_reneged();
    assert_eq!((board.sacked(), board.sacked_segments(), board.in_flight()), (0, 0, 20));
}

#[test]
fn acknowledging_every_other_octet_does_not_grow_the_log_without_bound() {
    let mut board = board(1_000_000);
    for at in (1..500_000).step_by(2) {
        board.sack(&(at..at + 1), |_| {});
    }
    assert!(board.log.len() <= MAX_ENTRIES);
    board.push(Instant::from_millis(1), 1_000_010, Snapshot::default());
    board.acknowledge(1_000_010, |_| {});
    assert_eq!((board.outstanding(), board.sacked(), board.log.len()), (0, 0, 0));
}

/// One state for each octet.
struct Naive {
    una: usize,
    octets: Vec<(State, bool, u64)>,
}

#[derive(Clone, Debug)]
enum Op {
    Push(u64),
    Sack(u64, u64),
    Ack(u64),
    /// Octets last sent before this time are lost.
    Lose(u64),
    /// The first segment, up to this offset.
    LoseFirst(u64),
    Unmark,
    RetransmitLost(u64),
    Retransmit(u64, u64),
    Renege,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1u64..60).prop_map(Op::Push),
        4 => (0u64..500, 1u64..60).prop_map(|(a, l)| Op::Sack(a, l)),
        2 => (0u64..80).prop_map(Op::Ack),
        2 => (0u64..60).prop_map(Op::Lose),
        1 => Just(Op::LoseFirst(0)),
        1 => Just(Op::Unmark),
        4 => (1u64..50).prop_map(Op::RetransmitLost),
        1 => (0u64..500, 1u64..60).prop_map(|(a, l)| Op::Retransmit(a, l)),
        1 => Just(Op::Renege),
    ];
    prop::collection::vec(op, 0..60)
}

impl Naive {
    fn apply(&mut self, now: u64, op: &Op, next_lost: Option<Range<u64>>) -> u64 {
        let nxt = self.octets.len() as u64;
        let una = self.una;
        let clip = |start: u64, end: u64| {
            let end = end.min(nxt) as usize;
            (start as usize).max(una).min(end)..end
        };
        let mut changed = 0;
        match op {
            Op::Push(n) => self.octets.resize((nxt + n) as usize, (State::InFlight, false, now)),
            Op::Sack(start, len) => {
                for octet in &mut self.octets[clip(*start, start + len)] {
                    changed += u64::from(octet.0 != State::Sacked);
                    octet.0 = State::Sacked;
                }
            }
            Op::Ack(n) => {
                let end = (self.una + *n as usize).min(self.octets.len());
                let acked = &self.octets[self.una..end];
                changed = acked.iter().filter(|o| o.0 != State::Sacked).count() as u64;
                self.una = end;
            }
            Op::Lose(time) => {
                for octet in
                    self.octets[una..].iter_mut().filter(|o| o.0 == State::InFlight && o.2 < *time)
                {
                    octet.0 = State::Lost;
                    changed += 1;
                }
            }
            Op::LoseFirst(end) => {
                for octet in &mut self.octets[clip(0, *end)] {
                    changed += u64::from(octet.0 == State::InFlight);
                    octet.0 = if octet.0 == State::InFlight { State::Lost } else { octet.0 };
                }
            }
            Op::Unmark => self.octets[una..]
                .iter_mut()
                .filter(|o| o.0 == State::Lost)
                .for_each(|o| o.0 = State::InFlight),
            Op::RetransmitLost(_) => {
                let range = next_lost.map_or(0..0, |r| r.start as usize..r.end as usize);
                self.octets[range].iter_mut().for_each(|o| *o = (State::InFlight, true, now));
            }
            Op::Retransmit(start, len) => {
                let octets = &mut self.octets[clip(*start, start + len)];
                let sent = octets.iter_mut().filter(|o| o.0 != State::Sacked);
                sent.for_each(|o| *o = (State::InFlight, true, now));
            }
            Op::Renege => {
                if self.octets.get(una).is_some_and(|o| o.0 == State::Sacked) {
                    let sacked = self.octets[una..].iter_mut().filter(|o| o.0 == State::Sacked);
                    sacked.for_each(|o| o.0 = State::InFlight);
                }
            }
        }
        changed
    }

    fn count(&self, state: State) -> u64 {
        self.octets[self.una..].iter().filter(|o| o.0 == state).count() as u64
    }
}

fn apply(board: &mut Scoreboard, now: Instant, op: &Op) -> u64 {
    let mut changed = 0;
    let snapshot = Snapshot::default();
    match op {
        Op::Push(n) => board.push(now, board.nxt() + n, snapshot),
        Op::Sack(start, len) => board.sack(&(*start..start + len), |p| changed += p.len()),
        Op::Ack(n) => board.acknowledge(board.una() + n, |p| changed += p.len()),
        Op::Lose(time) => {
            let time = Instant::from_millis(*time);
            changed = board
                .mark_lost(|e| if e.sent_at < time { Verdict::Lost } else { Verdict::TooLate });
        }
        Op::LoseFirst(_) => changed = board.mark_first_lost(),
        Op::Unmark => board.unmark_lost(),
        Op::RetransmitLost(max) => {
            if let Some(range) = board.next_lost(*max) {
                board.retransmit(now, &range, snapshot);
            }
        }
        Op::Retransmit(start, len) => {
            let start = (*start).max(board.una());
            board.retransmit(now, &(start..(start + len).min(board.nxt()).max(start)), snapshot);
        }
        Op::Renege => board.forget_sacks_if_reneged(),
    }
    changed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn agrees_with_one_state_per_octet(ops in ops()) {
        let mut real = Scoreboard::new(MSS);
        let mut naive = Naive { una: 0, octets: vec![] };
        for (step, op) in ops.iter().enumerate() {
            let op = match op {
                Op::Retransmit(start, len) => {
                    // A range the socket could mean: within una..nxt.
                    let start = (*start).max(real.una());
                    Op::Retransmit(start, *len)
                }
                Op::LoseFirst(_) => {
                    let end = real.entries().next().map_or(0, |first| first.range.end);
                    Op::LoseFirst(end.min(real.una() + u64::from(MSS)))
                }
                op => op.clone(),
            };
            let lost = if let Op::RetransmitLost(max) = op { real.next_lost(max) } else { None };
            if let Some(lost) = &lost {
                // Never what is acknowledged, and always the lowest.
                let first = (naive.una..naive.octets.len()).find(|&i| naive.octets[i].0 == State::Lost);
                prop_assert_eq!(first, Some(lost.start as usize));
                prop_assert!(naive.octets[lost.start as usize..lost.end as usize].iter().all(|o| o.0 == State::Lost));
            }
            let expected = naive.apply(step as u64, &op, lost);
            prop_assert_eq!(apply(&mut real, Instant::from_millis(step as u64), &op), expected);

            if matches!(op, Op::Renege) {
                // Pieces that melted into one share the send time of the last.
                for entry in real.entries() {
                    for octet in &mut naive.octets[entry.range.start as usize..entry.range.end as usize] {
                        (octet.1, octet.2) = (entry.retransmitted, entry.sent_at.as_millis());
                    }
                }
            }

            prop_assert_eq!(real.una(), naive.una as u64);
            prop_assert_eq!(real.nxt(), naive.octets.len() as u64);
            prop_assert_eq!(real.sacked(), naive.count(State::Sacked));
            prop_assert_eq!(real.lost(), naive.count(State::Lost));
            prop_assert_eq!(real.in_flight(), naive.count(State::InFlight));
            prop_assert_eq!(real.next_lost(1).is_some(), real.lost() > 0);
            let segments: u64 = real.entries().filter(|e| e.state == State::Sacked).map(|e| e.segments).sum();
            prop_assert_eq!(real.sacked_segments(), segments);
            let mut at = real.una();
            for entry in real.entries() {
                prop_assert!(entry.range.start == at && at < entry.range.end);
                for octet in &naive.octets[at as usize..entry.range.end as usize] {
                    prop_assert_eq!(octet.0, entry.state);
                    if entry.state != State::Sacked {
                        prop_assert_eq!((octet.1, Instant::from_millis(octet.2)), (entry.retransmitted, entry.sent_at));
                    }
                }
                at = entry.range.end;
            }
            prop_assert_eq!(at, real.nxt());
        }
    }
}
