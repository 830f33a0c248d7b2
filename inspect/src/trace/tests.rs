use super::mapping::{Insert, Mapping, Mappings, Sum, Verdict};
use super::measure::{Ordering, overlap};
use super::stream::near;
use mpuser_engine::buffer::RangeSet;
use mpuser_engine::seq::{DataSeq, SubflowSeq};
use mpuser_engine::wire::{Checksum, dss_checksum};

fn mapping(len: u64, dsn: i64, packet: u64) -> Mapping {
    Mapping { len, dsn, packet, checksum: None, right: None }
}

/// RFC 8684 3.3.1 [DSS-4]
#[test]
fn a_mapping_never_changes() {
    let mut all = Mappings::new();
    assert_eq!(all.insert(1, mapping(100, 1, 1)), Insert::New);
    assert_eq!(all.insert(1, mapping(100, 1, 2)), Insert::Again);
    assert_eq!(all.insert(51, mapping(50, 51, 3)), Insert::Again);
    assert_eq!(all.insert(51, mapping(50, 52, 4)), Insert::Conflict(1));
    assert_eq!(all.insert(101, mapping(50, 500, 5)), Insert::New);
    assert_eq!(all.pieces(90, 120), [(90, 11, 90), (101, 19, 500)]);
    // a longer one takes in what it repeats
    assert_eq!(all.insert(1, mapping(100, 1, 6)), Insert::Again);
    assert_eq!(all.pieces(-5, 3), [(1, 2, 1)]);
    assert_eq!(all.pieces(151, 200), []);
}

#[test]
fn a_checksum_waits_for_all_octets() {
    let data: Vec<u8> = (0..200).collect();
    let mut payload = Checksum::new();
    payload.add_bytes(&data);
    let right = dss_checksum(DataSeq(1 << 40), SubflowSeq(1), 200, payload);
    for (checksum, expected) in [(right, Verdict::Right), (right ^ 1, Verdict::Wrong(7))] {
        let mut all = Mappings::new();
        let sum = Some(Sum::new(1 << 40, 1, 200, checksum));
        all.insert(1, Mapping { len: 200, dsn: 1, packet: 7, checksum: sum, right: None });
        assert_eq!(all.octets(101, &data[100..]), []);
        assert_eq!(all.octets(51, &data[50..101]), []);
        assert_eq!(all.octets(1, &data[..60]), [expected]);
        assert_eq!(all.octets(1, &data), [], "once");
    }
}

#[test]
fn order_has_its_price() {
    let mut order = Ordering::new();
    order.arrived(1..101, Some(0), 1);
    order.arrived(201..301, Some(1000), 2);
    order.arrived(301..401, Some(2000), 3);
    assert_eq!(order.next, 101);
    order.arrived(101..201, Some(5000), 4);
    assert_eq!((order.next, order.waited, order.longest), (401, 200, 4000));
    assert_eq!(order.mean(), (4000 * 100 + 3000 * 100) / 400);
}

#[test]
fn overlaps_and_unwrapping() {
    let mut set = RangeSet::new(8);
    set.insert(10..20);
    set.insert(30..40);
    assert_eq!(overlap(&set, 0..5), 0);
    assert_eq!(overlap(&set, 15..35), 10);
    assert_eq!(overlap(&set, 0..100), 20);
    assert_eq!(near(5, 0), 5);
    assert_eq!(near(5, 0xffff_fff0), 0x1_0000_0005);
    assert_eq!(near(0xffff_fff0, 0x1_0000_0005), 0xffff_fff0);
    assert_eq!(near(0xffff_ffff, 0), -1);
}
