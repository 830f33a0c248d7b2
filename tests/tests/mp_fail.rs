//! Wrong checksums, MP_FAIL and the infinite mapping that follows (RFC 8684 3.7), both ways.

use mpuser_engine::Event;
use mpuser_engine::config::{Behaviour, ConnectionConfig, FailedData, OnlySubflow};
use mpuser_engine::error::{FallbackReason, ResetReason};
use mpuser_engine::seq::{DataSeq, SubflowSeq};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{Dss, DssMapping, MpFail, MpTcpRst, MptcpOption, WireDataSeq};
use mpuser_tests::scripted::*;

/// What Linux does with checksums.
fn lenient() -> Behaviour {
    Behaviour {
        checksum_disagreement: OnlySubflow::FallBack,
        failed_data: FailedData::Deliver,
        fail_first_mapping: false,
        ..Behaviour::rfc()
    }
}

fn server_with(behaviour: Behaviour) -> (Script, Flow) {
    let mut script = Script::server(ConnectionConfig { behaviour, ..Default::default() });
    script.checksum = true;
    let flow = script.serve();
    (script, flow)
}

fn server() -> (Script, Flow) {
    server_with(Behaviour::rfc())
}

fn fail(data_seq: DataSeq) -> MptcpOption {
    MptcpOption::Fail(MpFail { data_seq })
}

/// Well-formed data at data offset `at`.
fn send(script: &mut Script, flow: &mut Flow, at: u64, data: &[u8]) {
    let dss = script.map(flow, at, data, 0);
    script.send(flow, seg().data(data).dss(dss));
}

/// The same with a checksum that does not fit.
fn send_damaged(script: &mut Script, flow: &mut Flow, at: u64, data: &[u8]) {
    let dss = script.map(flow, at, data, 0);
    let mapping = dss.mapping.map(|m| DssMapping { checksum: m.checksum.map(|c| c ^ 0x55), ..m });
    script.send(flow, seg().data(data).dss(Dss { mapping, ..dss }));
}

/// An infinite mapping of data offset `at` to stream offset `start`.
fn infinite(script: &Script, at: u64, start: u64) -> Dss {
    let data_seq = WireDataSeq::Long(script.dsn(at).0);
    let subflow_seq = SubflowSeq::from_offset(start);
    let mapping = DssMapping { data_seq, subflow_seq, data_len: 0, checksum: Some(0) };
    Dss { mapping: Some(mapping), ..script.ack(0) }
}

/// What the endpoint emitted: MP_FAILs and the last Data ACK.
fn fails(packets: &[Packet]) -> Vec<MptcpOption> {
    let all = packets.iter().flat_map(Packet::signals);
    all.filter(|o| matches!(o, MptcpOption::Fail(_))).collect()
}

/// A server that took `good `, and then `bad ` with a wrong checksum.
fn failing() -> (Script, Flow) {
    let (mut script, mut flow) = server();
    send(&mut script, &mut flow, 0, b"good ");
    script.all(&mut flow);
    send_damaged(&mut script, &mut flow, 5, b"bad ");
    let packets = script.all(&mut flow);
    assert_eq!(fails(&packets), [fail(script.dsn(5))], "[FB-12]: on an ACK");
    assert!(packets.iter().all(|p| !p.header.flags.rst && p.payload.is_empty()));
    let last = packets.last().and_then(Packet::data_ack);
    assert_eq!(last, Some(script.dsn(5)), "[FB-11]: what failed is not acknowledged");
    assert_eq!(script.read(), b"good ", "nor delivered");
    let counters = script.endpoint.counters();
    assert_eq!((counters.data_csum_err, counters.mp_fail_tx), (1, 1));
    (script, flow)
}

/// No packet has an option, both directions work.
fn assert_plain(script: &mut Script, flow: &mut Flow) {
    script.all(flow);
    script.send(flow, seg().data(b"from there"));
    assert_eq!(script.read(), b"from there");
    script.write(b"from here");
    script.advance(Duration::from_millis(100));
    let packets = script.all(flow);
    assert!(packets.iter().all(Packet::is_plain), "[FB-19] [FB-21]: {packets:#?}");
    assert!(packets.iter().any(|p| p.payload.as_ref() == b"from here"));
    script.send(flow, seg().fin());
    assert!(script.at_end());
}

/// [FB-11] [FB-12] [FB-18] [FB-19] (C02): withheld until the infinite mapping makes it plain TCP data.
#[test]
fn failed_data_waits_for_the_infinite_mapping() {
    let (mut script, mut flow) = failing();
    // What was under way already is kept back with it.
    send(&mut script, &mut flow, 9, b"under way ");
    assert_eq!(script.read(), b"");
    script.send(&mut flow, seg().option(fail(script.own_dsn(0))));
    let answers = script.all(&mut flow);
    assert_eq!(fails(&answers), [], "an answer is not answered");
    let dss = infinite(&script, 19, 19);
    script.send(&mut flow, seg().data(b"new").dss(dss));
    assert_eq!(script.read(), b"bad under way new");
    assert_eq!(script.info().fallback, Some(FallbackReason::ChecksumFailed));
    assert!(script.events.contains(&Event::Fallback(FallbackReason::ChecksumFailed)));
    let counters = script.endpoint.counters();
    assert_eq!((counters.infinite_map_rx, counters.mp_fail_rx, counters.mp_fail_tx), (1, 1, 1));
    assert_plain(&mut script, &mut flow);
}

/// [FB-12]: the infinite mapping may act from the last octet acknowledged, and arrive out of order.
#[test]
fn the_infinite_mapping_acts_retroactively() {
    let (mut script, mut flow) = failing();
    let dss = infinite(&script, 5, 5);
    script.send(&mut flow, seg().at(13).data(b"new").dss(dss));
    assert_eq!(script.read(), b"bad ");
    script.send(&mut flow, seg().at(9).data(b"gap "));
    flow.nxt = 16;
    assert_eq!(script.read(), b"gap new");
    assert_plain(&mut script, &mut flow);
}

/// A sender without new data sends what failed again under the infinite mapping, as the kernel does after a while:
/// the damaged copy is dropped.
#[test]
fn failed_data_may_come_again() {
    let (mut script, mut flow) = failing();
    send(&mut script, &mut flow, 9, b"under way ");
    let start = flow.nxt;
    let dss = infinite(&script, 5, start);
    script.send(&mut flow, seg().data(b"BAD under way ").dss(dss));
    assert_eq!(script.read(), b"BAD under way ");
    assert_plain(&mut script, &mut flow);
}

/// [FB-20]: an infinite mapping that leads nowhere is an error.
#[test]
fn an_infinite_mapping_that_fits_nowhere_resets() {
    for (at, start) in [(7, 9), (4, 9), (9, 10), (6, 5)] {
        let (mut script, mut flow) = failing();
        let dss = infinite(&script, at, start);
        script.send(&mut flow, seg().data(b"new").dss(dss));
        let last = script.all(&mut flow).pop().expect("a RST");
        assert!(last.header.flags.rst, "{at} {start}: {last:?}");
        assert_eq!(script.read(), b"");
        assert!(script.info().mptcp);
    }
}

/// [FB-14] [FB-15]: no infinite mapping comes. MP_FAIL is repeated, and in the end the subflow goes; a join resumes
/// the connection, and the data comes again [FB-16].
#[test]
fn a_fail_that_nobody_answers() {
    let (mut script, mut flow) = failing();
    let mut sent = 1;
    let rst = loop {
        let packet = script.wait(&mut flow, Duration::from_secs(30)).expect("something happens");
        if packet.header.flags.rst {
            break packet;
        }
        assert_eq!(packet.signals(), [fail(script.dsn(5))]);
        sent += 1;
    };
    assert_eq!(sent, 4);
    let reason = ResetReason::MiddleboxInterference;
    let why = MptcpOption::TcpRst(MpTcpRst { transient: false, reason });
    assert_eq!(rst.signals(), [fail(script.dsn(5)), why]);
    assert_eq!(script.endpoint.counters().mp_fail_tx, 5);
    let mut second = script.joined(1);
    send(&mut script, &mut second, 5, b"well ");
    assert_eq!(script.read(), b"well ");
    assert!(script.info().mptcp);
}

/// Memory is bounded: who sends on without end loses the subflow.
#[test]
fn what_is_kept_back_is_bounded() {
    let behaviour = Behaviour::rfc();
    let config = ConnectionConfig { behaviour, receive_buffer: 20_000, ..Default::default() };
    let mut script = Script::server(config);
    script.checksum = true;
    let mut flow = script.serve();
    send_damaged(&mut script, &mut flow, 0, b"bad");
    for _ in 0..40 {
        script.send(&mut flow, seg().data(&[7; 1_000]));
    }
    let last = script.all(&mut flow).pop().expect("a RST");
    assert!(last.header.flags.rst, "{last:?}");
}

/// While a fallback is under way nobody may join (C17) [FB-20].
#[test]
fn a_join_during_the_exchange_is_refused() {
    let (mut script, mut flow) = failing();
    let (_, answer) = script.join_syn(1, mpuser_engine::addr::AddressId(1), false);
    assert!(answer.header.flags.rst);
    let dss = infinite(&script, 9, 9);
    script.send(&mut flow, seg().data(b"new").dss(dss));
    let (_, answer) = script.join_syn(2, mpuser_engine::addr::AddressId(2), false);
    assert!(answer.header.flags.rst, "nor after it");
    assert_eq!(script.read(), b"bad new");
    assert_plain(&mut script, &mut flow);
}

/// (K39): what Linux does: the first mapping falls back in silence, a later one is delivered and acknowledged.
#[test]
fn failed_data_as_in_linux() {
    let (mut script, mut flow) = server_with(lenient());
    send_damaged(&mut script, &mut flow, 0, b"bad");
    assert_eq!(script.read(), b"bad");
    assert_eq!(script.info().fallback, Some(FallbackReason::ChecksumFailed));
    assert_eq!(fails(&script.all(&mut flow)), []);
    assert_plain(&mut script, &mut flow);

    let (mut script, mut flow) = server_with(lenient());
    send(&mut script, &mut flow, 0, b"good ");
    script.all(&mut flow);
    send_damaged(&mut script, &mut flow, 5, b"bad ");
    send(&mut script, &mut flow, 9, b"more ");
    assert_eq!(script.read(), b"good bad more ");
    script.advance(Duration::from_millis(100));
    let packets = script.all(&mut flow);
    assert_eq!(fails(&packets), [fail(script.dsn(5))]);
    assert_eq!(packets.last().and_then(Packet::data_ack), Some(script.dsn(14)));
    let dss = infinite(&script, 14, 14);
    script.send(&mut flow, seg().data(b"new").dss(dss));
    assert_eq!(script.read(), b"new");
    assert_plain(&mut script, &mut flow);
}

/// [FB-13] [FB-18] (C06) (K38): MP_FAIL is answered with MP_FAIL; the next new data has an infinite mapping, after
/// it there are no options in either direction.
#[test]
fn mp_fail_is_answered_and_ends_mptcp() {
    let (mut script, mut flow) = server();
    script.write(b"damaged");
    script.all(&mut flow);
    let ack = script.ack(0);
    script.send(&mut flow, seg().dss(ack).option(fail(script.own_dsn(0))));
    let answer = script.next(&mut flow);
    assert_eq!(answer.signals(), [fail(script.dsn(0))]);
    assert_eq!(answer.data_ack(), Some(script.dsn(0)), "MPTCP goes on until there is new data");
    assert!(script.info().mptcp);
    let ack = script.ack(0);
    script.send(&mut flow, seg().dss(ack).option(fail(script.own_dsn(0))));
    assert_eq!(fails(&script.all(&mut flow)).len(), 1, "the answer may have been lost");
    script.write(b"new");
    let data = script.next(&mut flow);
    let mapping = data.mapping().expect("an infinite mapping");
    assert!(mapping.is_infinite() && mapping.checksum == Some(0));
    assert_eq!(mapping.data_seq.expand(script.own_dsn(0)), script.own_dsn(0));
    assert_eq!(mapping.subflow_seq, SubflowSeq(1), "from the last good octet on");
    assert_eq!(script.info().fallback, Some(FallbackReason::PeerFailed));
    let counters = script.endpoint.counters();
    assert_eq!((counters.mp_fail_rx, counters.mp_fail_tx, counters.infinite_map_tx), (2, 2, 1));
    script.send(&mut flow, seg());
    assert_eq!(script.info().bytes_acked, 10, "[FB-18]: the subflow's ACK is enough");
    assert_plain(&mut script, &mut flow);
}

/// [FB-13]: without new data, what the peer keeps back is sent again under the infinite mapping.
#[test]
fn without_new_data_the_failed_data_is_sent_again() {
    let (mut script, mut flow) = server();
    script.write(b"good ");
    script.all(&mut flow);
    let ack = script.ack(5);
    script.send(&mut flow, seg().dss(ack));
    script.write(b"damaged");
    script.all(&mut flow);
    script.send(&mut flow, seg().dss(ack).option(fail(script.own_dsn(5))));
    assert_eq!(fails(&script.all(&mut flow)).len(), 1);
    let again = script.wait(&mut flow, Duration::from_secs(5)).expect("sent again");
    assert_eq!(again.payload.as_ref(), b"damaged");
    let mapping = again.mapping().expect("an infinite mapping");
    assert!(mapping.is_infinite());
    assert_eq!(mapping.data_seq.expand(script.own_dsn(0)), script.own_dsn(5));
    assert_eq!(mapping.subflow_seq, SubflowSeq::from_offset(12));
    script.send(&mut flow, seg());
    assert_eq!(script.info().bytes_acked, 12);
    assert_plain(&mut script, &mut flow);
}

/// [FB-9] [FB-10] (C03) (C07): beside others the subflow goes, with MP_FAIL in either direction, and what it carried
/// goes another way.
#[test]
fn beside_other_subflows_the_subflow_goes() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    send_damaged(&mut script, &mut second, 0, b"bad");
    let rst = script.all(&mut second).pop().expect("a RST");
    let reason = ResetReason::MiddleboxInterference;
    let why = MptcpOption::TcpRst(MpTcpRst { transient: false, reason });
    assert_eq!(rst.signals(), [fail(script.dsn(0)), why]);
    send(&mut script, &mut first, 0, b"good");
    assert_eq!(script.read(), b"good");

    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    script.write(b"damaged");
    let mut flows = [&mut first, &mut second];
    let carried = (0..2).find(|i| !script.all(flows[*i]).is_empty()).expect("data");
    script.send(flows[carried], seg().rst().option(fail(script.own_dsn(0))).option(why));
    let again = script.next(flows[1 - carried]);
    assert_eq!(again.payload.as_ref(), b"damaged");
    let counters = script.endpoint.counters();
    assert_eq!((counters.mp_fail_rx, counters.mp_rst_rx, counters.mp_fail_tx), (1, 1, 0));
    assert!(script.info().mptcp);
}

/// MP_FAIL on a living subflow beside others cannot be honoured: the subflow goes.
#[test]
fn mp_fail_on_one_of_several_subflows_ends_it() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    script.send(&mut second, seg().option(fail(script.own_dsn(0))));
    assert!(script.all(&mut second).pop().is_some_and(|p| p.header.flags.rst));
    send(&mut script, &mut first, 0, b"good");
    assert_eq!(script.read(), b"good");
}

/// [DSS-1] [DSS-2] (K25) (C04) (C05): the choice between the RFC's reset and Linux' fallback.
#[test]
fn a_checksum_against_the_agreement() {
    for agreed in [false, true] {
        for behaviour in [Behaviour::rfc(), lenient()] {
            let mut script = Script::server(ConnectionConfig { behaviour, ..Default::default() });
            script.checksum = agreed;
            let mut flow = script.serve();
            script.checksum = !agreed;
            send(&mut script, &mut flow, 0, b"octets");
            let resets = script.all(&mut flow).iter().any(|p| p.header.flags.rst);
            assert_eq!(resets, behaviour == Behaviour::rfc());
            assert_eq!(script.read(), if resets { &b""[..] } else { b"octets" });
            let counters = script.endpoint.counters();
            let (reset, fell) = (counters.dss_corruption_reset, counters.dss_corruption_fallback);
            assert_eq!((reset, fell), (resets.into(), (!resets).into()));
        }
    }
}
