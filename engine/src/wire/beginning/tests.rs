//! The short way to read a packet beside the long one.

use super::*;
use crate::addr::{FourTuple, IpAddr, SocketAddr};
use crate::seq::SeqNum;
use crate::tcp::{Flags, Timestamps};
use crate::wire::tcp::{emit, verify_checksum};
use crate::wire::{ChecksumMode, IpHeader, OptionBuffer};
use proptest::prelude::*;
use std::vec::Vec;

/// A segment with timestamps, of either family.
fn packet(six: bool, seq: u32, payload: &[u8]) -> Vec<u8> {
    let address = |host: u8| -> IpAddr {
        if six {
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, host.into()])
        } else {
            IpAddr::from([10, 0, 0, host])
        }
    };
    let tuple = FourTuple {
        local: SocketAddr::new(address(1), 40_000),
        remote: SocketAddr::new(address(2), 80),
    };
    let header = TcpHeader {
        src_port: 40_000,
        dst_port: 80,
        seq: SeqNum(seq),
        ack: Some(SeqNum(7)),
        flags: Flags { psh: seq.is_multiple_of(2), ..Flags::default() },
        window: 500,
        urgent: 0,
    };
    let mut options = OptionBuffer::new();
    options.push_timestamps(Timestamps { value: 1, echo: 2 });
    let mut packet = Vec::new();
    emit(&mut packet, &tuple, &header, &options, payload, ChecksumMode::Full).unwrap();
    packet.extend(payload);
    packet
}

/// What the long way reads: header, options, payload.
fn long(packet: &[u8]) -> Option<(TcpHeader, &[u8], &[u8])> {
    let ip = IpHeader::parse(packet).ok()?;
    let segment = ip.payload(packet);
    let (header, len) = TcpHeader::parse(segment).ok()?;
    let sound = ip.protocol == protocol::TCP && verify_checksum(&ip, segment);
    sound.then(|| (header, &segment[HEADER_LEN..len], &segment[len..]))
}

fn short<'a>(beginning: &Beginning, packet: &'a [u8]) -> Option<(TcpHeader, &'a [u8], &'a [u8])> {
    let behind = beginning.behind(packet)?;
    let sound = beginning.is_sound(packet, behind.payload.end, false);
    sound.then(|| (TcpHeader::of(behind.header), behind.options, &packet[behind.payload]))
}

proptest! {
    #[test]
    fn reads_what_the_long_way_reads(
        six: bool, seq: u32, payload in prop::collection::vec(any::<u8>(), 0..200), padding in 0..9_usize,
    ) {
        let mut packet = packet(six, seq, &payload);
        packet.resize(packet.len() + padding, 0xaa);
        let beginning = Beginning::of(&packet).expect("a plain packet");
        prop_assert_eq!(short(&beginning, &packet), long(&packet));
        prop_assert!(long(&packet).is_some());
    }

    /// Whatever is wrong with a packet: the short way never takes one the long way does not take, and reads the same.
    #[test]
    fn never_takes_more_than_the_long_way(
        six: bool, payload in prop::collection::vec(any::<u8>(), 0..60),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: prop::sample::Index,
        whole: bool,
    ) {
        let mut packet = packet(six, 9, &payload);
        let undamaged = Beginning::of(&packet);
        for (at, octet) in damage {
            let at = at.index(packet.len());
            packet[at] = octet;
        }
        if !whole {
            packet.truncate(cut.index(packet.len()));
        }
        if let Some(beginning) = Beginning::of(&packet) {
            if let Some(read) = short(&beginning, &packet) {
                prop_assert_eq!(Some(read), long(&packet));
            }
            if Some(beginning) == undamaged {
                prop_assert_eq!(short(&beginning, &packet), long(&packet));
            }
        }
    }
}

#[test]
fn only_what_changes_from_packet_to_packet_is_left_out() {
    for six in [false, true] {
        let first = Beginning::of(&packet(six, 2, b"data")).unwrap();
        assert_eq!(Beginning::of(&packet(six, 5, b"more data")), Some(first));
        let plain = packet(six, 2, b"data");
        // lengths, identification and IPv4's checksum
        let free: &[usize] = if six { &[4, 5] } else { &[2, 3, 4, 5, 10, 11] };
        for at in 0..if six { 44 } else { 24 } {
            let mut other = plain.clone();
            other[at] ^= 1;
            assert_eq!(Beginning::of(&other) == Some(first), free.contains(&at), "octet {at}");
        }
    }
}
