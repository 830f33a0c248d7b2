//! The IPv4 loose source route option (RFC 791 3.1): a packet names the gateways it goes through.

use crate::addr::{Ipv4Addr, SourceRoute};
use crate::wire::checksum::Checksum;
use alloc::vec::Vec;

/// Option type: copied on fragmentation, class control, number 3.
const LOOSE_SOURCE_ROUTE: u8 = 131;
/// No operation: aligns the addresses.
const NOP: u8 = 1;
/// Where the next address stands, counted from the type octet as 1.
const FIRST_POINTER: u8 = 4;
/// An IPv4 header without options.
const HEADER_LEN: usize = 20;

/// Octets the option takes in the IP header, alignment included: 8 to 36.
#[must_use]
pub const fn option_len(route: &SourceRoute) -> usize {
    4 + 4 * route.count()
}

/// Puts the option into the IPv4 packet whose headers are at the front of `headers`, and sends the packet to the
/// first gateway. The TCP checksum stays: it covers the final destination, which is now the last address of the
/// route. False, and nothing changed, for anything but an IPv4 header without options.
pub fn insert(headers: &mut Vec<u8>, route: &SourceRoute) -> bool {
    let len = option_len(route);
    let Some(header) = headers.first_chunk_mut::<HEADER_LEN>() else { return false };
    let [version_ihl, _, total_0, total_1, _, _, _, _, _, _, sum_0, sum_1, ..] = header;
    let total = u16::from_be_bytes([*total_0, *total_1]).checked_add(len as u16);
    let (0x45, Some(total)) = (*version_ihl, total) else { return false };
    *version_ihl = 0x40 | ((HEADER_LEN + len) / 4) as u8;
    [*total_0, *total_1] = total.to_be_bytes();
    [*sum_0, *sum_1] = [0, 0];
    let Some(target) = header.last_chunk_mut::<4>() else { return false };
    let mut option = Vec::from([NOP, LOOSE_SOURCE_ROUTE, len as u8 - 1, FIRST_POINTER]);
    // The packet goes to the first gateway; each puts the next address in as it passes.
    let mut next = route.gateways().iter().map(Ipv4Addr::octets).chain([*target]);
    if let Some(first) = next.next() {
        *target = first;
    }
    option.extend(next.flatten());
    headers.splice(HEADER_LEN..HEADER_LEN, option);
    let mut sum = Checksum::new();
    sum.add_bytes(headers.get(..HEADER_LEN + len).unwrap_or_default());
    if let Some(field) = headers.get_mut(10..12) {
        field.copy_from_slice(&sum.finish().to_be_bytes());
    }
    true
}

/// The last address of the loose source route in an IPv4 header, where the packet goes in the end; `None` for a header
/// without the option as [`insert`] writes it, or one whose route was gone through.
#[must_use]
pub fn final_destination(header: &[u8]) -> Option<[u8; 4]> {
    let option = header.get(HEADER_LEN..)?;
    let [NOP, LOOSE_SOURCE_ROUTE, len, pointer, ..] = *option else { return None };
    let end = 1 + usize::from(len);
    let last = option.get(end.checked_sub(4)?..end)?;
    if pointer > len { None } else { last.first_chunk().copied() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{FourTuple, SocketAddr};
    use crate::seq::SeqNum;
    use crate::tcp::Flags;
    use crate::wire::tcp::{ChecksumMode, TcpHeader, emit};
    use crate::wire::{IpHeader, OptionBuffer};
    use std::string::ToString;

    fn packet(remote: &str) -> Vec<u8> {
        let local = if remote.starts_with('[') { "[2001:db8::1]:5" } else { "10.0.0.1:5" };
        let local: SocketAddr = local.parse().unwrap();
        let tuple = FourTuple { local, remote: remote.parse().unwrap() };
        let header = TcpHeader {
            src_port: 5,
            dst_port: 6,
            seq: SeqNum(7),
            ack: None,
            flags: Flags::default(),
            window: 8,
            urgent: 0,
        };
        let mut packet = Vec::new();
        emit(&mut packet, &tuple, &header, &OptionBuffer::new(), &[], ChecksumMode::Full).unwrap();
        packet
    }

    fn route(count: u8) -> SourceRoute {
        let gateways: Vec<_> = (1..=count).map(|n| Ipv4Addr::new(10, 0, n, 254)).collect();
        SourceRoute::new(&gateways).unwrap()
    }

    /// RFC 791 3.1: the first gateway is the destination, the last address of the route is the peer.
    #[test]
    fn the_option_stands_behind_the_fixed_header() {
        for count in 1..=8 {
            let plain = packet("192.0.2.9:6");
            let mut routed = plain.clone();
            assert!(insert(&mut routed, &route(count)));
            let len = option_len(&route(count));
            assert_eq!(len, 4 + 4 * usize::from(count));
            let ip = IpHeader::parse(&routed).expect("a good checksum");
            assert_eq!((ip.header_len, ip.total_len), (20 + len, plain.len() + len));
            assert_eq!(ip.dst.to_string(), "10.0.1.254");
            assert_eq!(routed[20..24], [1, 131, len as u8 - 1, 4]);
            assert_eq!(routed[20 + len - 4..20 + len], [192, 0, 2, 9]);
            if count > 1 {
                assert_eq!(routed[24..28], [10, 0, 2, 254]);
            }
            assert_eq!(final_destination(&routed[..20 + len]), Some([192, 0, 2, 9]));
            assert_eq!(routed[20 + len..], plain[20..], "TCP is as it was");
        }
    }

    #[test]
    fn other_headers_are_left_alone() {
        let mut six = packet("[2001:db8::2]:6");
        let mut routed = packet("192.0.2.9:6");
        insert(&mut routed, &route(1));
        for packet in [&mut six, &mut routed, &mut Vec::new(), &mut Vec::from([0x45; 19])] {
            let before = packet.clone();
            assert!(!insert(packet, &route(2)));
            assert_eq!(*packet, before);
        }
        assert_eq!(final_destination(&packet("192.0.2.9:6")[..20]), None);
        assert_eq!(SourceRoute::new(&[]), None);
        assert_eq!(SourceRoute::new(&[Ipv4Addr::LOCALHOST; 9]), None);
    }
}
