use super::*;
use crate::device::split;
use crate::device::split::{completed, completed_packet};
use mpuser_engine::wire::ip::protocol::TCP;
use proptest::prelude::*;

/// Headers of a TCP packet with `options` octets of TCP options, all of it otherwise arbitrary but plausible.
fn headers(v6: bool, ip_options: usize, options: usize) -> Vec<u8> {
    let mut ip = if v6 {
        let mut ip = vec![0x60, 0, 0, 0, 0, 0, TCP, 64];
        ip.extend((1..=32).map(|n| n * 7));
        ip
    } else {
        let mut ip = vec![0; 20 + ip_options];
        ip[0] = 0x45 + (ip_options / 4) as u8;
        ip[9] = TCP;
        ip[12..20].copy_from_slice(&[10, 9, 0, 2, 192, 168, 255, 1]);
        ip
    };
    ip.extend([0x1f, 0x90, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8]);
    ip.extend([((20 + options) / 4) as u8 * 16, 0x10, 0x20, 0, 0xab, 0xcd, 0, 0]);
    ip.extend(vec![1; options]);
    ip
}

#[test]
fn headers_say_what_is_left_to_be_done() {
    // (IPv6, IP options, TCP options, payload, segment size) and the octets the specification wants
    let table = [
        ((false, 0, 12, 0, None), [1, 0, 0, 0, 0, 0, 20, 0, 16, 0]),
        ((true, 0, 12, 0, None), [1, 0, 0, 0, 0, 0, 40, 0, 16, 0]),
        ((false, 8, 0, 100, None), [1, 0, 0, 0, 0, 0, 28, 0, 16, 0]),
        ((false, 0, 36, 1408, Some(1408)), [1, 0, 0, 0, 0, 0, 20, 0, 16, 0]),
        ((false, 0, 36, 1409, Some(1408)), [1, 1, 76, 0, 0x80, 5, 20, 0, 16, 0]),
        ((false, 40, 40, 60_000, Some(1000)), [1, 1, 120, 0, 0xe8, 3, 60, 0, 16, 0]),
        ((true, 0, 36, 64_768, Some(1408)), [1, 4, 96, 0, 0x80, 5, 40, 0, 16, 0]),
        ((true, 0, 40, 65_000, Some(65_000)), [1, 0, 0, 0, 0, 0, 40, 0, 16, 0]),
    ];
    for ((v6, ip_options, options, payload, size), octets) in table {
        let header = VnetHeader::of(&headers(v6, ip_options, options), payload, size);
        assert_eq!(header.emit(), octets, "{v6} {ip_options} {options} {payload} {size:?}");
        assert_eq!(VnetHeader::parse(octets), header);
    }
}

#[test]
fn what_is_no_tcp_packet_goes_as_it_is() {
    let mut udp = headers(false, 0, 0);
    udp[9] = 17;
    for packet in [&udp[..], &[], &[0x45], &headers(true, 0, 12)[..59], &[0x75; 60]] {
        assert_eq!(VnetHeader::of(packet, 5000, Some(1000)).emit(), [0; HEADER_LEN]);
        assert_eq!(completed(packet, b"x"), None);
    }
}

#[test]
fn what_arrived_is_told_by_its_header() {
    // the octets, whether the checksum is vouched for, and the size of the segments
    let table = [
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, None),
        ([1, 0, 0, 0, 0, 0, 20, 0, 16, 0], true, None),
        ([2, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, None),
        ([1, 1, 76, 0, 0x80, 5, 20, 0, 16, 0], true, Some(1408)),
        ([1, 4, 96, 0, 0x80, 5, 40, 0, 16, 0], true, Some(1408)),
        ([1, 0x81, 76, 0, 0x80, 5, 20, 0, 16, 0], true, Some(1408)),
        ([0, 0x80, 76, 0, 0x80, 5, 20, 0, 16, 0], false, None),
        ([4, 1, 0, 0, 0, 0, 0, 0, 0, 0], false, None),
        // datagrams of 1000 octets
        ([1, 5, 28, 0, 0xe8, 3, 20, 0, 6, 0], true, Some(1000)),
    ];
    for (octets, verified, size) in table {
        let header = VnetHeader::parse(octets);
        assert_eq!((header.is_verified(), header.segment_size()), (verified, size), "{octets:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_header_is_itself_again(octets in any::<[u8; HEADER_LEN]>()) {
        prop_assert_eq!(VnetHeader::parse(octets).emit(), octets);
    }

    /// A segment that `split` made has its right checksum: whatever is written over it, it comes back.
    #[test]
    fn checksums_are_completed(
        v6: bool,
        options in (0usize..=10).prop_map(|n| n * 4),
        payload in prop::collection::vec(any::<u8>(), 0..3000),
        field: [u8; 2],
    ) {
        let headers = headers(v6, 0, options);
        split(&headers, &payload, 3000, |right, part| {
            let mut partial = right.to_vec();
            partial[headers.len() - options - 4..][..2].copy_from_slice(&field);
            let whole = [&partial[..], part].concat();
            assert_eq!(completed(&partial, part).as_deref(), Some(right));
            assert_eq!(completed_packet(&whole), Some((right.to_vec(), part)));
            Ok(())
        }).unwrap();
    }

    #[test]
    fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..130), size: Option<u16>) {
        let _ = (VnetHeader::of(&packet, 70_000, size), completed_packet(&packet));
    }
}
