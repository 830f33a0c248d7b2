use super::*;
use crate::time::Duration;

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn add(listeners: &mut Listeners, local: &str, backlog: usize) -> ListenerId {
    listeners.add(ConnectionConfig::default(), at(local), backlog).expect("free")
}

#[test]
fn an_exact_address_goes_before_a_wildcard_of_its_family() {
    let mut listeners = Listeners::default();
    let any4 = add(&mut listeners, "0.0.0.0:80", 1);
    let any6 = add(&mut listeners, "[::]:80", 1);
    let one = add(&mut listeners, "10.0.0.1:80", 1);
    let find = |listeners: &Listeners, address| listeners.find(at(address)).map(|(id, _)| id);
    assert_eq!(find(&listeners, "10.0.0.1:80"), Some(one));
    assert_eq!(find(&listeners, "10.0.0.2:80"), Some(any4));
    assert_eq!(find(&listeners, "[2001:db8::1]:80"), Some(any6));
    assert_eq!(find(&listeners, "10.0.0.1:81"), None);
    listeners.remove(any4);
    assert_eq!(find(&listeners, "10.0.0.2:80"), Some(any6), "[::] takes both families");
    listeners.remove(any6);
    assert_eq!(find(&listeners, "10.0.0.2:80"), None);
    add(&mut listeners, "0.0.0.0:80", 1);
    assert_eq!(find(&listeners, "[2001:db8::1]:80"), None, "0.0.0.0 takes one");
}

#[test]
fn an_address_is_listened_on_once_and_port_0_never() {
    let mut listeners = Listeners::default();
    add(&mut listeners, "0.0.0.0:80", 1);
    let config = ConnectionConfig { close_timeout: Duration::ZERO, ..ConnectionConfig::default() };
    let again = listeners.add(config.clone(), at("0.0.0.0:80"), 1);
    assert_eq!(again, Err(ListenError::AddressInUse));
    assert_eq!(listeners.add(config, at("0.0.0.0:0"), 1), Err(ListenError::InvalidPort));
}

/// Handshakes and connections not yet accepted both take a place; each gives it back once.
#[test]
fn the_backlog_counts_handshakes_and_waiting_connections() {
    let mut listeners = Listeners::default();
    let id = add(&mut listeners, "0.0.0.0:80", 2);
    let room = |l: &Listeners| l.find(at("0.0.0.0:80")).is_some_and(|(_, one)| one.has_room());
    listeners.on_pending(id);
    listeners.on_pending(id);
    assert!(!room(&listeners));
    listeners.on_settled(id, None);
    assert!(room(&listeners), "a failed handshake");
    listeners.on_settled(id, Some(ConnectionId(7)));
    listeners.on_pending(id);
    assert!(!room(&listeners), "one waits, one shakes hands");
    assert_eq!(listeners.accept(id), Some(ConnectionId(7)));
    assert!(room(&listeners));
    assert_eq!(listeners.accept(id), None);
    listeners.on_settled(id, Some(ConnectionId(8)));
    assert_eq!(listeners.remove(id), [ConnectionId(8)]);
    listeners.on_settled(id, Some(ConnectionId(9)));
    assert_eq!(listeners.accept(id), None);
}

#[test]
fn a_backlog_of_0_is_one_of_1() {
    let mut listeners = Listeners::default();
    add(&mut listeners, "0.0.0.0:80", 0);
    assert!(listeners.find(at("0.0.0.0:80")).is_some_and(|(_, listener)| listener.has_room()));
}
