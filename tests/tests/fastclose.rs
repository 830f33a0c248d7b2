//! MP_FASTCLOSE, both directions (RFC 8684 3.5).

use mpuser_engine::Event;
use mpuser_engine::config::{Behaviour, ConnectionConfig, FastCloseForm};
use mpuser_engine::crypto::Key;
use mpuser_engine::error::{ConnectionError, ReadError, ResetReason, WriteError};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{FastClose, MpTcpRst, MptcpOption};
use mpuser_tests::scripted::*;

fn server() -> (Script, Flow, Flow) {
    let mut script = Script::server(ConnectionConfig::default());
    let first = script.serve();
    let second = script.joined(1);
    (script, first, second)
}

fn fast_close(receiver_key: Key) -> MptcpOption {
    MptcpOption::FastClose(FastClose { receiver_key })
}

fn unspecified() -> MptcpOption {
    MptcpOption::TcpRst(MpTcpRst { transient: false, reason: ResetReason::Unspecified })
}

/// [FC-1] [FC-2] [FC-3] (K37): on a RST or on an ACK; the other subflows are reset.
#[test]
fn the_right_key_ends_the_connection() {
    for rst in [true, false] {
        let (mut script, mut first, mut second) = server();
        let option = fast_close(script.key);
        let mut segment = seg().option(option);
        if rst {
            segment = segment.rst();
        }
        script.send(&mut first, segment);
        assert!(script.events.contains(&Event::Closed(Some(ConnectionError::FastClosed))));
        let answer = script.next(&mut second);
        assert!(answer.header.flags.rst);
        assert_eq!(answer.signals(), [unspecified()]);
        assert_eq!(script.try_next(&mut first).is_some(), !rst, "a RST is not answered");
        let gone = ConnectionError::FastClosed;
        let write = script.endpoint.write(script.now, script.id, b"x");
        assert_eq!(write, Err(WriteError::Closed(gone)));
        let read = script.endpoint.read_chunk(script.now, script.id, 1);
        assert_eq!(read, Err(ReadError::Closed(gone)));
        script.close();
        assert!(script.endpoint.info(script.id).is_none());
        assert_eq!(script.endpoint.poll_timeout(), None);
    }
}

/// [FC-1]: a wrong key is ignored; on a RST what remains is a plain RST of that subflow.
#[test]
fn a_wrong_key_is_ignored() {
    let (mut script, mut first, _) = server();
    let wrong = fast_close(Key(script.key.0 ^ 1));
    script.send(&mut first, seg().option(wrong));
    assert_eq!(script.established().len(), 2);
    script.send(&mut first, seg().option(fast_close(PEER_KEY)));
    assert_eq!(script.established().len(), 2);
    script.send(&mut first, seg().rst().option(wrong));
    assert_eq!(script.established().len(), 1);
    assert!(!script.events.iter().any(|e| matches!(e, Event::Closed(_))));
}

/// [OPT-6]: a RST outside the window does nothing, whatever it carries.
#[test]
fn an_unacceptable_segment_closes_nothing() {
    let (mut script, mut first, _) = server();
    let option = fast_close(script.key);
    script.send(&mut first, seg().rst().at(1 << 30).option(option));
    assert_eq!(script.established().len(), 2);
}

/// What arrived before can still be read.
#[test]
fn data_before_the_fast_close_is_readable() {
    let (mut script, mut first, _) = server();
    let dss = script.map(&first, 0, b"last words", 0);
    script.send(&mut first, seg().data(b"last words").dss(dss));
    let option = fast_close(script.key);
    script.send(&mut first, seg().rst().option(option));
    assert_eq!(script.read(), b"last words");
}

/// [FC-3] (K37): option R is RST, MP_FASTCLOSE with the peer's key and MP_TCPRST on every subflow.
#[test]
fn an_abort_by_resets() {
    let behaviour = Behaviour { fast_close: FastCloseForm::Reset, ..Behaviour::rfc() };
    let mut script = Script::server(ConnectionConfig { behaviour, ..Default::default() });
    let (mut first, mut second) = (script.serve(), script.joined(1));
    script.write(b"whatever");
    script.all(&mut first);
    script.all(&mut second);
    script.abort();
    for flow in [&mut first, &mut second] {
        let rst = script.next(flow);
        assert!(rst.header.flags.rst);
        assert_eq!(rst.signals(), [fast_close(PEER_KEY), unspecified()]);
    }
    assert!(script.events.contains(&Event::Closed(Some(ConnectionError::Aborted))));
    script.assert_silent();
    let counters = script.endpoint.counters();
    assert_eq!((counters.mp_fastclose_tx, counters.mp_rst_tx), (2, 2));
    script.close();
    assert!(script.endpoint.info(script.id).is_none());
}

/// Aborts, and takes what goes out at once: an ACK with MP_FASTCLOSE on the first subflow, a RST on the second.
fn abort(script: &mut Script, first: &mut Flow, second: &mut Flow) {
    script.abort();
    assert!(script.events.contains(&Event::Closed(Some(ConnectionError::Aborted))));
    let rst = script.next(second);
    assert!(rst.header.flags.rst);
    assert_eq!(rst.signals(), [unspecified()], "[FC-2]: a regular RST");
    assert_fast_close(&script.next(first));
    script.close();
}

fn assert_fast_close(packet: &Packet) {
    let flags = packet.header.flags;
    assert!(!flags.rst && !flags.fin && packet.payload.is_empty(), "{packet:?}");
    assert_eq!(packet.signals(), [fast_close(PEER_KEY)]);
}

/// [FC-2]: option A; the peer's RST ends it, and nothing is left.
#[test]
fn an_abort_by_ack() {
    let (mut script, mut first, mut second) = server();
    abort(&mut script, &mut first, &mut second);
    assert!(script.endpoint.info(script.id).is_some(), "FASTCLOSE_WAIT");
    script.send(&mut first, seg().rst());
    assert!(script.endpoint.info(script.id).is_none());
    assert_eq!(script.endpoint.poll_timeout(), None, "a timer was left behind");
    script.assert_silent();
    assert_eq!(script.endpoint.counters().mp_fastclose_tx, 1);
}

/// [FC-5] [FC-6] [FC-7] [FC-8]: nobody answers: one RTO apart, three retransmissions, then a RST with MP_FASTCLOSE.
#[test]
fn an_abort_that_nobody_answers() {
    let (mut script, mut first, mut second) = server();
    let rto = script.info().subflows[0].rto;
    abort(&mut script, &mut first, &mut second);
    for _ in 0..3 {
        let before = script.now;
        let again = script.wait(&mut first, Duration::from_secs(3)).expect("[FC-5]");
        assert_eq!(script.now.saturating_since(before), rto);
        assert_fast_close(&again);
    }
    let last = script.wait(&mut first, Duration::from_secs(3)).expect("[FC-8]");
    assert!(last.header.flags.rst);
    assert_eq!(last.signals(), [fast_close(PEER_KEY), unspecified()]);
    assert!(script.endpoint.info(script.id).is_none());
    assert_eq!(script.endpoint.poll_timeout(), None, "a timer was left behind");
    assert_eq!(script.endpoint.counters().mp_fastclose_tx, 5);
}

/// [FC-4]: both ends at once. A RST answers the peer's MP_FASTCLOSE, and that is all.
#[test]
fn two_aborts_cross() {
    let (mut script, mut first, mut second) = server();
    abort(&mut script, &mut first, &mut second);
    script.send(&mut first, seg().option(fast_close(Key(script.key.0 ^ 1))));
    assert!(script.all(&mut first).iter().all(|p| !p.header.flags.rst), "[FC-1]: a wrong key");
    let option = fast_close(script.key);
    script.send(&mut first, seg().option(option));
    let last = script.all(&mut first).pop().expect("an answer");
    assert!(last.header.flags.rst);
    assert_eq!(last.signals(), [unspecified()]);
    assert!(script.endpoint.info(script.id).is_none());
    assert_eq!(script.endpoint.poll_timeout(), None);
}

/// In FASTCLOSE_WAIT the peer may still be sending; it is told again, and nobody reads it.
#[test]
fn data_in_fastclose_wait_is_nobodys() {
    let (mut script, mut first, mut second) = server();
    abort(&mut script, &mut first, &mut second);
    let dss = script.map(&first, 0, b"too late", 0);
    script.send(&mut first, seg().data(b"too late").dss(dss));
    script.advance(Duration::from_millis(50));
    assert_fast_close(&script.next(&mut first));
    let dss = script.data_fin(8, 0);
    script.send(&mut first, seg().fin().dss(dss));
    assert_fast_close(&script.next(&mut first));
    script.send(&mut first, seg().rst());
    assert!(script.endpoint.info(script.id).is_none());
}

/// A subflow whose handshake is under way gets no MP_FASTCLOSE.
#[test]
fn an_abort_during_a_join() {
    let (mut script, mut first, _) = server();
    let (mut third, _) = script.join_syn(2, mpuser_engine::addr::AddressId(2), false);
    script.abort();
    let rst = script.next(&mut third);
    assert!(rst.header.flags.rst);
    assert!(rst.signals().iter().all(|o| !matches!(o, MptcpOption::FastClose(_))));
    assert_fast_close(&script.next(&mut first));
}

/// Before the server has confirmed, an ACK with nothing but MP_FASTCLOSE could be its third packet (K5): a RST.
#[test]
fn an_abort_before_the_peer_confirmed() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.abort();
    let rst = script.next(&mut flow);
    assert!(rst.header.flags.rst);
    assert_eq!(rst.signals(), [fast_close(PEER_KEY), unspecified()]);
    script.close();
    assert_eq!(script.endpoint.poll_timeout(), None);
}
