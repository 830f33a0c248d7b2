//! "Packet too big" (RFC 1191, RFC 8201).

use bytes::Bytes;
use mpuser_engine::addr::IpAddr;
use mpuser_engine::wire::ip::protocol;
use mpuser_engine::wire::{Checksum, IpHeader};

/// What becomes of a packet larger than the MTU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooBig {
    /// It is dropped and its sender told. Nothing is ever fragmented.
    #[default]
    FragmentationNeeded,
    /// It is dropped in silence: a black hole.
    Drop,
}

/// Octets of the dropped packet an ICMP message quotes.
const QUOTE: usize = 128;

/// The message to the sender of `packet` that `mtu` octets pass; `None` for what no message may be sent about. It
/// seems to come from the packet's destination: a link has no address of its own.
#[must_use]
pub fn fragmentation_needed(packet: &[u8], mtu: u16) -> Option<Bytes> {
    let ip = IpHeader::parse_beginning(packet).ok()?;
    if ip.protocol == protocol::ICMP || ip.protocol == protocol::ICMPV6 {
        return None;
    }
    let quote = packet.get(..packet.len().min(QUOTE))?;
    let parameter = u32::from(mtu).to_be_bytes();
    let v4 = ip.src.is_ipv4();
    let mut message = if v4 { vec![3, 4, 0, 0] } else { vec![2, 0, 0, 0] };
    message.extend_from_slice(&parameter);
    message.extend_from_slice(quote);
    let mut sum = Checksum::new();
    if !v4 {
        add(&mut sum, ip.dst);
        add(&mut sum, ip.src);
        sum.add_u32(message.len() as u32);
        sum.add_u32(protocol::ICMPV6.into());
    }
    sum.add_bytes(&message);
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&sum.finish().to_be_bytes());
    }
    let mut whole = header(ip.dst, ip.src, message.len() as u16)?;
    whole.extend_from_slice(&message);
    Some(whole.into())
}

fn add(sum: &mut Checksum, address: IpAddr) {
    match address {
        IpAddr::V4(address) => sum.add_bytes(&address.octets()),
        IpAddr::V6(address) => sum.add_bytes(&address.octets()),
    }
}

fn header(src: IpAddr, dst: IpAddr, len: u16) -> Option<Vec<u8>> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let [high, low] = (len + 20).to_be_bytes();
            let mut bytes = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, protocol::ICMP, 0, 0];
            bytes.extend_from_slice(&src.octets());
            bytes.extend_from_slice(&dst.octets());
            let mut sum = Checksum::new();
            sum.add_bytes(&bytes);
            bytes.get_mut(10..12)?.copy_from_slice(&sum.finish().to_be_bytes());
            Some(bytes)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let [high, low] = len.to_be_bytes();
            let mut bytes = vec![0x60, 0, 0, 0, high, low, protocol::ICMPV6, 64];
            bytes.extend_from_slice(&src.octets());
            bytes.extend_from_slice(&dst.octets());
            Some(bytes)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::tests::made;
    use mpuser_engine::wire::{IcmpError, IcmpKind};

    #[test]
    fn the_engine_understands_it() {
        for v6 in [false, true] {
            let packet = made(v6, 4_711, &[], &[7; 1_400]);
            let reply = fragmentation_needed(&packet, 1_280).unwrap();
            let ip = IpHeader::parse(&reply).unwrap();
            let error = IcmpError::parse(&ip, ip.payload(&reply)).unwrap();
            assert_eq!(error.kind, IcmpKind::FragmentationNeeded { mtu: 1_280 });
            assert_eq!((error.seq.0, error.tuple.local.port()), (4_711, 5));
            assert!(fragmentation_needed(&reply, 100).is_none(), "no error about an error");
        }
    }
}
