//! The IPv6 header and the extension headers a TCP packet may have (RFC 8200).

use super::bytes::{Reader, Writer};
use super::error::Error;
use super::ip::{HOP_LIMIT, IpHeader};
use crate::addr::Ipv6Addr;

/// Length of the fixed header.
pub(super) const HEADER_LEN: usize = 40;
/// Extension headers gone through before giving up.
const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Reads a packet that must be whole.
pub(super) fn parse(packet: &[u8]) -> Result<IpHeader, Error> {
    let header = parse_fixed(packet)?;
    // A jumbogram (RFC 2675) has length 0 here and fails as its extension header is looked for.
    let whole = packet.get(..header.total_len).ok_or(Error::Truncated)?;
    skip_extensions(header, whole)
}

/// Reads the beginning of a packet; the rest may be missing.
pub(super) fn parse_beginning(packet: &[u8]) -> Result<IpHeader, Error> {
    skip_extensions(parse_fixed(packet)?, packet)
}

fn parse_fixed(packet: &[u8]) -> Result<IpHeader, Error> {
    let mut reader = Reader::new(packet);
    let mut fields = || {
        let first = reader.u32()?;
        let payload_len = reader.u16()?;
        let [protocol, hop_limit] = reader.take()?;
        let header = IpHeader {
            src: Ipv6Addr::from(reader.take::<16>()?).into(),
            dst: Ipv6Addr::from(reader.take::<16>()?).into(),
            protocol,
            hop_limit,
            traffic_class: (first >> 20) as u8,
            header_len: HEADER_LEN,
            total_len: HEADER_LEN + usize::from(payload_len),
        };
        Some((header, first >> 28))
    };
    match fields() {
        Some((header, 6)) => Ok(header),
        Some(_) => Err(Error::BadVersion),
        None => Err(Error::Truncated),
    }
}

/// Moves the end of `header` behind the extension headers in `packet`.
fn skip_extensions(mut header: IpHeader, packet: &[u8]) -> Result<IpHeader, Error> {
    for _ in 0..=MAX_EXTENSIONS {
        match header.protocol {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {}
            FRAGMENT => return Err(Error::Fragment),
            _ => return Ok(header),
        }
        let [next, len, _type, segments_left] = *packet
            .get(header.header_len..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(Error::Truncated)?;
        if header.protocol == ROUTING && segments_left != 0 {
            return Err(Error::SourceRouted);
        }
        header.header_len += (usize::from(len) + 1) * 8;
        header.protocol = next;
        if header.header_len > packet.len() {
            return Err(Error::Truncated);
        }
    }
    Err(Error::TooManyExtensionHeaders)
}

/// A header without extensions.
#[inline(always)]
pub(super) fn header(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    protocol: u8,
    payload_len: u16,
) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    let mut writer = Writer::new(&mut bytes);
    writer.put(0x6000_0000_u32.to_be_bytes());
    writer.put(payload_len.to_be_bytes());
    writer.put([protocol, HOP_LIMIT]);
    writer.put(src.octets());
    writer.put(dst.octets());
    bytes
}
