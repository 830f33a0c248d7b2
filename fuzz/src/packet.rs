//! Any octets as a packet: headers, ICMP errors, the printed form; and an endpoint that has never seen the sender.

use mpuser_engine::addr::InterfaceId;
use mpuser_engine::config::EndpointConfig;
use mpuser_engine::time::Instant;
use mpuser_engine::wire::tcp::{HEADER_LEN, verify_checksum};
use mpuser_engine::wire::{IcmpError, IpHeader, TcpHeader, TcpOptions, pretty};
use mpuser_engine::{Endpoint, LocalAddress};
use std::net::IpAddr;

/// Reads `data` as a packet.
pub(crate) fn run(data: &[u8]) {
    let text = pretty(data);
    assert!(!text.contains('\n') && text.len() < 4_000, "{text}");
    let Ok(ip) = IpHeader::parse(data) else { return };
    assert!(ip.total_len <= data.len(), "{ip:?}");
    let segment = ip.payload(data);
    // any bytes of a quoted packet may be missing
    let _ = IpHeader::parse_beginning(&data[..data.len() / 2]);
    let _ = IcmpError::parse(&ip, segment);
    if let Ok((header, len)) = TcpHeader::parse(segment) {
        assert!((HEADER_LEN..=60).contains(&len) && len <= segment.len());
        let _ = TcpOptions::parse(&segment[HEADER_LEN..len]);
        let _ = (verify_checksum(&ip, segment), header.flag_bits());
    }
    stranger(ip.dst, data);
}

/// At most one answer, which is no answer to an answer, and nothing is kept.
fn stranger(address: IpAddr, data: &[u8]) {
    let now = Instant::from_millis(1);
    let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32]);
    let (interface, mtu) = (InterfaceId(0), 1500);
    let local = LocalAddress {
        address,
        interface,
        mtu,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    };
    endpoint.add_address(now, local);
    endpoint.handle_packet(now, interface, bytes::Bytes::copy_from_slice(data));
    let mut headers = Vec::new();
    let mut answers = 0;
    while let Some(transmit) = endpoint.poll_transmit(now, &mut headers) {
        assert!(transmit.payload.is_empty());
        answers += 1;
    }
    assert!(answers <= 1, "{answers} answers");
    assert_eq!((endpoint.connection_count(), endpoint.poll_timeout()), (0, None));
}
