//! Blind attackers and old segments: RFC 5961, PAWS (RFC 7323 5), forged ICMP.

use super::pair::{Dice, Host, Network, Pair};
use super::*;
use proptest::prelude::*;
use std::vec;

/// T06 R08: 400 RSTs in the window at once, and for 10 seconds more.
#[test]
fn challenge_acks_are_rate_limited() {
    let mut socket = established();
    let mut answers = Vec::new();
    for at in 0..400 {
        socket.on_segment(ms(100 + at / 100), &with(seg(100, 0, b""), "Rn"));
        answers.extend(drain(&mut socket, ms(100 + at / 100)));
    }
    assert_eq!(answers.len(), 1);
    for at in 1..=1_000 {
        socket.on_segment(ms(100 + at * 10), &with(seg(100, 0, b""), "Rn"));
        answers.extend(drain(&mut socket, ms(100 + at * 10)));
    }
    assert_eq!((answers.len(), socket.state()), (21, State::Established));
    assert!(answers.iter().all(|p| (p.seq, p.ack) == (ISS + 1, Some(IRS + 1))));
    assert_eq!(answers[0].kind, PlanKind::ChallengeAck);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whoever does not know RCV.NXT and SND.NXT can neither reset nor inject.
    #[test]
    fn blind_segments_change_nothing(seed: u64) {
        let mut dice = Dice(seed);
        let mut socket = established();
        for _ in 0..50 {
            let mut forged = seg(dice.next() as u32, dice.next() as u32, b"evil");
            if dice.roll(300) {
                forged.seq = IRS + 1 + dice.below(u64::from(WINDOW)) as u32;
            }
            let flags = ["R", "Rn", "S", "Sn", "SF", "RS", "n", "F"];
            forged = with(forged, flags[dice.below(8) as usize]);
            // What hits both numbers is not blind.
            let sees = forged.seq == IRS + 1;
            let ack = forged.ack.unwrap_or(ISS);
            let lucky = ack.since(ISS + 1) <= 0 && ack.since(ISS + 1) >= -60_000;
            if sees || (lucky && !forged.flags.rst && !forged.flags.syn) {
                continue;
            }
            let disposition = socket.on_segment(ms(50), &forged);
            prop_assert!(!disposition.acceptable && !disposition.new_data);
            drain(&mut socket, ms(50));
        }
        prop_assert_eq!(socket.state(), State::Established);
        prop_assert_eq!(socket.read(), None);
        prop_assert!(!socket.recv.has_holes());
    }

    /// Garbage of any kind never breaks an invariant, and planning always ends.
    #[test]
    fn any_segment_in_any_state_is_survived(seed: u64, client: bool, timestamps: bool) {
        let mut dice = Dice(seed);
        let mut open = params();
        open.config.timestamps = timestamps;
        let mut socket = if client {
            Socket::connect(ms(0), open)
        } else {
            Socket::accept(ms(0), open, &with(syn("S"), "n"))
        };
        let mut now = ms(0);
        for _ in 0..200 {
            now += core::time::Duration::from_millis(dice.below(400));
            match dice.below(10) {
                0 => { socket.write(Bytes::from(vec![7; dice.below(5_000) as usize])); }
                1 if dice.roll(100) => socket.close(),
                2 if dice.roll(20) => socket.abort(),
                3 => socket.on_timeout(now),
                4 => socket.request_ack(),
                5 if dice.roll(100) => socket.on_path_mtu(now, dice.next() as u16, SeqNum(dice.next() as u32)),
                _ => { socket.on_segment(now, &garbage(&mut dice, &socket)); }
            }
            prop_assert_eq!(socket.check_invariants(), Ok(()));
            let _ = socket.available();
            let limits = SendLimits {
                window: dice.below(100_000) as u32,
                promised: dice.roll(300).then(|| dice.below(100_000) as u32),
                reserved_options: (dice.below(8) * 4) as u8,
                max_payload: dice.below(70_000) as u32,
            };
            let mut plans = 0;
            while let Some(plan) = socket.plan(now, &limits) {
                prop_assert!(plan.payload.len() <= 70_000 && plans < 1_000);
                socket.commit(now, &plan);
                plans += 1;
            }
            prop_assert!(socket.poll_timeout().is_none_or(|at| at < Instant::FAR_FUTURE));
            while socket.read().is_some() {}
        }
    }
}

/// A segment near the truth, so that it often gets far.
fn garbage(dice: &mut Dice, socket: &Socket) -> Segment {
    let near = |dice: &mut Dice| [0u32, 0, 0, 1, u32::MAX, 1460, 60_000][dice.below(7) as usize];
    let seq = socket.recv.nxt_seq() + near(dice);
    let mut segment = Segment {
        seq: if socket.state() == State::SynSent { IRS } else { seq },
        ack: Some(socket.send.seq(if dice.roll(500) { socket.nxt() } else { socket.una() })),
        window: [0, 1, 100, 60_000][dice.below(4) as usize],
        payload: Bytes::from(vec![1; [0, 0, 1, 100, 1460, 9000][dice.below(6) as usize]]),
        carries_signal: dice.roll(100),
        ..Segment::default()
    };
    if dice.roll(100) {
        segment.ack = segment.ack.map(|ack| ack + near(dice));
    }
    segment.flags.syn = dice.roll(if socket.state() == State::SynSent { 800 } else { 30 });
    segment.flags.fin = dice.roll(30);
    segment.flags.rst = dice.roll(5);
    if dice.roll(50) {
        segment.ack = None;
    }
    segment.options.mss = Some(dice.next() as u16);
    segment.options.window_scale = dice.roll(500).then(|| dice.next() as u8);
    segment.options.sack_permitted = true;
    segment.options.timestamps = dice.roll(700).then(|| Timestamps {
        value: 1_000 + dice.below(1_000) as u32,
        echo: dice.below(100_000) as u32,
    });
    for _ in 0..dice.below(5) {
        let start = socket.send.seq(socket.una()) + near(dice) + dice.below(3_000) as u32;
        segment.options.sack.push(start, start + dice.below(3_000) as u32);
    }
    segment
}

fn stamped(mut segment: Segment, value: u32) -> Segment {
    segment.options.timestamps = Some(Timestamps { value, echo: 77 });
    segment
}

fn established_with_timestamps() -> Socket {
    let mut socket = Socket::connect(ms(0), params());
    drain(&mut socket, ms(0));
    socket.on_segment(ms(10), &stamped(syn("S"), 100));
    let plans = drain(&mut socket, ms(10));
    let expected = Timestamps { value: 77 + 10, echo: 100 };
    assert_eq!(plans[0].options.timestamps, Some(expected));
    socket
}

#[test]
fn paws_drops_what_is_older_than_the_last_segment() {
    let mut socket = established_with_timestamps();
    assert!(socket.on_segment(ms(20), &stamped(seg(1, 1, b"new"), 200)).new_data);
    drain(&mut socket, ms(20));
    // RFC 7323 5.3 R1: the right sequence number does not help.
    let old = stamped(seg(4, 1, b"old"), 199);
    assert!(!socket.on_segment(ms(30), &old).acceptable);
    assert_eq!(kinds(&drain(&mut socket, ms(30))), [PlanKind::Ack]);
    // A RST is not subject to it (RFC 7323 5.2).
    let mut reset = socket;
    assert!(reset.on_segment(ms(31), &stamped(with(seg(4, 0, b""), "Rn"), 1)).reset);
    // The peer's clock passes zero.
    let mut socket = established_with_timestamps();
    for (seq, value) in [(1, 0x7fff_0000), (2, 0xfffe_0000), (3, 5)] {
        assert!(socket.on_segment(ms(40), &stamped(seg(seq, 1, b"x"), value)).new_data, "{value}");
        socket.request_ack();
        drain(&mut socket, ms(40));
    }
}

#[test]
fn paws_forgets_after_24_days_and_lets_bare_segments_pass() {
    let mut socket = established_with_timestamps();
    let day = 24 * 3600 * 1000;
    assert!(!socket.on_segment(ms(23 * day), &stamped(seg(1, 1, b"x"), 99)).acceptable);
    assert!(socket.on_segment(ms(25 * day), &stamped(seg(1, 1, b"x"), 99)).acceptable);
    assert!(socket.on_segment(ms(25 * day), &seg(2, 1, b"y")).acceptable);
}

#[test]
fn the_echo_is_that_of_the_segment_that_advanced_the_window() {
    // RFC 7323 4.3: of two segments acknowledged together the first is echoed, of an out-of-order one nothing.
    let mut socket = established_with_timestamps();
    socket.on_segment(ms(20), &stamped(seg(1, 1, b"a"), 200));
    socket.on_segment(ms(21), &stamped(seg(2, 1, b"b"), 201));
    socket.on_segment(ms(22), &stamped(seg(9, 1, b"z"), 202));
    let plans = drain(&mut socket, ms(22));
    assert_eq!(plans[0].options.timestamps.map(|option| option.echo), Some(200));
}

#[test]
fn sequence_numbers_wrap_in_both_directions() {
    let mut client = params();
    client.iss = SeqNum(u32::MAX - 3);
    let mut server = params();
    server.iss = SeqNum(u32::MAX);
    let network = Network { loss: 100, reorder: 200, duplicate: 50, ..Network::default() };
    let hosts = (Host::new(client, 90_000), Host::new(server, 90_000));
    Pair::new(11, network, hosts.0, hosts.1).finish();
}

#[test]
fn path_mtu_shrinks_only_for_what_is_in_flight() {
    let mut socket = established();
    socket.write(Bytes::from(vec![1; 14_600]));
    assert_eq!(drain(&mut socket, ms(20)).len(), 10);
    socket.on_path_mtu(ms(30), 1000, ISS);
    socket.on_path_mtu(ms(30), 1000, ISS + 14_601);
    assert_eq!(socket.effective_mss(0), 1460, "forgeries (RFC 5927)");
    let (cwnd, ssthresh) = (socket.cwnd(), socket.ssthresh());
    socket.on_path_mtu(ms(30), 1000, ISS + 1);
    assert_eq!((socket.effective_mss(0), socket.ssthresh()), (1000, ssthresh));
    assert!(socket.cwnd() <= cwnd && socket.cwnd() >= cwnd / 2, "no sign of congestion");
    let plans = drain(&mut socket, ms(30));
    assert!(plans.iter().all(|plan| plan.kind == PlanKind::Retransmission));
    assert!(plans.iter().all(|plan| plan.payload.len() <= 1000) && !plans.is_empty());
    socket.on_path_mtu(ms(31), 0, ISS + 1);
    assert!(socket.effective_mss(0) >= 48);
}

#[test]
fn a_path_that_reports_its_mtu_carries_the_rest() {
    let network = Network { largest: 1000, ..Network::default() };
    let mut pair = Pair::new(3, network, Host::new(params(), 50_000), Host::new(params(), 0));
    pair.run_until(ms(100));
    assert_eq!(pair.hosts[1].received, 0);
    let (now, seq) = (pair.now, pair.socket(0).send.seq(0));
    pair.socket(0).on_path_mtu(now, 1000, seq);
    pair.run_until(ms(400));
    assert_eq!(pair.hosts[1].received, 50_000);
    pair.finish();
}

/// A peer whose window shrank under what it had sent acknowledges from the edge it knows: an old number where the rest was
/// taken. Its ACK counts; not one of something never sent, and nothing that comes with data.
#[test]
fn the_ack_of_an_old_empty_segment_counts() {
    let mut socket = established();
    socket.on_segment(ms(20), &seg(1, 1, b"0123456789"));
    socket.write(Bytes::from(vec![1; 1_000]));
    drain(&mut socket, ms(21));
    socket.on_segment(ms(22), &seg(3, 2_001, b""));
    assert_eq!(socket.send.una(), 0);
    socket.on_segment(ms(23), &seg(4, 401, b"345"));
    assert_eq!(socket.send.una(), 0);
    socket.on_segment(ms(24), &seg(3, 1_001, b""));
    assert_eq!((socket.send.una(), socket.in_flight()), (1_000, 0));
}
