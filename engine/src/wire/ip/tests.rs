//! IP headers: what is refused, and why.

use super::*;
use crate::wire::samples::{hex, packet, tcp_header};
use crate::wire::{OptionBuffer, TcpHeader};
use proptest::prelude::*;
use std::vec::Vec;

fn sample(v6: bool) -> Vec<u8> {
    packet(v6, &TcpHeader::default(), &OptionBuffer::new(), b"data")
}

/// Makes the IPv4 header checksum right again.
fn fix(mut packet: Vec<u8>) -> Vec<u8> {
    let len = usize::from(packet[0] & 0x0f) * 4;
    packet[10..12].fill(0);
    let mut sum = Checksum::new();
    sum.add_bytes(&packet[..len]);
    packet[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    packet
}

fn changed(v6: bool, change: impl FnOnce(&mut Vec<u8>)) -> Result<IpHeader, Error> {
    let mut packet = sample(v6);
    change(&mut packet);
    IpHeader::parse(&if v6 { packet } else { fix(packet) })
}

#[test]
fn known_bytes() {
    // A header often used as the example of a checksum computed by hand.
    let bytes = hex("45000073 00004000 4011b861 c0a80001 c0a800c7");
    let mut packet = bytes.clone();
    packet.resize(0x73, 0);
    let header = IpHeader::parse(&packet).unwrap();
    assert_eq!((header.src, header.dst), ([192, 168, 0, 1].into(), [192, 168, 0, 199].into()));
    assert_eq!((header.protocol, header.hop_limit, header.traffic_class), (17, 64, 0));
    assert_eq!((header.header_len, header.total_len), (20, 0x73));
    let emitted = ipv4::header([192, 168, 0, 1].into(), [192, 168, 0, 199].into(), 17, 0x73);
    assert_eq!(emitted[..], bytes);
}

#[test]
fn version_and_emptiness() {
    assert_eq!(IpHeader::parse(&[]), Err(Error::Truncated));
    for version in (0..16).filter(|version| !matches!(version, 4 | 6)) {
        assert_eq!(IpHeader::parse(&[version << 4; 60]), Err(Error::BadVersion));
    }
}

#[test]
fn v4_faults() {
    assert_eq!(changed(false, |p| p[0] = 0x44), Err(Error::BadHeaderLength));
    assert_eq!(changed(false, |p| p[3] = 19), Err(Error::BadTotalLength));
    assert_eq!(changed(false, |p| p[3] += 1), Err(Error::Truncated));
    assert_eq!(changed(false, |p| p[6] = 0x20), Err(Error::Fragment));
    assert_eq!(changed(false, |p| p[7] = 0x01), Err(Error::Fragment));
    let mut packet = sample(false);
    packet[8] -= 1;
    assert_eq!(IpHeader::parse(&packet), Err(Error::BadChecksum));
}

#[test]
fn v4_options_are_skipped() {
    let mut packet = sample(false);
    packet[0] = 0x46;
    packet[3] += 4;
    packet.splice(20..20, [1, 1, 1, 1]);
    let packet = fix(packet);
    let header = IpHeader::parse(&packet).unwrap();
    assert_eq!(header.header_len, 24);
    assert_eq!(header.payload(&packet), &sample(false)[20..]);
}

/// Puts extension headers of kind `kinds` (8 octets each) in front of the payload.
fn extended(kinds: &[u8]) -> Vec<u8> {
    let mut packet = sample(true);
    let mut extensions = Vec::new();
    for (i, _) in kinds.iter().enumerate() {
        let next = kinds.get(i + 1).copied().unwrap_or(protocol::TCP);
        extensions.extend([next, 0, 0, 0, 0, 0, 0, 0]);
    }
    packet[5] += extensions.len() as u8;
    packet[6] = kinds.first().copied().unwrap_or(protocol::TCP);
    packet.splice(40..40, extensions);
    packet
}

#[test]
fn v6_extension_headers() {
    for kinds in [&[][..], &[0], &[60], &[0, 43, 60], &[60; 8]] {
        let packet = extended(kinds);
        let header = IpHeader::parse(&packet).unwrap();
        assert_eq!((header.protocol, header.header_len), (protocol::TCP, 40 + 8 * kinds.len()));
        assert_eq!(header.payload(&packet), &sample(true)[40..]);
    }
    assert_eq!(IpHeader::parse(&extended(&[60; 9])), Err(Error::TooManyExtensionHeaders));
    assert_eq!(IpHeader::parse(&extended(&[0, 44])), Err(Error::Fragment));
    let mut routed = extended(&[43]);
    routed[43] = 1;
    assert_eq!(IpHeader::parse(&routed), Err(Error::SourceRouted));
    let mut overrun = extended(&[0]);
    overrun[41] = 255;
    assert_eq!(IpHeader::parse(&overrun), Err(Error::Truncated));
}

#[test]
fn v6_faults() {
    assert_eq!(changed(true, |p| p[5] += 1), Err(Error::Truncated));
    // A jumbogram
    assert_eq!(changed(true, |p| p[4..7].fill(0)), Err(Error::Truncated));
    let header = changed(true, |p| (p[0], p[1]) = (0x6a, 0xb0)).unwrap();
    assert_eq!(header.traffic_class, 0xab);
}

#[test]
fn every_cut_is_noticed_and_padding_is_not_looked_at() {
    for v6 in [false, true] {
        let packet = sample(v6);
        for len in 0..packet.len() {
            assert_eq!(IpHeader::parse(&packet[..len]), Err(Error::Truncated), "{len}");
        }
        let padded = [packet.clone(), Vec::from([0xff; 13])].concat();
        let header = IpHeader::parse(&padded).unwrap();
        assert_eq!(header.total_len, packet.len());
        assert_eq!(header.payload(&padded), header.payload(&packet));
        assert_eq!(header.payload(&[]), &[] as &[u8]);
        let least = header.header_len;
        for len in 0..=packet.len() {
            let expected = if len < least { Err(Error::Truncated) } else { Ok(header) };
            assert_eq!(IpHeader::parse_beginning(&packet[..len]), expected, "{len}");
        }
        assert_eq!(header.payload(&packet[..least + 3]), &packet[least..least + 3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn garbage_does_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120), v6: bool) {
        if let Some(first) = bytes.first_mut() {
            *first = if v6 { 0x60 } else { 0x45 };
        }
        if let Ok(header) = IpHeader::parse(&bytes) {
            prop_assert!(header.header_len <= header.total_len && header.total_len <= bytes.len());
        }
    }

    /// Except in the version: a 4 that became a 6 makes a header without checksum.
    #[test]
    fn one_wrong_byte_never_goes_unnoticed_in_v4(header in tcp_header(), at in 1..20usize, change in 1..=255u8) {
        let mut packet = packet(false, &header, &OptionBuffer::new(), b"");
        packet[at] ^= change;
        prop_assert!(IpHeader::parse(&packet).is_err());
    }
}
