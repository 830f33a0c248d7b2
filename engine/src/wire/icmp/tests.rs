//! ICMP errors as routers send them.

use super::*;
use crate::wire::samples::{packet, tuple};
use crate::wire::{OptionBuffer, TcpHeader};
use proptest::prelude::*;
use std::vec::Vec;

fn header() -> TcpHeader {
    TcpHeader { src_port: 40_000, dst_port: 443, seq: SeqNum(0xdeadbeef), ..TcpHeader::default() }
}

/// The IP header such an error comes with, and the error quoting the first `quoted` octets of our packet.
fn error(v6: bool, kind: u8, code: u8, parameter: u32, quoted: usize) -> (IpHeader, Vec<u8>) {
    let ours = packet(v6, &header(), &OptionBuffer::new(), b"payload");
    let mut ip = IpHeader::parse(&ours).unwrap();
    (ip.src, ip.dst) = (ip.dst, ip.src);
    ip.protocol = if v6 { protocol::ICMPV6 } else { protocol::ICMP };
    let mut message = Vec::from([kind, code, 0, 0]);
    message.extend(parameter.to_be_bytes());
    message.extend_from_slice(&ours[..quoted]);
    fix(&ip, &mut message);
    (ip, message)
}

fn fix(ip: &IpHeader, message: &mut [u8]) {
    message[2..4].fill(0);
    let mut sum =
        if ip.src.is_ipv6() { ip.pseudo_header(message.len() as u32) } else { Checksum::new() };
    sum.add_bytes(message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
}

fn parse(v6: bool, kind: u8, code: u8, parameter: u32) -> Result<IcmpKind, Error> {
    let (ip, message) = error(v6, kind, code, parameter, if v6 { 48 } else { 28 });
    let error = IcmpError::parse(&ip, &message)?;
    assert_eq!(error.tuple, tuple(v6, &header()));
    assert_eq!(error.seq, SeqNum(0xdeadbeef));
    Ok(error.kind)
}

#[test]
fn too_big() {
    let needed = |mtu| Ok(IcmpKind::FragmentationNeeded { mtu });
    assert_eq!(parse(false, 3, 4, 1400), needed(1400));
    // The upper half is unused (RFC 1191 4).
    assert_eq!(parse(false, 3, 4, 0xffff_0578), needed(1400));
    assert_eq!(parse(false, 3, 4, 0), needed(0));
    assert_eq!(parse(true, 2, 0, 1280), needed(1280));
    assert_eq!(parse(true, 2, 0, 100_000), needed(65_535));
}

#[test]
fn unreachable() {
    for code in (0..=15).filter(|code| *code != 4) {
        assert_eq!(parse(false, 3, code, 0), Ok(IcmpKind::Unreachable { code }));
    }
    assert_eq!(parse(true, 1, 4, 0), Ok(IcmpKind::Unreachable { code: 4 }));
}

#[test]
fn other_messages_are_none_of_ours() {
    for kind in (0..=255).filter(|kind| *kind != 3) {
        assert_eq!(parse(false, kind, 0, 0), Err(Error::NotAnError));
    }
    for kind in (0..=255).filter(|kind| !matches!(kind, 1 | 2)) {
        assert_eq!(parse(true, kind, 0, 0), Err(Error::NotAnError));
    }
    let (mut ip, message) = error(false, 3, 1, 0, 28);
    ip.protocol = protocol::TCP;
    assert_eq!(IcmpError::parse(&ip, &message), Err(Error::NotAnError));
}

#[test]
fn every_cut_is_noticed() {
    for (v6, kind, least) in [(false, 3, 28), (true, 1, 48)] {
        for quoted in 0..60 {
            let (ip, message) = error(v6, kind, 1, 0, quoted.min(40));
            let expected = quoted.min(40) >= least;
            assert_eq!(IcmpError::parse(&ip, &message).is_ok(), expected, "{quoted}");
        }
        let (ip, message) = error(v6, kind, 1, 0, least);
        for len in 0..message.len() {
            assert!(IcmpError::parse(&ip, &message[..len]).is_err());
        }
    }
}

#[test]
fn wrong_checksum_protocol_or_fragment() {
    let (ip, mut message) = error(false, 3, 1, 0, 28);
    message[2] ^= 1;
    assert_eq!(IcmpError::parse(&ip, &message), Err(Error::BadChecksum));

    let (ip, mut message) = error(false, 3, 1, 0, 28);
    message[8 + 9] = 17;
    fix(&ip, &mut message);
    assert_eq!(IcmpError::parse(&ip, &message), Err(Error::NotTcp));

    // An IPv6 packet in an ICMPv4 error
    let (_, v6) = error(true, 1, 1, 0, 48);
    let (ip, mut message) = error(false, 3, 1, 0, 28);
    message.splice(8.., v6[8..].iter().copied());
    fix(&ip, &mut message);
    assert_eq!(IcmpError::parse(&ip, &message), Err(Error::BadVersion));

    let (ip, mut message) = error(false, 3, 1, 0, 28);
    message[8 + 7] = 1;
    fix(&ip, &mut message);
    assert_eq!(IcmpError::parse(&ip, &message), Err(Error::Fragment));
}

/// Routers count the TTL down and may leave the quoted header's checksum wrong.
#[test]
fn the_quoted_headers_checksum_is_not_looked_at() {
    let (ip, mut message) = error(false, 3, 1, 0, 28);
    message[8 + 8] = 3;
    fix(&ip, &mut message);
    assert!(IcmpError::parse(&ip, &message).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn garbage_does_not_panic(v6: bool, mut bytes in prop::collection::vec(any::<u8>(), 8..90)) {
        let (ip, _) = error(v6, 3, 1, 0, 28);
        bytes[0] = if v6 { 1 } else { 3 };
        if let Some(first) = bytes.get_mut(8) {
            *first = if v6 { 0x60 } else { 0x45 };
        }
        fix(&ip, &mut bytes);
        let _ = IcmpError::parse(&ip, &bytes);
    }
}
