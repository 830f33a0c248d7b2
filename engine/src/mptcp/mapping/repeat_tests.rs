//! A mapping and its repeats.

use super::*;
use crate::wire::checksum::dss_checksum;

/// As Linux sends the end of a stream with checksums: one mapping over several segments, and on the last of
/// them DATA_FIN is added to its length. The octets are the same, the checksum is another one [FIN-1] [DSS-22].
#[test]
fn a_repeated_mapping_may_gain_a_data_fin() {
    let facts = |data_len, value| MappingChecksum {
        value,
        data_seq: DataSeq(1000),
        subflow_seq: SubflowSeq(1),
        data_len,
    };
    let sum = |data_len| {
        let mut payload = Checksum::new();
        payload.add_bytes(b"abcd");
        dss_checksum(DataSeq(1000), SubflowSeq(1), data_len, payload)
    };
    let mapping = |checksum: MappingChecksum| Mapping {
        start: 0,
        len: 4,
        data: 0,
        data_fin: checksum.data_len == 5,
        checksum: Some(checksum),
    };
    let (plain, fin) = (mapping(facts(4, sum(4))), mapping(facts(5, sum(5))));
    for (first, second) in [(plain, fin), (fin, plain)] {
        let mut queue = MappingQueue::default();
        assert_eq!(queue.insert(first), MappingVerdict::Accepted);
        queue.push(0, Bytes::from_static(b"ab"));
        assert_eq!(queue.insert(second), MappingVerdict::Accepted);
        queue.push(2, Bytes::from_static(b"cd"));
        assert_eq!(queue.pop(), Some(Mapped::Data(0, Bytes::from_static(b"ab"))));
        assert_eq!(queue.pop(), Some(Mapped::Data(2, Bytes::from_static(b"cd"))));
        assert_eq!(queue.pop(), Some(Mapped::DataFin(4)));
        assert_eq!(queue.pop(), None);
    }
    let mut queue = MappingQueue::default();
    queue.insert(plain);
    let elsewhere = Mapping { data: 9, ..plain };
    assert_eq!(queue.insert(elsewhere), MappingVerdict::Conflict, "[DSS-4]");
}
