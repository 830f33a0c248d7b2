//! MP_FASTCLOSE, both directions (RFC 8684 3.5).

use mpuser_engine::Event;
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::crypto::Key;
use mpuser_engine::error::{ConnectionError, ReadError, ResetReason, WriteError};
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

/// [FC-3] (K37): an abort is RST, MP_FASTCLOSE with the peer's key and MP_TCPRST on every subflow.
#[test]
fn an_abort_is_a_fast_close_on_every_subflow() {
    let (mut script, mut first, mut second) = server();
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

/// A subflow whose handshake is under way gets no MP_FASTCLOSE.
#[test]
fn an_abort_during_a_join() {
    let (mut script, mut first, _) = server();
    let (mut third, _) = script.join_syn(2, mpuser_engine::addr::AddressId(2), false);
    script.abort();
    assert!(
        script.next(&mut third).signals().iter().all(|o| !matches!(o, MptcpOption::FastClose(_)))
    );
    assert!(script.next(&mut first).signals().contains(&fast_close(PEER_KEY)));
}
