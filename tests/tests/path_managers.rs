//! The path managers by name, endpoint flags and limits: which subflows a client asks for (RFC 8684 3.9).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::{AddressId, IpAddr, Ipv4Addr, SocketAddr, SourceRoute};
use mpuser_engine::config::{ConnectionConfig, EndpointFlags, Limits, PathManagerKind};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{AddAddr, IpHeader, MpJoin, MptcpOption};
use mpuser_tests::scripted::*;

fn managed(path_manager: PathManagerKind) -> ConnectionConfig {
    ConnectionConfig { path_manager, ..ConnectionConfig::default() }
}

/// The joins asked for since the last call, repeated SYNs left out: local address, remote address and port.
fn joins(script: &mut Script) -> Vec<(IpAddr, SocketAddr)> {
    let mut seen = Vec::new();
    let syns: Vec<_> = std::iter::from_fn(|| script.next_syn()).collect();
    for (flow, _) in syns {
        if !seen.contains(&flow.tuple) {
            seen.push(flow.tuple);
        }
    }
    seen.into_iter().map(|tuple| (tuple.local.ip(), tuple.remote)).collect()
}

fn announce(script: &mut Script, flow: &mut Flow, index: u8) {
    announce_address(script, flow, index, peer_address(index));
}

fn announce_address(script: &mut Script, flow: &mut Flow, id: u8, address: IpAddr) {
    let add = MptcpOption::AddAddr(script.add_addr(id, address, None));
    script.send(flow, seg().option(add));
}

fn peer(index: u8) -> SocketAddr {
    SocketAddr::new(peer_address(index), PORT)
}

fn flags(words: &[&str]) -> EndpointFlags {
    let has = |word| words.contains(&word);
    EndpointFlags {
        signal: has("signal"),
        subflow: has("subflow"),
        backup: has("backup"),
        fullmesh: has("fullmesh"),
    }
}

fn add(script: &mut Script, index: u8, words: &[&str]) -> AddressId {
    let endpoint =
        PmEndpoint { address: engine_address(index), id: None, port: None, flags: flags(words) };
    script.endpoint.add_endpoint(script.now, endpoint).expect("good")
}

/// `default` opens nothing, announces nothing, and does not mind announcements.
#[test]
fn default_opens_nothing() {
    let mut script = Script::client(managed(PathManagerKind::Default), 3);
    add(&mut script, 1, &["signal"]);
    let mut flow = script.connect();
    announce(&mut script, &mut flow, 1);
    script.advance(Duration::from_secs(30));
    assert!(joins(&mut script).is_empty());
    let said: Vec<_> = script.all(&mut flow).iter().flat_map(Packet::signals).collect();
    assert!(matches!(said[..], [MptcpOption::AddAddr(AddAddr { echo: true, .. })]), "{said:?}");
}

/// Every pair, each once, the most useful first: limits cut off the end.
#[test]
fn fullmesh_opens_every_pair() {
    let mut script = Script::client(managed(PathManagerKind::Fullmesh), 3);
    let mut flow = script.connect();
    let mut made = joins(&mut script);
    announce(&mut script, &mut flow, 1);
    made.extend(joins(&mut script));
    assert_eq!(made.len(), 5, "{made:?}");
    announce(&mut script, &mut flow, 2);
    made.extend(joins(&mut script));
    assert_eq!(made.len(), 8, "nine pairs, one is the first subflow");
    let mut sorted = made.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 8, "each once");

    let config = ConnectionConfig { max_extra_subflows: 2, ..managed(PathManagerKind::Fullmesh) };
    let mut script = Script::client(config, 3);
    let mut flow = script.connect();
    script.endpoint.set_limits(script.now, Limits { subflows: 1, add_addr_accepted: 8 });
    joins(&mut script);
    announce(&mut script, &mut flow, 1);
    assert!(script.info().subflows.len() <= 3);
}

/// N subflows between the same addresses, told apart by their source ports.
#[test]
fn ndiffports_opens_n_subflows_on_one_pair() {
    for count in [1, 2, 5] {
        let mut script = Script::client(managed(PathManagerKind::Ndiffports(count)), 3);
        let flow = script.connect();
        let mut ports = vec![flow.tuple.local.port()];
        for (flow, syn) in std::iter::from_fn(|| script.next_syn()) {
            assert_eq!((syn.tuple.local.ip(), syn.tuple.remote), (engine_address(0), peer(0)));
            assert!(matches!(
                syn.signals()[..],
                [MptcpOption::Join(MpJoin::Syn { address_id: AddressId(0), .. })]
            ));
            ports.push(flow.tuple.local.port());
        }
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), usize::from(count));
    }
}

/// One subflow per local address, and one through each gateway, by the loose source route of RFC 791.
#[test]
fn binder_goes_through_its_gateways() {
    let gateway = |last| SourceRoute::new(&[Ipv4Addr::new(10, 9, 9, last)]).expect("one");
    let gateways = vec![gateway(1), gateway(2)];
    let config = ConnectionConfig { gateways, ..managed(PathManagerKind::Binder) };
    let mut script = Script::client(config, 2);
    // The script cannot read packets that are sent to a gateway; they are taken here.
    let mut flow = script.answer(PLAIN_FLAGS);
    script.send_only(&mut flow, seg().dss(script.ack(0)));
    let mut headers = Vec::new();
    let mut seen = Vec::new();
    while let Some(transmit) = script.endpoint.poll_transmit(script.now, &mut headers) {
        assert!(transmit.payload.is_empty());
        let ip = IpHeader::parse(&headers).expect("a good header");
        let last_of_route = headers.get(24..28).map(|b| IpAddr::from([b[0], b[1], b[2], b[3]]));
        seen.push((ip.src, ip.dst, ip.header_len, last_of_route));
    }
    let final_hop = Some(peer_address(0));
    for last in [1, 2] {
        let via = IpAddr::from([10, 9, 9, last]);
        assert!(seen.contains(&(engine_address(0), via, 28, final_hop)), "{seen:?}");
    }
    assert!(seen.iter().any(|s| (s.0, s.1) == (engine_address(1), peer_address(0)) && s.2 == 20));
}

/// The kernel's flags: `subflow` to the first address, `fullmesh` to all, `signal` to none; addresses without an
/// endpoint take part or not, as `join_from_local` says.
#[test]
fn endpoints_by_their_flags() {
    let config = ConnectionConfig { join_from_local: false, ..ConnectionConfig::default() };
    let mut script = Script::client(config, 4);
    add(&mut script, 1, &["subflow"]);
    add(&mut script, 2, &["signal"]);
    let mut flow = script.connect();
    script.advance(Duration::from_secs(1));
    assert_eq!(joins(&mut script), [(engine_address(1), peer(0))]);
    script.all(&mut flow);
    add(&mut script, 3, &["fullmesh", "backup"]);
    script.pump();
    let (_, syn) = script.next_syn().expect("a join from the new endpoint");
    assert_eq!((syn.tuple.local.ip(), syn.tuple.remote), (engine_address(3), peer(0)));
    assert!(matches!(syn.signals()[..], [MptcpOption::Join(MpJoin::Syn { backup: true, .. })]));
    announce(&mut script, &mut flow, 1);
    assert_eq!(joins(&mut script), [(engine_address(3), peer(1))]);
}

/// `add_addr_accepted` bounds the announced addresses that are joined; raising it joins more at once. All are echoed.
#[test]
fn the_limit_of_accepted_addresses() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    script.endpoint.set_limits(script.now, Limits { subflows: 8, add_addr_accepted: 0 });
    let mut flow = script.connect();
    for index in 1..4 {
        announce(&mut script, &mut flow, index);
    }
    script.advance(Duration::from_secs(1));
    assert!(joins(&mut script).is_empty());
    assert_eq!(script.endpoint.counters().echo_add_tx, 3);
    script.endpoint.set_limits(script.now, Limits { subflows: 8, add_addr_accepted: 2 });
    assert_eq!(joins(&mut script), [(engine_address(0), peer(1)), (engine_address(0), peer(2))]);
    script.endpoint.set_limits(script.now, Limits { subflows: 8, add_addr_accepted: 3 });
    assert_eq!(joins(&mut script), [(engine_address(0), peer(3))]);
}

/// A server obeys its endpoints, and nothing else: announcements of a client send it nowhere [SEC-2].
#[test]
fn a_server_obeys_its_endpoints_only() {
    let mut script = Script::server(ConnectionConfig::default());
    let mut flow = script.serve();
    announce(&mut script, &mut flow, 3);
    script.advance(Duration::from_secs(1));
    assert!(joins(&mut script).is_empty());
    add(&mut script, 1, &["subflow"]);
    script.advance(Duration::from_secs(1));
    let first = flow.tuple.remote;
    assert_eq!(joins(&mut script), [(engine_address(1), first)]);

    let config = ConnectionConfig { server_joins: true, ..ConnectionConfig::default() };
    let mut script = Script::server(config);
    let mut flow = script.serve();
    announce(&mut script, &mut flow, 3);
    script.advance(Duration::from_secs(1));
    let target = SocketAddr::new(peer_address(3), flow.tuple.remote.port());
    assert_eq!(joins(&mut script).iter().filter(|join| join.1 == target).count(), 1, "[ADDR-8]");
}

/// A09: our own address, announced by the peer, is echoed and leads nowhere.
#[test]
fn own_addresses_are_not_joined() {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let mut flow = script.connect();
    script.advance(Duration::from_millis(300));
    joins(&mut script);
    announce_address(&mut script, &mut flow, 7, engine_address(1));
    script.advance(Duration::from_secs(5));
    let own = |join: &(IpAddr, SocketAddr)| join.1.ip() == engine_address(1);
    assert!(!joins(&mut script).iter().any(own));
    assert_eq!(script.endpoint.counters().echo_add_tx, 1);
}

/// A06, A07 [ADDR-15] [JOIN-2]: identifier 0 or one of a live subflow with another address leads nowhere.
#[test]
fn identifiers_that_stand_for_something_else() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    let mut flow = script.connect();
    announce_address(&mut script, &mut flow, 0, peer_address(5));
    script.advance(Duration::from_secs(1));
    assert!(joins(&mut script).is_empty(), "0 is the first address");
    announce(&mut script, &mut flow, 1);
    script.advance(Duration::from_millis(300));
    script.take_join();
    script.all(&mut flow);
    announce_address(&mut script, &mut flow, 1, peer_address(6));
    script.advance(Duration::from_secs(5));
    assert!(joins(&mut script).is_empty());
}

/// A11, R06, R07 [ADDR-4] [ADDR-5] [SEC-2]: a flood of announcements: few are kept and echoed, joins are bounded at
/// once and by the second, and a new one is taken after a while.
#[test]
fn a_flood_of_announcements_is_bounded() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    let mut flow = script.connect();
    for id in 1..=40 {
        announce_address(&mut script, &mut flow, id, [198, 51, 100, id].into());
    }
    let counters = script.endpoint.counters();
    assert_eq!((counters.add_addr, counters.echo_add_tx), (40, 8));
    assert_eq!(counters.add_addr_drop, 32);
    let at_once = joins(&mut script).len();
    assert!(at_once <= 8, "{at_once}");
    script.advance(Duration::from_secs(300));
    let later = joins(&mut script);
    let targets: std::collections::BTreeSet<_> = later.iter().map(|join| join.1).collect();
    assert!(targets.len() <= 8, "SYNs again, but nowhere new: {targets:?}");
}

/// A12, A13 [ADDR-13] [ADDR-14] [ADDR-16]: an address that did not answer is tried once; announced anew much later, or
/// with another port, it is tried again.
#[test]
fn an_unreachable_address_is_tried_once_until_refreshed() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    let mut flow = script.connect();
    let fail = |script: &mut Script| {
        script.advance(Duration::from_millis(300));
        let (mut joined, syn) = script.next_syn().expect("an attempt");
        assert_eq!(syn.tuple.remote.ip(), peer_address(1));
        script.send(&mut joined, seg().rst());
    };
    announce(&mut script, &mut flow, 1);
    fail(&mut script);
    announce(&mut script, &mut flow, 1);
    script.advance(Duration::from_secs(14));
    assert!(joins(&mut script).is_empty(), "a retransmission is no refresh");
    script.advance(Duration::from_secs(2));
    announce(&mut script, &mut flow, 1);
    fail(&mut script);
}

/// [HEU-1] [HEU-3] [HEU-4]: ports of the first subflow again, where they are free.
#[test]
fn joins_use_the_first_subflows_ports() {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let first = script.connect();
    script.advance(Duration::from_millis(300));
    let (flow, _) = script.next_syn().expect("a join");
    assert_eq!(flow.tuple.local.port(), first.tuple.local.port());
    assert_eq!(flow.tuple.remote.port(), first.tuple.remote.port());
}
