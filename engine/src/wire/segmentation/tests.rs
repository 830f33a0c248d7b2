//! Packets of a super-segment, put together again.

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Sum of 16-bit words (RFC 1071), the slow way; an odd octet at the end counts as a high one.
fn sum(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from);
    bytes.chunks(2).map(word).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(take(bytes, at).unwrap())
}

/// A packet's headers: IPv4 (with a source route of so many gateways) or IPv6, options of `options` bytes, sequence number
/// near the wrap, and checksums that are wrong.
fn headers(ipv4: bool, gateways: usize, options: usize, flags: u8) -> Vec<u8> {
    let mut ip = if ipv4 {
        let mut ip = vec![0u8; 20];
        ip[..2].copy_from_slice(&[0x45, 0]);
        ip[4..6].copy_from_slice(&0xffff_u16.to_be_bytes());
        ip[8..12].copy_from_slice(&[64, protocol::TCP, 0xab, 0xcd]);
        ip[12..20].copy_from_slice(&[10, 9, 0, 2, 10, 9, 0, 1]);
        if gateways > 0 {
            let len = 3 + 4 * gateways;
            ip[0] += (1 + gateways) as u8;
            ip.extend([1, 131, len as u8, 4]);
            ip.extend((0..4 * gateways).map(|n| n as u8));
        }
        ip
    } else {
        let mut ip = vec![0u8; 40];
        ip[0] = 0x60;
        ip[6..8].copy_from_slice(&[protocol::TCP, 64]);
        ip[8..40].copy_from_slice(&[0xfd; 32]);
        ip
    };
    let mut tcp = vec![0u8; 20];
    tcp[..4].copy_from_slice(&[0x1f, 0x90, 0x00, 0x50]);
    tcp[4..8].copy_from_slice(&0xffff_ff00_u32.to_be_bytes());
    tcp[12] = (((20 + options) / 4) as u8) << 4;
    tcp[13] = flags;
    tcp[16..18].copy_from_slice(&[0x12, 0x34]);
    tcp.resize(20 + options, 1);
    ip.extend(tcp);
    ip
}

/// Lengths and checksums; `last` is where the packet goes in the end, if not where its header says.
fn verify(packet: &[u8], tcp: usize, last: Option<&[u8]>) {
    let pseudo = if packet[0] >> 4 == 4 {
        assert_eq!(fold(sum(&packet[..tcp])), 0xffff, "IPv4 header checksum");
        assert_eq!(usize::from(get16(packet, 2)), packet.len());
        sum(&packet[12..16]) + sum(last.unwrap_or(&packet[16..20]))
    } else {
        assert_eq!(usize::from(get16(packet, 4)), packet.len() - 40);
        sum(&packet[8..40])
    };
    let total = pseudo + 6 + (packet.len() - tcp) as u64 + sum(&packet[tcp..]);
    assert_eq!(fold(total), 0xffff, "TCP checksum");
}

/// The packets one behind the other in a buffer.
fn packets_onto(headers: &[u8], payload: &[u8], size: Option<u16>) -> Vec<Vec<u8>> {
    let mut segments = Segments::new(headers, payload, size).expect("a TCP packet");
    let (mut all, mut buffer) = (Vec::new(), BytesMut::new());
    while let Some(len) = segments.next_onto(&mut buffer) {
        assert_eq!(buffer.len(), headers.len() + len);
        all.push(buffer.split().to_vec());
    }
    all
}

fn packets(headers: &[u8], payload: &[u8], size: Option<u16>) -> Vec<Vec<u8>> {
    let mut segments = Segments::new(headers, payload, size).expect("a TCP packet");
    let mut all = Vec::new();
    while let Some((headers, part)) = segments.next_packet() {
        all.push([headers, part].concat());
    }
    assert_eq!(packets_onto(headers, payload, size), all, "copied and summed at once");
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// [DSS-22]: the options, and a mapping among them, are those of every piece.
    #[test]
    fn put_together_they_are_the_whole(
        ipv4: bool,
        gateways in 0usize..9,
        options in (0usize..=10).prop_map(|n| n * 4),
        payload in prop::collection::vec(any::<u8>(), 0..6000),
        size in 1u16..2000,
    ) {
        let headers = headers(ipv4, gateways, options, FIN | PSH | CWR | 0x10);
        let tcp = headers.len() - 20 - options;
        let last = (ipv4 && gateways > 0).then(|| headers[tcp - 4..tcp].to_vec());
        let all = packets(&headers, &payload, Some(size));
        prop_assert_eq!(all.len(), payload.len().div_ceil(size.into()).max(1));
        let mut joined = Vec::new();
        for (index, packet) in all.iter().enumerate() {
            verify(packet, tcp, last.as_deref());
            prop_assert!(packet.len() <= headers.len() + usize::from(size));
            let seq = u32::from_be_bytes(take(packet, tcp + 4).unwrap());
            prop_assert_eq!(seq, 0xffff_ff00_u32.wrapping_add(joined.len() as u32));
            let flags = packet[tcp + 13];
            prop_assert_eq!(flags & (FIN | PSH) != 0, index + 1 == all.len());
            prop_assert_eq!(flags & CWR != 0, index == 0);
            prop_assert_eq!(flags & 0x10, 0x10);
            prop_assert_eq!(&packet[tcp + 20..tcp + 20 + options], &headers[tcp + 20..]);
            if ipv4 {
                prop_assert_eq!(get16(packet, 4), 0xffff_u16.wrapping_add(index as u16));
            }
            joined.extend_from_slice(&packet[tcp + 20 + options..]);
        }
        prop_assert_eq!(joined, payload);
    }

    #[test]
    fn no_input_panics(
        headers in prop::collection::vec(any::<u8>(), 0..140),
        size in proptest::option::of(0u16..100),
    ) {
        if let Some(mut segments) = Segments::new(&headers, &[7; 300], size) {
            while segments.next_packet().is_some() {}
        }
        let _ = Layout::of_packet(&headers);
    }
}

#[test]
fn without_a_size_there_is_one_packet_if_a_header_can_say_its_length() {
    let headers = headers(true, 0, 12, 0x10);
    assert_eq!(packets(&headers, &[7; 4_000], None).len(), 1);
    assert_eq!(packets(&headers, &[], None).len(), 1);
    assert_eq!(packets(&headers, &[7; 65_500], None).len(), 0);
}

#[test]
fn what_is_not_tcp_is_not_cut() {
    let good = headers(true, 0, 0, 0);
    assert!(Segments::new(&good[..39], &[], None).is_none());
    for (at, value) in [(0, 0x15), (0, 0x44), (9, 17), (32, 0x40), (32, 0x60)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(Segments::new(&bad, &[], None).is_none(), "{value:x} at {at}");
    }
    let whole = [&good[..], &[1, 2, 3]].concat();
    assert_eq!(Layout::of_packet(&whole), Some((Layout { ipv4: true, tcp: 20 }, 40)));
}
