//! Packets to a program, made with smoltcp's wire formats: UDP, echo replies, and news of what cannot be reached.

use mpuser_engine::wire::Checksum;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr,
    IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr,
};
use std::net::{IpAddr, SocketAddr};

const HOPS: u8 = 64;
/// How much of what could not be delivered is quoted, behind its IP header: ports and a sequence number.
const QUOTED: usize = 8;

/// What a program sent, other than TCP.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent<'a> {
    /// A datagram.
    Udp { from: SocketAddr, to: SocketAddr, payload: &'a [u8] },
    /// An echo request, from its identifier on: identifier, number, data.
    Echo { from: IpAddr, to: IpAddr, rest: &'a [u8] },
}

/// Why somebody cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is no way there: `ENETUNREACH`.
    Net,
    /// It does not answer on its own network: `EHOSTUNREACH`.
    Host,
    /// Nobody listens: `ECONNREFUSED`.
    Port,
}

/// Reads a packet; `None` for what is not served.
pub(super) fn read(packet: &[u8]) -> Option<Sent<'_>> {
    let (from, to, protocol, payload): (IpAddr, IpAddr, _, _) = match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            // the program's kernel has no reason to cut what fits into this device
            if ip.more_frags() || ip.frag_offset() != 0 {
                return None;
            }
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        }
        6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            (ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        }
        _ => return None,
    };
    match protocol {
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(payload).ok()?;
            let (source, target) = (udp.src_port(), udp.dst_port());
            let end = usize::from(udp.len());
            let payload = payload.get(8..end)?;
            (target != 0).then_some(Sent::Udp {
                from: SocketAddr::new(from, source),
                to: SocketAddr::new(to, target),
                payload,
            })
        }
        IpProtocol::Icmp if payload.first() == Some(&8) => {
            Some(Sent::Echo { from, to, rest: payload.get(4..)? })
        }
        IpProtocol::Icmpv6 if payload.first() == Some(&128) => {
            Some(Sent::Echo { from, to, rest: payload.get(4..)? })
        }
        _ => None,
    }
}

/// The Internet checksum (RFC 1071) of octets whose own field for it is zero.
pub(super) fn checksum(octets: &[u8]) -> u16 {
    let mut sum = Checksum::new();
    sum.add_bytes(octets);
    sum.finish()
}

/// An IP packet with room for `length` octets; `fill` writes them.
fn packet(
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8], &ChecksumCapabilities),
) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    let ip = IpRepr::new(IpAddress::from(from), IpAddress::from(to), protocol, length, HOPS);
    let mut packet = vec![0; ip.header_len() + length];
    ip.emit(&mut packet, &caps);
    if let Some(rest) = packet.get_mut(ip.header_len()..) {
        fill(rest, &caps);
    }
    packet
}

/// A datagram; `None` when both ends are not of one family, or it is too long.
pub(super) fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let repr = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let length = repr.header_len() + payload.len();
    if from.is_ipv4() != to.is_ipv4() || length > usize::from(super::MTU) - 40 {
        return None;
    }
    let (source, target) = (IpAddress::from(from.ip()), IpAddress::from(to.ip()));
    Some(packet(from.ip(), to.ip(), IpProtocol::Udp, length, |rest, caps| {
        let mut udp = UdpPacket::new_unchecked(rest);
        let copy = |into: &mut [u8]| into.copy_from_slice(payload);
        repr.emit(&mut udp, &source, &target, payload.len(), copy, caps);
    }))
}

/// The answer to an echo request, whose `rest` it gives back.
pub(super) fn echo_reply(from: IpAddr, to: IpAddr, rest: &[u8]) -> Option<Vec<u8>> {
    let (ident, number) = (rest.first_chunk::<2>()?, rest.get(2..)?.first_chunk::<2>()?);
    let (ident, seq_no) = (u16::from_be_bytes(*ident), u16::from_be_bytes(*number));
    let data = rest.get(4..)?;
    match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let repr = Icmpv4Repr::EchoReply { ident, seq_no, data };
            Some(icmpv4(from, to, &repr))
        }
        (IpAddr::V6(_), IpAddr::V6(_)) => {
            let repr = Icmpv6Repr::EchoReply { ident, seq_no, data };
            Some(icmpv6(from, to, &repr))
        }
        _ => None,
    }
}

/// News for `from` that `to` cannot be reached, from the router `near`; `quoted` is what stood behind the IP header of
/// what could not be delivered.
pub(super) fn unreachable(
    near: [IpAddr; 2],
    (from, to): (IpAddr, IpAddr),
    protocol: IpProtocol,
    quoted: &[u8],
    why: Why,
) -> Option<Vec<u8>> {
    let data = quoted.get(..QUOTED.min(quoted.len()))?;
    let payload_len = quoted.len();
    match (from, to) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let reason = match why {
                Why::Net => Icmpv4DstUnreachable::NetUnreachable,
                Why::Host => Icmpv4DstUnreachable::HostUnreachable,
                Why::Port => Icmpv4DstUnreachable::PortUnreachable,
            };
            let next_header = protocol;
            let header = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOPS };
            let repr = Icmpv4Repr::DstUnreachable { reason, header, data };
            Some(icmpv4(near.into_iter().find(IpAddr::is_ipv4)?, from, &repr))
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let reason = match why {
                Why::Net => Icmpv6DstUnreachable::NoRoute,
                Why::Host => Icmpv6DstUnreachable::AddrUnreachable,
                Why::Port => Icmpv6DstUnreachable::PortUnreachable,
            };
            let next_header = protocol;
            let header = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOPS };
            let repr = Icmpv6Repr::DstUnreachable { reason, header, data };
            Some(icmpv6(near.into_iter().find(IpAddr::is_ipv6)?, from, &repr))
        }
        _ => None,
    }
}

fn icmpv4(from: IpAddr, to: IpAddr, repr: &Icmpv4Repr<'_>) -> Vec<u8> {
    packet(from, to, IpProtocol::Icmp, repr.buffer_len(), |mut rest, caps| {
        repr.emit(&mut Icmpv4Packet::new_unchecked(&mut rest), caps);
    })
}

fn icmpv6(from: IpAddr, to: IpAddr, repr: &Icmpv6Repr<'_>) -> Vec<u8> {
    let ends = match (from, to) {
        (IpAddr::V6(from), IpAddr::V6(to)) => Some((from, to)),
        _ => None,
    };
    packet(from, to, IpProtocol::Icmpv6, repr.buffer_len(), |mut rest, caps| {
        if let Some((from, to)) = ends {
            repr.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(&mut rest), caps);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// What is made is read back: addresses, ports, octets, and checksums (smoltcp's own check).
    #[test]
    fn datagrams_of_both_families() {
        for (from, to) in [("192.0.2.1:53", "198.18.0.2:4000"), ("[fd00::1]:53", "[fd00::2]:4000")]
        {
            for payload in [&b""[..], b"x", &[7; 1_400], &[9; 60_000]] {
                let (from, to) = (at(from), at(to));
                let packet = udp(from, to, payload).unwrap();
                assert_eq!(read(&packet), Some(Sent::Udp { from, to, payload }));
                let header = if from.is_ipv4() { 20 } else { 40 };
                let inner = UdpPacket::new_checked(&packet[header..]).unwrap();
                assert!(inner.verify_checksum(&from.ip().into(), &to.ip().into()));
            }
        }
        assert_eq!(udp(at("192.0.2.1:53"), at("[fd00::2]:1"), b"x"), None);
        assert_eq!(udp(at("192.0.2.1:53"), at("192.0.2.2:1"), &[0; 65_535]), None);
    }

    #[test]
    fn echoes_come_back() {
        for (a, b, kind) in [("192.0.2.1", "198.18.0.2", 0_u8), ("fd00::1", "fd00::2", 129)] {
            let (a, b): (IpAddr, IpAddr) = (a.parse().unwrap(), b.parse().unwrap());
            let rest = [1, 2, 3, 4, b'p', b'i', b'n', b'g'];
            let reply = echo_reply(a, b, &rest).unwrap();
            let header = if a.is_ipv4() { 20 } else { 40 };
            assert_eq!(reply[header], kind);
            assert_eq!(reply[header + 4..], rest);
            assert_eq!(echo_reply(a, b, &rest[..3]), None);
        }
    }

    /// The example of RFC 1071 3, and an odd length.
    #[test]
    fn checksums() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0x12]), !0x1200);
        let echo =
            echo_reply([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), &[1, 2, 3, 4, 5]).unwrap();
        assert_eq!(checksum(&echo[20..]), 0, "smoltcp's own checksum is right");
    }

    /// [`Why`] becomes the code a kernel makes an error of, and the quotation names the connection.
    #[test]
    fn news_quote_what_they_are_about() {
        let quoted = [0x9c, 0x40, 0, 80, 1, 2, 3, 4];
        let near: [IpAddr; 2] = ["198.18.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        for (from, to, why, first) in [
            ("198.18.0.2", "192.0.2.9", Why::Net, [3, 0]),
            ("198.18.0.2", "192.0.2.9", Why::Host, [3, 1]),
            ("198.18.0.2", "192.0.2.9", Why::Port, [3, 3]),
            ("fd00::2", "2001:db8::9", Why::Net, [1, 0]),
            ("fd00::2", "2001:db8::9", Why::Host, [1, 3]),
        ] {
            let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
            let news = unreachable(near, (from, to), IpProtocol::Tcp, &quoted, why).unwrap();
            let header = if from.is_ipv4() { 20 } else { 40 };
            assert_eq!(news[header..header + 2], first);
            assert_eq!(news[news.len() - 8..], quoted, "{why:?}");
        }
    }

    #[test]
    fn garbage_is_nothing() {
        let good = udp(at("192.0.2.1:53"), at("198.18.0.2:4000"), b"hello").unwrap();
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), None, "{length}");
        }
        for (place, value) in [(0, 0x00), (0, 0x4f), (0, 0x65), (9, 47), (6, 0x20), (24, 0xff)] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(read(&bad), None, "{place}");
        }
    }
}
