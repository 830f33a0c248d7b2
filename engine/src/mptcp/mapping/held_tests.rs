//! Mappings that come after their octets.

use super::*;
use crate::wire::dss_checksum;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

fn stream(from: u64, to: u64) -> Bytes {
    (from..to).map(|at| at as u8).collect::<Vec<_>>().into()
}

/// What the queue hands on, by data offset; unmapped octets are given back to it.
fn settle(queue: &mut MappingQueue, out: &mut BTreeMap<u64, u8>) {
    while let Some(piece) = queue.pop() {
        match piece {
            Mapped::Data(at, data) => {
                for (at, octet) in (at..).zip(data) {
                    assert_eq!(out.insert(at, octet), None, "octet {at} came twice");
                }
            }
            Mapped::Unmapped(at, data) => assert!(queue.hold(at, data, 1_000)),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// [DSS-13]: in whatever order mappings and octets come, every octet that was mapped is delivered once.
    #[test]
    fn a_mapping_may_come_late(
        lens in prop::collection::vec(1u32..20, 1..12),
        cuts in prop::collection::vec(1u64..30, 1..12),
        late in prop::collection::vec(0usize..12, 12),
        checksum: bool,
    ) {
        let mut mappings = Vec::new();
        let mut total = 0;
        for len in lens {
            let end = total + u64::from(len);
            let (data_seq, subflow_seq) = (DataSeq(total), SubflowSeq::from_offset(total));
            let mut sum = Checksum::new();
            sum.add_bytes(&stream(total, end));
            let value = dss_checksum(data_seq, subflow_seq, len as u16, sum);
            let sum = MappingChecksum { value, data_seq, subflow_seq, data_len: len as u16 };
            let checksum = checksum.then_some(sum);
            mappings.push(Mapping { start: total, len, data: total, checksum, data_fin: false });
            total = end;
        }
        let (mut queue, mut out) = (MappingQueue::default(), BTreeMap::new());
        let mut at = 0;
        for round in 0..12 {
            for (mapping, _) in mappings.iter().zip(&late).filter(|(_, late)| **late == round) {
                prop_assert_eq!(queue.insert(*mapping), MappingVerdict::Accepted);
                settle(&mut queue, &mut out);
            }
            let end = (at + cuts.get(round).copied().unwrap_or(total)).min(total);
            queue.push(at, stream(at, end));
            at = end;
            settle(&mut queue, &mut out);
        }
        for mapping in mappings {
            queue.insert(mapping);
            settle(&mut queue, &mut out);
        }
        let expected: BTreeMap<u64, u8> = (0..total).map(|at| (at, at as u8)).collect();
        prop_assert_eq!(out, expected);
    }
}

/// [FB-9]: a late mapping with a wrong checksum delivers nothing, and plain TCP cannot go on from there.
#[test]
fn a_late_mapping_may_be_wrong() {
    let mut queue = MappingQueue::default();
    queue.push(0, stream(0, 10));
    settle(&mut queue, &mut BTreeMap::new());
    let checksum = MappingChecksum {
        value: 1,
        data_seq: DataSeq(0),
        subflow_seq: SubflowSeq::from_offset(0),
        data_len: 5,
    };
    let mapping = Mapping { start: 0, len: 5, data: 0, checksum: Some(checksum), data_fin: false };
    assert_eq!(queue.insert(mapping), MappingVerdict::Accepted);
    assert_eq!(queue.pop(), Some(Mapped::ChecksumFailed { data: 0, start: 10 }));
    assert_eq!(queue.pop(), None);
}
