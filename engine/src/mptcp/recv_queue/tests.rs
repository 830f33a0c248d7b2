//! The receive queue beside a map of octets.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

const CAPACITY: usize = 100;

#[derive(Clone, Debug)]
enum Step {
    Insert(i64, usize),
    Fin(u64),
    Read(usize),
    Advertise(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (-10i64..90, 1usize..50).prop_map(|(at, len)| Step::Insert(at, len)),
        1 => (0u64..90).prop_map(Step::Fin),
        3 => (1usize..60).prop_map(Step::Read),
        2 => (0u32..40).prop_map(Step::Advertise),
    ]
}

#[derive(Debug)]
struct Model {
    octets: BTreeMap<u64, u8>,
    nxt: u64,
    read: u64,
    edge: u64,
    promised: u64,
    fin: Option<u64>,
    copies: u8,
}

impl Model {
    fn run(&mut self, queue: &mut RecvQueue, step: Step) {
        match step {
            Step::Insert(near, len) => self.insert(queue, near, len),
            Step::Fin(ahead) => {
                let at = self.nxt + ahead;
                let known = self.fin.is_none_or(|fin| fin == at);
                let beyond = self.octets.last_key_value().is_some_and(|(last, _)| *last >= at);
                let taken = known && (self.fin.is_some() || !beyond);
                assert_eq!(queue.set_fin(at), taken, "{at} {self:?}");
                if taken {
                    self.fin = Some(at);
                }
            }
            Step::Read(max) => {
                let mut buf = vec![0; max];
                let len = queue.read(&mut buf);
                let expected: Vec<u8> =
                    (self.read..self.nxt).take(max).map(|o| self.octets[&o]).collect();
                assert_eq!(buf[..len], expected);
                self.read += len as u64;
            }
            Step::Advertise(more) => {
                // A subflow's window can be larger than what was offered: it is told in units.
                let told = queue.window() + more;
                let edge = queue.ack_offset() + u64::from(told);
                self.edge = self.edge.max(edge);
                self.promised = self.promised.max(edge.min(self.free()));
                queue.on_advertised(told);
            }
        }
    }

    fn insert(&mut self, queue: &mut RecvQueue, near: i64, len: usize) {
        self.copies = self.copies.wrapping_add(1);
        let at = self.nxt as i64 + near;
        let before = self.nxt;
        let (tail, behind) = (self.is_tail(at), self.is_behind(at));
        let verdict = queue.insert(at as u64, vec![self.copies; len].into());
        let limit = self.fin.unwrap_or(u64::MAX).min(self.edge);
        let mut fresh = 0;
        for octet in at..at + len as i64 {
            let octet = octet as u64;
            if octet >= self.nxt && octet < limit && !self.octets.contains_key(&octet) {
                self.octets.insert(octet, self.copies);
                fresh += 1;
            }
        }
        while self.octets.contains_key(&self.nxt) {
            self.nxt += 1;
        }
        let end = at + len as i64;
        let expected = match fresh {
            _ if self.nxt > before => Received::InOrder,
            0 if end <= before as i64 => Received::Duplicate,
            0 if at.max(0) as u64 >= limit => Received::OutOfWindow,
            0 => Received::Duplicate,
            // what lies right behind a piece, but was there itself, may be said either way
            _ => match verdict {
                Received::OutOfOrder { merges, .. } if behind.is_none_or(|b| b == merges) => {
                    Received::OutOfOrder { tail, merges }
                }
                _ => Received::OutOfOrder { tail, merges: behind == Some(true) },
            },
        };
        assert_eq!(verdict, expected, "{at}+{len} {self:?}");
    }

    /// Everything that waits is before octet `at`, and something does.
    fn is_tail(&self, at: i64) -> bool {
        let last = self.octets.keys().next_back().copied().filter(|last| *last > self.nxt);
        last.is_some_and(|last| (last as i64) < at)
    }

    /// Octet `at` is the first one missing behind something that waits; `None` if it is not missing.
    fn is_behind(&self, at: i64) -> Option<bool> {
        let there =
            |octet: i64| octet > self.nxt as i64 && self.octets.contains_key(&(octet as u64));
        (!there(at)).then(|| there(at - 1))
    }

    fn check(&self, queue: &RecvQueue) {
        assert_eq!(queue.check_invariants(), Ok(()));
        assert_eq!(queue.received(), self.nxt);
        let ended = self.fin == Some(self.nxt);
        assert_eq!(queue.ack_offset(), self.nxt + u64::from(ended), "[FIN-3]");
        assert_eq!(queue.is_readable(), self.read < self.nxt);
        assert_eq!(queue.is_at_end(), ended && self.read == self.nxt);
        let right = queue.ack_offset() + u64::from(queue.window());
        assert!(right >= self.promised, "the window retreated [RCV-2]");
        assert_eq!(right, self.promised.max(self.free()));
    }

    fn free(&self) -> u64 {
        let ack = self.nxt + u64::from(self.fin == Some(self.nxt));
        ack + (CAPACITY as u64).saturating_sub(self.nxt - self.read)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// [DSS-5] [DSS-6] [RCV-1] [RCV-2] [FIN-3] [DACK-15]
    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let mut queue = RecvQueue::new(CAPACITY);
        let (octets, edge) = (BTreeMap::new(), CAPACITY as u64);
        let mut model = Model { octets, nxt: 0, read: 0, edge, promised: 0, fin: None, copies: 0 };
        for step in steps {
            model.run(&mut queue, step);
            model.check(&queue);
        }
    }
}

/// Numbers at the ends of the range do not confuse it.
#[test]
fn absurd_offsets_are_outside() {
    let mut queue = RecvQueue::new(CAPACITY);
    for offset in [u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 3, 1 << 40] {
        let verdict = queue.insert(offset, Bytes::from_static(b"abc"));
        assert!(matches!(verdict, Received::OutOfWindow | Received::Duplicate), "{offset}");
    }
    assert_eq!(queue.received(), 0);
    assert!(queue.set_fin(u64::MAX));
    assert!(!queue.fin_reached() && queue.ack_offset() == 0);
}

/// [SEC-3]: out-of-order pieces are bounded in number.
#[test]
fn memory_for_pieces_is_bounded() {
    let mut queue = RecvQueue::new(1 << 20);
    for at in 0..MAX_PIECES as u64 + 1_000 {
        queue.insert(at * 2 + 1, Bytes::from_static(b"x"));
    }
    assert!(queue.out_of_order.nodes() <= MAX_PIECES);
}

/// A window that shrank is kept for the Data ACK that shrank it, as Linux reads it; whatever comes, the buffer does not
/// hold more than twice what it should.
#[test]
fn a_window_that_shrank_is_kept_for_one_data_ack() {
    let mut queue = RecvQueue::new(CAPACITY);
    let full = CAPACITY as u32;
    queue.on_advertised(full);
    // half of it arrives and nobody reads
    let half = CAPACITY / 2;
    assert_eq!(queue.insert(0, vec![1; half].into()), Received::InOrder);
    assert_eq!(queue.on_advertised(queue.window()), (CAPACITY as u64, false));
    let beyond = CAPACITY as u64;
    assert_eq!(queue.insert(beyond, vec![2; 1].into()), Received::OutOfWindow);
    queue.admit_late_window(full);
    assert!(matches!(queue.insert(beyond, vec![2; 1].into()), Received::OutOfOrder { .. }));
    assert_eq!(queue.window(), full / 2, "it is not promised");
    let mut before = full;
    for _ in 0..64 {
        let (offset, len) = (queue.received(), usize::try_from(before).unwrap_or(0));
        queue.insert(offset, vec![3; len].into());
        let window = queue.window();
        queue.on_advertised(window);
        queue.admit_late_window(u32::MAX);
        before = full;
        assert_eq!(queue.check_invariants(), Ok(()));
    }
    assert_eq!(queue.readable_bytes(), 2 * CAPACITY as u64);
}
