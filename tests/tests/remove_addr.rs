//! REMOVE_ADDR received (RFC 8684 3.4.2), and addresses of this end that go.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::addr::AddressId;
use mpuser_engine::config::{Behaviour, ConnectionConfig};
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MptcpOption, RemoveAddr};
use mpuser_engine::{Event, SubflowEnd};
use mpuser_tests::scripted::*;

/// As the kernel does it: subflows are closed at once.
fn unprobed() -> ConnectionConfig {
    let behaviour = Behaviour { probe_before_remove: false, ..Behaviour::rfc() };
    ConnectionConfig { behaviour, ..ConnectionConfig::default() }
}

fn server_with(config: ConnectionConfig) -> (Script, Flow) {
    let mut script = Script::server(config);
    let flow = script.serve();
    (script, flow)
}

fn server() -> (Script, Flow) {
    server_with(unprobed())
}

fn remove(ids: &[u8]) -> MptcpOption {
    let ids: Vec<_> = ids.iter().copied().map(AddressId).collect();
    MptcpOption::RemoveAddr(RemoveAddr::from_ids(&ids).expect("1 to 37"))
}

/// [ADDR-26] [ADDR-28] (K29): the subflow of that identifier ends by FIN; its data goes on over the others.
#[test]
fn the_subflow_of_a_removed_address_is_closed() {
    let (mut script, mut first) = server();
    let mut second = script.joined(1);
    let dss = script.ack(0);
    script.send(&mut first, seg().dss(dss).option(remove(&[1])));
    let packets = script.all(&mut second);
    assert!(packets.iter().any(|p| p.header.flags.fin), "{packets:?}");
    assert!(script.events.contains(&Event::AddressRemoved { id: AddressId(1) }));
    script.send(&mut second, seg().fin());
    script.all(&mut second);
    assert!(
        script
            .events
            .iter()
            .any(|e| matches!(e, Event::SubflowClosed { cause: SubflowEnd::AddressRemoved, .. }))
    );
    assert_eq!(
        script.endpoint.counters().rm_subflow,
        0,
        "counted where an address of this end goes"
    );
    script.write(b"goes on");
    assert_eq!(script.next(&mut first).payload.as_ref(), b"goes on");
}

/// (K29): identifier 0 is the first subflow; a client does not come back to that address.
#[test]
fn identifier_0_is_the_first_subflow() {
    let mut script = Script::client(unprobed(), 2);
    let mut first = script.connect();
    let add = script.add_addr(1, peer_address(1), None);
    script.send(&mut first, seg().option(MptcpOption::AddAddr(add)));
    let mut second = script.take_join();
    script.send(&mut second, seg().option(remove(&[0])));
    assert!(script.all(&mut first).iter().any(|p| p.header.flags.fin));
    script.send(&mut first, seg().fin());
    script.all(&mut first);
    script.advance(Duration::from_secs(90));
    assert!(script.next_syn().is_none(), "the address is gone");
    script.write(b"goes on");
    assert!(script.all(&mut second).iter().any(|p| p.payload.as_ref() == b"goes on"));
}

/// Data in flight on the closed subflow is not lost: another carries it.
#[test]
fn data_of_a_removed_subflow_is_reinjected() {
    let (mut script, mut first) = server();
    script.write(b"in flight");
    script.all(&mut first);
    let mut second = script.joined(1);
    script.send(&mut second, seg().option(remove(&[0])));
    let packets = script.all(&mut second);
    assert!(packets.iter().any(|p| p.payload.as_ref() == b"in flight"), "{packets:?}");
}

/// [ADDR-29]: unknown identifiers are ignored, known ones in the same option are not.
#[test]
fn unknown_identifiers_are_ignored() {
    let (mut script, mut first) = server();
    script.joined(1);
    script.send(&mut first, seg().option(remove(&[9, 17, 255])));
    assert_eq!(script.established().len(), 2);
    assert!(!script.events.iter().any(|e| matches!(e, Event::AddressRemoved { .. })));
    assert_eq!(script.endpoint.counters().rm_addr, 3);
    script.send(&mut first, seg().option(remove(&[9, 1])));
    assert_eq!(script.established().len(), 1);
}

/// [ADDR-26]: TCP's acceptance comes first [OPT-6].
#[test]
fn an_unacceptable_segment_removes_nothing() {
    let (mut script, mut first) = server();
    script.joined(1);
    script.send(&mut first, seg().at(1 << 30).option(remove(&[1])));
    script.send(&mut first, seg().acking(1 << 20).option(remove(&[1])));
    assert_eq!(script.established().len(), 2);
}

/// A local address goes: its subflow ends, the others carry its data.
#[test]
fn a_local_address_goes() {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let (mut first, mut second) = script.connect_twice();
    script.write(b"on the first");
    let on_second = script.all(&mut second).iter().any(|p| !p.payload.is_empty());
    let gone = if on_second { 1 } else { 0 };
    script.endpoint.remove_address(script.now, engine_address(gone));
    script.pump();
    let other = if on_second { &mut first } else { &mut second };
    let packets = script.all(other);
    assert!(packets.iter().any(|p| p.payload.as_ref() == b"on the first"), "{packets:?}");
    script.advance(Duration::from_secs(5));
    assert!(script.next_syn().is_none());
}

/// A server that probes, its first subflow and one joined with identifier 1 that has data in flight.
fn doubted() -> (Script, Flow, Flow) {
    let (mut script, mut first) = server_with(ConnectionConfig::default());
    let mut second = script.joined(1);
    script.all(&mut second);
    script.send(&mut first, seg().option(remove(&[1])));
    script.all(&mut first);
    (script, first, second)
}

/// [ADDR-23] [ADDR-24] [ADDR-25]: a probe that is answered keeps the subflow, which carries data again.
#[test]
fn a_path_that_answers_is_kept() {
    let (mut script, mut first, mut second) = doubted();
    let probe = script.all(&mut second).pop().expect("a probe");
    assert!(probe.payload.is_empty() && !probe.header.flags.fin && !probe.header.flags.rst);
    let expected = second.irs.wrapping_add(1).wrapping_add(second.seen as u32).wrapping_sub(1);
    assert_eq!(probe.header.seq.0, expected, "below the window, so that it is answered");
    assert!(script.events.contains(&Event::AddressRemoved { id: AddressId(1) }));
    // Meanwhile it gets no data.
    script.write(b"elsewhere");
    assert_eq!(script.next(&mut first).payload.as_ref(), b"elsewhere");
    let dss = script.ack(9);
    script.send(&mut first, seg().dss(dss));
    script.send(&mut second, seg());
    script.advance(Duration::from_secs(30));
    assert!(script.all(&mut second).iter().all(|p| !p.header.flags.rst && !p.header.flags.fin));
    assert_eq!(script.established().len(), 2);
    assert_eq!(script.endpoint.counters().rm_subflow, 0);
    script.send(&mut first, seg().rst());
    script.write(b"here again");
    let told = script.all(&mut second);
    assert!(told.iter().any(|p| p.payload.as_ref() == b"here again"), "{told:?}");
}

/// [ADDR-23] [ADDR-27]: after three probes without an answer the subflow ends with a RST.
#[test]
fn a_path_that_does_not_answer_is_reset() {
    let (mut script, _, mut second) = doubted();
    script.advance(Duration::from_secs(30));
    let packets = script.all(&mut second);
    let (last, probes) = packets.split_last().expect("probes and a RST");
    assert!(last.header.flags.rst);
    assert_eq!(probes.len(), 3, "{probes:?}");
    assert_eq!(script.established().len(), 1);
    assert!(
        script
            .events
            .iter()
            .any(|e| matches!(e, Event::SubflowClosed { cause: SubflowEnd::AddressRemoved, .. }))
    );
}

/// [ADDR-28]: who withdraws a living address closes its subflow itself; that is the end without further ado.
#[test]
fn a_fin_after_the_withdrawal_ends_it() {
    let (mut script, _, mut second) = doubted();
    script.all(&mut second);
    script.send(&mut second, seg().fin());
    let packets = script.all(&mut second);
    assert!(packets.iter().any(|p| p.header.flags.fin), "{packets:?}");
    assert!(packets.iter().all(|p| !p.header.flags.rst));
    assert_eq!(script.established().len(), 1);
}

/// A20 [ADDR-29]: repetitions, 0 and 255 in one list; each is handled once.
#[test]
fn a_list_with_repetitions() {
    for config in [ConnectionConfig::default(), unprobed()] {
        let probing = config.behaviour.probe_before_remove;
        let (mut script, mut first) = server_with(config);
        let mut second = script.joined(1);
        script.all(&mut second);
        script.send(&mut first, seg().option(remove(&[1, 1, 255, 1, 0, 0])));
        let told =
            script.events.iter().filter(|e| matches!(e, Event::AddressRemoved { .. })).count();
        assert_eq!(told, 2);
        assert_eq!(script.endpoint.counters().rm_addr, 6);
        // Both ways are answered: they stay where they are probed, and close where they are not.
        script.all(&mut first);
        script.all(&mut second);
        script.send(&mut first, seg());
        script.send(&mut second, seg());
        script.advance(Duration::from_secs(1));
        assert_eq!(script.established().len(), if probing { 2 } else { 0 });
    }
}

/// A21: the peer removes an address, announces it again under the same identifier, and it is joined again.
#[test]
fn removed_and_announced_again() {
    let mut script = Script::client(unprobed(), 1);
    let mut first = script.connect();
    let address = peer_address(1);
    let add = script.add_addr(1, address, None);
    for round in 0..3 {
        script.send(&mut first, seg().option(MptcpOption::AddAddr(add)));
        script.advance(Duration::from_millis(300));
        let mut joined = script.take_join();
        assert_eq!(joined.tuple.remote.ip(), address, "round {round}");
        script.send(&mut first, seg().option(remove(&[1])));
        script.all(&mut joined);
        script.send(&mut joined, seg().fin());
        script.all(&mut joined);
        assert_eq!(script.established().len(), 1);
    }
}
