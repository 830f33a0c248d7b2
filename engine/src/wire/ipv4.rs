//! The IPv4 header (RFC 791).

use super::bytes::{Reader, Writer};
use super::checksum::Checksum;
use super::error::Error;
use super::ip::{HOP_LIMIT, IpHeader};
use crate::addr::Ipv4Addr;

/// Length of a header without options.
pub(super) const HEADER_LEN: usize = 20;
/// Flag: do not fragment.
const DONT_FRAGMENT: u16 = 0x4000;
/// Flag: more fragments follow.
const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment's place.
const FRAGMENT_OFFSET: u16 = 0x1fff;
/// What says that a packet is a fragment.
pub(super) const FRAGMENT: u16 = MORE_FRAGMENTS | FRAGMENT_OFFSET;

/// Reads a packet that must be whole.
pub(super) fn parse(packet: &[u8]) -> Result<IpHeader, Error> {
    let (header, fragment) = parse_header(packet)?;
    if header.total_len < header.header_len {
        return Err(Error::BadTotalLength);
    }
    if header.total_len > packet.len() {
        return Err(Error::Truncated);
    }
    let mut sum = Checksum::new();
    sum.add_bytes(packet.get(..header.header_len).ok_or(Error::Truncated)?);
    if sum.finish() != 0 {
        return Err(Error::BadChecksum);
    }
    if fragment & FRAGMENT != 0 {
        return Err(Error::Fragment);
    }
    Ok(header)
}

/// Reads the beginning of a packet; the rest may be missing.
pub(super) fn parse_beginning(packet: &[u8]) -> Result<IpHeader, Error> {
    let (header, fragment) = parse_header(packet)?;
    if fragment & FRAGMENT_OFFSET != 0 {
        return Err(Error::Fragment);
    }
    Ok(header)
}

/// The fields and the fragment word; lengths are checked as far as the header itself goes.
fn parse_header(packet: &[u8]) -> Result<(IpHeader, u16), Error> {
    let mut reader = Reader::new(packet);
    let mut fields = || {
        let [version_ihl, traffic_class] = reader.take()?;
        let total_len = reader.u16()?;
        let _identification = reader.u16()?;
        let fragment = reader.u16()?;
        let [hop_limit, protocol] = reader.take()?;
        let _checksum = reader.u16()?;
        let header = IpHeader {
            src: Ipv4Addr::from_bits(reader.u32()?).into(),
            dst: Ipv4Addr::from_bits(reader.u32()?).into(),
            protocol,
            hop_limit,
            traffic_class,
            header_len: usize::from(version_ihl & 0x0f) * 4,
            total_len: total_len.into(),
        };
        Some((header, version_ihl >> 4, fragment))
    };
    let (header, version, fragment) = fields().ok_or(Error::Truncated)?;
    if version != 4 {
        return Err(Error::BadVersion);
    }
    if header.header_len < HEADER_LEN {
        return Err(Error::BadHeaderLength);
    }
    if header.header_len > packet.len() {
        return Err(Error::Truncated);
    }
    Ok((header, fragment))
}

/// The sum of a header without options; its checksum is right if that is all ones.
#[inline(always)]
pub(super) fn sum(header: &[u8; HEADER_LEN]) -> Checksum {
    let mut reader = Reader::new(header);
    let mut words = 0;
    while let Some(word) = reader.u32() {
        words += u64::from(word);
    }
    let mut sum = Checksum::new();
    sum.add_u64(words);
    sum
}

/// A header without options, never to be fragmented; so its identification may be 0 (RFC 6864 4.1).
#[inline(always)]
pub(super) fn header(
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: u8,
    total_len: u16,
) -> [u8; HEADER_LEN] {
    let length = 0x4500_0000 | u32::from(total_len);
    let lifetime = u32::from_be_bytes([HOP_LIMIT, protocol, 0, 0]);
    let fields = [length, DONT_FRAGMENT.into(), lifetime, src.to_bits(), dst.to_bits()];
    let mut sum = Checksum::new();
    sum.add_u64(fields.into_iter().map(u64::from).sum());
    let mut bytes = [0; HEADER_LEN];
    let mut writer = Writer::new(&mut bytes);
    writer.put(length.to_be_bytes());
    writer.put(u32::from(DONT_FRAGMENT).to_be_bytes());
    writer.put((lifetime | u32::from(sum.finish())).to_be_bytes());
    writer.put(src.octets());
    writer.put(dst.octets());
    bytes
}
