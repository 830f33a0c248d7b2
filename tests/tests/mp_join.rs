//! MP_JOIN on the wire, both roles (RFC 8684 3.2).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::addr::{AddressId, SocketAddr};
use mpuser_engine::config::{Behaviour, ConnectionConfig};
use mpuser_engine::crypto::{Token, join_hmac};
use mpuser_engine::error::ResetReason;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpJoin, MpTcpRst, MptcpOption};
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

/// A client with two addresses whose second subflow's SYN is waiting.
fn client() -> (Script, Flow, Flow, Packet) {
    let mut script = Script::client(config(), 2);
    let first = script.connect();
    script.advance(Duration::from_millis(300));
    let (flow, syn) = script.next_syn().expect("a join");
    (script, first, flow, syn)
}

fn assert_reset(packet: &Packet, reason: ResetReason) {
    assert!(packet.header.flags.rst, "{packet:?}");
    let rst = MptcpOption::TcpRst(MpTcpRst { transient: false, reason });
    assert_eq!(packet.signals(), [rst]);
}

/// [JOIN-5] [JOIN-8] [JOIN-11] [OPT-8]: nonce and HMAC on the SYN/ACK, a plain ACK for the third packet.
#[test]
fn server_takes_a_join() {
    let (mut script, _) = server();
    let (mut flow, answer) = script.join_syn(1, AddressId(3), true);
    let [MptcpOption::Join(MpJoin::SynAck { backup, address_id, hmac, nonce })] =
        answer.signals()[..]
    else {
        panic!("{answer:?}");
    };
    let expected = join_hmac(script.key, PEER_KEY, nonce, PEER_NONCE).leftmost64();
    assert_eq!((backup, address_id, hmac), (false, AddressId(0), expected));
    let option = script.join_ack(&flow);
    script.send(&mut flow, seg().option(option));
    let fourth = script.next(&mut flow);
    assert!(fourth.payload.is_empty() && fourth.signals().is_empty());
    assert_eq!(fourth.data_ack(), Some(script.dsn(0)), "(K21)");
    let info = script.info();
    assert_eq!(info.subflows.len(), 2);
    assert_eq!(info.subflows[1].ids, (AddressId(0), AddressId(3)));
    assert!(info.subflows[1].backup, "B of the SYN is kept [PRIO-2]");
    assert_eq!(script.endpoint.counters().mp_join_ack_rx, 1);
}

/// [JOIN-17] [JOIN-18]: by token, whatever the address and port.
#[test]
fn server_finds_the_connection_by_token_on_any_port_and_address() {
    let (mut script, _) = server();
    let local = SocketAddr::new(engine_address(1), 9_999);
    let mut flow = Flow::new(local, SocketAddr::new(peer_address(0), 40_000));
    let (token, nonce) = (script.key.facts().token, PEER_NONCE);
    let join = MpJoin::Syn { backup: false, address_id: AddressId(9), token, nonce };
    script.send(&mut flow, seg().syn().no_ack().option(MptcpOption::Join(join)));
    let answer = script.next(&mut flow);
    let [MptcpOption::Join(MpJoin::SynAck { address_id, nonce, .. })] = answer.signals()[..] else {
        panic!("{answer:?}");
    };
    assert_eq!(address_id, AddressId(2), "the identifier of the address it came to");
    flow.nonce = Some(nonce);
    let option = script.join_ack(&flow);
    script.send(&mut flow, seg().option(option));
    assert_eq!(script.established().len(), 2);
}

/// [JOIN-6] [JOIN-7] (K18): RST and ACK with reason 1.
#[test]
fn server_refuses_an_unknown_token() {
    let (mut script, _) = server();
    let local = SocketAddr::new(engine_address(0), PORT);
    let mut flow = Flow::new(local, SocketAddr::new(peer_address(1), 41_000));
    let token = Token(script.key.facts().token.0 ^ 1);
    let join = MpJoin::Syn { backup: false, address_id: AddressId(1), token, nonce: PEER_NONCE };
    script.send(&mut flow, seg().syn().no_ack().option(MptcpOption::Join(join)));
    let answer = script.next(&mut flow);
    assert_reset(&answer, ResetReason::MptcpError);
    assert!(answer.header.ack.is_some() && answer.header.seq.0 == 0);
    assert_eq!(script.endpoint.counters().mp_join_no_token_found, 1);
}

/// [JOIN-6]: the limit.
#[test]
fn server_refuses_beyond_its_limit() {
    let mut script = Script::server(ConnectionConfig { max_extra_subflows: 1, ..config() });
    script.serve();
    script.joined(1);
    let (_, answer) = script.join_syn(2, AddressId(2), false);
    assert_reset(&answer, ResetReason::AdministrativelyProhibited);
    assert_eq!(script.endpoint.counters().mp_join_rejected, 1);
}

/// [JOIN-14] [SEC-5]: a wrong HMAC ends the subflow, and what came with it counts for nothing.
#[test]
fn server_resets_a_join_with_a_wrong_hmac_and_takes_nothing_of_it() {
    let (mut script, _) = server();
    let (mut flow, _) = script.join_syn(1, AddressId(1), false);
    let option = MptcpOption::Join(MpJoin::Ack { hmac: [0; 20] });
    script.send(&mut flow, seg().option(option));
    assert_reset(&script.next(&mut flow), ResetReason::MptcpError);
    assert_eq!(script.endpoint.counters().mp_join_ack_hmac_failure, 1);
    assert_eq!(script.established().len(), 1);

    // No MP_JOIN at all, but a valid mapping: an attacker who saw the token could send this.
    let (mut flow, _) = script.join_syn(2, AddressId(2), false);
    let dss = script.map(&flow, 0, b"evil", 0);
    script.send(&mut flow, seg().data(b"evil").dss(dss));
    assert_reset(&script.next(&mut flow), ResetReason::MptcpError);
    assert_eq!(script.read(), b"");
    assert_eq!(script.info().bytes_received, 0);

    // Likewise on the client's side: a SYN/ACK without MP_JOIN, with data.
    let (mut script, _, mut flow, _) = client();
    flow.seen = 0;
    let dss = script.map(&flow, 0, b"evil", 0);
    script.send(&mut flow, seg().syn().dss(dss));
    assert_reset(&script.next(&mut flow), ResetReason::MptcpError);
    assert_eq!(script.info().bytes_received, 0);
}

/// [JOIN-14]: data before the third ACK (K18).
#[test]
fn server_resets_a_join_whose_third_packet_has_no_option() {
    let (mut script, mut first) = server();
    let (mut flow, _) = script.join_syn(1, AddressId(1), false);
    script.send(&mut flow, seg());
    assert_reset(&script.next(&mut flow), ResetReason::MptcpError);
    // [JOIN-19]: the connection does not mind.
    let dss = script.map(&first, 0, b"abc", 0);
    script.send(&mut first, seg().data(b"abc").dss(dss));
    assert_eq!(script.read(), b"abc");
}

/// [JOIN-1] [JOIN-8] [JOIN-10]: the client's three packets, and no data before the fourth.
#[test]
fn client_joins() {
    let (mut script, _, mut flow, syn) = client();
    let [MptcpOption::Join(MpJoin::Syn { backup, address_id, token, nonce })] = syn.signals()[..]
    else {
        panic!("{syn:?}");
    };
    assert_eq!((backup, address_id, token), (false, AddressId(2), PEER_KEY.facts().token));
    assert_eq!(syn.tuple.local.ip(), engine_address(1));
    assert_eq!(syn.tuple.remote, SocketAddr::new(peer_address(0), PORT), "[HEU-2]");
    assert_eq!(syn.tuple.local.port(), script.info().subflows[0].tuple.local.port(), "[HEU-3]");
    let option = script.join_answer(&syn, AddressId(0));
    script.send(&mut flow, seg().syn().option(option));
    let third = script.next(&mut flow);
    let hmac = join_hmac(script.key, PEER_KEY, nonce, PEER_NONCE).leftmost160();
    assert_eq!(third.signals(), [MptcpOption::Join(MpJoin::Ack { hmac })]);
    assert!(third.options.dss.is_none());
    script.write(&[1; 100_000]);
    assert!(script.try_next(&mut flow).is_none(), "no data before the fourth ACK");
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    let data = script.wait(&mut flow, Duration::from_millis(20)).expect("data");
    assert!(!data.payload.is_empty() && data.mapping().is_some());
}

/// (K46): where data is on its way over another subflow, a new one rests first.
#[test]
fn client_rests_before_data_on_a_join() {
    let usual = Behaviour::default();
    let none = Behaviour { settle_joins: Duration::ZERO, ..usual };
    for (behaviour, busy) in [(usual, true), (usual, false), (none, true)] {
        let mut script = Script::client(ConnectionConfig { behaviour, ..config() }, 2);
        let _first = script.connect();
        script.advance(Duration::from_millis(300));
        if busy {
            script.write(&[1; 50_000]);
        }
        let mut flow = script.take_join();
        if !busy {
            script.write(&[1; 50_000]);
        }
        let rests = busy && behaviour.settle_joins > Duration::ZERO;
        script.advance(Duration::from_millis(19));
        assert_eq!(script.try_next(&mut flow).is_none(), rests, "busy: {busy}");
        let data = script.wait(&mut flow, Duration::from_millis(1));
        assert!(!rests || data.is_some_and(|data| data.mapping().is_some()));
    }
}

/// (K46): nobody reads what is acknowledged already.
#[test]
fn a_join_need_not_rest_when_all_is_acknowledged() {
    let mut script = Script::client(config(), 2);
    let mut first = script.connect();
    script.advance(Duration::from_millis(300));
    script.write(&[1; 1_000]);
    let mut flow = script.take_join();
    let dss = script.ack(1_000);
    script.send(&mut first, seg().dss(dss));
    script.write(&[1; 50_000]);
    assert!(script.try_next(&mut flow).is_some_and(|data| data.mapping().is_some()));
}

/// [JOIN-9]: the third ACK is repeated until it is answered, and not for ever.
#[test]
fn client_repeats_its_third_ack() {
    let (mut script, _, mut flow, syn) = client();
    let option = script.join_answer(&syn, AddressId(0));
    script.send(&mut flow, seg().syn().option(option));
    let third = script.next(&mut flow);
    for _ in 0..3 {
        let again = script.wait(&mut flow, Duration::from_secs(2)).expect("repeated");
        assert_eq!(again.signals(), third.signals());
    }
    script.advance(Duration::from_secs(60));
    let last = script.all(&mut flow).pop().expect("given up");
    assert!(last.header.flags.rst, "{last:?}");
    assert_eq!(script.established().len(), 1);
}

/// [JOIN-12] [JOIN-13] [JOIN-15] [JOIN-16] [JOIN-19] [HEU-9].
#[test]
fn client_resets_a_wrong_or_missing_answer() {
    for wrong in [true, false] {
        let (mut script, _, mut flow, syn) = client();
        let mut answer = seg().syn();
        if wrong {
            let MptcpOption::Join(MpJoin::SynAck { backup, address_id, nonce, .. }) =
                script.join_answer(&syn, AddressId(0))
            else {
                panic!();
            };
            let join = MpJoin::SynAck { backup, address_id, hmac: [9; 8], nonce };
            answer = answer.option(MptcpOption::Join(join));
        }
        script.send(&mut flow, answer);
        assert_reset(&script.next(&mut flow), ResetReason::MptcpError);
        let failures = script.endpoint.counters().mp_join_syn_ack_hmac_failure;
        assert_eq!(failures, u64::from(wrong));
        assert_eq!(script.established().len(), 1);
    }
}

/// (K18): the server's limit shows as a RST after the third ACK; the application is told the reason.
#[test]
fn client_hears_why_its_join_was_refused() {
    let (mut script, _, mut flow, syn) = client();
    let option = script.join_answer(&syn, AddressId(0));
    script.send(&mut flow, seg().syn().option(option));
    script.next(&mut flow);
    let reason = ResetReason::AdministrativelyProhibited;
    let rst = MptcpOption::TcpRst(MpTcpRst { transient: false, reason });
    script.send(&mut flow, seg().rst().option(rst));
    let told = script.events.iter().any(|event| {
        matches!(event, Event::SubflowClosed { cause: SubflowEnd::ResetByPeer(Some(r)), .. } if r.reason == reason)
    });
    assert!(told, "{:?}", script.events);
    // [RST-6]: no second attempt on this path.
    script.advance(Duration::from_secs(30));
    assert!(script.next_syn().is_none());
}

/// MP_CAPABLE with data on a joined subflow, where the first one is gone, is none of its business.
#[test]
fn capable_on_a_joined_subflow_maps_nothing() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    script.send(&mut first, seg().rst());
    let option = MptcpOption::Capable(mpuser_engine::wire::MpCapable::AckData {
        version: 1,
        flags: PLAIN_FLAGS,
        sender_key: PEER_KEY,
        receiver_key: script.key,
        data_len: 4,
        checksum: None,
    });
    script.send(&mut second, seg().data(b"evil").option(option));
    assert_eq!(script.read(), b"");
    // What no mapping covers is held for a while [DSS-14].
    let mut answers = std::iter::from_fn(|| script.wait(&mut second, Duration::from_secs(10)));
    let reset = answers.find(|packet| packet.header.flags.rst).expect("a reset");
    assert_reset(&reset, ResetReason::MiddleboxInterference);
    assert!(script.info().mptcp, "no fallback on a joined subflow");
}
