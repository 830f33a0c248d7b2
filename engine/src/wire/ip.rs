//! What IPv4 and IPv6 have in common, as far as TCP cares.

use super::checksum::Checksum;
use super::error::Error;
use super::{ipv4, ipv6};
use crate::addr::IpAddr;

/// Hop limit of packets sent from here.
pub(super) const HOP_LIMIT: u8 = 64;

/// Protocol numbers (IANA).
pub mod protocol {
    /// ICMP for IPv4
    pub const ICMP: u8 = 1;
    /// TCP
    pub const TCP: u8 = 6;
    /// ICMP for IPv6
    pub const ICMPV6: u8 = 58;
}

/// The header of a whole (not fragmented) IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// What the payload is; see [`protocol`].
    pub protocol: u8,
    /// Hop limit (time to live).
    pub hop_limit: u8,
    /// Traffic class (type of service); the lower two bits are ECN.
    pub traffic_class: u8,
    /// Octets before the payload, IPv4 options and IPv6 extension headers included.
    pub header_len: usize,
    /// Octets of the packet.
    pub total_len: usize,
}

impl IpHeader {
    /// Checks and reads the header at the front of `packet`. What follows the packet (link-layer padding) is not
    /// looked at.
    ///
    /// # Errors
    ///
    /// When the header is broken, the packet is cut short, or it is a fragment.
    pub fn parse(packet: &[u8]) -> Result<Self, Error> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => ipv4::parse(packet),
            Some(6) => ipv6::parse(packet),
            Some(_) => Err(Error::BadVersion),
            None => Err(Error::Truncated),
        }
    }

    /// Reads the header of a packet of which perhaps only the beginning is there, as in an ICMP error or a capture
    /// with a length limit. `total_len` is what the header says; checksum and "more fragments" are not looked at,
    /// for routers quote a header as they changed it.
    ///
    /// # Errors
    ///
    /// When the header itself is broken or cut short, or the packet is a fragment other than the first.
    pub fn parse_beginning(packet: &[u8]) -> Result<Self, Error> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => ipv4::parse_beginning(packet),
            Some(6) => ipv6::parse_beginning(packet),
            Some(_) => Err(Error::BadVersion),
            None => Err(Error::Truncated),
        }
    }

    /// The payload of `packet`, whose header this is, or as much as is there.
    #[must_use]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.header_len..self.total_len.min(packet.len())).unwrap_or_default()
    }

    /// The sum of the pseudo-header for a payload of `len` octets.
    pub(super) fn pseudo_header(&self, len: u32) -> Checksum {
        pseudo_header(self.src, self.dst, self.protocol, len)
    }
}

/// The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1). Both families give the same for the same numbers.
#[must_use]
#[inline(always)]
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> Checksum {
    let mut sum = Checksum::new();
    add_address(&mut sum, src);
    add_address(&mut sum, dst);
    sum.add_u32(len);
    sum.add_u32(protocol.into());
    sum
}

#[inline(always)]
fn add_address(sum: &mut Checksum, address: IpAddr) {
    match address {
        IpAddr::V4(address) => sum.add_u32(address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            sum.add_u64((bits >> 64) as u64);
            sum.add_u64(bits as u64);
        }
    }
}

#[cfg(test)]
mod tests;
