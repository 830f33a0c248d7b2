//! The queue beside a model that knows every octet.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

fn plain(start: u64, len: u32, data: u64) -> Mapping {
    Mapping { start, len, data, checksum: None, data_fin: false }
}

/// What one octet of the stream turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Octet {
    Data(u64, u8),
    Unmapped(u64, u8),
}

fn octets(queue: &mut MappingQueue) -> Vec<Octet> {
    let mut out = Vec::new();
    while let Some(piece) = queue.pop() {
        match piece {
            Mapped::Data(at, data) => {
                assert!(!data.is_empty());
                out.extend((0..).zip(data).map(|(i, b)| Octet::Data(at.wrapping_add(i), b)));
            }
            Mapped::Unmapped(at, data) => {
                out.extend((0..).zip(data).map(|(i, b)| Octet::Unmapped(at + i, b)));
            }
            other => panic!("{other:?} without checksums"),
        }
    }
    out
}

/// Octets `from..to` of a stream whose octets are their own offsets.
fn stream(from: u64, to: u64) -> Bytes {
    (from..to).map(|at| at as u8).collect::<Vec<_>>().into()
}

#[derive(Clone, Debug)]
enum Step {
    Announce(Mapping),
    Arrive(u64),
}

fn step() -> impl Strategy<Value = Step> {
    // Two shifts between stream and data, so that some mappings agree and some contradict each other.
    let mapping = (0u64..120, 0u32..30, prop_oneof![4 => Just(0u64), 1 => Just(1_000)])
        .prop_map(|(start, len, shift)| Step::Announce(plain(start, len, start + shift)));
    prop_oneof![2 => mapping, 1 => (1u64..25).prop_map(Step::Arrive)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// [DSS-4] [DSS-22] [INI-14]: repeats and overlaps that agree are harmless, contradictions change nothing.
    #[test]
    fn every_octet_is_what_was_announced(steps in prop::collection::vec(step(), 1..40)) {
        let mut queue = MappingQueue::default();
        let mut model: BTreeMap<u64, u64> = BTreeMap::new();
        let mut at = 0;
        for step in steps {
            match step {
                Step::Announce(mapping) => {
                    let range = mapping.start.max(at)..mapping.end();
                    let data = |o: u64| mapping.data + (o - mapping.start);
                    let conflict = range.clone().any(|o| model.get(&o).is_some_and(|d| *d != data(o)));
                    let expected =
                        if conflict { MappingVerdict::Conflict } else { MappingVerdict::Accepted };
                    prop_assert_eq!(queue.insert(mapping), expected);
                    if !conflict {
                        model.extend(range.map(|o| (o, data(o))));
                    }
                }
                Step::Arrive(len) => {
                    queue.push(at, stream(at, at + len));
                    let expected: Vec<_> = (at..at + len)
                        .map(|o| match model.get(&o) {
                            Some(data) => Octet::Data(*data, o as u8),
                            None => Octet::Unmapped(o, o as u8),
                        })
                        .collect();
                    prop_assert_eq!(octets(&mut queue), expected);
                    at += len;
                    prop_assert_eq!(queue.handed_on(), at);
                }
            }
        }
    }

    /// [DSS-9] [FB-11]: a mapping is delivered when all of it is verified, in whatever pieces it came, or not at
    /// all; a DATA_FIN in it likewise. After one that failed nothing is mapped: the stream is kept back as it came.
    #[test]
    fn checksums_decide_about_whole_mappings(
        lens in prop::collection::vec(1u32..40, 1..6),
        cuts in prop::collection::vec(1u64..30, 1..20),
        damaged in prop::option::of(0u64..100),
        fin: bool,
    ) {
        let mut queue = MappingQueue::default();
        let total: u64 = lens.iter().map(|l| u64::from(*l)).sum();
        let (mut expected, mut failed) = (Vec::new(), None);
        let mut start = 0;
        for (index, len) in lens.iter().enumerate() {
            let end = start + u64::from(*len);
            let data_fin = fin && index + 1 == lens.len();
            let data_len = *len as u16 + u16::from(data_fin);
            let (data_seq, subflow_seq) = (DataSeq(900 + start), SubflowSeq::from_offset(start));
            let mut sum = Checksum::new();
            sum.add_bytes(&stream(start, end));
            let value = crate::wire::dss_checksum(data_seq, subflow_seq, data_len, sum);
            let checksum = Some(MappingChecksum { value, data_seq, subflow_seq, data_len });
            let mapping = Mapping { start, len: *len, data: 900 + start, checksum, data_fin };
            prop_assert_eq!(queue.insert(mapping), MappingVerdict::Accepted);
            prop_assert_eq!(queue.insert(mapping), MappingVerdict::Accepted, "a repeat");
            if failed.is_some() {
            } else if damaged.is_some_and(|at| (start..end).contains(&at)) {
                expected.push(Mapped::ChecksumFailed { data: 900 + start, start });
                failed = Some(start);
            } else {
                expected.push(Mapped::Data(900 + start, stream(start, end)));
                if data_fin {
                    expected.push(Mapped::DataFin(900 + end));
                }
            }
            start = end;
        }
        let mut wire = stream(0, total).to_vec();
        if let Some(octet) = damaged.and_then(|at| wire.get_mut(at as usize)) {
            *octet ^= 0x55;
        }
        let (mut at, mut got) = (0, Vec::<Mapped>::new());
        for cut in cuts.into_iter().cycle() {
            if at == total {
                break;
            }
            let end = (at + cut).min(total);
            queue.push(at, Bytes::copy_from_slice(&wire[at as usize..end as usize]));
            at = end;
            while let Some(piece) = queue.pop() {
                match (got.last_mut(), piece) {
                    (Some(Mapped::Data(from, data)), Mapped::Data(next, more))
                        if *from + data.len() as u64 == next && lens_hold(&expected, *from, data) =>
                    {
                        *data = [data.as_ref(), &more].concat().into();
                    }
                    (_, piece) => got.push(piece),
                }
            }
        }
        prop_assert_eq!(got, expected);
        prop_assert_eq!(queue.handed_on(), failed.unwrap_or(total));
        let kept = failed.map_or(&[][..], |at| &wire[at as usize..]);
        prop_assert_eq!(queue.raw_len(), kept.len());
        prop_assert_eq!(raw(&mut queue), kept);
    }
}

/// What was kept back, as one piece; its offsets have to be those of the stream.
fn raw(queue: &mut MappingQueue) -> Vec<u8> {
    let (mut all, mut next) = (Vec::new(), queue.handed_on());
    while let Some((at, piece)) = queue.take_raw() {
        assert_eq!(at, next);
        next += piece.len() as u64;
        all.extend_from_slice(&piece);
    }
    assert_eq!(queue.raw_len(), 0);
    all
}

/// Plain TCP takes over in the middle of a mapping: what was held for its checksum comes out, once.
#[test]
fn giving_mappings_up_releases_what_is_held() {
    let mut queue = MappingQueue::default();
    let (data_seq, subflow_seq) = (DataSeq(1), SubflowSeq(1));
    let checksum = Some(MappingChecksum { value: 0, data_seq, subflow_seq, data_len: 10 });
    queue.insert(Mapping { start: 0, len: 10, data: 0, checksum, data_fin: false });
    queue.push(0, stream(0, 4));
    assert_eq!((queue.pop(), queue.handed_on()), (None, 0));
    queue.give_up();
    queue.push(4, stream(4, 12));
    assert_eq!(queue.insert(plain(12, 5, 12)), MappingVerdict::Accepted, "and means nothing");
    queue.push(12, stream(12, 17));
    assert_eq!(queue.pop(), None);
    assert_eq!(raw(&mut queue), stream(0, 17));
    queue.mend();
    queue.insert(plain(17, 3, 17));
    queue.push(17, stream(17, 20));
    assert_eq!(queue.pop(), Some(Mapped::Data(17, stream(17, 20))), "mended");
}

/// The expected piece at `from` is longer than what is there.
fn lens_hold(expected: &[Mapped], from: u64, data: &Bytes) -> bool {
    expected
        .iter()
        .any(|e| matches!(e, Mapped::Data(at, all) if *at == from && all.len() > data.len()))
}

/// A checksum covers one exact range: a partial overlap contradicts it even where the numbers agree.
#[test]
fn a_partial_overlap_with_a_checksum_is_a_conflict() {
    let mut queue = MappingQueue::default();
    let (data_seq, subflow_seq) = (DataSeq(1), SubflowSeq(1));
    let checksum = Some(MappingChecksum { value: 0, data_seq, subflow_seq, data_len: 10 });
    let mapping = Mapping { start: 0, len: 10, data: 0, checksum, data_fin: false };
    assert_eq!(queue.insert(mapping), MappingVerdict::Accepted);
    assert_eq!(queue.insert(plain(5, 10, 5)), MappingVerdict::Conflict);
    assert_eq!(queue.insert(Mapping { len: 11, ..mapping }), MappingVerdict::Conflict);
    assert_eq!(queue.insert(mapping), MappingVerdict::Accepted);
}

/// [SEC-3]: a peer that announces and never sends runs into a limit.
#[test]
fn memory_is_bounded() {
    let mut queue = MappingQueue::default();
    let accepted = (0..20_000u64)
        .filter(|i| queue.insert(plain(i * 2, 1, i * 2)) == MappingVerdict::Accepted)
        .count();
    assert_eq!(accepted, MAX_MAPPINGS);
    assert_eq!(queue.insert(plain(0, 1, 0)), MappingVerdict::Accepted, "known ones still are");
}

/// Mappings that each overlap the one before are one entry, which does not grow with what was handed on.
#[test]
fn a_chain_of_overlapping_mappings_stays_small() {
    let mut queue = MappingQueue::default();
    for i in 0..200_000u64 {
        let (start, len) = (i * 60_000, 60_001);
        assert_eq!(queue.insert(plain(start, len, start)), MappingVerdict::Accepted);
        queue.push(start, Bytes::from_static(&[0; 60_000]));
        let Some(Mapped::Data(at, _)) = queue.pop() else { panic!("octets lost at {start}") };
        assert_eq!(at, start);
        while queue.pop().is_some() {}
    }
}

/// A mapping from before the first data octet keeps its arithmetic.
#[test]
fn negative_data_offsets_wrap() {
    let mut queue = MappingQueue::default();
    queue.insert(plain(0, 4, 0u64.wrapping_sub(2)));
    queue.push(0, stream(0, 4));
    assert_eq!(queue.pop(), Some(Mapped::Data(u64::MAX - 1, stream(0, 4))));
}
