//! IPv6, and both families in one connection (K43).
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use bytes::Bytes;
use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointFlags};
use mpuser_engine::error::SubflowError;
use mpuser_engine::time::Duration;
use mpuser_tests::world::{
    Path, Side, Transfer, World, client_address, client_address6, pattern, server_address,
    server_address6,
};

/// Listens on all addresses of both families, connects to `remote` and waits for the server.
fn open(
    world: &mut World,
    config: &ConnectionConfig,
    remote: IpAddr,
) -> (ConnectionId, ConnectionId) {
    let any = "[::]:80".parse().expect("an address");
    let listener = world.server.listen(config.clone(), any, 8).expect("free");
    let client = world.connect_to(config.clone(), remote);
    let accepted = world.accept_within(Duration::from_secs(10), listener);
    (client, accepted.expect("accepted"))
}

fn transfer(world: &mut World, ids: (ConnectionId, ConnectionId), len: usize) {
    let (up, down) = (pattern(1, len), pattern(2, len));
    let mut a = Transfer::new(Side::Client, ids.0, up.clone());
    let mut b = Transfer::new(Side::Server, ids.1, down.clone());
    assert!(world.run_until(Duration::from_secs(60), |w| a.pump(w) & b.pump(w)));
    assert!(a.incoming == down && b.incoming == up && a.error.is_none() && b.error.is_none());
}

/// J25 (K43): the first subflow of one family, joins of the other, data both ways over all of them; both ends have
/// addresses of both families.
#[test]
fn a_connection_may_mix_families() {
    for first_is_6 in [true, false] {
        for checksum in [true, false] {
            let client =
                [client_address(0), client_address6(1), client_address(2), client_address6(3)];
            let server = [server_address(0), server_address6(0)];
            let path = Path { loss: 5, ..Path::default() };
            let mut world = World::with_addresses(7, vec![path; 4], &client, &server);
            let config = ConnectionConfig { checksum, ..ConnectionConfig::default() };
            let remote = server[usize::from(first_is_6)];
            let ids = open(&mut world, &config, remote);
            world.run_for(Duration::from_secs(1));
            // The server's other family, by hand: nothing announced it.
            let other = server[usize::from(!first_is_6)];
            for (index, local) in client.iter().enumerate() {
                let now = world.now;
                let target = SocketAddr::new(other, 80);
                let outcome = world.client.open_subflow(now, ids.0, *local, target);
                let fits = local.is_ipv4() == other.is_ipv4();
                let expected = if fits { None } else { Some(SubflowError::MixedFamilies) };
                assert_eq!(outcome.err(), expected, "{index}");
            }
            world.run_for(Duration::from_secs(1));
            let info = world.client.info(ids.0).expect("known");
            let up: Vec<_> = info.subflows.iter().filter(|s| s.state == "ESTAB").collect();
            assert_eq!(up.len(), 4, "{info:#?}");
            for six in [true, false] {
                let count = up.iter().filter(|s| s.tuple.local.is_ipv6() == six).count();
                assert_eq!(count, 2, "{up:#?}");
            }
            transfer(&mut world, ids, 400_000);
            let info = world.client.info(ids.0).expect("known");
            let carried = info.subflows.iter().filter(|s| s.bytes_sent > 0);
            assert!(carried.count() >= 2 && info.mptcp);
        }
    }
}

/// An announced IPv6 address of a server first met over IPv4 is joined from an IPv6 address, and the reverse.
#[test]
fn announcements_cross_families() {
    for first_is_6 in [true, false] {
        let client = [client_address(0), client_address6(1)];
        let server = [server_address(0), server_address6(0)];
        let mut world = World::with_addresses(3, vec![Path::default(); 2], &client, &server);
        let flags = EndpointFlags { signal: true, ..EndpointFlags::default() };
        let address = server[usize::from(!first_is_6)];
        let signal = PmEndpoint { address, id: None, port: None, flags };
        let now = world.now;
        world.server.add_endpoint(now, signal).expect("an endpoint");
        let config = ConnectionConfig::default();
        let ids = open(&mut world, &config, server[usize::from(first_is_6)]);
        world.run_for(Duration::from_secs(2));
        let info = world.client.info(ids.0).expect("known");
        let families: Vec<_> = info
            .subflows
            .iter()
            .filter(|s| s.state == "ESTAB")
            .map(|s| s.tuple.local.is_ipv6())
            .collect();
        assert_eq!(families, [first_is_6, !first_is_6], "{info:#?}");
        transfer(&mut world, ids, 200_000);
    }
}

/// RFC 6691 with RFC 8200: 40 octets of header more than none, 20 more than with IPv4.
#[test]
fn the_mss_leaves_room_for_the_longer_header() {
    let (client, server) = ([client_address6(0)], [server_address6(0)]);
    let mut world = World::with_addresses(1, vec![Path::default()], &client, &server);
    let ids = open(&mut world, &ConnectionConfig::default(), server[0]);
    for info in [world.client.info(ids.0), world.server.info(ids.1)] {
        assert_eq!(info.expect("known").subflows[0].mss, 1_500 - 60 - 12, "less timestamps");
    }
}

fn icmpv6_too_big(quoted: &[u8], mtu: u32) -> Bytes {
    let (client, router) = (&quoted[8..24], IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, 1]));
    let IpAddr::V6(router) = router else { return Bytes::new() };
    let mut message = vec![2, 0, 0, 0];
    message.extend_from_slice(&mtu.to_be_bytes());
    message.extend_from_slice(&quoted[..quoted.len().min(1_200)]);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(message.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[58, 64]);
    packet.extend_from_slice(&router.octets());
    packet.extend_from_slice(client);
    let pseudo = [&packet[8..40], &(message.len() as u32).to_be_bytes(), &[0, 0, 0, 58], &message];
    let bytes = pseudo.concat();
    let words = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    message[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet.extend_from_slice(&message);
    Bytes::from(packet)
}

/// A router with a smaller MTU throws packets away and says so (RFC 8201): the transfer goes on with smaller ones. One
/// that speaks of less than 1 280 octets is believed no further than that.
#[test]
fn packet_too_big_is_obeyed() {
    for (told, limit) in [(1_400, 1_400), (600, 1_280)] {
        let (client, server) = ([client_address6(0)], [server_address6(0)]);
        let mut world = World::with_addresses(1, vec![Path::default()], &client, &server);
        let ids = open(&mut world, &ConnectionConfig::default(), server[0]);
        let (errors, sizes) = (std::rc::Rc::default(), std::rc::Rc::default());
        let (e, s): (
            std::rc::Rc<std::cell::RefCell<Vec<Bytes>>>,
            std::rc::Rc<std::cell::Cell<usize>>,
        ) = (std::rc::Rc::clone(&errors), std::rc::Rc::clone(&sizes));
        world.tamper = Box::new(move |side, _, packet| {
            if side == Side::Server {
                return vec![packet];
            }
            if packet.len() > limit {
                e.borrow_mut().push(icmpv6_too_big(&packet, told));
                return Vec::new();
            }
            s.set(s.get().max(packet.len()));
            vec![packet]
        });
        let data = pattern(4, 300_000);
        let mut a = Transfer::new(Side::Client, ids.0, data.clone());
        let mut b = Transfer::new(Side::Server, ids.1, Vec::new());
        let done = world.run_until(Duration::from_secs(60), |w| {
            for error in errors.take() {
                let now = w.now;
                w.client.handle_packet(now, InterfaceId(0), error);
            }
            a.pump(w) & b.pump(w)
        });
        assert!(done && b.incoming == data);
        assert!(sizes.get() > limit - 60 && sizes.get() <= limit, "{}", sizes.get());
    }
}

/// Extension headers a receiver has to skip are skipped (RFC 8200 4.1); a fragment is not put together.
#[test]
fn extension_headers_are_skipped() {
    let (client, server) = ([client_address6(0)], [server_address6(0)]);
    let mut world = World::with_addresses(1, vec![Path::default()], &client, &server);
    world.tamper = Box::new(|_, _, packet| {
        // A destination options header of 8 octets, all padding, before every segment.
        let mut out = packet[..40].to_vec();
        out[6] = 60;
        let length = (packet.len() - 40 + 8) as u16;
        out[4..6].copy_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[6, 0, 1, 4, 0, 0, 0, 0]);
        out.extend_from_slice(&packet[40..]);
        vec![out]
    });
    let ids = open(&mut world, &ConnectionConfig::default(), server[0]);
    assert!(world.client.info(ids.0).expect("known").mptcp);
    transfer(&mut world, ids, 50_000);
    world.tamper = Box::new(|_, _, packet| {
        let mut out = packet[..40].to_vec();
        out[6] = 44;
        let length = (packet.len() - 40 + 8) as u16;
        out[4..6].copy_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[6, 0, 0, 1, 0, 0, 0, 9]);
        out.extend_from_slice(&packet[40..]);
        vec![out]
    });
    let before = world.server.counters().ip_in_errors;
    world.connect_to(ConnectionConfig::default(), server[0]);
    world.run_for(Duration::from_secs(4));
    assert!(world.server.counters().ip_in_errors > before);
}

/// A kernel looks for routers and tells its groups on every link that has IPv6, a TUN included. That is no error and gets no
/// answer; a SYN to a group is one (T23).
#[test]
fn what_is_said_to_a_whole_link_is_no_error() {
    let solicitation = [0x85, 0, 0, 0, 0, 0, 0, 0];
    let groups = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &[0x8f, 0, 0, 0, 0, 0, 0, 0]].concat();
    let segment = [0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0];
    let cases: [(u8, u16, &[u8], u64); 3] =
        [(58, 2, &solicitation, 0), (0, 0x16, &groups, 0), (6, 1, &segment, 1)];
    let (client, server) = ([client_address6(0)], [server_address6(0)]);
    for (next, group, payload, errors) in cases {
        let mut world = World::with_addresses(1, vec![Path::default()], &client, &server);
        let source: std::net::Ipv6Addr = "fe80::1".parse().expect("an address");
        let to = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, group);
        let length = (payload.len() as u16).to_be_bytes();
        let header = [&[0x60, 0, 0, 0][..], &length, &[next, 255], &source.octets(), &to.octets()];
        world.inject(Side::Server, 0, [&header.concat(), payload].concat());
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.server.counters().ip_in_errors, errors, "next header {next}");
        assert_eq!(world.client.counters().tcp_in_segs, 0);
    }
}
