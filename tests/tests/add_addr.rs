//! ADD_ADDR received (RFC 8684 3.4.1).

use mpuser_engine::Event;
use mpuser_engine::addr::{AddressId, IpAddr, SocketAddr};
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::crypto::add_addr_hmac;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{AddAddr, CapableFlags, MpJoin, MptcpOption};
use mpuser_tests::scripted::*;

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}

/// [ADDR-9] [ADDR-11] (K27) (K28): echoed exactly, without HMAC, alone on a pure ACK.
#[test]
fn a_good_add_addr_is_echoed_exactly() {
    let v6: IpAddr = "2001:db8::33".parse().expect("an address");
    for (address, port) in
        [(peer_address(1), None), (peer_address(1), Some(8_443)), (v6, None), (v6, Some(443))]
    {
        for server in [true, false] {
            let (mut script, mut flow);
            if server {
                script = Script::server(config());
                flow = script.serve();
            } else {
                script = Script::client(config(), 1);
                flow = script.connect();
            }
            let add = script.add_addr(7, address, port);
            script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
            let echo = script.next(&mut flow);
            let expected = AddAddr { echo: true, hmac: None, ..add };
            assert_eq!(echo.signals(), [MptcpOption::AddAddr(expected)]);
            assert!(echo.payload.is_empty() && echo.options.dss.is_none());
            let at = SocketAddr::new(address, port.unwrap_or(if server { 40_000 } else { PORT }));
            let id = AddressId(7);
            assert!(script.events.contains(&Event::AddressAnnounced { id, address: at }));
            // Repeated, it is echoed again and is no news.
            let before = script.events.len();
            script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
            let again = script.all(&mut flow);
            assert_eq!(again.iter().filter(|p| p.signals() == echo.signals()).count(), 1);
            let news = script.events[before..].iter();
            assert_eq!(news.filter(|e| matches!(e, Event::AddressAnnounced { .. })).count(), 0);
        }
    }
}

/// [ADDR-10]: silently.
#[test]
fn a_bad_hmac_is_ignored() {
    let mut script = Script::client(config(), 2);
    let (mut flow, mut second) = script.connect_twice();
    script.all(&mut second);
    let mut add = script.add_addr(1, peer_address(1), None);
    add.hmac = add.hmac.map(|mut hmac| {
        hmac[7] ^= 1;
        hmac
    });
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
    // The HMAC of another port, and the one this end would make.
    let mut other = script.add_addr(1, peer_address(1), Some(1));
    other.port = None;
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(other)));
    let own = add_addr_hmac(script.key, PEER_KEY, AddressId(1), peer_address(1), None);
    let mirrored = AddAddr { hmac: Some(own), ..add };
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(mirrored)));
    script.advance(Duration::from_secs(2));
    script.assert_silent();
    assert_eq!(script.endpoint.counters().add_addr_drop, 3);
}

/// [ADDR-8] [HEU-2] [ADDR-13]: the client joins the announced address, once.
#[test]
fn the_client_joins_an_announced_address() {
    for port in [None, Some(8_443)] {
        let mut script = Script::client(config(), 2);
        let mut flow = script.connect();
        let add = script.add_addr(4, peer_address(1), port);
        script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
        let (mut joined, syn) = script.next_syn().expect("a join");
        assert_eq!(syn.tuple.remote, SocketAddr::new(peer_address(1), port.unwrap_or(PORT)));
        assert!(matches!(syn.signals()[..], [MptcpOption::Join(MpJoin::Syn { .. })]));
        assert_eq!(syn.tuple.local.ip(), engine_address(1), "an address without a subflow");
        script.send(&mut joined, seg().rst());
        script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
        script.advance(Duration::from_secs(5));
        let again = std::iter::from_fn(|| script.next_syn());
        assert!(
            again.into_iter().all(|(_, syn)| syn.tuple.remote.ip() != peer_address(1)),
            "[ADDR-13]"
        );
    }
}

/// [INI-20] (K16): with C no join to the first address and port, but to announced ones.
#[test]
fn flag_c_forbids_joins_to_the_first_address() {
    let mut script = Script::client(config(), 3);
    let mut flow = script.answer(CapableFlags::new(false, true));
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    script.advance(Duration::from_secs(5));
    assert!(script.next_syn().is_none());
    let add = script.add_addr(4, peer_address(1), None);
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
    let (_, syn) = script.next_syn().expect("a join");
    assert_eq!(syn.tuple.remote.ip(), peer_address(1));
}

/// [SEC-2] [ADDR-4]: addresses nobody can have are not connected to.
#[test]
fn impossible_addresses_are_not_joined() {
    let mut script = Script::client(config(), 2);
    let (mut flow, mut second) = script.connect_twice();
    script.all(&mut second);
    let hosts = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"];
    for (id, text) in hosts.iter().enumerate() {
        let address = text.parse().expect("an address");
        let add = script.add_addr(id as u8 + 1, address, None);
        script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
    }
    let add = script.add_addr(9, peer_address(3), Some(0));
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
    script.advance(Duration::from_secs(2));
    assert!(script.next_syn().is_none());
}

/// (K11): a good ADD_ADDR confirms MPTCP as a DSS does.
#[test]
fn an_add_addr_confirms() {
    let mut script = Script::client(config(), 1);
    let mut flow = script.answer(PLAIN_FLAGS);
    assert!(!script.events.contains(&Event::FullyEstablished));
    let add = script.add_addr(1, peer_address(1), None);
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
    assert!(script.events.contains(&Event::FullyEstablished));
}

/// The echo of an address never announced is nothing.
#[test]
fn a_stray_echo_is_ignored() {
    let mut script = Script::server(config());
    let mut flow = script.serve();
    let echo = AddAddr { echo: true, hmac: None, ..script.add_addr(1, peer_address(1), None) };
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(echo)));
    script.assert_silent();
    assert_eq!(script.endpoint.counters().echo_add, 1);
}

/// [ADDR-1] [OPT-6]: TCP's acceptance comes first: out of the window, or acknowledging what was never sent, it is
/// neither echoed nor joined.
#[test]
fn an_unacceptable_segment_announces_nothing() {
    let mut script = Script::client(config(), 1);
    let mut flow = script.connect();
    let option = MptcpOption::AddAddr(script.add_addr(1, peer_address(1), None));
    script.send(&mut flow, seg().at(1 << 30).option(option));
    script.send(&mut flow, seg().acking(1 << 20).option(option));
    script.advance(Duration::from_secs(2));
    assert!(script.next_syn().is_none());
    assert!(script.all(&mut flow).iter().all(|p| p.signals().is_empty()));
    assert_eq!(script.endpoint.counters().add_addr, 0);
}

/// [ADDR-12]: a private address is joined as any other.
#[test]
fn private_addresses_are_joined() {
    let mut script = Script::client(config(), 1);
    let mut flow = script.connect();
    let address = IpAddr::from([10, 99, 0, 1]);
    let add = script.add_addr(1, address, None);
    script.send(&mut flow, seg().option(MptcpOption::AddAddr(add)));
    script.advance(Duration::from_millis(300));
    let (_, syn) = script.next_syn().expect("a join");
    assert_eq!(syn.tuple.remote.ip(), address);
}
