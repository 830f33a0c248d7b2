//! ADD_ADDR and REMOVE_ADDR sent (RFC 8684 3.4), in both roles.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::{AddressId, IpAddr, SocketAddr};
use mpuser_engine::config::{Behaviour, ConnectionConfig, EndpointFlags};
use mpuser_engine::crypto::add_addr_hmac;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{AddAddr, MpCapable, MptcpOption};
use mpuser_tests::scripted::*;

const SIGNAL: EndpointFlags =
    EndpointFlags { signal: true, subflow: false, backup: false, fullmesh: false };

fn endpoint(address: IpAddr, id: u8, port: Option<u16>) -> PmEndpoint {
    PmEndpoint { address, id: Some(AddressId(id)), port, flags: SIGNAL }
}

/// A connection in either role, with two addresses, that opens nothing by itself.
fn connection(server: bool) -> (Script, Flow) {
    let config = ConnectionConfig { join_from_local: false, ..ConnectionConfig::default() };
    if server {
        let mut script = Script::server(config);
        let flow = script.serve();
        (script, flow)
    } else {
        let mut script = Script::client(config, 2);
        let flow = script.connect();
        (script, flow)
    }
}

fn add(script: &mut Script, endpoint: PmEndpoint) {
    script.endpoint.add_endpoint(script.now, endpoint).expect("a good endpoint");
    script.pump();
}

fn delete(script: &mut Script, id: u8) {
    script.endpoint.delete_endpoint(script.now, AddressId(id)).expect("it is there");
    script.pump();
}

/// The ADD_ADDRs among packets, with their time.
fn announcements(packets: &[Packet]) -> Vec<(Duration, AddAddr)> {
    let all = packets.iter().flat_map(|p| p.signals().into_iter().map(|s| (p.at, s)));
    all.filter_map(|(at, signal)| match signal {
        MptcpOption::AddAddr(add) if !add.echo => Some((at, add)),
        _ => None,
    })
    .collect()
}

/// The addresses 5, 6 and 7, announced and echoed.
fn announce_three(script: &mut Script, flow: &mut Flow) {
    for id in 5..8 {
        add(script, endpoint([203, 0, 113, id].into(), id, None));
        let (_, sent) = announcements(&script.all(flow))[0];
        echo(script, flow, &sent);
    }
    script.all(flow);
}

fn removals(packets: &[Packet]) -> Vec<Vec<u8>> {
    packets
        .iter()
        .flat_map(Packet::signals)
        .filter_map(|signal| match signal {
            MptcpOption::RemoveAddr(remove) => Some(remove.ids().iter().map(|id| id.0).collect()),
            _ => None,
        })
        .collect()
}

fn echo(script: &mut Script, flow: &mut Flow, add: &AddAddr) {
    script.send(flow, seg().option(MptcpOption::AddAddr(add.echo())));
}

/// [ADDR-9] [OPT-12] (K28): alone on a pure ACK, with the HMAC over identifier, address and port; every form.
#[test]
fn every_form_is_announced_in_both_roles() {
    let v6: IpAddr = "2001:db8::7".parse().expect("an address");
    let v4 = IpAddr::from([203, 0, 113, 7]);
    for server in [true, false] {
        for (address, port) in [(v4, None), (v4, Some(8_443)), (v6, None), (v6, Some(443))] {
            let (mut script, mut flow) = connection(server);
            add(&mut script, endpoint(address, 9, port));
            let packet = script.next(&mut flow);
            let id = AddressId(9);
            let hmac = Some(add_addr_hmac(script.key, PEER_KEY, id, address, port));
            let expected = AddAddr { echo: false, id, address, port, hmac };
            assert_eq!(packet.signals(), [MptcpOption::AddAddr(expected)]);
            assert!(packet.payload.is_empty() && packet.options.dss.is_none());
            assert_eq!(script.endpoint.counters().add_addr_tx, 1);
            assert_eq!(script.info().add_addr_signal, 1);
        }
    }
}

/// [ADDR-11] (K28), A14, A15: three repetitions, each after twice the time, then silence; the connection does not mind.
#[test]
fn without_an_echo_it_is_repeated_three_times() {
    let (mut script, mut flow) = connection(true);
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, None));
    script.advance(Duration::from_secs(600));
    let sent = announcements(&script.all(&mut flow));
    assert_eq!(sent.len(), 4, "{sent:?}");
    let waits: Vec<_> = sent.windows(2).map(|w| w[1].0 - w[0].0).collect();
    assert_eq!(waits[1], waits[0] * 2);
    assert_eq!(waits[2], waits[0] * 4);
    assert!(waits[0] >= Duration::from_millis(200) && waits[0] <= Duration::from_secs(3));
    let dss = script.map(&flow, 0, b"alive", 0);
    script.send(&mut flow, seg().data(b"alive").dss(dss));
    assert_eq!(script.read(), b"alive");
}

/// [ADDR-11], A14: the echo ends the repetitions, if identifier, address and port are those announced.
#[test]
fn only_the_right_echo_counts() {
    let (mut script, mut flow) = connection(true);
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, Some(99)));
    let (_, sent) = announcements(&script.all(&mut flow))[0];
    for wrong in [
        AddAddr { port: None, ..sent },
        AddAddr { id: AddressId(8), ..sent },
        AddAddr { address: [203, 0, 113, 8].into(), ..sent },
    ] {
        echo(&mut script, &mut flow, &wrong);
    }
    script.advance(Duration::from_secs(4));
    assert!(!announcements(&script.all(&mut flow)).is_empty(), "wrong echoes do not count");
    echo(&mut script, &mut flow, &sent);
    script.advance(Duration::from_secs(600));
    script.assert_silent();
    assert_eq!(script.endpoint.counters().echo_add, 4);
}

/// (K28): the next address waits for the echo, or for the last repetition.
#[test]
fn one_address_at_a_time() {
    let (mut script, mut flow) = connection(true);
    for id in 5..8 {
        add(&mut script, endpoint([203, 0, 113, id].into(), id, None));
    }
    let first = announcements(&script.all(&mut flow));
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0].1.id, AddressId(5));
    echo(&mut script, &mut flow, &first[0].1);
    let second = announcements(&script.all(&mut flow));
    assert_eq!(second.iter().map(|(_, add)| add.id.0).collect::<Vec<_>>(), [6]);
    // Never echoed: the third comes after the repetitions of the second.
    script.advance(Duration::from_secs(600));
    let rest: Vec<_> =
        announcements(&script.all(&mut flow)).iter().map(|(_, add)| add.id.0).collect();
    assert_eq!(rest, [6, 6, 6, 7, 7, 7, 7]);
}

/// [JOIN-2]: the address of the first subflow is known and not announced; with a port it is news.
#[test]
fn the_first_address_is_not_announced() {
    let (mut script, mut flow) = connection(true);
    add(&mut script, endpoint(engine_address(0), 9, None));
    script.advance(Duration::from_secs(10));
    assert!(announcements(&script.all(&mut flow)).is_empty());
    add(&mut script, endpoint(engine_address(0), 10, Some(8_080)));
    let sent = announcements(&script.all(&mut flow));
    assert_eq!((sent[0].1.id, sent[0].1.port), (AddressId(10), Some(8_080)));
}

/// [INI-16]: a client says nothing before the server has confirmed; endpoints configured before are announced then.
#[test]
fn a_client_announces_after_confirmation() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, None));
    let mut flow = script.answer(PLAIN_FLAGS);
    script.advance(Duration::from_millis(500));
    assert!(announcements(&script.all(&mut flow)).is_empty());
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    assert_eq!(announcements(&script.all(&mut flow)).len(), 1);
}

/// [INI-16] (K11): a server's DSS goes before its announcement, for clients that wait for one.
#[test]
fn a_servers_dss_goes_first() {
    let mut script = Script::server(ConnectionConfig::default());
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, None));
    let mut flow = script.open(PLAIN_FLAGS);
    let option = script.capable_ack(PLAIN_FLAGS);
    script.send(&mut flow, seg().option(option));
    let packets = script.all(&mut flow);
    assert!(packets[0].data_ack().is_some() && packets[0].signals().is_empty(), "{packets:?}");
    assert_eq!(announcements(&packets).len(), 1);
}

/// [ADDR-20] [ADDR-21] [ADDR-22]: an announced address is withdrawn, used or not, with a Data ACK beside it, and twice
/// more in case that was lost; its announcement is not repeated any more.
#[test]
fn a_deleted_endpoint_is_withdrawn() {
    let (mut script, mut flow) = connection(true);
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, None));
    script.all(&mut flow);
    delete(&mut script, 9);
    script.advance(Duration::from_secs(600));
    let packets = script.all(&mut flow);
    assert_eq!(removals(&packets), [[9], [9], [9]]);
    let (last, first) = (packets[2].at, packets[0].at);
    assert!(last - first < Duration::from_secs(5), "an RTO apart, and then two");
    assert!(packets[0].data_ack().is_some(), "{packets:?}");
    assert!(announcements(&packets).is_empty());
    assert_eq!(script.endpoint.counters().rm_addr_tx, 3);
    // It was never told of the second one, and hears nothing of its end.
    let nine = endpoint([203, 0, 113, 9].into(), 9, None);
    let ten = endpoint([203, 0, 113, 10].into(), 10, None);
    add(&mut script, nine);
    add(&mut script, ten);
    script.all(&mut flow);
    delete(&mut script, 10);
    assert!(removals(&script.all(&mut flow)).is_empty());
}

/// [ADDR-17] [ADDR-20]: an identifier that stands for an address again is not withdrawn any more; Linux says it once.
#[test]
fn a_withdrawal_is_repeated_while_it_is_true() {
    let (mut script, mut flow) = connection(true);
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, None));
    script.all(&mut flow);
    delete(&mut script, 9);
    assert_eq!(removals(&script.all(&mut flow)), [[9]]);
    add(&mut script, endpoint([203, 0, 113, 8].into(), 9, None));
    script.advance(Duration::from_secs(600));
    assert!(removals(&script.all(&mut flow)).is_empty());

    let config = ConnectionConfig { behaviour: Behaviour::linux(), ..Default::default() };
    let mut script = Script::client(config, 1);
    let mut flow = script.connect();
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, None));
    script.all(&mut flow);
    delete(&mut script, 9);
    script.advance(Duration::from_secs(600));
    assert_eq!(removals(&script.all(&mut flow)), [[9]]);
}

/// [ADDR-15] [ADDR-17], A21: an identifier is withdrawn before it stands for another address.
#[test]
fn an_identifier_is_reused_after_its_withdrawal() {
    let (mut script, mut flow) = connection(false);
    add(&mut script, endpoint([203, 0, 113, 7].into(), 9, None));
    script.all(&mut flow);
    script.endpoint.delete_endpoint(script.now, AddressId(9)).expect("it is there");
    add(&mut script, endpoint([203, 0, 113, 8].into(), 9, None));
    script.advance(Duration::from_millis(600));
    let packets = script.all(&mut flow);
    let at = |what: &dyn Fn(&MptcpOption) -> bool| {
        packets.iter().position(|p| p.signals().iter().any(what)).expect("it was said")
    };
    let removed = at(&|s| matches!(s, MptcpOption::RemoveAddr(_)));
    let added = at(&|s| matches!(s, MptcpOption::AddAddr(_)));
    assert!(removed < added, "{packets:?}");
    assert_eq!(announcements(&packets)[0].1.address, IpAddr::from([203, 0, 113, 8]));
}

/// RFC 8684 3.4.2: all of them in one option.
#[test]
fn a_flush_is_one_option() {
    let (mut script, mut flow) = connection(true);
    announce_three(&mut script, &mut flow);
    script.endpoint.flush_endpoints(script.now);
    script.pump();
    assert_eq!(removals(&script.all(&mut flow)), [[5, 6, 7]]);
    assert!(script.endpoint.endpoints().iter().all(|e| !e.flags.signal));
    assert_eq!(script.established().len(), 1, "the address itself is still there");
    assert_eq!(script.info().add_addr_signal, 0);
}

/// [ADDR-28]: the subflows of a deleted endpoint are closed with a FIN, and the peer is told on another one.
#[test]
fn subflows_of_a_deleted_endpoint_are_closed() {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let (mut first, mut second) = script.connect_twice();
    script.all(&mut first);
    script.all(&mut second);
    delete(&mut script, 2);
    assert_eq!(removals(&script.all(&mut first)), [[2]]);
    assert!(script.all(&mut second).iter().any(|p| p.header.flags.fin && !p.header.flags.rst));
    script.send(&mut second, seg().fin());
    script.advance(Duration::from_secs(70));
    assert!(script.next_syn().is_none(), "it is not opened anew");
    assert_eq!(script.established().len(), 1);
    assert_eq!(script.endpoint.counters().rm_subflow, 1);
}

/// Identifier 0: the address of the first subflow.
#[test]
fn the_initial_address_can_be_deleted() {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let (mut first, mut second) = script.connect_twice();
    script.all(&mut first);
    script.all(&mut second);
    script.endpoint.delete_initial_address(script.now, engine_address(0));
    script.pump();
    assert_eq!(removals(&script.all(&mut second)), [[0]]);
    assert!(script.all(&mut first).iter().any(|p| p.header.flags.fin));
    script.write(b"goes on");
    assert!(script.all(&mut second).iter().any(|p| p.payload.as_ref() == b"goes on"));
}

/// [ADDR-20]: an address that vanishes is withdrawn on another subflow; it joins again when it comes back (A21).
#[test]
fn an_address_that_vanishes_is_withdrawn_elsewhere() {
    let mut script = Script::client(ConnectionConfig::default(), 2);
    let (mut first, _) = script.connect_twice();
    script.all(&mut first);
    let local = script.endpoint.addresses()[1];
    script.endpoint.remove_address(script.now, local.address);
    script.pump();
    assert_eq!(removals(&script.all(&mut first)), [[2]]);
    script.endpoint.add_address(script.now, local);
    let (_, syn) = script.next_syn().expect("a join");
    assert_eq!(syn.tuple.local.ip(), local.address);
}

/// Without any subflow there is nothing to say it on: it is said when one is back.
#[test]
fn a_withdrawal_waits_for_a_subflow() {
    let mut script = Script::client(ConnectionConfig::default(), 1);
    script.connect();
    let old = script.endpoint.addresses()[0];
    script.endpoint.remove_address(script.now, old.address);
    script.pump();
    let mut new = old;
    new.address = engine_address(5);
    script.endpoint.add_address(script.now, new);
    script.advance(Duration::from_millis(1));
    let mut second = script.take_join();
    let packets = script.all(&mut second);
    assert_eq!(removals(&packets), [[0]], "{packets:?}");
}

/// [OPT-3] [OPT-5] [ADDR-18] [ADDR-19]: not more than two ACKs in a row that carry nothing but signals.
#[test]
fn signals_are_not_sent_in_bursts() {
    let (mut script, mut flow) = connection(true);
    announce_three(&mut script, &mut flow);
    // Each is an option of its own, and nothing is heard of the peer meanwhile.
    for id in 5..8 {
        delete(&mut script, id);
    }
    assert_eq!(removals(&script.all(&mut flow)), [[5], [6]]);
    script.advance(Duration::from_millis(600));
    assert_eq!(removals(&script.all(&mut flow)).first(), Some(&vec![7]));
}

/// `change` turns announcing on and off.
#[test]
fn the_signal_flag_can_change() {
    let (mut script, mut flow) = connection(true);
    let none = EndpointFlags::default();
    let quiet = PmEndpoint { flags: none, ..endpoint(engine_address(1), 9, None) };
    add(&mut script, quiet);
    script.assert_silent();
    script.endpoint.change_endpoint(script.now, AddressId(9), SIGNAL).expect("known");
    script.pump();
    assert_eq!(announcements(&script.all(&mut flow)).len(), 1);
    script.endpoint.change_endpoint(script.now, AddressId(9), none).expect("known");
    script.pump();
    assert_eq!(removals(&script.all(&mut flow)), [[9]]);
}

/// (K28), A16: 30 octets do not fit beside timestamps, which are left out of this one ACK; or the address is not
/// announced, and counted.
#[test]
fn an_ipv6_address_with_port_takes_all_the_room() {
    let v6: IpAddr = "2001:db8::7".parse().expect("an address");
    for drop in [true, false] {
        let config = ConnectionConfig { add_addr_v6_port_drop_ts: drop, ..Default::default() };
        let mut script = Script::server(config);
        let local = SocketAddr::new(engine_address(0), PORT);
        let mut flow = Flow::new(local, SocketAddr::new(peer_address(0), 40_000));
        let flags = PLAIN_FLAGS;
        let option = MptcpOption::Capable(MpCapable::Syn { version: 1, flags });
        script.send(&mut flow, seg().syn().no_ack().stamp(1_000, 0).option(option));
        let answer = script.next(&mut flow);
        let stamp = answer.options.timestamps.expect("timestamps").value;
        if let [MptcpOption::Capable(MpCapable::SynAck { sender_key, .. })] = answer.signals()[..] {
            script.key = sender_key;
        }
        let option = script.capable_ack(flags);
        script.send(&mut flow, seg().stamp(1_001, stamp).option(option));
        script.all(&mut flow);
        script.accept();
        add(&mut script, endpoint(v6, 9, Some(443)));
        let packets = script.all(&mut flow);
        assert_eq!(announcements(&packets).len(), usize::from(drop), "{packets:?}");
        let counters = script.endpoint.counters();
        assert_eq!(counters.add_addr_tx_drop, u64::from(!drop));
        if drop {
            assert!(packets[0].options.timestamps.is_none());
            // The next one has them again, and without a port there is room for both.
            let (_, sent) = announcements(&packets)[0];
            let echo = MptcpOption::AddAddr(sent.echo());
            script.send(&mut flow, seg().stamp(1_002, stamp).option(echo));
        }
        add(&mut script, endpoint("2001:db8::8".parse().expect("an address"), 10, None));
        let packets = script.all(&mut flow);
        assert_eq!(announcements(&packets).len(), 1);
        assert!(packets.iter().all(|p| p.options.timestamps.is_some()));
    }
}
