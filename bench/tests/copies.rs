//! Payload is not copied inside the engine: what leaves lies in the memory the application handed over, and what is read
//! lies in the packet that brought it. `write` and `read` copy once each, which is the application's own copy.
#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, Ipv4Addr, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{Endpoint, LocalAddress};
use std::ops::Range;

/// Where octets lie in memory.
fn place(octets: &[u8]) -> Range<usize> {
    let start = octets.as_ptr() as usize;
    start..start + octets.len()
}

fn lies_in(piece: &[u8], places: &[Range<usize>]) -> bool {
    let piece = place(piece);
    places.iter().any(|place| place.start <= piece.start && piece.end <= place.end)
}

fn end(host: u8) -> Endpoint {
    let mut endpoint = Endpoint::new(EndpointConfig::default(), [host; 32]);
    let local = LocalAddress {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)),
        interface: InterfaceId(0),
        mtu: 1_500,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    };
    endpoint.add_address(Instant::ZERO, local);
    endpoint
}

/// Packets from one to the other, which are kept so that no memory is used twice; and how much payload of them lay
/// outside of `written`.
fn carry(
    now: Instant,
    from: &mut Endpoint,
    to: &mut Endpoint,
    written: &[Range<usize>],
    packets: &mut Vec<Bytes>,
) -> usize {
    let (mut headers, mut copied) = (Vec::new(), 0);
    while let Some(transmit) = from.poll_transmit(now, &mut headers) {
        if !transmit.payload.is_empty() && !lies_in(&transmit.payload, written) {
            copied += transmit.payload.len();
        }
        let packet = Bytes::from([&headers[..], &transmit.payload].concat());
        packets.push(packet.clone());
        to.handle_packet(now, InterfaceId(0), packet);
    }
    if to.poll_timeout().is_some_and(|at| at <= now) {
        to.handle_timeout(now);
    }
    while to.poll_event().is_some() {}
    copied
}

/// Octets that were copied on their way out, and on their way in, of a transfer of `total`.
fn copies(config: &ConnectionConfig, total: usize) -> (usize, usize) {
    let (mut client, mut server) = (end(1), end(2));
    let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 80);
    let listener = server.listen(config.clone(), at, 4).unwrap();
    let sender = client.connect(Instant::ZERO, config.clone(), None, at).unwrap();
    let mut receiver: Option<ConnectionId> = None;
    let data = Bytes::from((0..total).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let written = [place(&data)];
    let (mut rest, mut packets, mut got) = (data.clone(), Vec::new(), Vec::new());
    let (mut out, mut inward, mut now) = (0, 0, Instant::ZERO);
    while got.len() < total {
        now += Duration::from_micros(50);
        if let Ok(taken) = client.write_bytes(now, sender, rest.clone()) {
            rest = rest.slice(taken..);
        }
        out += carry(now, &mut client, &mut server, &written, &mut packets);
        receiver = receiver.or_else(|| server.accept(listener));
        let places: Vec<_> = packets.iter().map(|packet| place(packet)).collect();
        while let Some(Ok(piece)) = receiver.map(|id| server.read_chunk(now, id, usize::MAX)) {
            if !lies_in(&piece, &places) {
                inward += piece.len();
            }
            got.extend_from_slice(&piece);
        }
        carry(now, &mut server, &mut client, &[], &mut packets);
        packets.clear();
        assert!(now < Instant::from_millis(60_000), "stands still after {} octets", got.len());
    }
    assert!(data == got);
    (out, inward)
}

#[test]
fn payload_is_not_copied_inside_the_engine() {
    let total = 4 << 20;
    for (mptcp, checksum) in [(true, false), (true, true), (false, false)] {
        let config = ConnectionConfig { mptcp, checksum, ..ConnectionConfig::default() };
        let (out, inward) = copies(&config, total);
        // Where what was taken of one write ends, the next segment is gathered from both sides of that place.
        assert!(out * 100 <= total, "{out} of {total} octets copied on their way out");
        assert_eq!(inward, 0, "octets copied on their way in");
    }
}
