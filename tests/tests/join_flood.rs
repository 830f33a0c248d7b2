//! Joins that are never finished, or that anybody can try: bounded, and good ones get through (RFC 8684 3.2, 5).

use mpuser_engine::addr::{AddressId, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::crypto::{Nonce, Token, join_hmac};
use mpuser_engine::error::ResetReason;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpJoin, MpTcpRst, MptcpOption};
use mpuser_tests::scripted::*;

fn server() -> Script {
    let mut script = Script::server(ConnectionConfig::default());
    script.serve();
    script
}

/// A joining SYN from port `port` of the peer's address 1, and what came back.
fn join_syn(script: &mut Script, port: u16, token: Token) -> (Flow, Packet) {
    let local = SocketAddr::new(engine_address(0), PORT);
    let mut flow = Flow::new(local, SocketAddr::new(peer_address(1), port));
    let join = MpJoin::Syn { backup: false, address_id: AddressId(1), token, nonce: PEER_NONCE };
    script.send(&mut flow, seg().syn().no_ack().option(MptcpOption::Join(join)));
    let answer = script.next(&mut flow);
    if let [MptcpOption::Join(MpJoin::SynAck { hmac, nonce, .. })] = answer.signals()[..] {
        let expected = join_hmac(script.key, PEER_KEY, nonce, PEER_NONCE).leftmost64();
        assert_eq!(hmac, expected, "proved with or without a socket [JOIN-5]");
        flow.nonce = Some(nonce);
    }
    (flow, answer)
}

fn refusal(packet: &Packet) -> Option<ResetReason> {
    match packet.signals()[..] {
        [MptcpOption::TcpRst(MpTcpRst { reason, .. })] if packet.header.flags.rst => Some(reason),
        _ => None,
    }
}

/// J14 R04 [SEC-1]: 300 joins with the right token, none of them finished; then a good one, and some of the 300 after
/// all.
#[test]
fn unfinished_joins_keep_nobody_out() {
    let mut script = server();
    let token = script.key.facts().token;
    let mut flows: Vec<Flow> =
        (0..300).map(|n| join_syn(&mut script, 10_000 + n, token).0).collect();
    assert!(flows.iter().all(|f| f.nonce.is_some()), "each was answered");
    let sockets = script.info().subflows.len();
    assert_eq!(sockets, 1 + 4, "four of one connection have a socket");
    let (mut good, _) = join_syn(&mut script, 9, token);
    script.advance(Duration::from_millis(50));
    let (mut last, mut first) = (flows.remove(299), flows.remove(0));
    for flow in [&mut good, &mut last, &mut first] {
        let option = script.join_ack(flow);
        script.forget_emitted();
        script.send(flow, seg().option(option));
        let fourth = script.next(flow);
        assert!(!fourth.header.flags.rst && fourth.data_ack().is_some(), "{fourth:?}");
    }
    assert_eq!(script.established().len(), 4);
    let counters = script.endpoint.counters();
    assert_eq!((counters.mp_join_syn_rx, counters.mp_join_ack_rx), (301, 3));
    // J12: the rest is given up in the end; what was in the table has left no trace.
    script.advance(Duration::from_secs(300));
    assert_eq!(script.established().len(), 4);
}

/// J14: the total over all connections.
#[test]
fn joins_are_limited_over_all_connections() {
    let endpoint = EndpointConfig { max_half_open_joins: 2, ..EndpointConfig::default() };
    let mut script = Script::server_with(endpoint, ConnectionConfig::default());
    script.serve();
    let token = script.key.facts().token;
    let mut flows: Vec<Flow> =
        (0..10).map(|n| join_syn(&mut script, 10_000 + n, token).0).collect();
    assert_eq!(script.info().subflows.len(), 1 + 2);
    for flow in &mut flows[..5] {
        let option = script.join_ack(flow);
        script.send(flow, seg().option(option));
    }
    assert_eq!(script.established().len(), 1 + 5);
}

/// J05 J06 J07 [JOIN-13] [JOIN-14] [SEC-5] [HEU-9]: without the proof nothing comes out of the table, and there is one guess.
#[test]
fn a_join_in_the_table_has_one_guess() {
    let endpoint = EndpointConfig { max_half_open_joins: 0, ..EndpointConfig::default() };
    let mut script = Script::server_with(endpoint, ConnectionConfig::default());
    script.serve();
    let token = script.key.facts().token;
    let guess = MptcpOption::Join(MpJoin::Ack { hmac: [7; 20] });
    for (port, wrong) in
        [(1_000, seg().option(guess)), (1_001, seg()), (1_002, seg().data(b"evil"))]
    {
        let (mut flow, _) = join_syn(&mut script, port, token);
        script.send(&mut flow, wrong);
        assert_eq!(refusal(&script.next(&mut flow)), Some(ResetReason::MptcpError));
        let option = script.join_ack(&flow);
        script.send(&mut flow, seg().option(option));
        assert!(script.next(&mut flow).header.flags.rst, "too late");
    }
    assert_eq!(script.established().len(), 1);
    assert_eq!(script.read(), b"");
    assert_eq!(script.endpoint.counters().mp_join_ack_hmac_failure, 1);
    assert_eq!(script.endpoint.connection_count(), 1);
}

/// J13 (K18): more joins than the limit were begun while there was room; those that finish too late hear reason 3.
#[test]
fn the_limit_is_checked_again_at_the_third_ack() {
    for sockets in [0, 256] {
        let endpoint = EndpointConfig { max_half_open_joins: sockets, ..EndpointConfig::default() };
        let config = ConnectionConfig { max_extra_subflows: 2, ..ConnectionConfig::default() };
        let mut script = Script::server_with(endpoint, config);
        script.serve();
        let token = script.key.facts().token;
        let mut flows: Vec<Flow> =
            (0..3).map(|n| join_syn(&mut script, 10_000 + n, token).0).collect();
        let mut answers = Vec::new();
        for flow in &mut flows {
            let option = script.join_ack(flow);
            script.send(flow, seg().option(option));
            answers.push(refusal(&script.next(flow)));
        }
        assert_eq!(answers, [None, None, Some(ResetReason::AdministrativelyProhibited)]);
        assert_eq!(script.endpoint.counters().mp_join_rejected, 1);
        let (_, answer) = join_syn(&mut script, 11_000, token);
        assert_eq!(refusal(&answer), Some(ResetReason::AdministrativelyProhibited));
    }
}

/// J15 R08 [JOIN-6]: random tokens leave nothing behind, and there is an end to the RSTs.
#[test]
fn guessed_tokens_cost_nothing() {
    let mut script = server();
    let token = script.key.facts().token.0;
    let mut answers = 0;
    for n in 1..=3_000_u32 {
        let local = SocketAddr::new(engine_address(0), PORT);
        let mut flow = Flow::new(local, SocketAddr::new(peer_address(1), 10_000 + n as u16));
        let (token, nonce) = (Token(token.wrapping_add(n)), Nonce(n));
        let join = MpJoin::Syn { backup: false, address_id: AddressId(1), token, nonce };
        script.send(&mut flow, seg().syn().no_ack().option(MptcpOption::Join(join)));
        answers += script.all(&mut flow).len();
    }
    assert!((750..=1_250).contains(&answers), "{answers} RSTs in one second");
    assert_eq!(script.endpoint.counters().mp_join_no_token_found, 3_000);
    assert_eq!(script.endpoint.counters().stateless_drop, 3_000 - answers as u64);
    assert_eq!(script.info().subflows.len(), 1);
}

/// J16 [SEC-1]: the same SYN from another port has another nonce; the very same SYN again has the same answer.
#[test]
fn nonces_are_fresh() {
    for sockets in [0, 256] {
        let endpoint = EndpointConfig { max_half_open_joins: sockets, ..EndpointConfig::default() };
        let mut script = Script::server_with(endpoint, ConnectionConfig::default());
        script.serve();
        let token = script.key.facts().token;
        let (first, _) = join_syn(&mut script, 1_000, token);
        let (other, _) = join_syn(&mut script, 1_001, token);
        assert_ne!(first.nonce, other.nonce);
        let (again, _) = join_syn(&mut script, 1_000, token);
        assert_eq!((first.nonce, first.irs), (again.nonce, again.irs));
    }
}

/// J02 J03 [JOIN-6]: a token of nobody, or of a connection whose third packet has not come.
#[test]
fn a_connection_is_joinable_once_its_third_packet_came() {
    let mut script = Script::server(ConnectionConfig::default());
    let mut first = script.open(PLAIN_FLAGS);
    let token = script.key.facts().token;
    let (_, answer) = join_syn(&mut script, 1_000, token);
    assert_eq!(refusal(&answer), Some(ResetReason::MptcpError));
    // J04: after it, before any data, it is.
    let option = script.capable_ack(PLAIN_FLAGS);
    script.send(&mut first, seg().option(option));
    script.all(&mut first);
    script.accept();
    let (mut flow, _) = join_syn(&mut script, 1_001, token);
    let option = script.join_ack(&flow);
    script.send(&mut flow, seg().option(option));
    assert_eq!(script.established().len(), 2);
}

/// J12: nobody finishes the join: the SYN/ACK is repeated, then the state is gone.
#[test]
fn an_unfinished_join_ends() {
    let mut script = server();
    let token = script.key.facts().token;
    let (mut flow, first) = join_syn(&mut script, 1_000, token);
    let mut times = Vec::new();
    while let Some(packet) = script.wait(&mut flow, Duration::from_secs(200)) {
        assert!(packet.header.flags.syn && packet.signals() == first.signals());
        times.push(packet.at.saturating_sub(first.at).as_millis());
    }
    assert_eq!(times, [1_000, 3_000, 7_000, 15_000, 31_000, 63_000]);
    assert_eq!(script.established().len(), 1);
    assert!(script.info().subflows.iter().all(|s| s.state == "ESTAB" || s.state == "CLOSED"));
}
