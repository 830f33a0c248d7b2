//! The send queue beside a plain vector and a set of octets.

use super::written::{BLOCKS, LEAST_SHARED};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec::Vec;

const CAPACITY: usize = 600;

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Take(usize),
    Ack(u64, u64),
    Reinject(u64, u64, u32),
    Reinjected(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1usize..200).prop_map(Step::Write),
        3 => (1usize..90).prop_map(Step::Take),
        2 => (0u64..120, 0u64..500).prop_map(|(ahead, window)| Step::Ack(ahead, window)),
        3 => (0u64..400, 0u64..100, 0u32..3).prop_map(|(at, len, id)| Step::Reinject(at, len, id)),
        2 => (1u64..60).prop_map(Step::Reinjected),
    ]
}

/// Octet number `at` of what the application writes.
fn octet(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9) >> 7) as u8
}

/// What the queue should know.
#[derive(Debug, Default)]
struct Model {
    written: u64,
    una: u64,
    nxt: u64,
    edge: u64,
    waiting: BTreeSet<u64>,
}

impl Model {
    fn run(&mut self, queue: &mut SendQueue, step: Step) {
        match step {
            Step::Write(len) => {
                let data: Vec<u8> = (self.written..).map(octet).take(len).collect();
                let taken = queue.write(&data);
                assert_eq!(taken, len.min(CAPACITY - (self.written - self.una) as usize));
                self.written += taken as u64;
            }
            Step::Take(max) => match queue.take_new(max, 1) {
                Some((at, piece)) => {
                    assert_eq!(at, self.nxt);
                    assert!(!piece.is_empty() && piece.len() <= max);
                    assert!((at..).map(octet).zip(&piece).all(|(a, b)| a == *b));
                    self.nxt += piece.len() as u64;
                }
                None => assert_eq!(self.nxt, self.written),
            },
            Step::Ack(ahead, window) => {
                let ack = self.una + ahead;
                let newly = queue.on_data_ack(ack, ack + window);
                if ack > self.nxt {
                    assert_eq!(newly, 0, "an ACK of nothing sent (K32)");
                    return;
                }
                assert_eq!(newly, ahead);
                self.una = ack;
                self.edge = self.edge.max(ack + window);
                self.waiting = self.waiting.split_off(&ack);
            }
            Step::Reinject(at, len, id) => {
                let start = self.una.saturating_sub(50) + at;
                queue.reinject(start..start + len, SubflowId(id));
                self.waiting.extend(start.max(self.una)..(start + len).min(self.nxt));
            }
            Step::Reinjected(len) => {
                let Some(next) = queue.next_reinjection().cloned() else { return };
                let len = len.min(next.range.end - next.range.start);
                queue.reinjected(len);
                for at in next.range.start..next.range.start + len {
                    assert!(self.waiting.remove(&at), "octet {at} did not wait");
                }
            }
        }
    }

    fn check(&self, queue: &SendQueue) {
        assert_eq!(queue.check_invariants(), Ok(()));
        let found = (queue.una(), queue.nxt(), queue.end(), queue.unsent());
        assert_eq!(found, (self.una, self.nxt, self.written, self.written - self.nxt));
        assert_eq!(queue.window(), self.edge.saturating_sub(self.nxt), "[SND-1]");
        assert_eq!(queue.is_drained(), self.una == self.written);
        let next = queue.next_reinjection().map(|r| r.range.start);
        assert_eq!(next, self.waiting.first().copied());
        for at in self.una..self.nxt {
            // [DACK-4]: kept until acknowledged.
            let piece = queue.sent_at(at, 30).expect("kept");
            assert!((at..).map(octet).zip(&piece).all(|(a, b)| a == *b) && piece.len() <= 30);
        }
        assert_eq!(queue.sent_at(self.nxt, 1), None);
        let all = queue.sent_run(self.una, usize::MAX >> 1).unwrap_or_default();
        assert!(all.iter().copied().eq((self.una..self.nxt).map(octet)));
        if let Some((at, piece)) = queue.probe_octet() {
            assert!(at < self.una, "a probe repeats what was acknowledged");
            assert_eq!(piece.as_ref(), [octet(at)]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let mut queue = SendQueue::new(CAPACITY);
        let mut model = Model::default();
        for step in steps {
            model.run(&mut queue, step);
            model.check(&queue);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Octets that are copied and octets that are handed over come out in their order, in whole units but the last.
    #[test]
    fn what_is_handed_over_keeps_its_place(
        writes in prop::collection::vec((any::<bool>(), 1usize..3 * LEAST_SHARED, 0usize..4), 1..60),
        most in 1usize..20,
    ) {
        const UNIT: usize = 700;
        let (mut queue, mut written, mut taken) = (SendQueue::new(64 << 10), 0, 0);
        let take = |queue: &mut SendQueue, taken: &mut u64| -> bool {
            let Some((at, piece)) = queue.take_new(most * UNIT, UNIT) else { return false };
            assert_eq!(at, *taken);
            assert!((at..).map(octet).zip(&piece).all(|(a, b)| a == *b));
            *taken += piece.len() as u64;
            assert!(piece.len() % UNIT == 0 || queue.unsent() == 0, "{} of {most} units", piece.len());
            true
        };
        for (hand_over, len, takes) in writes {
            let data: Vec<u8> = (written..).map(octet).take(len).collect();
            let room = queue.room();
            let count = if hand_over { queue.write_bytes(data.into()) } else { queue.write(&data) };
            prop_assert_eq!(count, len.min(room));
            written += count as u64;
            for _ in 0..takes {
                take(&mut queue, &mut taken);
            }
            queue.on_data_ack(taken.saturating_sub(10_000), u64::MAX);
            queue.check_invariants().unwrap();
        }
        while take(&mut queue, &mut taken) {}
        prop_assert_eq!(taken, written);
    }
}

/// What is handed over is not copied, if it is not short; small writes beside it share a block.
#[test]
fn large_pieces_are_kept_and_small_ones_gathered() {
    let mut queue = SendQueue::new(1 << 20);
    let large = Bytes::from(std::vec![7; LEAST_SHARED]);
    let lies_in_it = |piece: &Bytes| large.as_ptr_range().contains(&piece.as_ptr());
    for _ in 0..100 {
        assert_eq!(queue.write(b"small"), 5);
        assert_eq!(queue.write_bytes(large.clone()), large.len());
        assert_eq!(
            queue.write_bytes(large.slice(1..)),
            large.len() - 1,
            "one too short to be kept"
        );
    }
    let blocks = queue.unsent.iter().filter(|block| matches!(block, Block::Open { .. }));
    assert!(blocks.count() < 10);
    let (mut kept, mut copied) = (0, 0);
    while let Some((_, piece)) = queue.take_new(65_535, 1) {
        *(if lies_in_it(&piece) { &mut kept } else { &mut copied }) += piece.len();
    }
    assert_eq!((kept, copied), (100 * LEAST_SHARED, 100 * (LEAST_SHARED + 4)));
}

/// Blocks are crossed without losing or doubling an octet.
#[test]
fn writes_larger_than_a_block_come_out_whole() {
    let data: Vec<u8> = (0..3 * *BLOCKS.end() as u64 + 17).map(octet).collect();
    let mut queue = SendQueue::new(data.len());
    for piece in data.chunks(100_001) {
        assert_eq!(queue.write(piece), piece.len());
    }
    assert_eq!(queue.write(b"x"), 0);
    let mut out = Vec::new();
    while let Some((at, piece)) = queue.take_new(65_535, 1) {
        assert_eq!(at, out.len() as u64);
        out.extend_from_slice(&piece);
    }
    assert!(out == data);
    assert_eq!(queue.on_data_ack(out.len() as u64, 0), out.len() as u64);
    assert_eq!(queue.room(), data.len());
}

/// A block ends where a super-segment does, whatever the length of the writes: none of the packets is a remainder. Only the
/// first blocks do not know yet.
#[test]
fn bulk_leaves_in_whole_super_segments() {
    const MSS: usize = 1_420;
    const WHOLE: usize = 46 * MSS;
    let data = [7; *BLOCKS.end()];
    let mut queue = SendQueue::new(4 << 20);
    let (mut early, mut later) = (0, 0);
    for round in 0..200 {
        while queue.write(&data) > 0 {}
        for _ in 0..32 {
            let (_, piece) = queue.take_new(WHOLE, MSS).unwrap();
            let short = u32::from(piece.len() != WHOLE);
            *(if round < 4 { &mut early } else { &mut later }) += short;
        }
        queue.on_data_ack(queue.nxt(), 0);
        queue.check_invariants().unwrap();
    }
    assert_eq!(later, 0, "{early}");
}

/// A writer that is slower than the device: every write leaves before the next one. Its end goes alone, nothing else does.
#[test]
fn a_write_to_an_empty_queue_has_one_end() {
    const MSS: usize = 1_420;
    const WHOLE: usize = 46 * MSS;
    for len in [3_000, 100_000, *BLOCKS.end(), 300_000] {
        let (data, mut queue) = (std::vec![7; len], SendQueue::new(4 << 20));
        for round in 0..40 {
            assert_eq!(queue.write(&data), len);
            let mut pieces = 0;
            while queue.take_new(WHOLE, MSS).is_some() {
                pieces += 1;
            }
            let least = len.div_ceil(WHOLE);
            assert!(round < 2 || (least..=least + 1).contains(&pieces), "{pieces} of {len}");
            queue.on_data_ack(queue.nxt(), 0);
            queue.check_invariants().unwrap();
        }
    }
}

/// Pieces handed over as they are, of any length, leave in whole units but the last.
#[test]
fn writes_that_end_anywhere_make_no_short_segments() {
    let text: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    let mut queue = SendQueue::new(1 << 20);
    let mut rest = Bytes::from(text.clone());
    for len in [1, 2_500, 999, 1, 3_000].into_iter().cycle() {
        let piece = rest.split_to(len.min(rest.len()));
        if piece.is_empty() {
            break;
        }
        assert_eq!(queue.write_bytes(piece.clone()), piece.len());
    }
    let mut taken = Vec::new();
    while let Some((at, piece)) = queue.take_new(3_500, 700) {
        assert_eq!(at, taken.len() as u64);
        taken.extend_from_slice(&piece);
        assert!(piece.len() % 700 == 0 || taken.len() == text.len(), "{}", piece.len());
        queue.check_invariants().unwrap();
    }
    assert_eq!(taken, text);
}

/// RFC 9293 3.8.6.2.1: a segment, half of the largest window, all there is, or nothing else in flight.
#[test]
fn a_sliver_of_window_is_worth_nothing() {
    let queue = |written: usize, taken: usize, window: u64| {
        let mut queue = SendQueue::new(CAPACITY);
        queue.on_data_ack(0, window);
        queue.write(&std::vec![1; written]);
        while queue.nxt() < taken as u64 {
            queue.take_new(taken - queue.nxt() as usize, 1);
        }
        queue.window_is_worth(100)
    };
    assert!(queue(500, 300, 400), "a segment");
    assert!(!queue(500, 300, 399));
    assert!(queue(399, 300, 399), "all there is");
    assert!(queue(500, 60, 120) && !queue(500, 61, 120), "half of the largest window");
    assert!(queue(500, 0, 1), "nothing in flight that could move it");
}
