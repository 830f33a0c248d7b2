//! More SYNs than anybody wants to keep: answers without state, and good clients among them (RFC 4987, RFC 8684 3.1).
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use mpuser_engine::addr::{IpAddr, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::crypto::Key;
use mpuser_engine::error::FallbackReason;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpCapable, MptcpOption};
use mpuser_tests::scripted::*;

fn capable(option: MpCapable) -> MptcpOption {
    MptcpOption::Capable(option)
}

/// A server that keeps nothing of any SYN.
fn forgetful() -> Script {
    let endpoint = EndpointConfig { max_half_open: 0, ..EndpointConfig::default() };
    Script::server_with(endpoint, ConnectionConfig::default())
}

fn flow_from(remote: SocketAddr) -> Flow {
    Flow::new(SocketAddr::new(engine_address(0), PORT), remote)
}

fn client(index: u8) -> Flow {
    flow_from(SocketAddr::new(peer_address(index), 40_000))
}

/// The options of Linux' SYN, with MP_CAPABLE.
fn syn() -> Seg {
    let option = capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS });
    seg().syn().no_ack().sack_permitted().stamp(5_000, 0).scale(7).option(option)
}

/// The server's key and its TSval.
fn answered(script: &mut Script, flow: &mut Flow) -> (Key, u32) {
    let answer = script.next(flow);
    assert!(answer.header.flags.syn && answer.header.ack.is_some());
    let [MptcpOption::Capable(MpCapable::SynAck { sender_key, .. })] = answer.signals()[..] else {
        panic!("{answer:?}");
    };
    (sender_key, answer.options.timestamps.expect("offered").value)
}

fn third(key: Key, echo: u32) -> Seg {
    let (sender_key, receiver_key) = (PEER_KEY, key);
    let ack = MpCapable::Ack { version: 1, flags: PLAIN_FLAGS, sender_key, receiver_key };
    seg().stamp(5_001, echo).option(capable(ack))
}

/// [INI-10] (K9): the third packet brings everything back: MPTCP, window scale, SACK, MSS; a join works as ever.
#[test]
fn the_third_packet_is_enough() {
    let mut script = forgetful();
    let mut flow = client(0);
    script.send(&mut flow, syn().mss(1_380));
    let (key, echo) = answered(&mut script, &mut flow);
    assert_eq!(script.endpoint.connection_count(), 0, "nothing is kept");
    script.key = key;
    script.send(&mut flow, third(key, echo));
    let dss = script.next(&mut flow);
    assert_eq!(dss.data_ack(), Some(script.dsn(0)));
    script.accept();
    assert!(script.info().mptcp);
    assert_eq!(script.info().subflows[0].mss, 1_360 - 12, "rounded down, less timestamps");
    script.write(&[1; 60_000]);
    let first = script.next(&mut flow);
    assert_eq!(
        first.mapping().expect("a DSS").data_seq.expand(script.own_dsn(0)),
        script.own_dsn(0)
    );
    let counters = script.endpoint.counters();
    assert_eq!((counters.syncookies_sent, counters.syncookies_recv), (1, 1));
    assert_eq!((counters.mp_capable_syn_rx, counters.mp_capable_ack_rx), (1, 1));
    script.forget_emitted();
    script.joined(1);
    assert_eq!(script.established().len(), 2);
}

/// H03: the third ACK is lost, and the data that repeats its keys arrives.
#[test]
fn first_data_is_enough() {
    let mut script = forgetful();
    let mut flow = client(0);
    script.send(&mut flow, syn());
    let (receiver_key, echo) = answered(&mut script, &mut flow);
    script.key = receiver_key;
    let option = capable(MpCapable::AckData {
        version: 1,
        flags: CHECKSUM_FLAGS,
        sender_key: PEER_KEY,
        receiver_key,
        data_len: 5,
        checksum: script_checksum(&mut script, &flow),
    });
    script.send(&mut flow, seg().stamp(5_001, echo).data(b"hello").option(option));
    script.accept();
    assert!(script.info().mptcp && script.info().csum_enabled, "A of the third packet counts");
    assert_eq!(script.read(), b"hello");
}

fn script_checksum(script: &mut Script, flow: &Flow) -> Option<u16> {
    script.checksum = true;
    script.map(flow, 0, b"hello", 0).mapping.expect("a mapping").checksum
}

/// H17 [INI-35] (K7): a key that was never given out, or none: plain TCP. Linux would believe any.
#[test]
fn a_wrong_echo_is_plain_tcp() {
    let other = |echo| third(Key(77), echo);
    let none = |echo| seg().stamp(5_001, echo);
    let cases = [
        (&other as &dyn Fn(u32) -> Seg, FallbackReason::NotUnderstood),
        (&none, FallbackReason::AckWithoutCapable),
    ];
    for (answer, reason) in cases {
        let mut script = forgetful();
        let mut flow = client(0);
        script.send(&mut flow, syn());
        let (_, echo) = answered(&mut script, &mut flow);
        script.send(&mut flow, answer(echo).data(b"GET"));
        script.accept();
        assert_eq!(script.info().fallback, Some(reason));
        script.all(&mut flow);
        assert_eq!(script.read(), b"GET");
        script.write(b"200");
        assert!(script.next(&mut flow).is_plain());
    }
}

/// [INI-10] [INI-11]: the key is unique when it is sent, and when it comes back; a connection that got it meanwhile
/// keeps it.
#[test]
fn a_key_is_used_once() {
    let mut script = forgetful();
    let mut flow = client(0);
    script.send(&mut flow, syn());
    let (key, echo) = answered(&mut script, &mut flow);
    script.send(&mut flow, third(key, echo));
    script.accept();
    // The client crashed: a RST ends the subflow, the connection may be resumed for a while. The same SYN again
    // gets another key, while the first is in use.
    script.send(&mut flow, seg().stamp(5_002, echo).rst());
    assert!(script.established().is_empty());
    script.forget_emitted();
    let mut again = client(0);
    script.send(&mut again, syn());
    let (second, _) = answered(&mut script, &mut again);
    assert_ne!(key, second);
    assert_eq!(script.endpoint.counters().mp_fallback_token_init, 0);
}

/// The client sends its SYN again, the answer is the same; a third packet that comes too late is refused.
#[test]
fn a_repeated_syn_has_the_same_answer_and_a_late_third_packet_none() {
    let mut script = forgetful();
    let mut flow = client(0);
    script.send(&mut flow, syn());
    let (key, _) = answered(&mut script, &mut flow);
    let isn = flow.irs;
    script.advance(Duration::from_secs(1));
    let mut again = client(0);
    script.send(&mut again, syn());
    let (same, echo) = answered(&mut script, &mut again);
    assert_eq!((key, isn), (same, again.irs));
    script.advance(Duration::from_secs(128));
    script.send(&mut again, third(key, echo));
    assert!(script.next(&mut again).header.flags.rst);
    assert_eq!(script.endpoint.connection_count(), 0);
}

/// Without timestamps there is no place for window scale and SACK: they are not agreed on (K9).
#[test]
fn without_timestamps_less_is_agreed_on() {
    let mut script = forgetful();
    let mut flow = client(0);
    let option = capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS });
    script.send(&mut flow, seg().syn().no_ack().sack_permitted().scale(7).option(option));
    let answer = script.next(&mut flow);
    assert_eq!((answer.options.window_scale, answer.options.sack_permitted), (None, false));
    assert!(answer.options.timestamps.is_none() && answer.options.mss.is_some());
    assert_eq!(answer.signals().len(), 1);
}

/// T30 R05: 100 000 SYNs from everywhere. Memory stays bounded, and a good client gets through, with MPTCP.
#[test]
fn a_good_client_gets_through_a_flood() {
    let limit = EndpointConfig::default().max_half_open;
    let mut script = Script::server(ConnectionConfig::default());
    let mut rng = Rng::from_seed([3; 32]);
    let mut good = client(0);
    let mut echo = 0;
    for n in 0_u32..100_000 {
        let from = IpAddr::from((rng.next_u32() & 0x3fff_ffff | 0x4000_0000).to_be_bytes());
        let mut flow = flow_from(SocketAddr::new(from, 1 + (n % 60_000) as u16));
        script.send(&mut flow, syn());
        script.forget_emitted();
        if n % 100 == 0 {
            script.advance(Duration::from_millis(1));
            script.forget_emitted();
            assert!(script.endpoint.connection_count() <= limit);
        }
        if n == 50_000 {
            script.send(&mut good, syn());
            (script.key, echo) = answered(&mut script, &mut good);
        }
        if n == 70_000 {
            let key = script.key;
            script.send(&mut good, third(key, echo));
        }
    }
    script.accept();
    assert!(script.info().mptcp);
    script.forget_emitted();
    let dss = script.map(&good, 0, b"good", 0);
    script.send(&mut good, seg().stamp(5_002, echo).data(b"good").dss(dss));
    assert_eq!(script.read(), b"good");
    let sent = script.endpoint.counters().syncookies_sent;
    assert!(sent > 90_000, "{sent}");
    script.advance(Duration::from_secs(200));
    assert_eq!(script.endpoint.connection_count(), 1, "the flood has drained away");
}

/// Segments that guess at the numbers of an answer get a RST, and no connection.
#[test]
fn guesses_are_refused() {
    let mut script = forgetful();
    let mut flow = client(0);
    script.send(&mut flow, syn());
    script.forget_emitted();
    for guess in 0..500 {
        script.send(&mut flow, seg().at(guess * 7).acking(guess * 77_777));
    }
    assert_eq!(script.endpoint.counters().syncookies_failed, 500);
    assert_eq!(script.endpoint.connection_count(), 0);
    assert!(script.all(&mut flow).iter().all(|p| p.header.flags.rst));
}
