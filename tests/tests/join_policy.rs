//! Which joins are taken: identifiers, ports, limits, and connections without subflows (RFC 8684 3.2, 3.3.3).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::addr::{AddressId, SocketAddr};
use mpuser_engine::config::{Behaviour, ConnectionConfig, EndpointConfig, EndpointFlags, Limits};
use mpuser_engine::error::ResetReason;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpCapable, MpJoin, MpTcpRst, MptcpOption};
use mpuser_engine::{Event, PmEndpoint};
use mpuser_tests::scripted::*;

fn server_with(behaviour: Behaviour) -> (Script, Flow) {
    let config = ConnectionConfig { behaviour, ..ConnectionConfig::default() };
    let mut script = Script::server(config);
    let flow = script.serve();
    (script, flow)
}

fn server() -> (Script, Flow) {
    server_with(Behaviour::rfc())
}

/// A joining SYN to this address, and what is answered.
fn join_to(script: &mut Script, local: SocketAddr, index: u8) -> (Flow, Packet) {
    let remote = SocketAddr::new(peer_address(index), 42_000 + u16::from(index));
    let mut flow = Flow::new(local, remote);
    let (token, nonce) = (script.key.facts().token, PEER_NONCE);
    let join = MpJoin::Syn { backup: false, address_id: AddressId(index), token, nonce };
    script.send(&mut flow, seg().syn().no_ack().option(MptcpOption::Join(join)));
    let answer = script.next(&mut flow);
    (flow, answer)
}

fn reason(packet: &Packet) -> Option<ResetReason> {
    assert!(packet.header.flags.rst, "{packet:?}");
    packet.signals().iter().find_map(|signal| match signal {
        MptcpOption::TcpRst(MpTcpRst { reason, .. }) => Some(*reason),
        _ => None,
    })
}

/// Joins by port, as Linux has it.
fn by_port() -> Behaviour {
    Behaviour { join_any_port: false, ..Behaviour::rfc() }
}

const PROHIBITED: Option<ResetReason> = Some(ResetReason::AdministrativelyProhibited);

/// [JOIN-4] [ADDR-2], J17, J18: an identifier in use from another address is refused, 0 among them; the first entry
/// stays. From the same address it is another subflow. Linux takes them all (K19).
#[test]
fn identifiers_in_use_are_refused_from_other_addresses() {
    let (mut script, _) = server();
    script.joined(1);
    for id in [0, 1] {
        let (_, answer) = script.join_syn(3, AddressId(id), false);
        assert_eq!(reason(&answer), PROHIBITED);
    }
    assert_eq!(script.endpoint.counters().mp_join_rejected, 2);
    let (mut flow, _) = join_to(&mut script, SocketAddr::new(engine_address(0), PORT), 1);
    let nonce = script.info().subflows.last().map(|s| s.ids);
    assert_eq!(nonce, Some((AddressId(0), AddressId(1))), "same address, same number");
    script.all(&mut flow);

    let (mut script, _) = server_with(Behaviour { unique_join_ids: false, ..Behaviour::rfc() });
    script.joined(1);
    let (_, answer) = script.join_syn(3, AddressId(1), false);
    assert!(answer.header.flags.syn);
}

/// A translator may have moved the address: a subflow that has been silent does not keep its number.
#[test]
fn a_silent_subflow_does_not_keep_its_identifier() {
    let (mut script, _) = server();
    script.joined(1);
    script.advance(Duration::from_secs(11));
    let (_, answer) = script.join_syn(3, AddressId(1), false);
    assert!(answer.header.flags.syn && answer.header.ack.is_some(), "{answer:?}");
}

fn announced_port(script: &mut Script, port: u16) {
    let flags = EndpointFlags { signal: true, ..EndpointFlags::default() };
    let (address, id) = (engine_address(1), Some(AddressId(9)));
    let endpoint = PmEndpoint { address, id, port: Some(port), flags };
    script.endpoint.add_endpoint(script.now, endpoint).expect("good");
    script.pump();
}

/// [JOIN-17] [JOIN-18], J24: a join comes to an announced port, and has the identifier that was announced.
#[test]
fn a_join_to_an_announced_port() {
    for behaviour in [Behaviour::rfc(), by_port()] {
        let (mut script, _) = server_with(behaviour);
        announced_port(&mut script, 8_080);
        let local = SocketAddr::new(engine_address(1), 8_080);
        let (mut flow, answer) = join_to(&mut script, local, 1);
        let [MptcpOption::Join(MpJoin::SynAck { address_id, nonce, .. })] = answer.signals()[..]
        else {
            panic!("{answer:?}");
        };
        assert_eq!(address_id, AddressId(9));
        flow.nonce = Some(nonce);
        let option = script.join_ack(&flow);
        script.send(&mut flow, seg().option(option));
        assert_eq!(script.established().len(), 2);
        let counters = script.endpoint.counters();
        assert_eq!((counters.mp_join_port_syn_rx, counters.mp_join_port_ack_rx), (1, 1));
    }
}

/// (K42): nothing but joins is taken there.
#[test]
fn an_announced_port_takes_joins_only() {
    let (mut script, _) = server();
    announced_port(&mut script, 8_080);
    let local = SocketAddr::new(engine_address(1), 8_080);
    let capable = MptcpOption::Capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS });
    for (index, option) in [Some(capable), None].into_iter().enumerate() {
        let mut flow = Flow::new(local, SocketAddr::new(peer_address(5), 50_000 + index as u16));
        let mut syn = seg().syn().no_ack();
        if let Some(option) = option {
            syn = syn.option(option);
        }
        script.send(&mut flow, syn);
        assert_eq!(reason(&script.next(&mut flow)), PROHIBITED);
    }
    assert_eq!(script.endpoint.counters().mp_capable_endp_attempt, 2);
}

/// (K17) (K18), J24: as Linux does it, other ports are refused, with a reason where somebody listens.
#[test]
fn linux_takes_joins_on_announced_ports_only() {
    let (mut script, _) = server_with(by_port());
    let other = SocketAddr::new(engine_address(1), 9_999);
    let (_, answer) = join_to(&mut script, other, 1);
    assert_eq!(reason(&answer), None, "nobody listens there");
    script.endpoint.listen(ConnectionConfig::default(), other, 1).expect("free");
    let (_, answer) = join_to(&mut script, other, 2);
    assert_eq!(reason(&answer), PROHIBITED);
    assert_eq!(script.endpoint.counters().mismatch_port_syn_rx, 2);
}

/// J24: a port that was announced to one connection is none of another's.
#[test]
fn an_announcement_is_for_its_connection_only() {
    let (mut script, _) = server_with(by_port());
    let flags = EndpointFlags::default();
    announced_port(&mut script, 8_080);
    script.endpoint.change_endpoint(script.now, AddressId(9), flags).expect_err("it has a port");
    script.endpoint.delete_endpoint(script.now, AddressId(9)).expect("known");
    script.pump();
    let (_, answer) = join_to(&mut script, SocketAddr::new(engine_address(1), 8_080), 1);
    assert_eq!(reason(&answer), None, "withdrawn, and nobody listens");
}

/// J13, R03: the endpoint's limits hold for all connections, and can change while they live.
#[test]
fn limits_can_change() {
    let (mut script, _) = server();
    assert_eq!(script.endpoint.limits(), Limits { subflows: 8, add_addr_accepted: 8 });
    script.endpoint.set_limits(script.now, Limits { subflows: 1, add_addr_accepted: 0 });
    script.joined(1);
    let (_, answer) = script.join_syn(2, AddressId(2), false);
    assert_eq!(reason(&answer), PROHIBITED);
    script.endpoint.set_limits(script.now, Limits { subflows: 2, add_addr_accepted: 0 });
    script.joined(2);
    assert_eq!(script.established().len(), 3);
}

/// [FIN-9], J22, X15: break before make. The server keeps a connection without subflows for `close_timeout`; a join
/// within it, even with a known identifier from elsewhere, resumes it with what was not acknowledged.
#[test]
fn a_server_without_subflows_is_resumed_by_a_join() {
    for last in [true, false] {
        let (mut script, mut first) = server();
        script.write(b"unacknowledged");
        script.all(&mut first);
        let dss = script.ack(0);
        script.send(&mut first, if last { seg().rst() } else { seg().fin().dss(dss) });
        script.all(&mut first);
        if !last {
            script.send(&mut first, seg().dss(dss));
        }
        script.advance(Duration::from_secs(50));
        assert!(!script.events.iter().any(|e| matches!(e, Event::Closed(_))));
        let (mut flow, answer) = script.join_syn(4, AddressId(0), false);
        assert!(answer.header.flags.syn, "{last} {answer:?} {:?}", script.events);
        let option = script.join_ack(&flow);
        script.send(&mut flow, seg().option(option));
        let packets = script.all(&mut flow);
        let data = packets.iter().any(|p| p.payload.as_ref() == b"unacknowledged");
        assert!(data, "{packets:?}");
        script.advance(Duration::from_millis(100));
        let dss = script.map(&flow, 0, b"on", 14);
        script.send(&mut flow, seg().data(b"on").dss(dss));
        assert_eq!(script.read(), b"on");
    }
}

/// [FIN-9]: and not for longer.
#[test]
fn a_server_without_subflows_gives_up() {
    let (mut script, mut first) = server();
    script.send(&mut first, seg().rst());
    script.advance(Duration::from_secs(61));
    assert!(script.events.iter().any(|e| matches!(e, Event::Closed(Some(_)))));
    let (_, answer) = script.join_syn(4, AddressId(4), false);
    assert!(answer.header.flags.rst);
}

/// By hand, the server opens a subflow as well [JOIN-1] [INI-16], to any address and port.
#[test]
fn a_server_opens_a_subflow_by_hand() {
    let (mut script, _) = server();
    let remote = SocketAddr::new(peer_address(7), 5_555);
    let id = script.id;
    let subflow = script.endpoint.open_subflow(script.now, id, engine_address(1), remote);
    let flow = script.take_join();
    assert_eq!(flow.tuple.remote, remote);
    assert_eq!(script.established().last().copied(), subflow.ok());
    script.endpoint.close_subflow(script.now, id, subflow.expect("open")).expect("known");
    script.pump();
    assert_eq!(script.established().len(), 1);
}

/// [JOIN-4]: 0 is the address of the first subflow, whatever endpoints there are.
#[test]
fn an_address_without_an_endpoint_gets_an_identifier_of_its_own() {
    let endpoint = EndpointConfig { implicit_endpoints: false, ..EndpointConfig::default() };
    let mut script = Script::server_with(endpoint, ConnectionConfig::default());
    let _first = script.serve();
    let remote = SocketAddr::new(peer_address(7), 5_555);
    let opened = script.endpoint.open_subflow(script.now, script.id, engine_address(1), remote);
    assert!(opened.is_ok());
    let (_, syn) = script.next_syn().expect("a join");
    let signals = syn.signals();
    let [MptcpOption::Join(MpJoin::Syn { address_id, .. })] = signals[..] else {
        panic!("{signals:?}")
    };
    assert_ne!(address_id, AddressId(0));
}
