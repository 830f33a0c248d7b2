//! Who opens subflows, when, and from where (RFC 8684 3.2, 3.9).

use mpuser_engine::addr::{InterfaceId, SocketAddr};
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::error::SubflowError;
use mpuser_engine::time::Duration;
use mpuser_engine::wire::{MpJoin, MpTcpRst, MptcpOption};
use mpuser_engine::{Event, LocalAddress, SubflowEnd};
use mpuser_tests::scripted::*;

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
}

fn joins(script: &mut Script) -> Vec<(Flow, Packet)> {
    std::iter::from_fn(|| script.next_syn()).collect()
}

/// [INI-16]: no join before a DSS; then one from every further address.
#[test]
fn joins_wait_for_the_first_dss() {
    let mut script = Script::client(config(), 3);
    let mut flow = script.answer(PLAIN_FLAGS);
    script.advance(Duration::from_secs(5));
    assert!(joins(&mut script).is_empty());
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    // [HEU-7]: not at once; the peer may announce addresses, or join us.
    assert!(joins(&mut script).is_empty());
    script.advance(Duration::from_millis(300));
    let made = joins(&mut script);
    let locals: Vec<_> = made.iter().map(|(_, syn)| syn.tuple.local.ip()).collect();
    assert_eq!(locals, [engine_address(1), engine_address(2)]);
    for (_, syn) in &made {
        assert!(matches!(syn.signals()[..], [MptcpOption::Join(MpJoin::Syn { .. })]));
    }
}

/// [JOIN-2] [JOIN-4]: the first subflow's address is 0, each other has a number of its own.
#[test]
fn the_limit_bounds_joins() {
    let mut script = Script::client(ConnectionConfig { max_extra_subflows: 1, ..config() }, 4);
    script.connect();
    script.advance(Duration::from_secs(1));
    assert_eq!(joins(&mut script).len(), 1);
}

/// A server opens none.
#[test]
fn a_server_opens_no_subflow() {
    let mut script = Script::server(config());
    script.serve();
    script.advance(Duration::from_secs(5));
    assert!(joins(&mut script).is_empty());
}

/// A new address joins at once, also in the middle of a connection; as a backup if it says so.
#[test]
fn a_new_address_joins() {
    let mut script = Script::client(config(), 1);
    script.connect();
    script.advance(Duration::from_secs(1));
    assert!(joins(&mut script).is_empty());
    let local = LocalAddress {
        address: engine_address(7),
        interface: InterfaceId(7),
        mtu: 1_500,
        backup: true,
        checksum_offload: false,
        max_payload: 0,
    };
    script.endpoint.add_address(script.now, local);
    let made = joins(&mut script);
    assert_eq!(made.len(), 1);
    let [MptcpOption::Join(MpJoin::Syn { backup, .. })] = made[0].1.signals()[..] else {
        panic!("{made:?}");
    };
    assert!(backup);
}

/// By hand: any address, and not twice over the limit; a subflow removed by hand does not come back.
#[test]
fn subflows_by_hand() {
    let mut script = Script::client(ConnectionConfig { join_from_local: false, ..config() }, 2);
    let early = SocketAddr::new(peer_address(5), 99);
    let id = script.id;
    let refused = script.endpoint.open_subflow(script.now, id, engine_address(0), early);
    assert_eq!(refused, Err(SubflowError::NotJoinable), "[INI-16]");
    let mut first = script.connect();
    let refused = script.endpoint.open_subflow(script.now, id, engine_address(9), early);
    assert_eq!(refused, Err(SubflowError::NoLocalAddress));
    let subflow =
        script.endpoint.open_subflow(script.now, id, engine_address(0), early).expect("opened");
    let flow = script.take_join();
    assert_eq!(flow.tuple.remote, early);
    script
        .endpoint
        .close_subflow(script.now, id, mpuser_engine::addr::SubflowId(0))
        .expect("known");
    script.pump();
    script.all(&mut first);
    script.send(&mut first, seg().fin());
    script.advance(Duration::from_secs(90));
    assert!(joins(&mut script).is_empty(), "it came back");
    assert_eq!(script.established(), [subflow]);
}

/// [RST-6] (K36): a first subflow that is reset is not opened anew while others live.
#[test]
fn a_reset_first_subflow_does_not_come_back() {
    let mut script = Script::client(config(), 2);
    let (mut first, mut second) = script.connect_twice();
    script.send(&mut first, seg().rst());
    script.advance(Duration::from_secs(30));
    assert!(joins(&mut script).is_empty());
    script.write(b"goes on");
    assert_eq!(script.all(&mut second).pop().expect("data").payload.as_ref(), b"goes on");
    let closed =
        |e: &&Event| matches!(e, Event::SubflowClosed { cause: SubflowEnd::ResetByPeer(None), .. });
    assert_eq!(script.events.iter().filter(closed).count(), 1);
}

/// [FIN-9]: a client without subflows tries to come back, in growing intervals; a success resumes the connection.
#[test]
fn a_client_without_subflows_tries_to_resume() {
    let mut script = Script::client(config(), 1);
    let mut first = script.connect();
    script.write(b"unacknowledged");
    script.all(&mut first);
    script.send(&mut first, seg().rst());
    script.advance(Duration::from_millis(1));
    assert!(script.next_syn().is_some(), "an attempt at once");
    script.advance(Duration::from_secs(20));
    let mut made = joins(&mut script);
    let (mut flow, syn) = made.pop().expect("further attempts");
    let option = script.join_answer(&syn, mpuser_engine::addr::AddressId(0));
    script.send(&mut flow, seg().syn().option(option));
    script.next(&mut flow);
    let dss = script.ack(0);
    script.send(&mut flow, seg().dss(dss));
    let data = script.all(&mut flow);
    assert!(data.iter().any(|p| p.payload.as_ref() == b"unacknowledged"), "{data:?}");
    script.advance(Duration::from_secs(50));
    assert!(!script.events.iter().any(|e| matches!(e, Event::Closed(_))));
}

/// [RST-4] [FIN-9]: unless the peer says that the trouble passes.
#[test]
fn a_resumption_refused_for_now_is_tried_again() {
    let mut script = Script::client(config(), 1);
    let mut first = script.connect();
    script.send(&mut first, seg().rst());
    script.advance(Duration::from_millis(1));
    let (mut flow, _) = script.next_syn().expect("an attempt");
    let reason = mpuser_engine::error::ResetReason::LackOfResources;
    let option = MptcpOption::TcpRst(MpTcpRst { transient: true, reason });
    script.send(&mut flow, seg().rst().option(option));
    assert!(!script.events.iter().any(|e| matches!(e, Event::Closed(_))), "{:?}", script.events);
    script.advance(Duration::from_secs(10));
    assert!(script.next_syn().is_some(), "again");
    script.advance(Duration::from_secs(60));
    assert!(script.events.iter().any(|e| matches!(e, Event::Closed(Some(_)))), "not for ever");
}

/// A refused resumption is the end: nobody knows the connection any more.
#[test]
fn a_refused_resumption_is_the_end() {
    let mut script = Script::client(config(), 1);
    let mut first = script.connect();
    script.send(&mut first, seg().rst());
    script.advance(Duration::from_millis(1));
    let (mut flow, _) = script.next_syn().expect("an attempt");
    script.send(&mut flow, seg().rst());
    let error = mpuser_engine::error::ConnectionError::Reset;
    assert!(script.events.contains(&Event::Closed(Some(error))), "{:?}", script.events);
}
