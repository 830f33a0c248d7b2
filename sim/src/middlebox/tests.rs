use super::*;
use crate::packet::tests::made;
use crate::packet::{RawTcpOption, bits};
use bytes::Bytes;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::time::Duration;
use proptest::prelude::*;

/// A segment of the client's, numbered from 1000, with a DSS-like option.
fn segment(seq: u32, flags: u8, subtype: u8, payload: &[u8]) -> TcpPacket {
    let mut packet =
        TcpPacket::parse(&made(false, 1_000 + seq, &[(30, vec![subtype << 4, 0])], payload))
            .unwrap();
    packet.flags = flags;
    packet
}

fn back(packet: &TcpPacket, ack: u32) -> TcpPacket {
    packet.answer(SeqNum(9), SeqNum(1_000 + ack), bits::ACK)
}

fn turn(one: &mut dyn Middlebox, direction: Direction, packet: TcpPacket) -> Turn {
    let mut turn = Turn::new(Instant::ZERO);
    one.on_packet(direction, packet, &mut turn);
    turn
}

fn pass(one: &mut dyn Middlebox, direction: Direction, packet: TcpPacket) -> Emitted {
    turn(one, direction, packet).emitted
}

fn forward(one: &mut dyn Middlebox, packet: TcpPacket) -> Emitted {
    pass(one, Direction::Forward, packet)
}

/// What leaves when the next timer fires.
fn expired(one: &mut dyn Middlebox) -> Emitted {
    let mut turn = Turn::new(one.next().unwrap());
    one.on_timer(&mut turn);
    turn.emitted
}

fn payload(out: &Emitted) -> Vec<u8> {
    out.iter().flat_map(|(_, packet)| packet.payload.to_vec()).collect()
}

#[test]
fn every_kind_is_built_by_its_name_and_refuses_nonsense() {
    for kind in KINDS {
        let needed = match kind.name {
            "strip-option" => "kind=3",
            "alg" => "longer=4",
            _ => "",
        };
        assert!(build(&format!("{}:{needed}", kind.name), 1).is_ok(), "{}", kind.name);
        let error = build(&format!("{}:{needed},teapot", kind.name), 1).unwrap_err();
        assert!(error.contains("teapot"), "{error}");
    }
    assert!(build("strip", 1).unwrap_err().contains("strip-mptcp"));
    for text in [
        "alg",
        "strip-option",
        "split:size=0",
        "split:first,last",
        "nat:addr=x",
        "coalesce:first,last",
        "ack-unseen:drop,rewrite",
    ] {
        assert!(build(text, 1).is_err(), "{text}");
    }
}

#[test]
fn stripping_knows_segments_subtypes_directions_and_octets() {
    let stripped = |text: &str, direction, packet: TcpPacket| {
        let mut one = build(text, 1).unwrap();
        !pass(&mut *one, direction, packet).remove(0).1.has_mptcp()
    };
    use Direction::{Backward, Forward};
    let syn = || segment(0, bits::SYN, 0, b"");
    let data = || segment(1, bits::ACK, 2, b"data");
    assert!(stripped("strip-mptcp", Forward, syn()));
    assert!(stripped("strip-mptcp:syn", Forward, syn()));
    assert!(!stripped("strip-mptcp:synack", Forward, syn()));
    assert!(!stripped("strip-mptcp:syn", Forward, data()));
    assert!(stripped("strip-mptcp:data,dss", Forward, data()));
    assert!(!stripped("strip-mptcp:data,join", Forward, data()));
    assert!(!stripped("strip-mptcp:fwd", Backward, data()));
    assert!(stripped("strip-mptcp:back", Backward, data()));
    let mut late = build("strip-mptcp:from=4", 1).unwrap();
    assert!(forward(&mut *late, data())[0].1.has_mptcp());
    assert!(!forward(&mut *late, segment(5, bits::ACK, 2, b"more"))[0].1.has_mptcp());
    assert!(forward(&mut *late, data())[0].1.has_mptcp(), "a retransmission is what it was");
    let mut third = build("strip-mptcp:third", 1).unwrap();
    for (packet, acted) in [
        (syn(), false),
        (segment(1, bits::ACK, 0, b""), true),
        (segment(1, bits::ACK, 2, b""), false),
    ] {
        let turn = turn(&mut *third, Forward, packet);
        assert_eq!(turn.emitted[0].1.has_mptcp(), !acted);
        assert_eq!(turn.acted, u64::from(acted));
    }
}

#[test]
fn a_reset_goes_back_to_the_sender() {
    let out = forward(&mut *build("rst-mptcp:syn", 1).unwrap(), segment(0, bits::SYN, 0, b""));
    let (direction, rst) = &out[0];
    assert_eq!(
        (*direction, rst.flags, rst.ack),
        (Direction::Backward, bits::RST | bits::ACK, SeqNum(1_001))
    );
    assert!(
        forward(&mut *build("drop-mptcp", 1).unwrap(), segment(0, bits::SYN, 0, b"")).is_empty()
    );
}

#[test]
fn sequence_numbers_are_rewritten_both_ways() {
    for keep in [false, true] {
        let mut one = build(if keep { "isn:keep-sack" } else { "isn" }, 1).unwrap();
        let out = forward(&mut *one, segment(1, bits::ACK, 2, b"data")).remove(0).1;
        let shift = out.seq.0.wrapping_sub(1_001);
        assert_ne!(shift, 0);
        let mut ack = back(&out, 0);
        ack.ack = out.seq + 4;
        let block = |seq: u32| {
            [seq.wrapping_add(shift).to_be_bytes(), seq.wrapping_add(shift + 4).to_be_bytes()]
                .concat()
        };
        ack.options = vec![RawTcpOption { kind: 5, body: block(1_009) }];
        let seen = pass(&mut *one, Direction::Backward, ack).remove(0).1;
        assert_eq!(seen.ack, SeqNum(1_005));
        let edge = u32::from_be_bytes(*seen.options[0].body.first_chunk().unwrap());
        assert_eq!(edge == 1_009, !keep);
    }
}

#[test]
fn a_mapping_is_renewed_once_and_the_old_one_is_shut() {
    let mut one = build("nat:addr=10.9.9.9,rebind-after=8", 1).unwrap();
    let mut outside = Vec::new();
    for index in 0..6 {
        outside.push(forward(&mut *one, segment(1 + 4 * index, bits::ACK, 2, b"data")).remove(0).1);
    }
    let ports: Vec<_> = outside.iter().map(|packet| packet.src).collect();
    assert!(ports[0].ip().to_string() == "10.9.9.9" && ports[0] == ports[1]);
    assert!(ports[2] != ports[0] && ports[2..].iter().all(|port| *port == ports[2]));
    assert!(pass(&mut *one, Direction::Backward, back(&outside[0], 5)).is_empty());
    let inside = pass(&mut *one, Direction::Backward, back(&outside[2], 5)).remove(0).1;
    assert_eq!(inside.dst, "10.0.0.1:5".parse().unwrap());
}

#[test]
fn pieces_are_joined_again() {
    for (keep, first, last) in [("all", true, true), ("first", true, false), ("last", false, true)]
    {
        let out = forward(
            &mut *build(&format!("split:size=3,{keep}"), 1).unwrap(),
            segment(1, bits::ACK | bits::PSH, 2, b"12345678"),
        );
        assert_eq!(out.iter().map(|(_, p)| p.payload.len()).collect::<Vec<_>>(), [3, 3, 2]);
        assert_eq!((out[0].1.has_mptcp(), out[2].1.has_mptcp()), (first, last));
        assert_eq!(out[2].1.seq, SeqNum(1_007));
        let mut joiner = build("coalesce:max=100", 1).unwrap();
        let joined: Vec<_> = out.into_iter().flat_map(|(_, p)| forward(&mut *joiner, p)).collect();
        assert!(joined.is_empty());
        let late = expired(&mut *joiner);
        assert_eq!((payload(&late), late.len()), (b"12345678".to_vec(), 1));
        assert_eq!(late[0].1.has_mptcp(), first);
    }
}

#[test]
fn a_proxy_acknowledges_and_retransmits() {
    let mut one = build("ack-ahead", 1).unwrap();
    forward(&mut *one, segment(0, bits::SYN, 0, b""));
    pass(&mut *one, Direction::Backward, back(&segment(0, 0, 0, b""), 1));
    let out = forward(&mut *one, segment(1, bits::ACK, 2, b"data"));
    assert_eq!(
        (out[0].0, out[0].1.ack, out[1].0),
        (Direction::Backward, SeqNum(1_005), Direction::Forward)
    );
    let again = expired(&mut *one);
    assert_eq!(payload(&again), b"data");
    pass(&mut *one, Direction::Backward, back(&segment(0, 0, 0, b""), 5));
    assert_eq!(one.next(), None);
}

#[test]
fn a_proxy_that_restarts_has_lost_what_it_acknowledged() {
    let mut one = build("ack-ahead:restart=8,lose=2", 1).unwrap();
    forward(&mut *one, segment(0, bits::SYN, 0, b""));
    pass(&mut *one, Direction::Backward, back(&segment(0, 0, 0, b""), 1));
    let mut passed = Vec::new();
    let mut acked = 0;
    for index in 0..5 {
        for (direction, packet) in forward(&mut *one, segment(1 + 4 * index, bits::ACK, 2, b"data"))
        {
            match direction {
                Direction::Forward => passed.push(index),
                Direction::Backward => acked = packet.ack.0 - 1_000,
            }
        }
    }
    assert_eq!((passed, acked), (vec![0, 3, 4], 13));
}

#[test]
fn a_stream_gets_longer_or_shorter_and_the_numbers_follow() {
    let stream: Vec<u8> = (0..=255).collect();
    for (text, expected) in [
        ("alg:longer=3,at=10", [&stream[..10], b"+++", &stream[10..]].concat()),
        ("alg:shorter=20,at=10", [&stream[..10], &stream[30..]].concat()),
        ("alg:flip,at=10", [&stream[..10], &[!10], &stream[11..]].concat()),
    ] {
        let mut one = build(text, 1).unwrap();
        let mut syn = segment(0, bits::SYN, 0, b"");
        syn.seq = SeqNum(1_000);
        forward(&mut *one, syn);
        let mut seen = vec![0; expected.len()];
        // twice: retransmissions are changed alike
        for _ in 0..2 {
            for (index, piece) in stream.chunks(7).enumerate() {
                let out = forward(&mut *one, segment(1 + 7 * index as u32, bits::ACK, 2, piece))
                    .remove(0)
                    .1;
                let at = (out.seq.0 - 1_001) as usize;
                seen[at..at + out.payload.len()].copy_from_slice(&out.payload);
            }
        }
        assert_eq!(seen, expected, "{text}");
        let all = back(&segment(0, 0, 0, b""), 1 + expected.len() as u32);
        assert_eq!(
            pass(&mut *one, Direction::Backward, all).remove(0).1.ack,
            SeqNum(1_257),
            "{text}"
        );
    }
}

#[test]
fn nothing_passes_a_hole() {
    for (text, left) in [("hold", &b"11112222333344445555"[..]), ("hold:drop", b"11112222")] {
        let mut one = build(text, 1).unwrap();
        let mut out = Emitted::new();
        for number in [0, 2, 3, 4, 1] {
            let data = [b'1' + number as u8; 4];
            out.extend(forward(&mut *one, segment(4 * number, bits::ACK, 2, &data)));
        }
        assert_eq!(payload(&out), left);
    }
}

#[test]
fn an_ack_of_the_unseen_is_lowered_or_dropped() {
    let ack = back(&segment(0, 0, 0, b""), 50);
    let mut one = build("ack-unseen:rewrite,blind=0", 1).unwrap();
    forward(&mut *one, segment(1, bits::ACK, 2, b"data"));
    assert_eq!(pass(&mut *one, Direction::Backward, ack.clone()).remove(0).1.ack, SeqNum(1_005));
    let mut one = build("ack-unseen:drop,blind=0", 1).unwrap();
    forward(&mut *one, segment(1, bits::ACK, 2, b"data"));
    assert!(pass(&mut *one, Direction::Backward, ack).is_empty());
}

proptest! {
    /// Whatever is retransmitted, and however it overlaps, the first copy of every octet wins.
    #[test]
    fn the_first_copy_wins(
        pieces in prop::collection::vec((0u32..60, 1usize..30, any::<u8>()), 1..40), start: u32,
    ) {
        let mut one = build("normalise", 1).unwrap();
        let mut model: Vec<Option<u8>> = vec![None; 100];
        let mut syn = segment(0, bits::SYN, 0, b"");
        syn.seq = SeqNum(start);
        forward(&mut *one, syn);
        for (at, len, fill) in pieces {
            let mut packet = segment(0, bits::ACK, 2, &vec![fill; len]);
            packet.seq = SeqNum(start) + 1 + at;
            let out = forward(&mut *one, packet).remove(0).1;
            for (index, octet) in out.payload.iter().enumerate() {
                let expected = *model[at as usize + index].get_or_insert(fill);
                prop_assert_eq!(*octet, expected);
            }
        }
    }

    /// No box panics or makes a broken packet, whatever comes in whatever order.
    #[test]
    fn boxes_take_anything(
        which in 0..KINDS.len(),
        packets in prop::collection::vec((any::<bool>(), 0u32..3_000, any::<u8>(), 0u8..12, 0usize..1_400, 0u32..3_000), 1..60),
    ) {
        let kind = KINDS[which];
        let text = match kind.name {
            "strip-option" => "strip-option:kind=3".to_owned(),
            "alg" => "alg:shorter=9,at=100".to_owned(),
            "nat" => "nat:rebind-after=5k".to_owned(),
            "ack-ahead" => "ack-ahead:restart=5k".to_owned(),
            "duplicate" => "duplicate:late=1ms".to_owned(),
            name => name.to_owned(),
        };
        let mut chain = Chain::build(&[text], 1).unwrap();
        let mut now = Instant::ZERO;
        for (forwards, seq, flags, subtype, len, ack) in packets {
            let mut packet = segment(seq, flags, subtype, &vec![7; len]);
            packet.ack = SeqNum(9 + ack);
            let direction = if forwards { Direction::Forward } else {
                (packet.src, packet.dst) = (packet.dst, packet.src);
                Direction::Backward
            };
            let mut out = Output::default();
            chain.on_packet(now, direction, packet.emit(), &mut out);
            now += Duration::from_micros(300);
            chain.on_timer(now, &mut out);
            for (_, bytes) in out.packets {
                prop_assert!(TcpPacket::parse(&bytes).is_some());
            }
        }
    }
}

#[test]
fn what_is_not_tcp_or_broken_passes() {
    let mut chain = Chain::build(&["drop-mptcp", "splitter"], 1).unwrap();
    let mut broken = made(false, 1, &[(30, vec![0, 0])], b"x").to_vec();
    *broken.last_mut().unwrap() ^= 1;
    for bytes in [Bytes::from(broken), Bytes::from_static(b"\x45nonsense"), Bytes::new()] {
        let mut out = Output::default();
        chain.on_packet(Instant::ZERO, Direction::Forward, bytes.clone(), &mut out);
        assert_eq!(out.packets, [(Direction::Forward, bytes)]);
    }
}
