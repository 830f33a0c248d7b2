use super::*;
use crate::Event;
use crate::config::EndpointConfig;
use crate::error::{ConnectionError, ReadError};
use crate::time::Duration;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::SocketAddr;

const WIRE: InterfaceId = InterfaceId(0);

/// A client at one end of a wire, and at the other end somebody who takes what is for anybody.
struct Pair {
    now: Instant,
    client: Endpoint,
    taker: Endpoint,
}

fn endpoint(seed: u8, address: &str) -> Endpoint {
    addressed(EndpointConfig::default(), seed, address)
}

fn addressed(config: EndpointConfig, seed: u8, address: &str) -> Endpoint {
    let mut endpoint = Endpoint::new(config, [seed; 32]);
    let (interface, address) = (WIRE, address.parse().expect("an address"));
    let (mtu, backup, checksum_offload) = (1_500, false, false);
    let local = LocalAddress { address, interface, mtu, backup, checksum_offload, max_payload: 0 };
    endpoint.add_address(Instant::ZERO, local);
    endpoint
}

fn plain() -> ConnectionConfig {
    ConnectionConfig { mptcp: false, ..ConnectionConfig::default() }
}

/// Moves every packet of `from` to `to`; how many there were.
fn carry(now: Instant, from: &mut Endpoint, to: &mut Endpoint) -> usize {
    let mut headers = Vec::new();
    let mut count = 0;
    while let Some(transmit) = from.poll_transmit(now, &mut headers) {
        let packet = [headers.as_slice(), &transmit.payload].concat();
        to.handle_packet(now, WIRE, Bytes::from(packet));
        count += 1;
    }
    count
}

impl Pair {
    fn new(limit: usize) -> Self {
        let mut taker = endpoint(2, "198.18.0.1");
        taker.intercept(plain(), WIRE, limit).expect("nobody does so yet");
        Self { now: Instant::ZERO, client: endpoint(1, "198.18.0.2"), taker }
    }

    fn connect(&mut self, remote: &str) -> ConnectionId {
        let remote = remote.parse().expect("an address");
        self.client.connect(self.now, plain(), None, remote).expect("it begins")
    }

    /// Until nothing moves.
    fn run(&mut self) {
        while carry(self.now, &mut self.client, &mut self.taker)
            + carry(self.now, &mut self.taker, &mut self.client)
            > 0
        {}
        assert_eq!(self.taker.check_invariants(), Ok(()));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        self.taker.handle_timeout(self.now);
        self.run();
    }

    fn state(&self, id: ConnectionId) -> Option<&'static str> {
        self.client.info(id).map(|info| info.subflows[0].state)
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn anybody_can_be_connected_to_once_it_is_admitted() {
    let mut pair = Pair::new(8);
    for remote in ["203.0.113.9:80", "192.0.2.1:1", "198.18.0.1:65535"] {
        let id = pair.connect(remote);
        pair.run();
        let request = pair.taker.next_request(WIRE).expect("asked");
        assert_eq!(request.tuple.local, at(remote));
        assert_eq!(pair.taker.next_request(WIRE), None);
        // nothing was said so far, and saying it again is no other request
        pair.wait(Duration::from_secs(1));
        assert_eq!(pair.taker.next_request(WIRE), None);
        assert_ne!(pair.state(id), Some("ESTAB"));
        let theirs = pair.taker.let_in(pair.now, &request.tuple).expect("it is held");
        pair.run();
        assert_eq!(pair.state(id), Some("ESTAB"));
        pair.client.write(pair.now, id, b"to whom it may concern").expect("room");
        pair.run();
        let mut buf = [0; 64];
        assert_eq!(pair.taker.read(pair.now, theirs, &mut buf), Ok(22));
        let info = pair.taker.info(theirs).expect("known");
        assert_eq!(info.subflows[0].tuple, request.tuple);
        pair.taker.write(pair.now, theirs, b"yes").expect("room");
        pair.taker.shutdown(pair.now, theirs);
        pair.run();
        assert_eq!(pair.client.read(pair.now, id, &mut buf), Ok(3));
        assert_eq!(pair.client.read(pair.now, id, &mut buf), Ok(0));
        assert_eq!(pair.taker.let_in(pair.now, &request.tuple), None, "once");
    }
}

#[test]
fn a_refused_request_is_a_closed_port() {
    let mut pair = Pair::new(8);
    let id = pair.connect("203.0.113.9:80");
    pair.run();
    let request = pair.taker.next_request(WIRE).expect("asked");
    pair.taker.refuse(pair.now, &request.tuple);
    pair.run();
    let mut events = core::iter::from_fn(|| pair.client.poll_event());
    let refused = Event::Closed(Some(ConnectionError::Refused));
    assert!(events.any(|(of, event)| of == id && event == refused));
    assert_eq!(pair.taker.connection_count(), 0);
}

/// A SYN nobody answers comes again, and is asked about again: by then the way may be there.
#[test]
fn an_ignored_request_comes_again() {
    let mut pair = Pair::new(8);
    let id = pair.connect("203.0.113.9:80");
    pair.run();
    let request = pair.taker.next_request(WIRE).expect("asked");
    pair.taker.ignore(&request.tuple);
    pair.wait(Duration::from_millis(1_100));
    let again = pair.taker.next_request(WIRE).expect("asked again");
    assert_eq!(again, request);
    assert!(pair.taker.let_in(pair.now, &again.tuple).is_some());
    pair.run();
    assert_eq!(pair.state(id), Some("ESTAB"));
}

#[test]
fn requests_are_bounded_and_go_with_their_client() {
    let mut pair = Pair::new(2);
    let ids: Vec<_> =
        (1..=3).map(|port| pair.connect(&alloc::format!("192.0.2.1:{port}"))).collect();
    pair.run();
    assert_eq!(pair.taker.counters().listen_drops, 1);
    let first = pair.taker.next_request(WIRE).expect("asked");
    // the client gives up: its RST takes the request away, told or not
    for id in ids {
        pair.client.abort(pair.now, id);
    }
    let reset = |tuple: FourTuple| {
        let mut packet = Vec::from([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        packet.extend([198, 18, 0, 2, 192, 0, 2, 1]);
        packet.extend(tuple.remote.port().to_be_bytes());
        packet.extend(tuple.local.port().to_be_bytes());
        packet.extend([0; 8]);
        packet.extend([0x50, 0x04, 0, 0, 0, 0, 0, 0]);
        packet
    };
    let mut packet = reset(first.tuple);
    let sum = checksum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let pseudo = u32::from(6_u16) + 20 + words(&packet[12..20]);
    let sum = checksum(&packet[20..], pseudo);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    pair.taker.handle_packet(pair.now, WIRE, Bytes::from(packet));
    assert_eq!(pair.taker.let_in(pair.now, &first.tuple), None);
    pair.taker.stop_intercepting(WIRE);
    assert_eq!(pair.taker.next_request(WIRE), None);
}

fn words(octets: &[u8]) -> u32 {
    octets.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

fn checksum(octets: &[u8], start: u32) -> u16 {
    let mut sum = start + words(octets);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Only what comes in by that interface, only hosts, and not where somebody listens.
#[test]
fn what_is_not_intercepted() {
    let mut pair = Pair::new(8);
    assert_eq!(pair.taker.intercept(plain(), WIRE, 1), Err(ListenError::AddressInUse));
    for nobody in ["224.0.0.1", "255.255.255.255", "0.0.0.0"] {
        assert_eq!(pair.taker.stand_in(WIRE, nobody.parse().expect("an address")), None);
    }
    assert_eq!(pair.taker.stand_in(InterfaceId(1), [192, 0, 2, 1].into()), None);
    // the interface has no address of that family
    assert_eq!(pair.taker.stand_in(WIRE, "2001:db8::1".parse().expect("an address")), None);
    let listener = pair.taker.listen(plain(), at("198.18.0.1:80"), 1).expect("free");
    let id = pair.connect("198.18.0.1:80");
    pair.run();
    assert_eq!(pair.taker.next_request(WIRE), None);
    assert!(pair.taker.accept(listener).is_some());
    assert_eq!(pair.state(id), Some("ESTAB"));
}

/// A client that uses its port again is a new request, although the old connection lingers.
#[test]
fn a_port_used_again_is_a_new_request() {
    let mut pair = Pair::new(8);
    let client = || {
        let ephemeral_ports = (40_000, 40_000);
        addressed(EndpointConfig { ephemeral_ports, ..EndpointConfig::default() }, 1, "198.18.0.2")
    };
    pair.client = client();
    let id = pair.connect("203.0.113.9:80");
    pair.run();
    let request = pair.taker.next_request(WIRE).expect("asked");
    let theirs = pair.taker.let_in(pair.now, &request.tuple).expect("it is held");
    pair.run();
    // the taker closes first, so TIME-WAIT is here
    pair.taker.close(pair.now, theirs);
    pair.run();
    pair.client.close(pair.now, id);
    pair.run();
    let mut buf = [0; 1];
    assert_ne!(pair.client.read(pair.now, id, &mut buf), Err(ReadError::WouldBlock));
    pair.client = client();
    pair.now += Duration::from_secs(2);
    pair.connect("203.0.113.9:80");
    pair.run();
    let again = pair.taker.next_request(WIRE).expect("asked");
    assert_eq!(again.tuple, request.tuple);
    assert!(pair.taker.let_in(pair.now, &again.tuple).is_some());
}
