//! DATA_FIN, subflow FINs and the ends of connections (RFC 8684 3.3.3).

use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::error::ConnectionError;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{Dss, DssMapping, MptcpOption};
use mpuser_engine::{Event, SubflowEnd};
use mpuser_tests::scripted::*;

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}

fn server() -> (Script, Flow) {
    let mut script = Script::server(config());
    let flow = script.serve();
    (script, flow)
}

/// Ends the subflow's TCP in order after both DATA_FINs.
fn finish(script: &mut Script, flow: &mut Flow) {
    let packets = script.all(flow);
    assert!(packets.iter().any(|p| p.header.flags.fin), "[FIN-5] [FIN-6]: {packets:#?}");
    script.send(flow, seg().fin());
    script.all(flow);
    assert!(script.events.contains(&Event::Closed(None)), "{:?}", script.events);
    assert_eq!(script.info().state, "CLOSED");
}

/// [FIN-1] [FIN-2] [FIN-3] [FIN-5] [FIN-8]: the peer first, alone on an empty segment.
#[test]
fn peer_closes_first() {
    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, b"bye", 0);
    script.send(&mut flow, seg().data(b"bye").dss(dss));
    let dss = script.data_fin(3, 0);
    script.send(&mut flow, seg().dss(dss));
    let acks = script.all(&mut flow);
    assert_eq!(
        acks.last().and_then(Packet::data_ack),
        Some(script.dsn(4)),
        "DATA_FIN counts as one"
    );
    assert_eq!(script.read(), b"bye");
    assert!(script.at_end());
    assert_eq!(script.info().state, "CLOSE-WAIT");
    script.write(b"rest");
    assert_eq!(script.next(&mut flow).payload.as_ref(), b"rest", "half closed");
    let dss = script.ack(4);
    script.send(&mut flow, seg().dss(dss));
    script.shutdown();
    let fin = script.next(&mut flow);
    let mapping = fin.mapping().expect("a DATA_FIN");
    assert!(fin.is_lone_data_fin());
    assert_eq!((mapping.subflow_seq.0, mapping.data_len), (0, 1), "[FIN-2]");
    assert_eq!(mapping.data_seq.expand(script.own_dsn(0)), script.own_dsn(4));
    assert_eq!(script.info().state, "LAST-ACK");
    let dss = script.ack(5);
    script.send(&mut flow, seg().dss(dss));
    finish(&mut script, &mut flow);
}

/// [FIN-1]: the DATA_FIN on the last data, with and without checksum.
#[test]
fn data_fin_with_payload() {
    for checksum in [false, true] {
        let mut script = Script::server(config());
        script.checksum = checksum;
        let mut flow = script.serve();
        let dss = script.map(&flow, 0, b"hello mptcp", 0);
        let mapping = dss.mapping.expect("a mapping");
        // The checksum covers the length with the DATA_FIN in it (test vector V1).
        let checksum = checksum.then_some(0xdde9);
        let mapping = DssMapping { data_len: 12, checksum, ..mapping };
        let dss = Dss { mapping: Some(mapping), data_fin: true, ..dss };
        script.send(&mut flow, seg().data(b"hello mptcp").dss(dss));
        assert_eq!(script.read(), b"hello mptcp");
        assert!(script.at_end());
        let last = script.all(&mut flow).pop().expect("acknowledged");
        assert_eq!(last.data_ack(), Some(script.dsn(12)));
    }
}

/// [FIN-3]: not acknowledged before everything in front of it is here.
#[test]
fn data_fin_waits_for_the_data_before_it() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    let dss = script.data_fin(6, 0);
    script.send(&mut second, seg().dss(dss));
    assert!(!script.at_end());
    let dss = script.map(&first, 3, b"def", 0);
    script.send(&mut first, seg().data(b"def").dss(dss));
    let acks: Vec<_> =
        script.all(&mut first).iter().chain(&script.all(&mut second)).cloned().collect();
    assert!(acks.iter().all(|p| p.data_ack() == Some(script.dsn(0))), "{acks:?}");
    let dss = script.map(&second, 0, b"abc", 0);
    script.send(&mut second, seg().data(b"abc").dss(dss));
    assert_eq!(script.read(), b"abcdef");
    assert!(script.at_end());
    for flow in [&mut first, &mut second] {
        let last = script.all(flow).pop().expect("told on every subflow");
        assert_eq!(last.data_ack(), Some(script.dsn(7)));
    }
}

/// (K34): F without a map, or with length 0, is nothing.
#[test]
fn malformed_data_fins_are_ignored() {
    let (mut script, mut flow) = server();
    let dss = Dss { data_fin: true, ..script.ack(0) };
    script.send(&mut flow, seg().dss(dss));
    let fin = script.data_fin(0, 0);
    let mapping = fin.mapping.map(|m| DssMapping { data_len: 0, ..m });
    script.send(&mut flow, seg().dss(Dss { mapping, ..fin }));
    assert!(!script.at_end());
    assert!(script.info().mptcp);
    assert_eq!(script.info().state, "ESTABLISHED");
}

/// (X07) [FIN-2]: alone it has length 1. Any other would announce data that nobody knows; on data it may be long.
#[test]
fn a_lone_data_fin_of_another_length_is_ignored() {
    let (mut script, mut flow) = server();
    let fin = script.data_fin(0, 0);
    let mapping = fin.mapping.map(|m| DssMapping { data_len: 9, ..m });
    script.send(&mut flow, seg().dss(Dss { mapping, ..fin }));
    assert!(!script.at_end());
    assert_eq!(script.info().state, "ESTABLISHED");
    let dss = script.map(&flow, 0, b"goes on", 0);
    script.send(&mut flow, seg().data(b"goes on").dss(dss));
    assert_eq!(script.read(), b"goes on");
}

/// (X09): nothing can follow a DATA_FIN. What does is thrown away, whatever mapping it has, and the end is where it
/// was said to be.
#[test]
fn data_beyond_the_data_fin_is_discarded() {
    let (mut script, mut flow) = server();
    let fin = script.data_fin(3, 0);
    script.send(&mut flow, seg().dss(fin));
    let dss = script.map(&flow, 0, b"abcXYZ", 0);
    script.send(&mut flow, seg().data(b"abcXYZ").dss(dss));
    let dss = script.map(&flow, 6, b"more", 0);
    script.send(&mut flow, seg().data(b"more").dss(dss));
    assert_eq!(script.read(), b"abc");
    assert!(script.at_end());
    assert_eq!(script.endpoint.counters().no_dss_in_window, 1);
    // Another DATA_FIN somewhere else changes nothing.
    let dss = script.data_fin(10, 0);
    script.send(&mut flow, seg().dss(dss));
    assert!(script.at_end());
    let last = script.all(&mut flow).pop().expect("acknowledged");
    assert_eq!(last.data_ack(), Some(script.dsn(4)));
}

/// (X08): a DATA_FIN before what was received already contradicts it.
#[test]
fn a_data_fin_before_what_arrived_is_ignored() {
    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, b"abc", 0);
    script.send(&mut flow, seg().data(b"abc").dss(dss));
    let dss = script.data_fin(2, 0);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(script.read(), b"abc");
    assert!(!script.at_end());
    let dss = script.data_fin(3, 0);
    script.send(&mut flow, seg().dss(dss));
    assert!(script.at_end());
}

/// (X10) [FIN-6]: a DATA_FIN that nobody acknowledges is repeated on every subflow, less and less often, and not for
/// ever.
#[test]
fn a_data_fin_is_repeated_on_every_subflow_with_back_off() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    script.shutdown();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..20_000 {
        for (flow, times) in [&mut first, &mut second].into_iter().zip(&mut times) {
            let fins = script.all(flow).into_iter().filter(Packet::is_lone_data_fin);
            times.extend(fins.map(|p| p.at));
        }
        if script.info().state == "CLOSED" {
            break;
        }
        script.advance(Duration::from_millis(100));
    }
    assert_eq!(script.info().error, Some(ConnectionError::Timeout));
    for times in times {
        assert!(times.len() > 8, "{times:?}");
        let waits: Vec<_> = times.windows(2).map(|w| w[1].saturating_sub(w[0])).collect();
        assert!(waits.is_sorted() && waits[1] == waits[0] * 2, "{waits:?}");
    }
    script.close();
    script.advance(Duration::from_secs(100));
    assert!(script.endpoint.info(script.id).is_none());
    assert_eq!(script.endpoint.poll_timeout(), None);
}

/// (X11): the acknowledgement of the DATA_FIN was lost, and the subflow is in TIME-WAIT when it comes again.
#[test]
fn a_data_fin_is_answered_in_time_wait() {
    let (mut script, mut flow) = server();
    script.shutdown();
    script.all(&mut flow);
    let fin = script.data_fin(0, 1);
    script.send(&mut flow, seg().dss(fin));
    script.all(&mut flow);
    script.send(&mut flow, seg().fin().dss(fin));
    script.all(&mut flow);
    assert_eq!(script.info().subflows[0].state, "TIME-WAIT");
    for _ in 0..3 {
        script.advance(Duration::from_secs(1));
        script.all(&mut flow);
        script.send(&mut flow, seg().dss(fin));
        let answer = script.all(&mut flow).pop().expect("answered");
        assert_eq!(answer.data_ack(), Some(script.dsn(1)));
    }
}

/// (X13) [FIN-8] [FIN-9]: the FIN of the only subflow is no end of the data; the timeout decides.
#[test]
fn a_fin_on_the_only_subflow_is_not_the_end_of_the_data() {
    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, b"data", 0);
    script.send(&mut flow, seg().data(b"data").dss(dss));
    assert_eq!(script.read(), b"data");
    script.send(&mut flow, seg().fin());
    let packets = script.all(&mut flow);
    assert!(packets.iter().any(|p| p.header.flags.fin), "{packets:#?}");
    script.send(&mut flow, seg());
    assert!(!script.at_end());
    script.advance(Duration::from_secs(59));
    assert!(!script.events.iter().any(|e| matches!(e, Event::Closed(_))));
    script.advance(Duration::from_secs(2));
    assert!(script.events.contains(&Event::Closed(Some(ConnectionError::Timeout))));
    assert!(!script.at_end(), "an error, not an end");
}

/// (X13) [FB-6] [FIN-8]: without any option the FIN of the only subflow is the end of plain TCP's data, if the peer has
/// never gone on with MPTCP. If it has, no FIN in return overtakes data.
#[test]
fn a_bare_fin_ends_the_data_of_a_peer_that_may_be_plain_tcp() {
    let (mut script, mut flow) = server();
    script.write(b"late");
    script.all(&mut flow);
    script.send(&mut flow, seg().fin());
    assert!(script.at_end());
    assert!(script.events.iter().any(|e| matches!(e, Event::Fallback(_))));
    script.write(b"r");
    script.shutdown();
    let packets = script.all(&mut flow);
    let last = packets.last().expect("the end");
    assert!(last.header.flags.fin && last.data_ack().is_none(), "{packets:#?}");

    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, b"data", 0);
    script.send(&mut flow, seg().data(b"data").dss(dss));
    assert_eq!(script.read(), b"data");
    script.all(&mut flow);
    script.write(b"sent");
    script.all(&mut flow);
    script.write(b"held back by Nagle's algorithm");
    script.send(&mut flow, seg().fin().acking(0));
    let packets = script.all(&mut flow);
    assert!(packets.iter().any(|p| p.header.flags.rst), "{packets:#?}");
    assert!(packets.iter().all(|p| !p.header.flags.fin), "no end to the peer: {packets:#?}");
    assert!(!script.at_end());
    script.advance(Duration::from_secs(61));
    assert!(script.events.contains(&Event::Closed(Some(ConnectionError::Timeout))));
    assert!(!script.at_end(), "an error, not an end");
}

/// [FIN-4]: no subflow is closed while data is not acknowledged at data level, though both DATA_FINs are known.
#[test]
fn subflows_stay_until_all_data_is_acknowledged() {
    let (mut script, mut flow) = server();
    script.write(b"data");
    script.shutdown();
    let dss = script.data_fin(0, 0);
    script.send(&mut flow, seg().dss(dss));
    script.advance(Duration::from_secs(3));
    assert!(script.all(&mut flow).iter().all(|p| !p.header.flags.fin));
    let dss = script.ack(5);
    script.send(&mut flow, seg().dss(dss));
    finish(&mut script, &mut flow);
}

/// [FIN-6] [FIN-7]: at the end every subflow gets its FIN; one that is stale with a queue is reset, reason 4, T set.
#[test]
fn a_stale_subflow_with_a_queue_is_reset_at_the_end() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    script.write(&[1; 20_000]);
    let mut flows = [&mut first, &mut second];
    let silent = (0..2).find(|i| !script.all(flows[*i]).is_empty()).expect("data");
    script.shutdown();
    for _ in 0..50 {
        script.advance(Duration::from_millis(100));
        let ends = script.all(flows[1 - silent]).iter().any(|p| !p.payload.is_empty());
        if ends {
            let dss = script.ack(0);
            script.send(flows[1 - silent], seg().dss(dss));
        }
    }
    script.all(flows[silent]);
    let dss = script.data_fin(0, 20_001);
    script.send(flows[1 - silent], seg().dss(dss));
    let reason = mpuser_engine::error::ResetReason::TooMuchOutstandingData;
    let why = mpuser_engine::wire::MpTcpRst { transient: true, reason };
    let rst = script.all(flows[silent]).pop().expect("a RST");
    assert_eq!(rst.signals(), [MptcpOption::TcpRst(why)]);
    assert!(script.all(flows[1 - silent]).iter().any(|p| p.header.flags.fin));
}

/// [FIN-2]: alone it has a checksum over the pseudo-header; a wrong one counts for nothing.
#[test]
fn data_fin_alone_is_covered_by_a_checksum() {
    let mut script = Script::server(config());
    script.checksum = true;
    let mut flow = script.serve();
    let fin = script.data_fin(0, 0);
    let mapping = fin.mapping.map(|m| DssMapping { checksum: m.checksum.map(|c| c ^ 1), ..m });
    script.send(&mut flow, seg().dss(Dss { mapping, ..fin }));
    assert!(!script.at_end());
    script.send(&mut flow, seg().dss(fin));
    assert!(script.at_end());
    script.all(&mut flow);
    script.shutdown();
    let own = script.next(&mut flow).mapping().expect("a DATA_FIN");
    let expected = mpuser_engine::wire::dss_checksum(
        script.own_dsn(0),
        mpuser_engine::seq::SubflowSeq(0),
        1,
        mpuser_engine::wire::Checksum::new(),
    );
    assert_eq!(own.checksum, Some(expected));
}

/// This end first; the DATA_FIN is repeated on every ACK and by a timer (K34).
#[test]
fn own_data_fin_is_repeated_until_acknowledged() {
    let (mut script, mut flow) = server();
    script.shutdown();
    assert!(script.next(&mut flow).is_lone_data_fin());
    for _ in 0..3 {
        let again = script.wait(&mut flow, Duration::from_secs(5)).expect("repeated");
        assert!(again.is_lone_data_fin(), "{again:?}");
    }
    let dss = script.map(&flow, 0, b"ab", 0);
    script.send(&mut flow, seg().data(b"ab").dss(dss));
    script.advance(Duration::from_millis(50));
    assert!(script.all(&mut flow).iter().any(Packet::is_lone_data_fin));
    let dss = script.ack(1);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(script.info().state, "FIN-WAIT-2");
    script.advance(Duration::from_secs(20));
    assert!(!script.all(&mut flow).iter().any(Packet::is_lone_data_fin), "acknowledged");
    // Half closed: the peer's data goes on.
    let dss = script.map(&flow, 2, b"cd", 1);
    script.send(&mut flow, seg().data(b"cd").dss(dss));
    assert_eq!(script.read(), b"abcd");
    let dss = script.data_fin(4, 1);
    script.send(&mut flow, seg().dss(dss));
    finish(&mut script, &mut flow);
}

/// Both at once: CLOSING.
#[test]
fn both_close_at_once() {
    let (mut script, mut flow) = server();
    script.shutdown();
    script.next(&mut flow);
    let dss = script.data_fin(0, 0);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(script.info().state, "CLOSING");
    let dss = script.ack(1);
    script.send(&mut flow, seg().dss(dss));
    finish(&mut script, &mut flow);
}

/// A repeated DATA_FIN is acknowledged again, but not every one of a stream of them: the kernel puts it on every
/// ACK while this end still sends (K34).
#[test]
fn a_repeated_data_fin_is_acknowledged_again() {
    let (mut script, mut flow) = server();
    let dss = script.data_fin(0, 0);
    script.send(&mut flow, seg().dss(dss));
    script.all(&mut flow);
    script.advance(Duration::from_millis(250));
    script.send(&mut flow, seg().dss(dss));
    let answer = script.next(&mut flow);
    assert_eq!(answer.data_ack(), Some(script.dsn(1)));
    for _ in 0..100 {
        script.send(&mut flow, seg().dss(dss));
    }
    assert!(script.all(&mut flow).len() < 3);
}

/// Also when the subflow's own FIN is out already, and also after everything is closed.
#[test]
fn a_data_fin_repeated_after_the_fins_is_acknowledged() {
    let (mut script, mut flow) = server();
    script.shutdown();
    script.next(&mut flow);
    let dss = script.data_fin(0, 1);
    script.send(&mut flow, seg().dss(dss));
    script.all(&mut flow);
    script.advance(Duration::from_millis(150));
    script.all(&mut flow);
    script.send(&mut flow, seg().dss(dss));
    let answers = script.all(&mut flow);
    assert!(answers.iter().any(|p| p.data_ack() == Some(script.dsn(1))), "{answers:?}");
}

/// [FIN-8] (K36): a FIN without DATA_FIN ends its subflow only.
#[test]
fn a_subflow_fin_is_not_the_end_of_the_connection() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    script.send(&mut first, seg().fin());
    let packets = script.all(&mut first);
    assert!(packets.iter().any(|p| p.header.flags.fin), "answered with a FIN: {packets:#?}");
    script.send(&mut first, seg());
    assert!(
        script
            .events
            .iter()
            .any(|e| matches!(e, Event::SubflowClosed { cause: SubflowEnd::Finished, .. }))
    );
    let dss = script.map(&second, 0, b"still here", 0);
    script.send(&mut second, seg().data(b"still here").dss(dss));
    assert_eq!(script.read(), b"still here");
    script.write(b"so am I");
    assert_eq!(script.all(&mut second).pop().expect("data").payload.as_ref(), b"so am I");
}

/// [FIN-9] (K36): break before make.
#[test]
fn a_join_resumes_a_connection_without_subflows() {
    let (mut script, mut first) = server();
    script.write(b"unacknowledged");
    script.all(&mut first);
    script.send(&mut first, seg().rst());
    assert!(!script.events.iter().any(|e| matches!(e, Event::Closed(_))));
    assert_eq!(script.endpoint.counters().subflow_stale, 0, "lost is not stale");
    script.advance(Duration::from_secs(30));
    let mut second = script.joined(1);
    let data = script.all(&mut second);
    assert!(data.iter().any(|p| p.payload.as_ref() == b"unacknowledged"), "{data:#?}");
    script.advance(Duration::from_secs(50));
    assert!(!script.events.iter().any(|e| matches!(e, Event::Closed(_))));
}

/// [FIN-9]: and ends when nobody comes.
#[test]
fn a_connection_without_subflows_ends_after_the_timeout() {
    let (mut script, mut first) = server();
    script.send(&mut first, seg().rst());
    script.advance(Duration::from_secs(61));
    assert!(script.events.contains(&Event::Closed(Some(ConnectionError::Timeout))));
    script.close();
    assert!(script.endpoint.info(script.id).is_none(), "forgotten");
    assert_eq!(script.endpoint.poll_timeout(), None, "a timer was left behind");
}

/// A subflow that never sees its FIN acknowledged does not hold the connection's end back, nor live for ever.
#[test]
fn a_dead_subflow_does_not_delay_the_end() {
    let (mut script, mut first) = server();
    let second = script.joined(1);
    script.shutdown();
    script.all(&mut first);
    let dss = script.data_fin(0, 1);
    script.send(&mut first, seg().dss(dss));
    script.all(&mut first);
    script.send(&mut first, seg().fin());
    script.close();
    script.advance(Duration::from_secs(1));
    assert!(script.events.contains(&Event::Closed(None)), "{:?}", script.events);
    script.advance(Duration::from_secs(200));
    assert!(script.endpoint.info(script.id).is_none(), "{second:?} is still there");
    assert_eq!(script.endpoint.poll_timeout(), None);
}

/// The application closes with unread data: fast close, as Linux does (K37).
#[test]
fn closing_with_unread_data_is_an_abort() {
    let (mut script, mut flow) = server();
    let dss = script.map(&flow, 0, b"unread", 0);
    script.send(&mut flow, seg().data(b"unread").dss(dss));
    script.close();
    let last = script.all(&mut flow).pop().expect("MP_FASTCLOSE");
    assert!(is_fast_close(&last), "{last:?}");
    script.send(&mut flow, seg().rst());
    assert!(script.endpoint.info(script.id).is_none());
}

/// Not the end of the data, but of the connection.
fn is_fast_close(packet: &Packet) -> bool {
    let said = packet.signals().iter().any(|o| matches!(o, MptcpOption::FastClose(_)));
    said && !packet.is_lone_data_fin() && !packet.header.flags.fin
}

/// Data that arrives after the application closed cannot be delivered: RFC 1122 4.2.2.13 wants the peer to know.
#[test]
fn data_after_close_is_answered_with_an_abort() {
    let (mut script, mut flow) = server();
    script.close();
    script.all(&mut flow);
    let dss = script.map(&flow, 0, b"too late", 0);
    script.send(&mut flow, seg().data(b"too late").dss(dss));
    let last = script.all(&mut flow).pop().expect("MP_FASTCLOSE");
    assert!(is_fast_close(&last), "{last:?}");
}

/// Every way out before the handshake is done.
#[test]
fn closing_and_aborting_before_the_handshake_is_done() {
    for abort in [false, true] {
        let mut script = Script::client(config(), 1);
        let (mut flow, _) = script.next_syn().expect("a SYN");
        if abort {
            script.abort()
        } else {
            script.close()
        }
        script.send(&mut flow, seg().syn());
        assert!(script.next(&mut flow).header.flags.rst, "nobody waits for it any more");
        script.close();
        assert!(script.endpoint.info(script.id).is_none());
        assert_eq!(script.endpoint.poll_timeout(), None);
    }
}

/// The SYN/ACK of a client that gave up: the listener's backlog has its place back.
#[test]
fn a_client_that_resets_during_the_handshake_frees_the_backlog() {
    let mut script = Script::server(config());
    for port in 0..20 {
        let mut flow = script.open(PLAIN_FLAGS);
        script.send(&mut flow, seg().rst());
        assert!(script.try_next(&mut flow).is_none(), "{port}");
    }
    assert_eq!(script.endpoint.counters().listen_drops, 0);
    script.serve();
}

/// Writing after the end was announced is refused, before and after everything is over.
#[test]
fn writing_after_shutdown_is_refused() {
    let (mut script, mut flow) = server();
    script.shutdown();
    let shut = Err(mpuser_engine::error::WriteError::Shutdown);
    assert_eq!(script.endpoint.write(script.now, script.id, b"x"), shut);
    script.all(&mut flow);
    let dss = script.data_fin(0, 1);
    script.send(&mut flow, seg().dss(dss));
    script.all(&mut flow);
    script.send(&mut flow, seg().fin());
    assert_eq!(script.endpoint.write(script.now, script.id, b"x"), shut);
}

/// RFC 9293 3.6.1: a SYN that is surely younger opens a connection where one is in TIME-WAIT.
#[test]
fn a_new_syn_ends_time_wait() {
    let (mut script, mut flow) = server();
    script.shutdown();
    script.all(&mut flow);
    let dss = script.data_fin(0, 1);
    script.send(&mut flow, seg().dss(dss));
    script.all(&mut flow);
    script.send(&mut flow, seg().fin());
    script.all(&mut flow);
    assert_eq!(script.info().subflows[0].state, "TIME-WAIT");
    script.close();
    let mut again = Flow::new(flow.tuple.local, flow.tuple.remote);
    again.iss = flow.iss + 1_000_000;
    let option = mpuser_engine::wire::MpCapable::Syn { version: 1, flags: PLAIN_FLAGS };
    script.send(
        &mut again,
        seg().syn().no_ack().option(mpuser_engine::wire::MptcpOption::Capable(option)),
    );
    let answer = script.next(&mut again);
    assert!(answer.header.flags.syn && !answer.is_plain(), "{answer:?}");
}
