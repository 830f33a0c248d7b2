//! Receiving by DSS: mappings, both widths, checksums, the shared window (RFC 8684 3.3.1, 3.3.4).

use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::error::ResetReason;
use mpuser_engine::seq::{DataSeq, SubflowSeq};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{Checksum, Dss, DssMapping, MpTcpRst, MptcpOption, WireDataSeq};
use mpuser_engine::wire::{MpFail, dss_checksum};
use mpuser_tests::scripted::*;
use mpuser_tests::world::pattern;

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}

fn server() -> (Script, Flow) {
    let mut script = Script::server(config());
    let flow = script.serve();
    (script, flow)
}

fn reset_reason(packet: &Packet) -> Option<ResetReason> {
    packet.signals().iter().find_map(|option| match option {
        MptcpOption::TcpRst(MpTcpRst { reason, .. }) if packet.header.flags.rst => Some(*reason),
        _ => None,
    })
}

/// [DSS-16] [DSS-17] [DACK-2] (K23): all four combinations of widths.
#[test]
fn both_widths_are_read() {
    for (long_ack, long_seq) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut script, mut flow) = server();
        script.write(b"data");
        script.all(&mut flow);
        let width = |long, seq: DataSeq| match long {
            true => WireDataSeq::Long(seq.0),
            false => WireDataSeq::Short(seq.low32()),
        };
        let mut dss = script.map(&flow, 0, b"hello", 0);
        dss.data_ack = Some(width(long_ack, script.own_dsn(4)));
        let data_seq = width(long_seq, script.dsn(0));
        dss.mapping = dss.mapping.map(|m| DssMapping { data_seq, ..m });
        script.send(&mut flow, seg().data(b"hello").dss(dss));
        assert_eq!(script.read(), b"hello");
        assert_eq!(script.info().bytes_acked, 4);
    }
}

/// [DSS-16] [DSS-18] [DACK-1]: short numbers are sent where asked for, but never in answer to long ones, and not
/// where the low half may wrap.
#[test]
fn short_data_acks_only_answer_short_numbers() {
    let mut script = Script::server(ConnectionConfig { short_data_seq: true, ..config() });
    let mut flow = script.open(PLAIN_FLAGS);
    let option = script.capable_ack(PLAIN_FLAGS);
    script.send(&mut flow, seg().option(option));
    script.accept();
    // IDSN A ends in 785a0d45: below half of the low range.
    let first = script.next(&mut flow).options.dss.expect("a DSS").data_ack;
    assert_eq!(first, Some(WireDataSeq::Short(script.dsn(0).low32())));
    let dss = script.map(&flow, 0, b"abc", 0);
    script.send(&mut flow, seg().data(b"abc").dss(dss));
    let answer = script.wait(&mut flow, Duration::from_secs(1)).expect("an ACK");
    assert_eq!(
        answer.options.dss.and_then(|d| d.data_ack),
        Some(WireDataSeq::Long(script.dsn(3).0))
    );
    script.write(b"x");
    let seq = script.next(&mut flow).mapping().expect("data").data_seq;
    let expected = script.own_dsn(0);
    let short = expected.low32() < 1 << 31;
    assert_eq!(matches!(seq, WireDataSeq::Short(_)), short);
    assert_eq!(seq.expand(expected), expected);
}

/// [DSS-7] (K22): what is sent maps exactly the octets, SSN from 1 on.
#[test]
fn sent_mappings_name_their_octets() {
    let (mut script, mut flow) = server();
    let data = pattern(1, 8_000);
    script.write(&data);
    let packets = script.all(&mut flow);
    let mut seen = Vec::new();
    for packet in &packets {
        let mapping = packet.mapping().expect("on every segment [FB-3]");
        let start = mapping.data_seq.expand(script.own_dsn(0)).since(script.own_dsn(0)) as u64;
        let offset = mapping.subflow_seq.to_offset(0).expect("positive");
        assert_eq!(offset, start, "one subflow: stream and data run in step");
        let at = flow.offset(packet);
        let end = at + packet.payload.len() as u64;
        assert!(offset <= at && end <= offset + u64::from(mapping.data_len), "[DSS-21]");
        assert!(packet.data_ack().is_some(), "[DACK-5]");
        seen.extend_from_slice(&packet.payload);
    }
    assert_eq!(seen, data[..seen.len()]);
}

/// [DSS-22] (K22): a mapping of 64 KiB copied onto every segment.
#[test]
fn a_big_mapping_may_be_repeated_on_every_segment() {
    let (mut script, mut flow) = server();
    let data = pattern(2, 65_535);
    let dss = script.map(&flow, 0, &data, 0);
    for piece in data.chunks(1_400) {
        script.send(&mut flow, seg().data(piece).dss(dss));
    }
    assert_eq!(script.read(), data);
    assert!(script.info().mptcp);
}

/// [DSS-22] [OPT-17]: announced once, on the first segment, also when that comes last.
#[test]
fn a_mapping_spans_segments_without_repetition() {
    let data = pattern(3, 3_000);
    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, &data, 0);
    script.send(&mut flow, seg().data(&data[..1_000]).dss(dss));
    script.send(&mut flow, seg().data(&data[1_000..2_000]));
    script.send(&mut flow, seg().data(&data[2_000..]));
    assert_eq!(script.read(), data);

    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, &data, 0);
    script.send(&mut flow, seg().at(2_000).data(&data[2_000..]));
    script.send(&mut flow, seg().at(1_000).data(&data[1_000..2_000]));
    assert_eq!(script.read(), b"");
    script.send(&mut flow, seg().data(&data[..1_000]).dss(dss));
    assert_eq!(script.read(), data);
    assert!(script.info().mptcp);
}

/// [DSS-5] [DSS-6] (K30): the same DSN again on the same subflow, under a new SSN and split differently.
#[test]
fn the_same_data_twice_on_one_subflow() {
    let (mut script, mut flow) = server();
    for (at, text) in [(0, "abcdef"), (0, "ABC"), (3, "DEFghi"), (2, "CDEFGHIjk")] {
        let dss = script.map(&flow, at, text.as_bytes(), 0);
        script.send(&mut flow, seg().data(text.as_bytes()).dss(dss));
    }
    assert_eq!(script.read(), b"abcdefghijk", "the first copy of each octet");
    let last = script.wait(&mut flow, Duration::from_secs(1)).expect("an ACK");
    assert!(last.header.ack.is_some());
    assert_eq!(script.info().rcv_nxt, script.dsn(11).0);
    assert!(script.endpoint.counters().duplicate_data > 0);
}

/// [RCV-4] [DSS-5]: reassembly across subflows, with overlap.
#[test]
fn data_level_reassembly_across_subflows() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    let data = pattern(4, 4_000);
    for (on_first, range) in
        [(false, 3_000..4_000), (true, 1_000..2_500), (false, 2_000..3_200), (true, 0..1_100)]
    {
        let flow = if on_first { &mut first } else { &mut second };
        let dss = script.map(flow, range.start as u64, &data[range.clone()], 0);
        script.send(flow, seg().data(&data[range]).dss(dss));
    }
    assert_eq!(script.read(), data);
    script.advance(Duration::from_millis(100));
    let acks = script.all(&mut first);
    assert_eq!(acks.last().and_then(Packet::data_ack), Some(script.dsn(4_000)));
}

/// [DSS-12] [DSS-4]: a mapping that contradicts a live one resets the subflow.
#[test]
fn a_contradicting_mapping_resets_the_subflow() {
    let (mut script, _) = server();
    let mut flow = script.joined(1);
    let dss = script.map(&flow, 0, &[0; 3_000], 0);
    script.send(&mut flow, seg().data(&[0; 1_000]).dss(dss));
    let dss = script.map(&flow, 5_000, &[0; 1_000], 0);
    script.send(&mut flow, seg().data(&[0; 1_000]).dss(dss));
    let last = script.all(&mut flow).pop().expect("a RST");
    assert_eq!(reset_reason(&last), Some(ResetReason::MptcpError));
    assert_eq!(script.endpoint.counters().dss_not_matching, 1);
    assert_eq!(script.read().len(), 1_000);
}

/// [DSS-1] [DSS-2] [DSS-3]: a checksum that was not agreed, or one that is missing, resets; nothing is delivered,
/// and the only subflow does not fall back instead.
#[test]
fn unexpected_and_missing_checksums_reset() {
    for checksum in [false, true] {
        let mut script = Script::server(config());
        script.checksum = checksum;
        let mut flow = script.serve();
        let mut dss = script.map(&flow, 0, b"abc", 0);
        let wrong = if checksum { None } else { Some(0x1234) };
        dss.mapping = dss.mapping.map(|m| DssMapping { checksum: wrong, ..m });
        script.send(&mut flow, seg().data(b"abc").dss(dss));
        assert_eq!(script.read(), b"");
        let answer = script.next(&mut flow);
        assert_eq!(reset_reason(&answer), Some(ResetReason::MptcpError));
        assert!(script.info().mptcp);
    }
}

/// [DSS-9]: test vector V1, over several segments; a mapping is delivered when all of it is verified.
#[test]
fn checksums_are_verified_over_the_whole_mapping() {
    let mut script = Script::server(config());
    script.checksum = true;
    let mut flow = script.serve();
    let dss = script.map(&flow, 0, b"hello mptcp", 0);
    assert_eq!(dss.mapping.and_then(|m| m.checksum), Some(0xddea));
    script.send(&mut flow, seg().data(b"hello").dss(dss));
    assert_eq!(script.read(), b"");
    script.send(&mut flow, seg().data(b" mptcp"));
    assert_eq!(script.read(), b"hello mptcp");
}

/// [FB-9] [FB-11] [FB-14]: a wrong checksum on a joined subflow: RST with MP_FAIL of the mapping's DSN.
#[test]
fn a_wrong_checksum_resets_with_mp_fail() {
    let mut script = Script::server(config());
    script.checksum = true;
    let mut first = script.serve();
    let mut flow = script.joined(1);
    let dss = script.map(&flow, 7, b"genuine", 0);
    script.send(&mut flow, seg().data(b"altered").dss(dss));
    let answer = script.all(&mut flow).pop().expect("a RST");
    let fail = MptcpOption::Fail(MpFail { data_seq: script.dsn(7) });
    assert!(answer.signals().contains(&fail), "{answer:?}");
    assert_eq!(reset_reason(&answer), Some(ResetReason::MiddleboxInterference));
    let dss = script.map(&first, 0, b"fine so far ok", 0);
    script.send(&mut first, seg().data(b"fine so far ok").dss(dss));
    assert_eq!(script.read(), b"fine so far ok");
    assert_eq!(script.endpoint.counters().data_csum_err, 1);
}

/// A DATA_FIN with data is not believed when the checksum says that the mapping was damaged.
#[test]
fn a_data_fin_in_a_damaged_mapping_counts_for_nothing() {
    let mut script = Script::server(config());
    script.checksum = true;
    let mut first = script.serve();
    let mut flow = script.joined(1);
    let dss = script.map(&flow, 0, b"abc", 0);
    let mapping = dss.mapping.map(|m| DssMapping { data_len: 4, ..m });
    script.send(&mut flow, seg().data(b"abc").dss(Dss { mapping, data_fin: true, ..dss }));
    assert!(!script.at_end());
    let dss = script.map(&first, 0, b"abcdef", 0);
    script.send(&mut first, seg().data(b"abcdef").dss(dss));
    let dss = script.data_fin(6, 0);
    script.send(&mut first, seg().dss(dss));
    assert_eq!(script.read(), b"abcdef");
    assert!(script.at_end());
}

/// [DSS-10] [DSS-11]: urgent data is mapped like any other and stands in the stream where it was sent; nothing of ours
/// is ever urgent.
#[test]
fn urgent_data_stands_in_the_stream() {
    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, b"plain URGENT plain", 0);
    script.send(&mut flow, seg().urgent(12).data(b"plain URGENT plain").dss(dss));
    assert_eq!(script.read(), b"plain URGENT plain");
    script.write(b"answer");
    let packets = script.all(&mut flow);
    assert!(packets.iter().all(|p| !p.header.flags.urg && p.header.urgent == 0));
}

/// [DSS-21]: what is sent maps at least the segment it stands on, also when the path takes less than was planned.
#[test]
fn every_mapping_covers_its_segment() {
    let (mut script, mut flow) = server();
    script.write(&[7; 5_000]);
    let packets: Vec<_> = script.all(&mut flow);
    for packet in packets.iter().filter(|p| !p.payload.is_empty()) {
        let mapping = packet.mapping().expect("a mapping");
        let start = mapping.subflow_seq.to_offset(flow.offset(packet)).expect("data");
        let at = flow.offset(packet);
        assert!(
            start <= at && at + packet.payload.len() as u64 <= start + u64::from(mapping.data_len)
        );
    }
}

/// [DSS-9]: what is sent carries a right checksum, over the long DSN.
#[test]
fn sent_checksums_are_right() {
    let mut script = Script::server(config());
    script.checksum = true;
    let mut flow = script.serve();
    script.write(b"odd");
    let packet = script.next(&mut flow);
    let mapping = packet.mapping().expect("a mapping");
    let mut sum = Checksum::new();
    sum.add_bytes(b"odd");
    let expected = dss_checksum(script.own_dsn(0), SubflowSeq(1), 3, sum);
    assert_eq!(mapping.checksum, Some(expected));
}

/// [DACK-15] (K32): beyond the window: dropped, no Data ACK for it; later it is taken.
#[test]
fn data_beyond_the_window_is_dropped() {
    let mut script = Script::server(ConnectionConfig { receive_buffer: 10_000, ..config() });
    let mut flow = script.serve();
    let dss = script.map(&flow, 10_000, b"beyond", 0);
    script.send(&mut flow, seg().data(b"beyond").dss(dss));
    script.advance(Duration::from_millis(100));
    let ack = script.all(&mut flow).pop().expect("acknowledged by the subflow [DSS-12]");
    assert_eq!(ack.data_ack(), Some(script.dsn(0)));
    assert_eq!(ack.header.ack.map(|a| a.0), Some(flow.iss + 1 + 6));
    assert_eq!(script.endpoint.counters().no_dss_in_window, 1);
}

/// Octets from before the first one of the peer: old, whatever the arithmetic makes of them.
#[test]
fn data_from_before_the_beginning_is_old() {
    let (mut script, mut flow) = server();
    let mut dss = script.map(&flow, 0, b"xxabc", 0);
    let before = WireDataSeq::Long((script.dsn(0) - 2).0);
    dss.mapping = dss.mapping.map(|m| DssMapping { data_seq: before, ..m });
    script.send(&mut flow, seg().data(b"xxabc").dss(dss));
    assert_eq!(script.read(), b"abc");
    let mut dss = script.map(&flow, 0, b"old", 0);
    dss.mapping = dss.mapping.map(|m| DssMapping { data_seq: before, data_len: 2, ..m });
    script.send(&mut flow, seg().data(b"ol").dss(dss));
    assert_eq!(script.endpoint.counters().duplicate_data, 1);
    assert_eq!(script.read(), b"");
}

/// [RCV-1] [RCV-2]: one window, counted from the Data ACK, told on every subflow; it never moves back, and what
/// was told is kept even when a subflow could not take its part of it back.
#[test]
fn the_window_is_shared_and_never_retreats() {
    let size = 60_000;
    let mut script = Script::server(ConnectionConfig { receive_buffer: size, ..config() });
    let mut first = script.serve();
    let mut second = script.joined(1);
    let data = pattern(5, 3 * size);
    let mut edge = size as u64;
    let mut at = 0;
    // The first subflow fills the queue; the second one's own window stays open the while.
    while at < size {
        let dss = script.map(&first, at as u64, &data[at..at + 1_000], 0);
        script.send(&mut first, seg().data(&data[at..at + 1_000]).dss(dss));
        at += 1_000;
        for packet in script.all(&mut first) {
            let acked = packet.data_ack().expect("always").since(script.dsn(0)) as u64;
            assert!(acked + u64::from(packet.header.window) >= edge, "the edge moved back");
            edge = edge.max(acked + u64::from(packet.header.window));
        }
    }
    // An old octet makes the second subflow say what it promises now.
    let mut promised = size as u64;
    let octet = script.map(&second, 0, &data[..1], 0);
    script.send(&mut second, seg().data(&data[..1]).dss(octet));
    script.advance(Duration::from_millis(100));
    for packet in script.all(&mut second) {
        let acked = packet.data_ack().expect("always").since(script.dsn(0)) as u64;
        promised = promised.max(acked + u64::from(packet.header.window));
    }
    // Everything promised is taken.
    while (at as u64) < promised {
        let end = (at + 1_000).min(promised as usize);
        let dss = script.map(&second, at as u64, &data[at..end], 0);
        script.send(&mut second, seg().data(&data[at..end]).dss(dss));
        at = end;
    }
    assert_eq!(script.endpoint.counters().no_dss_in_window, 0);
    assert_eq!(script.read(), data[..at]);
}

/// A mapping that starts after the first octet of its segment, or ends before the last one: the mapped octets are data,
/// the others wait for a mapping and are no reason to leave MPTCP (K24).
#[test]
fn a_mapping_that_leaves_octets_uncovered() {
    let (mut script, _) = server();
    let mut flow = script.joined(1);
    let mut dss = script.map(&flow, 0, b"abc", 0);
    dss.mapping = dss.mapping.map(|m| DssMapping { subflow_seq: SubflowSeq(4), ..m });
    script.send(&mut flow, seg().data(b"xxxabc").dss(dss));
    assert_eq!(script.read(), b"abc");
    script.advance(Duration::from_secs(10));
    let answer = script.all(&mut flow).pop().expect("a RST");
    assert_eq!(reset_reason(&answer), Some(ResetReason::MiddleboxInterference));

    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, b"abc", 0);
    script.send(&mut flow, seg().data(b"abcdef").dss(dss));
    assert_eq!(script.read(), b"abc");
    assert!(script.info().mptcp);
}
