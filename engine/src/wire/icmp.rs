//! ICMP errors about our segments (RFC 792, RFC 1191, RFC 4443, RFC 8201).

use super::bytes::Reader;
use super::checksum::Checksum;
use super::error::Error;
use super::ip::{IpHeader, protocol};
use crate::addr::{FourTuple, SocketAddr};
use crate::seq::SeqNum;

/// What happened to the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// It was too big for a link on the way.
    FragmentationNeeded {
        /// The IP packet size that would have fitted, in octets; 0 from routers older than RFC 1191, 65 535 for
        /// anything larger.
        mtu: u16,
    },
    /// It did not get there.
    Unreachable {
        /// The code, of ICMPv4 type 3 or ICMPv6 type 1 according to the tuple's family.
        code: u8,
    },
}

/// An error about a segment of ours. Anybody can send one: `seq` must be checked against the send window before
/// it is believed (RFC 5927 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What happened.
    pub kind: IcmpKind,
    /// The subflow, from our side: the quoted packet's source is `local`.
    pub tuple: FourTuple,
    /// SEG.SEQ of the quoted segment.
    pub seq: SeqNum,
}

impl IcmpError {
    /// Reads `message`, the payload of the packet with header `ip`.
    ///
    /// # Errors
    ///
    /// When it is no such error, its checksum is wrong, or it does not quote enough of a TCP segment.
    pub fn parse(ip: &IpHeader, message: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(message);
        let (Some([kind, code, _, _]), Some(parameter)) = (reader.take::<4>(), reader.u32()) else {
            return Err(Error::Truncated);
        };
        let kind = match (ip.protocol, kind, code) {
            (protocol::ICMP, 3, 4) => IcmpKind::FragmentationNeeded { mtu: parameter as u16 },
            (protocol::ICMPV6, 2, _) => {
                IcmpKind::FragmentationNeeded { mtu: u16::try_from(parameter).unwrap_or(u16::MAX) }
            }
            (protocol::ICMP, 3, code) | (protocol::ICMPV6, 1, code) => {
                IcmpKind::Unreachable { code }
            }
            _ => return Err(Error::NotAnError),
        };
        if !checksum_is_right(ip, message) {
            return Err(Error::BadChecksum);
        }
        let quote = reader.rest();
        let quoted = IpHeader::parse_beginning(quote)?;
        if quoted.src.is_ipv4() != (ip.protocol == protocol::ICMP) {
            return Err(Error::BadVersion);
        }
        if quoted.protocol != protocol::TCP {
            return Err(Error::NotTcp);
        }
        let mut segment = Reader::new(quote.get(quoted.header_len..).unwrap_or_default());
        let (Some(src), Some(dst), Some(seq)) = (segment.u16(), segment.u16(), segment.u32())
        else {
            return Err(Error::Truncated);
        };
        let tuple = FourTuple {
            local: SocketAddr::new(quoted.src, src),
            remote: SocketAddr::new(quoted.dst, dst),
        };
        Ok(Self { kind, tuple, seq: SeqNum(seq) })
    }
}

fn checksum_is_right(ip: &IpHeader, message: &[u8]) -> bool {
    let mut sum = match (ip.protocol, u32::try_from(message.len())) {
        (protocol::ICMPV6, Ok(len)) => ip.pseudo_header(len),
        _ => Checksum::new(),
    };
    sum.add_bytes(message);
    sum.finish() == 0
}

#[cfg(test)]
mod tests;
