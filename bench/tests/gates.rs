//! Limits that noise cannot move: a count is a count on a busy machine, too.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use allocation_counter::{AllocationInfo, measure};
use mpuser_bench::memory::Flow;
use mpuser_bench::memory::mpuser::{Options, Pair};
use mpuser_bench::passing::Passing;

const MIB: u64 = 1 << 20;

/// What `octets` cost on a connection that has found its pace, and the data packets that carried them.
fn steady(options: &Options, octets: u64) -> (AllocationInfo, u64) {
    let mut pair = Pair::open(options).unwrap();
    pair.transfer(32 * MIB).unwrap();
    let before = pair.data_packets();
    let counted = measure(|| {
        pair.transfer(octets).unwrap();
    });
    (counted, pair.data_packets() - before)
}

/// Engine to engine: writing, sending, receiving, acknowledging, reading. The link's memory is used again and again, and
/// an allocation of its own would count, too.
#[test]
fn no_allocation_for_a_data_packet() {
    let one = Options::default();
    for options in [one, Options { mptcp: false, ..one }, Options { dss_checksum: true, ..one }] {
        let (counted, packets) = steady(&options, 64 * MIB);
        assert!(packets > 40_000, "{packets}");
        assert_eq!(counted.count_total, 0, "{options:?}: {packets} packets, {counted:?}");
    }
}

/// Data in order go the short way, the beginning of a super-segment too, which has a mapping of its own.
#[test]
fn data_in_order_are_predicted() {
    let one = Options::default();
    for options in
        [one, Options { mptcp: false, ..one }, Options { passing: Passing::Shared, ..one }]
    {
        let mut pair = Pair::open(&options).unwrap();
        pair.transfer(8 * MIB).unwrap();
        let before = (pair.data_packets(), pair.predicted());
        pair.transfer(64 * MIB).unwrap();
        let packets = pair.data_packets() - before.0;
        let missed = packets - (pair.predicted() - before.1);
        assert!(missed * 1000 <= packets, "{options:?}: {missed} of {packets} packets");
    }
}

/// More than one subflow: what arrives out of order waits in a tree, which has nodes.
#[test]
fn few_allocations_with_two_subflows() {
    let (counted, packets) = steady(&Options { subflows: 2, ..Options::default() }, 64 * MIB);
    assert!(counted.count_total * 10 <= packets, "{packets} packets, {counted:?}");
}

/// A connection that rests keeps no room for data: not at its beginning, and not after it has carried some.
#[test]
fn idle_connections_are_small() {
    let count = 200;
    let open = |idle| {
        let mut pair = None;
        let counted = measure(|| {
            pair = Some(Pair::open(&Options { idle, ..Options::default() }).unwrap());
        });
        (pair, counted.bytes_current)
    };
    let (_few, alone) = open(0);
    let (_many, beside) = open(count);
    let each = (beside - alone) / (2 * count as i64);
    assert!(each <= 8 << 10, "{each} octets each");
}
