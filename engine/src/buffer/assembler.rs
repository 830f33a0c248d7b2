//! Out-of-order reassembly of shared buffers.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

/// Neighbours are merged by copying up to this size, when nodes run short. Larger ones are worth their node.
const MERGE_LIMIT: usize = 16 * 1024;

/// A stored piece; never empty.
#[derive(Clone, Debug)]
struct Node {
    offset: u64,
    data: Bytes,
}

impl Node {
    fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }
}

/// Pieces of a byte stream that arrived before what lies in front of them.
///
/// Sorted and disjoint. Data are slices of the buffers they came in; nothing is copied, unless the number of nodes
/// runs into its limit. That limit bounds the memory, however small the pieces are.
#[derive(Clone, Debug)]
pub struct Assembler {
    nodes: VecDeque<Node>,
    max_nodes: usize,
    buffered: usize,
    /// Inserts to go, with all nodes taken, until merging is tried again.
    merge_pause: usize,
}

impl Assembler {
    /// An empty one of at most `max_nodes` pieces (at least 1).
    #[must_use]
    pub const fn new(max_nodes: usize) -> Self {
        let max_nodes = if max_nodes == 0 { 1 } else { max_nodes };
        Self { nodes: VecDeque::new(), max_nodes, buffered: 0, merge_pause: 0 }
    }

    /// Inserts `data`, whose first octet is number `offset` of the stream; returns how many octets were new and kept.
    ///
    /// The first copy of an octet wins, later ones are cut off (RFC 8684 3.3 [DSS-5] [DSS-6]). Out of nodes, it
    /// merges small neighbours; failing that it refuses what would need another node, except in front of all
    /// others: there the highest piece gives way, because the lowest is the one that lets the stream go on.
    pub fn insert(&mut self, offset: u64, mut data: Bytes) -> usize {
        let room = usize::try_from(u64::MAX - offset).unwrap_or(usize::MAX);
        data.truncate(room);
        if data.is_empty() {
            return 0;
        }
        let mut index = match self.nodes.back() {
            Some(last) if offset < last.end() => {
                self.nodes.partition_point(|node| node.end() <= offset)
            }
            _ => self.nodes.len(),
        };
        let mut rest = Node { offset, data };
        let mut stored = 0;
        while !rest.data.is_empty() {
            let gap_end = self.nodes.get(index).map_or(u64::MAX, |node| node.offset);
            let length = gap_end.saturating_sub(rest.offset).min(rest.data.len() as u64) as usize;
            if length > 0 {
                let piece = Node { offset: rest.offset, data: rest.data.split_to(length) };
                rest.offset = piece.end();
                let (kept, next) = self.store(index, piece);
                stored += kept;
                index = next;
            }
            // What overlaps the node behind the gap is there already.
            let Some(node) = self.nodes.get(index) else { continue };
            let known = node.end().saturating_sub(rest.offset).min(rest.data.len() as u64);
            rest.data = rest.data.split_off(known as usize);
            rest.offset += known;
            index += 1;
        }
        stored
    }

    /// Stores `piece` in front of the node at `index`. Returns the octets kept and the index of the node behind.
    fn store(&mut self, index: usize, piece: Node) -> (usize, usize) {
        let mut index = index;
        if self.nodes.len() >= self.max_nodes {
            if self.merge_pause == 0 {
                self.merge_small();
                // A peer that sends holes on purpose must not make every octet cost a walk over all nodes.
                self.merge_pause = self.max_nodes / 8;
            } else {
                self.merge_pause -= 1;
            }
            index = self.nodes.partition_point(|node| node.end() <= piece.offset);
            if self.nodes.len() >= self.max_nodes {
                if index != 0 {
                    return (0, index);
                }
                if let Some(evicted) = self.nodes.pop_back() {
                    self.buffered -= evicted.data.len();
                }
            }
        }
        let length = piece.data.len();
        self.buffered += length;
        self.nodes.insert(index, piece);
        (length, index + 1)
    }

    /// Merges runs of touching nodes into nodes of at most [`MERGE_LIMIT`] octets.
    fn merge_small(&mut self) {
        let mut merged: VecDeque<Node> = VecDeque::with_capacity(self.nodes.len());
        let mut run: Vec<Node> = Vec::new();
        let mut length = 0;
        for node in self.nodes.drain(..) {
            let touches = run.last().is_some_and(|last| last.end() == node.offset);
            if !touches || length + node.data.len() > MERGE_LIMIT {
                merged.extend(concat(&mut run));
                length = 0;
            }
            length += node.data.len();
            run.push(node);
        }
        merged.extend(concat(&mut run));
        self.nodes = merged;
    }

    /// A piece ends right before octet `offset`.
    #[must_use]
    pub fn ends_at(&self, offset: u64) -> bool {
        let behind = self.nodes.partition_point(|node| node.end() < offset);
        self.nodes.get(behind).is_some_and(|node| node.end() == offset)
    }

    /// Takes the piece that covers `next`, cut so that it begins there, and forgets everything before `next`.
    pub fn pop(&mut self, next: u64) -> Option<Bytes> {
        while let Some(node) = self.nodes.front_mut() {
            if node.offset > next {
                return None;
            }
            let before = next - node.offset;
            if before >= node.data.len() as u64 {
                self.buffered -= node.data.len();
                self.nodes.pop_front();
                continue;
            }
            self.buffered -= node.data.len();
            let data = node.data.split_off(before as usize);
            self.nodes.pop_front();
            return Some(data);
        }
        None
    }

    /// Nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Octets stored.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Pieces stored.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// One past the highest octet stored.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.nodes.back().map(Node::end)
    }

    /// The maximal contiguous ranges stored, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut nodes = self.nodes.iter().peekable();
        core::iter::from_fn(move || {
            let first = nodes.next()?;
            let mut range = first.offset..first.end();
            while let Some(node) = nodes.next_if(|node| node.offset == range.end) {
                range.end = node.end();
            }
            Some(range)
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.buffered = 0;
    }
}

/// Empties `run` into one node; a single one stays as it is.
fn concat(run: &mut Vec<Node>) -> Option<Node> {
    if run.len() <= 1 {
        return run.pop();
    }
    let offset = run.first()?.offset;
    let mut data = Vec::with_capacity(run.iter().map(|node| node.data.len()).sum());
    run.drain(..).for_each(|node| data.extend_from_slice(&node.data));
    Some(Node { offset, data: Bytes::from(data) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn bytes(len: usize, value: u8) -> Bytes {
        Bytes::from(vec![value; len])
    }

    fn ranges(assembler: &Assembler) -> Vec<Range<u64>> {
        assembler.ranges().collect()
    }

    #[test]
    fn first_copy_of_an_octet_wins() {
        // [DSS-5] [DSS-6]
        let mut a = Assembler::new(16);
        assert_eq!(a.insert(10, bytes(10, 1)), 10);
        assert_eq!(a.insert(30, bytes(10, 2)), 10);
        assert_eq!(a.insert(5, bytes(50, 3)), 30);
        assert_eq!((a.ranges().next(), a.ranges().count()), (Some(5..55), 1));
        let mut stream = Vec::new();
        while let Some(piece) = a.pop(5 + stream.len() as u64) {
            stream.extend_from_slice(&piece);
        }
        let expected = [&[3; 5][..], &[1; 10], &[3; 10], &[2; 10], &[3; 15]].concat();
        assert_eq!(stream, expected);
        assert!(a.is_empty() && a.buffered() == 0);
    }

    #[test]
    fn data_are_shared_not_copied() {
        let packet = bytes(1000, 7);
        let mut a = Assembler::new(16);
        a.insert(100, packet.clone());
        let piece = a.pop(150).unwrap();
        assert_eq!((piece.as_ptr(), piece.len()), (packet[50..].as_ptr(), 950));
    }

    #[test]
    fn out_of_nodes_it_merges_then_refuses_and_lets_the_front_in() {
        let mut a = Assembler::new(4);
        (0..4).for_each(|i| assert_eq!(a.insert(100 + i, bytes(1, i as u8)), 1));
        assert_eq!(a.insert(200, bytes(1, 9)), 1, "four touching octets became one node");
        assert_eq!(a.nodes(), 2);
        a.insert(300, bytes(1, 9));
        a.insert(400, bytes(1, 9));
        assert_eq!(a.insert(500, bytes(1, 9)), 0, "nothing left to merge");
        assert_eq!(a.insert(50, bytes(1, 9)), 1, "in front of all others the highest gives way");
        assert_eq!(ranges(&a), [50..51, 100..104, 200..201, 300..301]);
        assert_eq!((a.nodes(), a.buffered(), a.end()), (4, 7, Some(301)));
    }

    /// Holes on purpose: octets one by one, far more than there are nodes. Walking all nodes for each of them takes
    /// half a minute.
    #[test]
    fn a_flood_of_holes_is_cheap() {
        let mut a = Assembler::new(4096);
        for i in (0..200_000).rev() {
            a.insert(i * 2, bytes(1, 1));
        }
        assert_eq!((a.nodes(), a.buffered()), (4096, 4096));
        assert_eq!(a.ranges().next(), Some(0..1), "what lets the stream go on was kept");
        for i in 0..200_000 {
            assert_eq!(a.insert(10_000 + i * 2, bytes(1, 1)), 0);
        }
    }

    #[test]
    fn the_end_of_the_number_space_is_no_trap() {
        let mut a = Assembler::new(4);
        assert_eq!(a.insert(u64::MAX - 2, bytes(10, 1)), 2);
        assert_eq!(a.insert(u64::MAX, bytes(10, 1)), 0);
        assert_eq!(a.end(), Some(u64::MAX));
        a.clear();
        assert_eq!((a.is_empty(), a.end(), a.pop(0)), (true, None, None));
    }

    /// The obvious implementation: one slot for each octet.
    #[derive(Default)]
    struct Naive(Vec<Option<u8>>);

    impl Naive {
        fn insert(&mut self, offset: usize, data: &[u8]) -> usize {
            self.0.resize(self.0.len().max(offset + data.len()), None);
            let fresh = self.0[offset..].iter_mut().zip(data).filter(|(slot, _)| slot.is_none());
            fresh.map(|(slot, byte)| *slot = Some(*byte)).count()
        }

        fn ranges(&self) -> Vec<Range<u64>> {
            let mut out: Vec<Range<u64>> = Vec::new();
            for (at, _) in self.0.iter().enumerate().filter(|(_, slot)| slot.is_some()) {
                match out.last_mut() {
                    Some(last) if last.end == at as u64 => last.end += 1,
                    _ => out.push(at as u64..at as u64 + 1),
                }
            }
            out
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(usize, Vec<u8>),
        Pop(usize),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let insert = (0usize..300, prop::collection::vec(any::<u8>(), 0..60));
        let op = prop_oneof![
            4 => insert.prop_map(|(at, data)| Op::Insert(at, data)),
            1 => (0usize..320).prop_map(Op::Pop),
        ];
        prop::collection::vec(op, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn agrees_with_one_slot_per_octet(ops in ops()) {
            let (mut real, mut naive) = (Assembler::new(1000), Naive::default());
            for op in ops {
                match op {
                    Op::Insert(at, data) => {
                        let expected = naive.insert(at, &data);
                        prop_assert_eq!(real.insert(at as u64, Bytes::from(data)), expected);
                    }
                    Op::Pop(next) => {
                        naive.0.iter_mut().take(next).for_each(|slot| *slot = None);
                        let piece = real.pop(next as u64).unwrap_or_default();
                        prop_assert_eq!(piece.is_empty(), naive.0.get(next).is_none_or(Option::is_none));
                        for (i, byte) in piece.iter().enumerate() {
                            prop_assert_eq!(naive.0[next + i].take(), Some(*byte));
                        }
                    }
                }
                prop_assert_eq!(ranges(&real), naive.ranges());
                prop_assert_eq!(real.buffered(), naive.0.iter().flatten().count());
                prop_assert!(real.nodes.iter().all(|node| !node.data.is_empty()));
            }
        }

        #[test]
        fn the_limit_of_nodes_holds_and_what_is_kept_is_right(ops in ops(), max in 1usize..6) {
            // Without pops, so that the first copy of each octet is known; content is a function of the offset.
            let mut a = Assembler::new(max);
            for op in ops {
                let Op::Insert(at, data) = op else { continue };
                let data: Vec<u8> = (at..at + data.len()).map(|i| i as u8).collect();
                let before = a.buffered();
                let stored = a.insert(at as u64, Bytes::from(data));
                prop_assert!(a.nodes() <= max);
                prop_assert!(a.buffered() <= before + stored);
                prop_assert_eq!(a.buffered(), a.nodes.iter().map(|n| n.data.len()).sum::<usize>());
            }
            for node in &a.nodes {
                for (i, byte) in node.data.iter().enumerate() {
                    prop_assert_eq!(*byte, (node.offset + i as u64) as u8);
                }
            }
        }
    }
}
