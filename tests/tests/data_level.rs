//! Sending at data level: Data ACKs, windows, retransmission and reinjection (RFC 8684 3.3.2, 3.3.5, 3.3.6).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::Event;
use mpuser_engine::config::{Behaviour, ConnectionConfig, SchedulerSpec};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{Dss, DssMapping, MpPrio, MptcpOption, WireDataSeq};
use mpuser_tests::scripted::*;
use mpuser_tests::world::pattern;
use std::collections::BTreeMap;

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}

fn server() -> (Script, Flow) {
    let mut script = Script::server(config());
    let flow = script.serve();
    (script, flow)
}

/// What the packets' mappings say their octets are.
fn collect(script: &Script, flow: &Flow, packets: &[Packet], into: &mut BTreeMap<u64, u8>) {
    for packet in packets {
        let Some(mapping) = packet.mapping() else { continue };
        let base = script.own_dsn(0);
        let data = mapping.data_seq.expand(base).since(base) as u64;
        let start = mapping.subflow_seq.to_offset(flow.offset(packet)).expect("positive");
        for (index, octet) in packet.payload.iter().enumerate() {
            let at = data + flow.offset(packet) - start + index as u64;
            assert_eq!(*into.entry(at).or_insert(*octet), *octet, "octet {at} changed");
        }
    }
}

/// A server that sends again on its only subflow, as Linux does.
fn repeating_server() -> (Script, Flow) {
    let mut config = config();
    config.behaviour.repeat_on_only_subflow = true;
    let mut script = Script::server(config);
    let flow = script.serve();
    (script, flow)
}

/// Acknowledged by the only subflow, and not at data level.
fn unacknowledged(script: &mut Script, flow: &mut Flow) {
    script.write(b"once more");
    script.next(flow);
    let dss = script.ack(0);
    script.send(flow, seg().dss(dss));
}

/// A Linux receiver whose application is just reading acknowledges segments at once, and their data with a segment of ours
/// that may never come: everything has arrived, and its window is full of what is not acknowledged at data level. It is
/// asked a few times, long before the timer, with an octet it has: Linux answers segments without data and with an old number
/// once in half a second.
#[test]
fn a_data_ack_that_nothing_else_can_bring_is_asked_for() {
    let (mut script, mut flow) = server();
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss).window(65_535));
    script.write(&[7; 80_000]);
    let mut sent = 0;
    while let Some(packet) = script.wait(&mut flow, Duration::from_millis(1)) {
        sent = sent.max(flow.offset(&packet) + packet.payload.len() as u64);
        script.send(&mut flow, seg().dss(dss).window(65_535));
    }
    assert!((60_000..=65_535).contains(&sent), "{sent}");
    let mut asked = 0;
    while let Some(question) = script.wait(&mut flow, Duration::from_millis(120)) {
        if question.payload.is_empty() {
            // that of the timer, at last
            break;
        }
        assert_eq!((&question.payload[..], flow.offset(&question)), (&[7][..], sent - 1));
        let mapping = question.mapping().expect("that of the octet's first copy");
        assert!(u64::from(mapping.data_len) > 1 && !question.header.flags.rst);
        script.send(&mut flow, seg().dss(dss).window(65_535));
        asked += 1;
    }
    assert!((2..=8).contains(&asked), "{asked}");
    let all = script.ack(sent);
    script.send(&mut flow, seg().dss(all).window(65_535));
    assert!(!script.next(&mut flow).payload.is_empty());
}

/// (K24) (K26): the peer of an only subflow may be plain TCP by now, and would take octets that come again for new ones.
/// It is asked, and nothing else, until a join shows that it never can be.
#[test]
fn nothing_is_sent_again_to_a_peer_that_may_be_plain() {
    let (mut script, mut flow) = server();
    unacknowledged(&mut script, &mut flow);
    for _ in 0..3 {
        let question = script.wait(&mut flow, Duration::from_secs(5)).expect("a keepalive");
        assert!(question.payload.is_empty());
        let dss = script.ack(0);
        script.send(&mut flow, seg().dss(dss));
    }
    assert_eq!(script.endpoint.counters().mptcp_retrans, 0);
    let mut second = script.joined(1);
    script.advance(Duration::from_secs(5));
    let packets = [script.all(&mut flow), script.all(&mut second)].concat();
    let again = packets.iter().find(|p| !p.payload.is_empty()).expect("sent again");
    assert_eq!(again.payload, b"once more"[..]);
}

/// The answer is bare: the peer is plain TCP [FB-7].
#[test]
fn the_answer_may_show_that_the_peer_is_plain() {
    let (mut script, mut flow) = server();
    unacknowledged(&mut script, &mut flow);
    let question = script.wait(&mut flow, Duration::from_secs(5)).expect("a keepalive");
    assert!(question.payload.is_empty());
    script.send(&mut flow, seg());
    script.advance(Duration::from_secs(5));
    assert!(script.all(&mut flow).last().is_some_and(|p| p.header.flags.rst));
    assert_eq!(script.info().bytes_acked, 0);
}

/// [FB-7] [FB-8]: options vanish in the middle, and what is acknowledged crosses the border of two mappings: plain TCP
/// is not safe, so the subflow is reset, and the data comes again on the next one.
#[test]
fn bare_acks_across_mappings_reset_the_subflow() {
    let mut script = Script::server(ConnectionConfig { nagle: false, ..config() });
    let mut flow = script.serve();
    script.write(b"proof");
    script.next(&mut flow);
    let dss = script.ack(5);
    script.send(&mut flow, seg().dss(dss));
    for piece in [b"one", b"two", b"six"] {
        script.write(piece);
        script.next(&mut flow);
        script.send(&mut flow, seg());
    }
    script.advance(Duration::from_secs(2));
    let packets = script.all(&mut flow);
    assert!(packets.iter().all(|p| p.payload.is_empty()), "{packets:#?}");
    assert!(packets.last().expect("a RST").header.flags.rst, "{packets:#?}");
    assert!(script.info().mptcp && script.info().error.is_none());
    let mut second = script.joined(1);
    script.advance(Duration::from_secs(2));
    let mut sent = BTreeMap::new();
    let packets = script.all(&mut second);
    collect(&script, &second, &packets, &mut sent);
    let octets: Vec<u8> = sent.values().copied().collect();
    assert_eq!(octets, b"onetwosix");
}

/// Nobody answers at all: the subflow is given up as TCP would give it up.
#[test]
fn questions_without_answers_come_to_an_end() {
    let (mut script, mut flow) = server();
    unacknowledged(&mut script, &mut flow);
    script.advance(Duration::from_secs(1_200));
    assert!(script.all(&mut flow).last().is_some_and(|p| p.header.flags.rst));
}

/// Takes so much data; `answer` makes the peer's answer to each flight of what came so far.
fn collect_all(
    script: &mut Script,
    flow: &mut Flow,
    len: usize,
    answer: impl Fn(&Script, usize) -> Seg,
) {
    let mut got = BTreeMap::new();
    while got.len() < len {
        let packets = script.all(flow);
        assert!(!packets.is_empty(), "stuck at {}", got.len());
        collect(script, flow, &packets, &mut got);
        let answer = answer(script, got.len());
        script.send(flow, answer);
    }
}

/// [DACK-8] [DACK-14] (K30): acknowledged by the subflow, never at data level: sent again under a new mapping, on
/// the only subflow there is.
#[test]
fn data_without_data_ack_is_sent_again() {
    let (mut script, mut flow) = repeating_server();
    script.write(b"once more");
    let first = script.next(&mut flow);
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(script.info().bytes_acked, 0);
    let again = script.wait(&mut flow, Duration::from_secs(5)).expect("sent again");
    assert_eq!(again.payload, first.payload);
    let (old, new) = (first.mapping().expect("mapped"), again.mapping().expect("mapped"));
    assert_eq!(old.data_seq, new.data_seq);
    assert_eq!(new.subflow_seq.0, old.subflow_seq.0 + 9, "[DSS-4]");
    assert_eq!(script.endpoint.counters().mptcp_retrans, 1);
    let dss = script.ack(9);
    script.send(&mut flow, seg().dss(dss));
    script.advance(Duration::from_secs(30));
    script.assert_silent();
}

/// [DACK-14]: hole by hole. Only the first octets missing at data level come again, and what is missing next when a
/// Data ACK tells; what arrived in the meantime does not.
#[test]
fn only_what_is_missing_first_is_sent_again() {
    let behaviour = Behaviour { repeat_on_only_subflow: true, ..Behaviour::rfc() };
    let mut script = Script::server(ConnectionConfig { nagle: false, behaviour, ..config() });
    let mut flow = script.serve();
    for piece in [b"one", b"two", b"six", b"ten"] {
        script.write(piece);
        script.next(&mut flow);
    }
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    let again = script.wait(&mut flow, Duration::from_secs(5)).expect("sent again");
    assert_eq!(again.payload, b"one"[..]);
    script.assert_silent();
    // "two" was there, "six" was not
    let dss = script.ack(6);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(script.next(&mut flow).payload, b"six"[..]);
    script.assert_silent();
    let dss = script.ack(12);
    script.send(&mut flow, seg().dss(dss));
    script.advance(Duration::from_secs(5));
    script.assert_silent();
    assert_eq!(script.endpoint.counters().mptcp_retrans, 2);
}

/// (K32): a Data ACK of what was never sent changes nothing; nor does an old one.
#[test]
fn impossible_data_acks_are_ignored() {
    let (mut script, mut flow) = server();
    script.write(b"abc");
    script.next(&mut flow);
    for offset in [4, 1 << 20, u64::MAX - 5] {
        let dss = script.ack(offset);
        script.send(&mut flow, seg().dss(dss));
        assert_eq!(script.info().bytes_acked, 0, "{offset}");
    }
    let dss = script.ack(3);
    script.send(&mut flow, seg().dss(dss));
    let dss = script.ack(1);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(script.info().bytes_acked, 3);
}

/// [SND-1] [SND-2] [SND-3] [DACK-3]: the right edge is Data ACK plus window, never moves back, and comes from no segment
/// without Data ACK.
#[test]
fn the_send_window_is_shared_and_monotone() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    let dss = script.ack(0);
    script.send(&mut first, seg().dss(dss).window(65_535));
    script.send(&mut first, seg().dss(dss).window(3_000));
    script.send(&mut second, seg().dss(dss).window(65_535));
    script.write(&pattern(1, 200_000));
    let mut sent = BTreeMap::new();
    for _ in 0..200 {
        for flow in [&mut first, &mut second] {
            let packets = script.all(flow);
            collect(&script, flow, &packets, &mut sent);
            // Subflow ACKs only: no Data ACK, so no data-level window.
            script.send(flow, seg().window(65_535));
        }
    }
    let most = sent.keys().next_back().copied().unwrap_or(0) + 1;
    assert!(most <= 65_535, "{most} octets beyond the window");
    assert!(most > 60_000, "{most}: the window is used");
}

/// RFC 9293 3.8.6.2.1 at data level: the last octets of a window are no segment of their own while others are in flight.
/// On a slow subflow such a runt would hold the whole window up.
#[test]
fn the_rest_of_a_window_is_no_runt() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    let data = pattern(1, 80_000);
    script.write(&data);
    let (mut sent, mut sizes) = (BTreeMap::new(), Vec::new());
    for _ in 0..200 {
        for flow in [&mut first, &mut second] {
            let packets = script.all(flow);
            collect(&script, flow, &packets, &mut sent);
            sizes.extend(packets.iter().map(|p| p.payload.len()).filter(|len| *len > 0));
            script.send(flow, seg().window(65_535));
        }
    }
    let mss = sizes.iter().copied().max().unwrap_or_default();
    assert!(sizes.iter().all(|len| *len == mss), "{sizes:?}");
    assert_eq!(sent.len(), 65_535 - 65_535 % mss);
    let dss = script.ack(sent.len() as u64);
    script.send(&mut first, seg().dss(dss).window(65_535));
    for flow in [&mut first, &mut second] {
        let packets = script.all(flow);
        collect(&script, flow, &packets, &mut sent);
    }
    assert_eq!(sent.len(), data.len(), "the rest, its short end included");
}

/// [SND-4]: each subflow's own window is obeyed as well.
#[test]
fn a_subflows_own_window_is_obeyed() {
    let (mut script, mut first) = server();
    let dss = script.ack(0);
    script.send(&mut first, seg().dss(dss).window(65_535));
    script.send(&mut first, seg().dss(dss).window(4_000));
    script.write(&pattern(1, 50_000));
    let sent: usize = script.all(&mut first).iter().map(|p| p.payload.len()).sum();
    assert!(sent <= 4_000, "{sent}");
}

/// (K32): with everything acknowledged and the window closed, an old octet asks for news; or a keepalive, where the peer
/// might take it for a new octet.
#[test]
fn zero_window_is_probed_at_data_level() {
    for (server, len) in [(repeating_server(), 1), (server(), 0)] {
        zero_window(server, len);
    }
}

fn zero_window((mut script, mut flow): (Script, Flow), len: usize) {
    // Announce an edge of exactly five octets from the start on: the third ACK had 65 535.
    let data = pattern(7, 65_535);
    script.write(&data);
    collect_all(&mut script, &mut flow, data.len(), |script, got| {
        seg().dss(script.ack(got as u64)).window((data.len() - got) as u16)
    });
    // Window 0 at both levels now, everything acknowledged.
    script.write(b"more");
    script.all(&mut flow);
    // The subflow's window opens, the data level's does not: only then is a probe of ours needed.
    script.send(&mut flow, seg().window(65_535));
    let probe = script.wait(&mut flow, Duration::from_secs(10)).expect("a probe");
    assert_eq!(probe.payload.len(), len);
    if len > 0 {
        let mapping = probe.mapping().expect("a fresh mapping");
        assert_eq!(mapping.data_seq.expand(script.own_dsn(0)), script.own_dsn(65_534));
        assert_eq!(probe.payload[0], data[65_534]);
    }
    assert_eq!(script.endpoint.counters().win_probe, len as u64);
    let dss = script.ack(65_535);
    script.send(&mut flow, seg().dss(dss).window(1_000));
    let sent = script.all(&mut flow);
    assert!(sent.iter().any(|p| p.payload.as_ref() == b"more"), "{sent:?}");
}

/// [RCV-1]: the window is the connection's. What one subflow was told, the next one is told, too, and that is counted;
/// with one subflow there is nothing to share.
#[test]
fn a_window_told_on_one_subflow_counts_on_the_other() {
    for two in [false, true] {
        let (mut script, mut first) = server();
        let mut second = two.then(|| script.joined(1));
        for round in 0..20 {
            let data = pattern(3, 500);
            // In order on the first, then behind a hole on the second, which is told no more than the first was.
            let flow = second.as_mut().filter(|_| round >= 10).unwrap_or(&mut first);
            let dss = script.map(flow, (round + round / 10) * 500, &data, 0);
            script.send(flow, seg().dss(dss).data(&data));
            script.read();
            // a delayed ACK
            script.advance(Duration::from_millis(300));
            script.all(flow);
        }
        let shared = script.endpoint.counters().rcv_wnd_shared;
        assert_eq!(shared > 0, two, "{shared}");
    }
}

/// The same where nothing was ever acknowledged: the window was closed from the beginning.
#[test]
fn zero_window_from_the_beginning_is_probed() {
    let mut script = Script::server(config());
    let mut flow = script.open(PLAIN_FLAGS);
    let option = script.capable_ack(PLAIN_FLAGS);
    script.send(&mut flow, seg().option(option).window(0));
    script.next(&mut flow);
    script.accept();
    script.write(b"waiting");
    let probe = script.wait(&mut flow, Duration::from_secs(10)).expect("a probe");
    assert!(probe.payload.len() <= 1);
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss).window(500));
    let mut got = BTreeMap::new();
    for _ in 0..5 {
        let packets = script.all(&mut flow);
        collect(&script, &flow, &packets, &mut got);
        let dss = script.ack(got.len() as u64);
        script.send(&mut flow, seg().dss(dss).window(500));
        script.advance(Duration::from_secs(1));
    }
    let octets: Vec<u8> = got.values().copied().collect();
    assert_eq!(octets, b"waiting");
}

/// [DACK-9] [DACK-10] [DACK-11] (K31): a silent subflow's data goes over another one, and its own retransmissions go on.
#[test]
fn a_stalled_subflow_is_reinjected() {
    let config =
        ConnectionConfig { scheduler: SchedulerSpec::parse("rr").expect("rr"), ..config() };
    let mut script = Script::server(config);
    let mut first = script.serve();
    let mut second = script.joined(1);
    let data = pattern(8, 20_000);
    script.write(&data);
    let mut got = BTreeMap::new();
    let (mut retransmitted, mut stalled) = (0, BTreeMap::new());
    for _ in 0..100 {
        let packets = script.all(&mut second);
        collect(&script, &second, &packets, &mut got);
        let contiguous = (0..).take_while(|at| got.contains_key(at)).count() as u64;
        let dss = script.ack(contiguous);
        script.send(&mut second, seg().dss(dss));
        let lost = script.all(&mut first);
        retransmitted += lost.iter().filter(|p| !p.payload.is_empty()).count();
        collect(&script, &first, &lost, &mut stalled);
        script.advance(Duration::from_millis(20));
    }
    assert_eq!(got.values().copied().collect::<Vec<_>>(), data);
    assert!(!stalled.is_empty() && retransmitted > stalled.len() / 1_460, "its own go on");
    assert!(script.events.iter().any(|e| matches!(e, Event::SubflowStale { stale: true, .. })));
    assert_eq!(script.endpoint.counters().subflow_stale, 1);
    // It comes back.
    let dss = script.ack(20_000);
    script.send(&mut first, seg().dss(dss));
    assert!(script.events.iter().any(|e| matches!(e, Event::SubflowStale { stale: false, .. })));
}

/// A subflow dies by RST: what it carried goes out on another one at once, without waiting for anything.
#[test]
fn a_dead_subflow_is_reinjected_at_once() {
    let (mut script, mut first) = server();
    let data = pattern(9, 10_000);
    script.write(&data);
    script.all(&mut first);
    let mut second = script.joined(1);
    script.send(&mut first, seg().rst());
    let mut got = BTreeMap::new();
    let packets = script.all(&mut second);
    collect(&script, &second, &packets, &mut got);
    assert_eq!(got.values().copied().collect::<Vec<_>>(), data[..got.len()]);
    assert!(got.len() >= 1_460 * 6, "{}", got.len());
}

/// The same where this end resets it.
#[test]
fn a_subflow_reset_from_here_is_reinjected_at_once() {
    let (mut script, mut first) = server();
    script.write(b"precious");
    script.all(&mut first);
    let mut second = script.joined(1);
    let mut clash = script.map(&first, 0, b"abc", 0);
    script.send(&mut first, seg().dss(clash));
    clash.mapping =
        clash.mapping.map(|m| DssMapping { data_seq: WireDataSeq::Long(script.dsn(9).0), ..m });
    script.send(&mut first, seg().dss(clash));
    assert!(script.all(&mut first).iter().any(|p| p.header.flags.rst));
    let data = script.all(&mut second);
    assert!(data.iter().any(|p| p.payload.as_ref() == b"precious"), "{data:?}");
}

/// [PRIO-1] [PRIO-3] (K33): MP_PRIO moves new data to the other subflow.
#[test]
fn mp_prio_moves_traffic() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    let backup = |backup| MptcpOption::Prio(MpPrio { backup });
    let dss = script.ack(0);
    script.send(&mut first, seg().dss(dss).option(backup(true)));
    script.write(b"one");
    assert!(script.try_next(&mut first).is_none());
    assert_eq!(script.next(&mut second).payload.as_ref(), b"one");
    let dss = script.ack(3);
    script.send(&mut second, seg().dss(dss).option(backup(true)));
    script.send(&mut first, seg().option(backup(false)));
    script.write(b"two");
    assert_eq!(script.next(&mut first).payload.as_ref(), b"two");
    assert_eq!(script.endpoint.counters().mp_prio_rx, 3);
}

/// [DACK-6] [DACK-7]: a peer that tells its Data ACK only when it moves, and once for many segments, is fine.
#[test]
fn data_acks_may_come_rarely() {
    let (mut script, mut flow) = server();
    let data = pattern(3, 20_000);
    script.write(&data);
    // Acknowledged by the subflow, without a Data ACK: what is in the window still goes.
    collect_all(&mut script, &mut flow, data.len(), |_, _| seg().dss(Dss::default()));
    let dss = script.ack(20_000);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(script.info().bytes_acked, 20_000);
    assert_eq!(script.endpoint.counters().mptcp_retrans, 0);
}

/// [OPT-2] [OPT-4]: duplicates with a bare DSS are signs of loss, those with a signal are none.
#[test]
fn signals_make_no_duplicates_and_bare_dss_do() {
    for (signal, retransmitted) in [(true, false), (false, true)] {
        let (mut script, mut flow) = server();
        script.write(&pattern(4, 8_000));
        let sent = script.all(&mut flow);
        assert!(sent.len() > 4);
        let dss = script.ack(0);
        for _ in 0..4 {
            let duplicate = seg().acking(0).dss(dss).window(u16::MAX);
            let prio = MptcpOption::Prio(MpPrio { backup: false });
            script.send(&mut flow, if signal { duplicate.option(prio) } else { duplicate });
        }
        let again =
            script.all(&mut flow).iter().any(|p| !p.payload.is_empty() && flow.offset(p) == 0);
        assert_eq!(again, retransmitted, "signal: {signal}");
    }
}

/// [SND-5]: the send buffer is never the smaller one.
#[test]
fn the_send_buffer_is_as_large_as_the_receive_buffer() {
    let small = ConnectionConfig { send_buffer: 1_000, receive_buffer: 100_000, ..config() };
    let mut script = Script::server(small);
    script.serve();
    script.write(&pattern(5, 100_000));
}
