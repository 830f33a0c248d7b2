//! SEGMENT ARRIVES (RFC 9293 3.10.7) as tables, state by state.

use super::*;
use std::vec;

/// What a socket answers: kinds of the segments planned after the arrival, and the state it is in.
fn answer(socket: &mut Socket, segment: &Segment) -> (Vec<PlanKind>, &'static str) {
    socket.on_segment(ms(50), segment);
    (kinds(&drain(socket, ms(50))), socket.state().as_str())
}

#[test]
fn syn_sent() {
    use PlanKind::{Ack, ResetReply, SynAck};
    let table: &[(&str, Segment, &[PlanKind], &str)] = &[
        (
            "an ACK of something else is answered with RST",
            seg(0, 7, b""),
            &[ResetReply],
            "SYN-SENT",
        ),
        ("so is SYN/ACK with such an ACK", with(seg(0, 0, b""), "S"), &[ResetReply], "SYN-SENT"),
        ("but never a RST", with(seg(0, 7, b""), "R"), &[], "SYN-SENT"),
        ("a RST without ACK is blind", with(seg(0, 0, b""), "Rn"), &[], "SYN-SENT"),
        ("a RST that acknowledges the SYN refuses", with(seg(0, 1, b""), "R"), &[], "CLOSED"),
        ("a bare ACK is not enough", seg(0, 1, b""), &[], "SYN-SENT"),
        ("a FIN means nothing yet", with(seg(0, 1, b""), "F"), &[], "SYN-SENT"),
        ("SYN/ACK establishes", with(seg(0, 1, b""), "S"), &[Ack], "ESTAB"),
        ("SYN alone is a simultaneous open", with(seg(0, 0, b""), "Sn"), &[SynAck], "SYN-RECV"),
    ];
    for (what, segment, plans, state) in table {
        let mut socket = Socket::connect(ms(0), plain_params());
        drain(&mut socket, ms(0));
        assert_eq!(answer(&mut socket, segment), (plans.to_vec(), *state), "{what}");
    }
}

#[test]
fn the_reply_to_an_unacceptable_ack_carries_its_number_only() {
    let mut socket = Socket::connect(ms(0), plain_params());
    drain(&mut socket, ms(0));
    socket.on_segment(ms(1), &seg(0, 7, b""));
    let plans = drain(&mut socket, ms(1));
    assert_eq!((plans[0].seq, plans[0].ack, plans[0].flags.rst), (ISS + 7, None, true));
}

#[test]
fn a_refused_connection_says_so() {
    let mut socket = Socket::connect(ms(0), plain_params());
    drain(&mut socket, ms(0));
    let disposition = socket.on_segment(ms(1), &with(seg(0, 1, b""), "R"));
    assert!(disposition.reset && disposition.closed);
    assert_eq!((socket.end(), socket.poll_timeout()), (Some(SocketEnd::Refused), None));
}

fn accepted() -> Socket {
    let mut socket = Socket::accept(ms(0), plain_params(), &with(syn("S"), "n"));
    let plans = drain(&mut socket, ms(0));
    assert_eq!(kinds(&plans), [PlanKind::SynAck]);
    assert_eq!((plans[0].seq, plans[0].ack), (ISS, Some(IRS + 1)));
    socket
}

#[test]
fn syn_received() {
    use PlanKind::{Ack, ChallengeAck, ResetReply, SynAck};
    let table: &[(&str, Segment, &[PlanKind], &str)] = &[
        ("the third packet", seg(1, 1, b""), &[], "ESTAB"),
        ("with two segments' worth of data", seg(1, 1, &[0; 2920]), &[Ack], "ESTAB"),
        ("with a FIN", with(seg(1, 1, b"x"), "F"), &[Ack], "CLOSE-WAIT"),
        ("an ACK of nothing sent", seg(1, 2, b""), &[ResetReply], "SYN-RECV"),
        ("the SYN again", with(seg(0, 0, b""), "Sn"), &[SynAck], "SYN-RECV"),
        ("another SYN", with(seg(9, 0, b""), "Sn"), &[ChallengeAck], "SYN-RECV"),
        ("a RST in order", with(seg(1, 0, b""), "Rn"), &[], "CLOSED"),
        ("a RST in the window", with(seg(9, 0, b""), "Rn"), &[ChallengeAck], "SYN-RECV"),
        ("a RST out of the window", with(seg(60_000, 0, b""), "Rn"), &[], "SYN-RECV"),
        ("data out of the window", seg(60_000, 1, b"x"), &[Ack], "SYN-RECV"),
        ("no ACK at all", with(seg(1, 0, b"x"), "n"), &[], "SYN-RECV"),
    ];
    for (what, segment, plans, state) in table {
        let mut socket = accepted();
        assert_eq!(answer(&mut socket, segment), (plans.to_vec(), *state), "{what}");
    }
}

#[test]
fn data_of_the_third_packet_is_readable_at_once() {
    let mut socket = accepted();
    let disposition = socket.on_segment(ms(1), &seg(1, 1, b"hello"));
    assert!(disposition.established && disposition.new_data && disposition.acceptable);
    assert_eq!(socket.read(), Some((0, Bytes::from_static(b"hello"))));
}

#[test]
fn established_state() {
    use PlanKind::{Ack, ChallengeAck};
    let table: &[(&str, Segment, &[PlanKind], &str)] = &[
        ("one segment waits for another", seg(1, 1, b"x"), &[], "ESTAB"),
        ("out of order", seg(9, 1, b"x"), &[Ack], "ESTAB"),
        ("old data", seg(0, 1, b"x"), &[Ack], "ESTAB"),
        ("keepalive", seg(0, 1, b""), &[Ack], "ESTAB"),
        ("at the right edge, empty", seg(1 + WINDOW, 1, b""), &[], "ESTAB"),
        ("at the right edge, with data", seg(1 + WINDOW, 1, b"x"), &[Ack], "ESTAB"),
        ("beyond it", seg(2 + WINDOW, 1, b""), &[Ack], "ESTAB"),
        ("FIN", with(seg(1, 1, b""), "F"), &[Ack], "CLOSE-WAIT"),
        ("FIN out of order", with(seg(5, 1, b""), "F"), &[Ack], "ESTAB"),
        ("an ACK of nothing sent (RFC 5961 5)", seg(1, 2, b"x"), &[ChallengeAck], "ESTAB"),
        (
            "an ACK too old (RFC 5961 5)",
            seg(1, 1u32.wrapping_sub(60_001), b"x"),
            &[ChallengeAck],
            "ESTAB",
        ),
        ("an old ACK", seg(1, 1u32.wrapping_sub(60_000), b""), &[], "ESTAB"),
        ("no ACK bit", with(seg(1, 1, b"x"), "n"), &[], "ESTAB"),
        ("SYN in the window (RFC 5961 4)", with(seg(9, 1, b""), "S"), &[ChallengeAck], "ESTAB"),
        ("SYN/ACK again", with(seg(0, 1, b""), "S"), &[ChallengeAck], "ESTAB"),
        ("SYN far away", with(seg(1 << 31, 0, b""), "Sn"), &[ChallengeAck], "ESTAB"),
        ("RST in order", with(seg(1, 0, b""), "Rn"), &[], "CLOSED"),
        ("RST in the window (RFC 5961 3)", with(seg(2, 0, b""), "Rn"), &[ChallengeAck], "ESTAB"),
        ("RST before the window", with(seg(0, 0, b""), "Rn"), &[], "ESTAB"),
    ];
    for (what, segment, plans, state) in table {
        let mut socket = established();
        assert_eq!(answer(&mut socket, segment), (plans.to_vec(), *state), "{what}");
    }
}

/// Walks to a closing state and returns the socket there.
fn closing(state: State) -> Socket {
    let mut socket = established();
    let fin = with(seg(1, 1, b""), "F");
    match state {
        State::FinWait1 | State::FinWait2 | State::Closing | State::TimeWait => {
            socket.close();
            assert_eq!(kinds(&drain(&mut socket, ms(20))), [PlanKind::Fin]);
        }
        _ => {}
    }
    match state {
        State::FinWait2 => {
            socket.on_segment(ms(21), &seg(1, 2, b""));
        }
        State::TimeWait => {
            socket.on_segment(ms(21), &with(seg(1, 2, b""), "F"));
        }
        State::Closing | State::CloseWait | State::LastAck => {
            assert!(socket.on_segment(ms(21), &fin).peer_fin);
        }
        _ => {}
    }
    if state == State::LastAck {
        socket.close();
    }
    drain(&mut socket, ms(22));
    assert_eq!(socket.state(), state);
    socket
}

#[test]
fn closing_states() {
    use PlanKind::Ack;
    let (fin, acks_fin) = (with(seg(1, 1, b""), "F"), seg(1, 2, b""));
    let both = with(seg(1, 2, b""), "F");
    let rst = with(seg(2, 0, b""), "Rn");
    let table: &[(State, &Segment, &[PlanKind], &str)] = &[
        (State::FinWait1, &acks_fin, &[], "FIN-WAIT-2"),
        (State::FinWait1, &fin, &[Ack], "CLOSING"),
        (State::FinWait1, &both, &[Ack], "TIME-WAIT"),
        (State::FinWait2, &both, &[Ack], "TIME-WAIT"),
        (State::CloseWait, &fin, &[Ack], "CLOSE-WAIT"),
        (State::CloseWait, &rst, &[], "CLOSED"),
        (State::Closing, &seg(2, 2, b""), &[], "TIME-WAIT"),
        (State::Closing, &rst, &[], "CLOSED"),
        (State::LastAck, &seg(2, 2, b""), &[], "CLOSED"),
        (State::LastAck, &fin, &[Ack], "LAST-ACK"),
        (State::TimeWait, &both, &[Ack], "TIME-WAIT"),
        (State::TimeWait, &seg(2, 2, b"late"), &[], "TIME-WAIT"),
        (State::TimeWait, &rst, &[], "CLOSED"),
    ];
    for (from, segment, plans, state) in table {
        let mut socket = closing(*from);
        assert_eq!(answer(&mut socket, segment), (plans.to_vec(), *state), "{from:?} {segment:?}");
    }
}

#[test]
fn close_and_abort_by_state() {
    use PlanKind::{Fin, Reset};
    let walk: &[(State, &[PlanKind], &str)] = &[
        (State::Established, &[Fin], "FIN-WAIT-1"),
        (State::FinWait1, &[], "FIN-WAIT-1"),
        (State::FinWait2, &[], "FIN-WAIT-2"),
        (State::CloseWait, &[Fin], "LAST-ACK"),
        (State::Closing, &[], "CLOSING"),
        (State::TimeWait, &[], "TIME-WAIT"),
    ];
    for (from, plans, state) in walk {
        let mut socket = closing(*from);
        socket.close();
        let planned = kinds(&drain(&mut socket, ms(50)));
        assert_eq!((planned, socket.state().as_str()), (plans.to_vec(), *state), "{from:?}");
        let mut socket = closing(*from);
        socket.abort();
        let reset = !matches!(from, State::Closing | State::TimeWait);
        let expected: &[PlanKind] = if reset { &[Reset] } else { &[] };
        assert_eq!(kinds(&drain(&mut socket, ms(50))), expected, "{from:?}");
        assert_eq!((socket.end(), socket.poll_timeout()), (Some(SocketEnd::Aborted), None));
    }
    let mut socket = Socket::connect(ms(0), params());
    socket.close();
    assert_eq!(socket.end(), Some(SocketEnd::Aborted));
    // A passive open remembers the close until the handshake is done.
    let mut socket = accepted();
    socket.close();
    assert_eq!(answer(&mut socket, &seg(1, 1, b"")), (vec![Fin], "FIN-WAIT-1"));
}

#[test]
fn the_fin_rides_on_the_last_data_and_is_retransmitted_with_it() {
    let mut socket = established();
    socket.write(Bytes::from_static(b"bye"));
    socket.close();
    assert_eq!(socket.write(Bytes::from_static(b"too late")), 3, "thrown away");
    let plans = drain(&mut socket, ms(20));
    assert_eq!(kinds(&plans), [PlanKind::Data]);
    assert!(plans[0].flags.fin && plans[0].flags.psh && plans[0].payload == "bye");
    let at = socket.poll_timeout().unwrap();
    socket.on_timeout(at);
    let plans = drain(&mut socket, at);
    assert!(plans[0].flags.fin && plans[0].payload == "bye" && plans[0].seq == ISS + 1);
    let disposition = socket.on_segment(at, &seg(1, 5, b""));
    assert_eq!((disposition.newly_acked, socket.state()), (3, State::FinWait2));
}

#[test]
fn simultaneous_open_establishes_on_the_syn_ack() {
    let mut socket = Socket::connect(ms(0), plain_params());
    drain(&mut socket, ms(0));
    assert_eq!(answer(&mut socket, &with(syn("S"), "n")), (vec![PlanKind::SynAck], "SYN-RECV"));
    let disposition = socket.on_segment(ms(60), &syn("S"));
    assert!(disposition.established);
    assert_eq!(kinds(&drain(&mut socket, ms(60))), [PlanKind::Ack]);
    assert_eq!(socket.state(), State::Established);
    assert_eq!(socket.peer_window(), 60_000);
}

#[test]
fn acknowledges_every_second_segment_and_the_rest_late() {
    let mut socket = established();
    assert_eq!(answer(&mut socket, &seg(1, 1, &[1; 1460])).0, []);
    assert_eq!(socket.poll_timeout(), Some(ms(90)));
    assert_eq!(answer(&mut socket, &seg(1461, 1, &[1; 1460])).0, [PlanKind::Ack]);
    assert_eq!(socket.poll_timeout(), None);
    // A merged super-segment is several.
    assert_eq!(answer(&mut socket, &seg(2921, 1, &[1; 5000])).0, [PlanKind::Ack]);
    assert_eq!(answer(&mut socket, &seg(7921, 1, b"x")).0, []);
    socket.on_timeout(ms(90));
    assert_eq!(kinds(&drain(&mut socket, ms(90))), [PlanKind::Ack]);
    // Data takes the acknowledgement along.
    assert_eq!(answer(&mut socket, &seg(7922, 1, b"x")).0, []);
    socket.write(Bytes::from_static(b"answer"));
    assert_eq!(kinds(&drain(&mut socket, ms(91))), [PlanKind::Data]);
    assert!(socket.ack.poll_timeout().is_none());
}

#[test]
fn requested_acks_are_pure_and_come_first() {
    let mut socket = established();
    socket.write(Bytes::from_static(b"data"));
    socket.request_ack();
    assert_eq!(kinds(&drain(&mut socket, ms(20))), [PlanKind::Ack, PlanKind::Data]);
}

/// SACK blocks of the next plan, counted from IRS.
fn blocks(socket: &mut Socket) -> Vec<(u32, u32)> {
    let plans = drain(socket, ms(50));
    assert_eq!(plans.len(), 1);
    let blocks = plans[0].options.sack;
    blocks.as_slice().iter().map(|(a, b)| (a.0 - IRS.0, b.0 - IRS.0)).collect()
}

#[test]
fn sack_blocks_stand_latest_first() {
    // RFC 2018 4: the block that changed last leads, the others follow in that order.
    let mut socket = established();
    let steps: &[(u32, &[(u32, u32)])] = &[
        (11, &[(11, 16)]),
        (31, &[(31, 36), (11, 16)]),
        (51, &[(51, 56), (31, 36), (11, 16)]),
        (71, &[(71, 76), (51, 56), (31, 36), (11, 16)]),
        (91, &[(91, 96), (71, 76), (51, 56), (31, 36)]),
        (16, &[(11, 21), (91, 96), (71, 76), (51, 56)]),
        // The hole between the first two blocks is half filled.
        (1, &[(11, 21), (91, 96), (71, 76), (51, 56)]),
        (6, &[(91, 96), (71, 76), (51, 56), (31, 36)]),
    ];
    for (start, expected) in steps {
        socket.on_segment(ms(50), &seg(*start, 1, b"12345"));
        assert_eq!(blocks(&mut socket), *expected, "after {start}");
    }
}

#[test]
fn duplicates_are_reported_once_and_first() {
    // RFC 2883 4.1: below the cumulative ACK; 4.2: within a block, which follows.
    let mut socket = established();
    socket.on_segment(ms(50), &seg(1, 1, b"12345"));
    socket.on_segment(ms(50), &seg(1, 1, b"12345"));
    assert_eq!(blocks(&mut socket), [(1, 6)]);
    socket.on_segment(ms(50), &seg(11, 1, b"12345"));
    assert_eq!(blocks(&mut socket), [(11, 16)]);
    socket.on_segment(ms(50), &seg(11, 1, b"123"));
    assert_eq!(blocks(&mut socket), [(11, 14), (11, 16)]);
    socket.request_ack();
    assert_eq!(blocks(&mut socket), [(11, 16)]);
}

#[test]
fn a_fin_behind_a_hole_waits_for_it() {
    let mut socket = established();
    let late = with(seg(6, 1, b"world"), "F");
    assert!(!socket.on_segment(ms(50), &late).peer_fin);
    assert_eq!(blocks(&mut socket), [(6, 12)], "the FIN is an octet of its block");
    let disposition = socket.on_segment(ms(51), &seg(1, 1, b"hello"));
    assert!(disposition.peer_fin && disposition.new_data);
    assert_eq!(drain(&mut socket, ms(51))[0].ack, Some(IRS + 12));
}

#[test]
fn nothing_follows_a_fin() {
    let mut socket = established();
    socket.on_segment(ms(50), &with(seg(4, 1, b"end"), "F"));
    socket.on_segment(ms(50), &seg(4, 1, b"end and more"));
    socket.on_segment(ms(50), &with(seg(20, 1, b"x"), "F"));
    assert!(socket.on_segment(ms(51), &seg(1, 1, b"the")).peer_fin);
    assert_eq!(socket.bytes_received(), 6);
    // A FIN before data that has arrived already is a forgery or a fault.
    let mut socket = established();
    socket.on_segment(ms(50), &seg(9, 1, b"data"));
    assert!(!socket.on_segment(ms(50), &with(seg(1, 1, b"x"), "F")).peer_fin);
}
