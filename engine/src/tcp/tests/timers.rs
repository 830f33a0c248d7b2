//! Timers: SYN, retransmission, persist, keepalive, TIME-WAIT; and windows that close and open.

use super::*;
use crate::config::Keepalive;
use crate::time::Duration;
use std::format;
use std::vec;

/// Lets timers run until the socket is closed or `most` segments were sent; when each went out, in ms.
fn silence(socket: &mut Socket, most: usize) -> Vec<(u64, PlanKind)> {
    let mut sent = Vec::new();
    let mut now = ms(0);
    while sent.len() < most {
        for plan in drain(socket, now) {
            sent.push((now.as_millis(), plan.kind));
        }
        let Some(at) = socket.poll_timeout() else { break };
        now = now.max(at);
        socket.on_timeout(now);
    }
    sent
}

#[test]
fn syn_backs_off_and_gives_up() {
    let mut socket = Socket::connect(ms(0), params());
    let sent = silence(&mut socket, 100);
    let times: Vec<u64> = sent.iter().map(|(at, _)| *at / 1000).collect();
    assert_eq!(times, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    assert_eq!((socket.end(), socket.syn_transmissions()), (Some(SocketEnd::Timeout), 11));
}

#[test]
fn syn_tells_how_often_it_went_out() {
    let mut socket = Socket::connect(ms(0), params());
    assert_eq!(drain(&mut socket, ms(0))[0].transmissions, 0);
    socket.on_timeout(ms(1000));
    let again = &drain(&mut socket, ms(1000))[0];
    assert_eq!((again.kind, again.transmissions, again.ack), (PlanKind::Syn, 1, None));
    // Nobody knows which of the two was answered (Karn).
    socket.on_segment(ms(1010), &syn("S"));
    assert_eq!((socket.srtt(), socket.cwnd()), (None, 14_600));
    // After a second loss the window starts small (RFC 5681 3.1).
    let mut socket = Socket::connect(ms(0), plain_params());
    for at in [0, 1000, 3000] {
        socket.on_timeout(ms(at));
        drain(&mut socket, ms(at));
    }
    socket.on_segment(ms(3010), &syn("S"));
    assert_eq!(socket.cwnd(), 1460);
}

#[test]
fn handshake_options_are_the_common_ground() {
    let mut open = params();
    open.window_scale = WindowScale::from_wire(7);
    let mut socket = Socket::connect(ms(0), open.clone());
    let options = drain(&mut socket, ms(0))[0].options;
    assert_eq!((options.mss, options.window_scale), (Some(1460), Some(7)));
    assert!(options.sack_permitted && options.timestamps.is_some());
    // A peer that offers nothing gets nothing (RFC 7323 1.3, RFC 2018 2).
    let bare = with(seg(0, 0, b""), "Sn");
    let mut socket = Socket::accept(ms(0), open, &bare);
    let plan = &drain(&mut socket, ms(0))[0];
    assert_eq!(plan.options, SegmentOptions { mss: Some(1460), ..SegmentOptions::default() });
    assert_eq!((socket.peer_mss(), socket.window_scales(), plan.window), (536, None, 50_000));
    assert!(!socket.sack_enabled() && !socket.timestamps_enabled());
}

#[test]
fn retransmission_backs_off_and_gives_up() {
    let mut open = plain_params();
    open.config.max_retransmits = 5;
    let mut socket = established_with(open);
    socket.write(Bytes::from_static(b"data"));
    let sent = silence(&mut socket, 100);
    // The first copy, a tail loss probe, and five retransmissions at doubling distance.
    assert_eq!(sent.len(), 7, "{sent:?}");
    let gaps: Vec<u64> = sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for pair in gaps[2..].windows(2) {
        assert!(pair[1] == 2 * pair[0], "{gaps:?}");
    }
    assert_eq!((socket.end(), socket.poll_timeout()), (Some(SocketEnd::Timeout), None));
}

#[test]
fn a_closed_window_is_probed_with_back_off_for_as_long_as_it_takes() {
    let mut open = plain_params();
    open.config.max_retransmits = 4;
    let mut socket = established_with(open);
    window(&mut socket, 20, 1, 0);
    socket.write(Bytes::from_static(b"data"));
    assert_eq!(socket.available(), 0);
    assert_eq!(kinds(&drain(&mut socket, ms(20))), []);
    let mut now = ms(20);
    let mut gaps = Vec::new();
    for _ in 0..20 {
        let at = socket.poll_timeout().expect("the persist timer runs");
        gaps.push(at.saturating_since(now).as_millis() as u64);
        now = at;
        socket.on_timeout(now);
        let plans = drain(&mut socket, now);
        assert_eq!(kinds(&plans), [PlanKind::WindowProbe]);
        assert_eq!((plans[0].seq, plans[0].payload.len()), (ISS, 0));
        // RFC 9293 3.8.6.1 [MUST-37]: as long as the peer answers, it may keep the window closed.
        window(&mut socket, now.as_millis(), 1, 0);
    }
    assert!(gaps[1..6].windows(2).all(|pair| pair[1] == 2 * pair[0]), "{gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= 120_000), "{gaps:?}");
    window(&mut socket, now.as_millis(), 1, 1000);
    assert_eq!(kinds(&drain(&mut socket, now)), [PlanKind::Data]);
    // Without answers it ends.
    window(&mut socket, now.as_millis(), 5, 0);
    socket.write(Bytes::from_static(b"data"));
    assert_eq!(silence(&mut socket, 100).len(), 4);
    assert_eq!(socket.end(), Some(SocketEnd::Timeout));
}

#[test]
fn part_of_a_segment_waits_for_a_better_window_but_not_for_ever() {
    // Sender silly-window avoidance (RFC 9293 3.8.6.2.1): half of the largest window, or a segment, or the timer.
    let mut socket = established();
    window(&mut socket, 20, 1, 500);
    socket.write(Bytes::from(vec![1; 3000]));
    assert_eq!((socket.available(), kinds(&drain(&mut socket, ms(20)))), (0, vec![]));
    let at = socket.poll_timeout().expect("the override timer runs");
    socket.on_timeout(at);
    let plans = drain(&mut socket, at);
    assert_eq!((plans.len(), plans[0].payload.len()), (1, 500));
    // The window opens with the acknowledgement.
    window(&mut socket, at.as_millis(), 501, 1460);
    assert_eq!(drain(&mut socket, at)[0].payload.len(), 1460);
}

#[test]
fn a_window_that_shrinks_below_what_is_sent_is_survived() {
    let mut socket = established();
    socket.write(Bytes::from(vec![1; 6000]));
    drain(&mut socket, ms(20));
    window(&mut socket, 30, 1461, 0);
    assert_eq!(socket.available(), 0);
    // Acknowledgements stay within the peer's window, or they would be dropped.
    socket.request_ack();
    assert_eq!(drain(&mut socket, ms(31))[0].seq, ISS + 1461);
    let at = socket.poll_timeout().unwrap();
    socket.on_timeout(at);
    let plans = drain(&mut socket, at);
    assert!(plans.iter().all(|plan| plan.kind == PlanKind::Retransmission), "{plans:?}");
}

fn offer(socket: &mut Socket, now: u64, window: u32) -> Vec<SegmentPlan> {
    let limits = SendLimits { window, ..LIMITS };
    drain_with(socket, ms(now), &limits)
}

#[test]
fn the_right_edge_never_retreats_and_opening_is_told() {
    let mut socket = established();
    socket.on_segment(ms(20), &seg(1, 1, &[1; 2920]));
    // Half of the window is gone above: what was promised stays.
    let plans = offer(&mut socket, 20, 25_000);
    assert_eq!(u32::from(plans[0].window), WINDOW - 2920);
    socket.on_segment(
        ms(21),
        &Segment { payload: Bytes::from(vec![1; 47_080]), ..seg(2921, 1, b"") },
    );
    let plans = offer(&mut socket, 21, 0);
    assert_eq!((kinds(&plans), plans[0].window), (vec![PlanKind::Ack], 0));
    // Receiver silly-window avoidance (RFC 9293 3.8.6.2.2): small steps are kept back.
    assert_eq!(kinds(&offer(&mut socket, 22, 1459)), []);
    let plans = offer(&mut socket, 23, 1460);
    assert_eq!((kinds(&plans), plans[0].window), (vec![PlanKind::Ack], 1460));
    // From there every doubling is worth a word.
    assert_eq!(kinds(&offer(&mut socket, 24, 2900)), []);
    assert_eq!(kinds(&offer(&mut socket, 25, 5000)), [PlanKind::Ack]);
}

#[test]
fn data_up_to_the_furthest_promise_is_taken() {
    let mut socket = established();
    offer(&mut socket, 20, 0);
    let full = Segment { payload: Bytes::from(vec![1; WINDOW as usize]), ..seg(1, 1, b"") };
    assert!(socket.on_segment(ms(21), &full).new_data);
    assert_eq!(socket.bytes_received(), u64::from(WINDOW));
    // With the window closed a probe is answered, its data refused, its ACK field used.
    let probe = seg(1 + WINDOW, 1, b"x");
    offer(&mut socket, 22, 0);
    let disposition = socket.on_segment(ms(23), &probe);
    assert!(disposition.acceptable && !disposition.new_data);
    assert_eq!(kinds(&offer(&mut socket, 23, 0)), [PlanKind::Ack]);
}

#[test]
fn single_octets_cannot_hold_a_scaled_window_open() {
    let mut open = plain_params();
    open.receive_window = 60_000;
    open.window_scale = WindowScale::from_wire(7);
    let mut socket = Socket::connect(ms(0), open);
    drain(&mut socket, ms(0));
    let mut answer = syn("S");
    answer.options.window_scale = Some(0);
    socket.on_segment(ms(10), &answer);
    offer(&mut socket, 10, 60_000);
    let mut taken = 0u32;
    for _ in 0..70_000 {
        let next = Segment { seq: socket.recv.nxt_seq(), ..seg(0, 1, b"x") };
        if !socket.on_segment(ms(20), &next).new_data {
            break;
        }
        taken += 1;
        socket.request_ack();
        offer(&mut socket, 20, 60_000 - taken.min(60_000));
    }
    assert!((60_000..60_000 + 128).contains(&taken), "{taken}");
}

#[test]
fn keepalive_probes_and_gives_up() {
    let mut open = plain_params();
    let (idle, interval) = (Duration::from_secs(10), Duration::from_secs(2));
    open.config.keepalive = Some(Keepalive { idle, interval, probes: 3 });
    let mut socket = established_with(open);
    assert_eq!(socket.poll_timeout(), Some(ms(10_010)));
    socket.on_timeout(ms(10_010));
    let plans = drain(&mut socket, ms(10_010));
    assert_eq!((kinds(&plans), plans[0].seq), (vec![PlanKind::Keepalive], ISS));
    // An answer starts the wait anew.
    socket.on_segment(ms(10_020), &seg(1, 1, b""));
    assert_eq!(socket.poll_timeout(), Some(ms(20_020)));
    let sent = silence(&mut socket, 100);
    let times: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [20_020, 22_020, 24_020]);
    assert_eq!(socket.end(), Some(SocketEnd::Timeout));
}

/// A question with the octet acknowledged last is no retransmission, and what the peer says about it no reordering.
#[test]
fn an_answer_is_asked_for_with_an_old_octet() {
    let mut socket = established();
    socket.write(Bytes::from_static(b"data"));
    drain(&mut socket, ms(20));
    socket.on_segment(ms(30), &seg(1, 5, b""));
    socket.request_answer(Bytes::from_static(b"a"));
    let plans = drain(&mut socket, ms(40));
    assert_eq!(kinds(&plans), [PlanKind::Keepalive]);
    assert_eq!((plans[0].seq, &plans[0].payload[..]), (ISS + 4, &b"a"[..]));
    assert_eq!((socket.in_flight(), socket.poll_timeout()), (0, None));
    let mut answer = seg(1, 5, b"");
    answer.options.sack.push(ISS + 4, ISS + 5);
    let before = format!("{:?}", socket.send.loss);
    socket.on_segment(ms(50), &answer);
    assert_eq!(format!("{:?}", socket.send.loss), before);
    // and the next one has none
    socket.request_keepalive();
    assert!(drain(&mut socket, ms(60))[0].payload.is_empty());
}

#[test]
fn time_wait_ends_and_a_late_fin_starts_it_anew() {
    let mut socket = established();
    socket.close();
    drain(&mut socket, ms(20));
    socket.on_segment(ms(30), &with(seg(1, 2, b""), "F"));
    drain(&mut socket, ms(30));
    assert_eq!(socket.poll_timeout(), Some(ms(60_030)));
    // The peer did not see the last ACK.
    socket.on_segment(ms(1_000), &with(seg(1, 2, b""), "F"));
    assert_eq!(kinds(&drain(&mut socket, ms(1_000))), [PlanKind::Ack]);
    assert_eq!(socket.poll_timeout(), Some(ms(61_000)));
    // A younger SYN may have the addresses (RFC 9293 3.6.1).
    assert!(socket.may_reopen(&with(seg(100, 0, b""), "Sn")));
    assert!(!socket.may_reopen(&with(seg(0, 0, b""), "Sn")));
    socket.on_timeout(ms(61_000));
    assert_eq!((socket.end(), socket.poll_timeout()), (Some(SocketEnd::Finished), None));
}

#[test]
fn a_long_pause_closes_the_congestion_window() {
    let mut socket = established();
    let mut acked = 1;
    for at in 1..6 {
        socket.write(Bytes::from(vec![1; 14_600]));
        drain(&mut socket, ms(at * 20));
        acked += 14_600;
        window(&mut socket, at * 20 + 10, acked, 60_000);
    }
    let grown = socket.cwnd();
    assert!(grown > 14_600);
    socket.write(Bytes::from(vec![1; 30_000]));
    let burst: usize = drain(&mut socket, ms(60_000)).iter().map(|plan| plan.payload.len()).sum();
    assert!(burst <= 14_600, "{burst} octets after an idle minute (RFC 5681 4.1)");
}

#[test]
fn chunks_are_never_mixed_in_one_segment() {
    let mut socket = established();
    for chunk in [&b"abc"[..], b"", b"defg", b"h"] {
        socket.write(Bytes::copy_from_slice(chunk));
    }
    assert_eq!((socket.next_write_offset(), socket.unsent()), (8, 8));
    let plans = drain(&mut socket, ms(20));
    let pieces: Vec<(u64, &[u8])> = plans.iter().map(|p| (p.offset, &p.payload[..])).collect();
    assert_eq!(pieces, [(0, &b"abc"[..]), (3, b"defg"), (7, b"h")]);
    assert_eq!((socket.in_flight(), socket.nxt()), (8, 8));
    assert_eq!(socket.on_segment(ms(30), &seg(1, 5, b"")).newly_acked, 4);
    assert_eq!((socket.una(), socket.last_progress()), (4, ms(30)));
}

#[test]
fn super_segments_hold_whole_segments() {
    let mut socket = established();
    socket.write(Bytes::from(vec![1; 10_000]));
    let limits = SendLimits { reserved_options: 20, max_payload: 65_535, ..LIMITS };
    let plans = drain_with(&mut socket, ms(20), &limits);
    assert_eq!((plans.len(), plans[0].payload.len()), (1, 10_000));
    assert_eq!(plans[0].segment_size, Some(1440));
    // The congestion window cuts at a segment's edge.
    socket.write(Bytes::from(vec![1; 20_000]));
    let plans = drain_with(&mut socket, ms(20), &limits);
    assert_eq!(plans.iter().map(|plan| plan.payload.len()).sum::<usize>(), 3 * 1440);
}

#[test]
fn three_duplicate_acks_retransmit_once() {
    let mut socket = established();
    socket.write(Bytes::from(vec![1; 14_600]));
    drain(&mut socket, ms(20));
    for copy in 1..=6u32 {
        let mut duplicate = seg(1, 1, b"");
        duplicate.options.sack.push(ISS + 1461, ISS + 1461 + 1460 * copy);
        // [OPT-2] [OPT-4]: a signal of the layer above makes no duplicate, but its SACK counts.
        duplicate.carries_signal = copy == 2;
        socket.on_segment(ms(40), &duplicate);
        let again = kinds(&drain(&mut socket, ms(40)));
        let expected: &[PlanKind] = if copy == 3 { &[PlanKind::Retransmission] } else { &[] };
        assert_eq!(again, expected, "after {copy}");
    }
    assert_eq!(socket.bytes_retransmitted(), 1460);
}
