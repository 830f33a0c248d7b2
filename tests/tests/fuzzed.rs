//! What the fuzzer has found in the engine, step by step; the inputs themselves are in `fuzz/corpus`.

use mpuser_engine::Event;
use mpuser_engine::addr::AddressId;
use mpuser_engine::config::{ConnectionConfig, Profile};
use mpuser_engine::seq::DataSeq;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpFail, MptcpOption, RemoveAddr};
use mpuser_tests::scripted::*;

/// Nobody answers any more, and nothing may be left.
fn leave(mut script: Script) {
    script.close();
    script.advance(Duration::from_secs(100));
    let left = script.endpoint.info(script.id);
    assert!(left.is_none(), "never forgotten: {left:#?}");
    assert_eq!(script.endpoint.poll_timeout(), None);
}

fn fail(seq: DataSeq) -> MptcpOption {
    MptcpOption::Fail(MpFail { data_seq: seq })
}

/// The server withdraws its only address before it has confirmed MPTCP: the connection ends, and its subflow, which
/// has said its FIN, waited for the server's for ever.
#[test]
fn a_spent_subflow_of_a_failed_connection_does_not_wait_for_ever() {
    // Linux asks nobody before it believes the withdrawal
    let mut script = Script::client(ConnectionConfig::of(Profile::Linux), 1);
    let mut flow = script.answer(PLAIN_FLAGS);
    let remove = RemoveAddr::from_ids(&[AddressId(0)]).expect("one");
    script.send(&mut flow, seg().option(MptcpOption::RemoveAddr(remove)));
    let fin = script.next(&mut flow);
    assert!(fin.header.flags.fin, "{fin:?}");
    script.send(&mut flow, seg());
    assert!(script.events.iter().any(|e| matches!(e, Event::Closed(Some(_)))));
    leave(script);
}

/// MP_FAIL, then an abort: data without a mapping made plain TCP of a connection that was over, and nobody repeated
/// MP_FASTCLOSE [FC-6] or gave up [FC-8].
#[test]
fn an_aborted_connection_does_not_fall_back() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    let mut flow = script.connect();
    let nothing = script.own_dsn(0);
    script.send(&mut flow, seg().option(fail(nothing)));
    script.abort();
    script.send(&mut flow, seg().data(b"plain"));
    assert!(!script.events.iter().any(|e| matches!(e, Event::Fallback(_))));
    leave(script);
}

/// The same when what was written and not sent would have gone out as plain TCP.
#[test]
fn what_an_aborted_connection_has_not_sent_stays_unsent() {
    let mut script = Script::server(ConnectionConfig::default());
    let mut flow = script.serve();
    script.write(&[7; 60_000]);
    script.abort();
    let una = script.own_dsn(0);
    script.send(&mut flow, seg().option(fail(una)));
    script.all(&mut flow);
    let dss = script.ack(14_000);
    script.send(&mut flow, seg().dss(dss));
    assert!(!script.events.iter().any(|e| matches!(e, Event::Fallback(_))));
    leave(script);
}

/// Nobody answered the client's first DATA_FINs, which it took for plain TCP. Then a mapping comes for data behind some that
/// took another path: as plain TCP they would be delivered in the place of those.
#[test]
fn data_mapped_elsewhere_is_not_delivered_after_a_silent_fallback() {
    for (at, delivered) in [(0, b"late".to_vec()), (1_174, Vec::new())] {
        let mut script = Script::client(ConnectionConfig::default(), 1);
        let mut flow = script.answer(PLAIN_FLAGS);
        script.shutdown();
        script.advance(Duration::from_secs(10));
        assert!(script.events.iter().any(|e| matches!(e, Event::Fallback(_))));
        let dss = script.map(&flow, at, b"late", 0);
        script.send(&mut flow, seg().dss(dss).data(b"late"));
        assert_eq!(script.read(), delivered, "mapped to {at}");
        let failed = script.events.iter().any(|e| matches!(e, Event::Closed(Some(_))));
        assert_eq!(failed, at != 0);
    }
}
