//! Sending at data level: Data ACKs, windows, retransmission and reinjection (RFC 8684 3.3.2, 3.3.5, 3.3.6).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::Event;
use mpuser_engine::config::{ConnectionConfig, SchedulerSpec};
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
    let (mut script, mut flow) = server();
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

/// (K32): with everything acknowledged and the window closed, an old octet asks for news.
#[test]
fn zero_window_is_probed_at_data_level() {
    let (mut script, mut flow) = server();
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
    assert_eq!(probe.payload.len(), 1);
    let mapping = probe.mapping().expect("a fresh mapping");
    assert_eq!(mapping.data_seq.expand(script.own_dsn(0)), script.own_dsn(65_534));
    assert_eq!(probe.payload[0], data[65_534]);
    let dss = script.ack(65_535);
    script.send(&mut flow, seg().dss(dss).window(1_000));
    let sent = script.all(&mut flow);
    assert!(sent.iter().any(|p| p.payload.as_ref() == b"more"), "{sent:?}");
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
