//! Packets as octets: IP and TCP headers around what a side says.

use bytes::Bytes;
use mpuser_engine::wire::Checksum;
use std::net::{IpAddr, SocketAddr};

const TCP: u8 = 6;

/// A segment to be said.
pub(crate) struct Said<'a> {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u16,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    /// A multiple of four octets.
    pub(crate) options: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Said<'_> {
    /// The whole IP packet, its checksums filled in.
    pub(crate) fn emit(&self) -> Bytes {
        let tcp_len = 20 + self.options.len() + self.payload.len();
        let mut packet = Vec::with_capacity(40 + tcp_len);
        self.ip(&mut packet, tcp_len);
        let at = packet.len();
        packet.extend_from_slice(&self.src.port().to_be_bytes());
        packet.extend_from_slice(&self.dst.port().to_be_bytes());
        packet.extend_from_slice(&self.seq.to_be_bytes());
        packet.extend_from_slice(&self.ack.to_be_bytes());
        let words = (20 + self.options.len()) as u16 / 4;
        packet.extend_from_slice(&(words << 12 | self.flags).to_be_bytes());
        packet.extend_from_slice(&self.window.to_be_bytes());
        packet.extend_from_slice(&[0, 0]);
        packet.extend_from_slice(&self.urgent.to_be_bytes());
        packet.extend_from_slice(self.options);
        packet.extend_from_slice(self.payload);
        let sum = self.checksum(packet.get(at..).unwrap_or_default());
        if let Some(place) = packet.get_mut(at + 16..at + 18) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
        packet.into()
    }

    fn ip(&self, packet: &mut Vec<u8>, tcp_len: usize) {
        match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                // larger than IP allows: captured before it was cut into segments
                let total = u16::try_from(20 + tcp_len).unwrap_or(u16::MAX);
                packet.extend_from_slice(&[0x45, 0]);
                packet.extend_from_slice(&total.to_be_bytes());
                packet.extend_from_slice(&[0, 0, 0x40, 0, 64, TCP, 0, 0]);
                packet.extend_from_slice(&src.octets());
                packet.extend_from_slice(&dst.octets());
                let mut sum = Checksum::new();
                sum.add_bytes(packet);
                if let Some(place) = packet.get_mut(10..12) {
                    place.copy_from_slice(&sum.finish().to_be_bytes());
                }
            }
            (src, dst) => {
                packet.extend_from_slice(&[0x60, 0, 0, 0]);
                let len = u16::try_from(tcp_len).unwrap_or(u16::MAX);
                packet.extend_from_slice(&len.to_be_bytes());
                packet.extend_from_slice(&[TCP, 64]);
                packet.extend_from_slice(&octets(src));
                packet.extend_from_slice(&octets(dst));
            }
        }
    }

    fn checksum(&self, segment: &[u8]) -> u16 {
        let mut sum = Checksum::new();
        for address in [self.src.ip(), self.dst.ip()] {
            match address {
                IpAddr::V4(address) => sum.add_bytes(&address.octets()),
                IpAddr::V6(address) => sum.add_bytes(&address.octets()),
            }
        }
        sum.add_u16(TCP.into());
        sum.add_u32(segment.len() as u32);
        sum.add_bytes(segment);
        sum.finish()
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
