//! The TCP and IP headers, and the packet as a whole.

use super::fill::Fill;
use super::{BuildError, Built, BuiltLayer, Known};
use crate::layer::Layer;
use crate::table::Kind;
use mpuser_engine::wire::Checksum;
use mpuser_engine::wire::ip::protocol;
use mpuser_engine::wire::tcp::HEADER_LEN as TCP_LEN;
use std::net::IpAddr;

const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
/// What the length field of an IP header can say.
const PACKET_MAX: usize = 65_535;
const HOP_LIMIT: u64 = 64;
/// IPv4: do not fragment.
const DONT_FRAGMENT: u64 = 2;

/// What stands behind the TCP header's fixed part.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) flags: u64,
    pub(super) options: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// The packet; option layers stand where the options begin.
pub(super) fn packet(
    network: Option<&Layer>,
    tcp: Fill<'_>,
    parts: &Parts<'_>,
    known: &Known,
    options: Vec<BuiltLayer>,
) -> Result<Built, BuildError> {
    let family = if known.remote.is_ipv4() { Kind::Ip } else { Kind::Ipv6 };
    let implied = Layer::new(family);
    let layer = network.unwrap_or(&implied);
    let mut ip = Fill::new(layer);
    let same = (layer.kind() == family).then_some((known.local.ip(), known.remote.ip()));
    let src = ip.address("src", same.map(|(local, _)| local))?;
    let dst = ip.address("dst", same.map(|(_, remote)| remote))?;
    let segment_len = TCP_LEN + parts.options.len() + parts.payload.len();
    let (mut bytes, ip_len) = match layer.kind() {
        Kind::Ip => (ipv4(&mut ip, src, dst, segment_len)?, IPV4_LEN),
        _ => (ipv6(&mut ip, src, dst, segment_len)?, IPV6_LEN),
    };
    if bytes.len() + segment_len > PACKET_MAX {
        let what = format!("the packet has {} octets", bytes.len() + segment_len);
        return Err(BuildError::new(what, "shorten the payload"));
    }
    let (segment, tcp_fields) = segment(tcp, parts, (src, dst), known)?;
    bytes.extend_from_slice(&segment);
    let tcp_at = ip_len..ip_len + TCP_LEN + parts.options.len();
    let mut layers = vec![
        BuiltLayer { kind: layer.kind(), fields: ip.finish(), at: 0..ip_len },
        BuiltLayer { kind: Kind::Tcp, fields: tcp_fields, at: tcp_at.clone() },
    ];
    let shift = ip_len + TCP_LEN;
    layers.extend(options.into_iter().map(|option| {
        let at = option.at.start + shift..option.at.end + shift;
        BuiltLayer { at, ..option }
    }));
    if !parts.payload.is_empty() {
        let raw = Layer::new(Kind::Raw).with("load", parts.payload);
        let mut fill = Fill::new(&raw);
        fill.octets("load", None)?;
        let at = tcp_at.end..bytes.len();
        layers.push(BuiltLayer { kind: Kind::Raw, fields: fill.finish(), at });
    }
    Ok(Built { bytes, layers })
}

fn segment(
    mut tcp: Fill<'_>,
    parts: &Parts<'_>,
    (src, dst): (IpAddr, IpAddr),
    known: &Known,
) -> Result<(Vec<u8>, Vec<super::Field>), BuildError> {
    let Parts { flags, options, payload } = *parts;
    let mut bytes = Vec::with_capacity(TCP_LEN + options.len() + payload.len());
    let words = (TCP_LEN + options.len()) / 4;
    let ack = if flags & 0x10 != 0 { known.ack } else { 0 };
    put16(&mut bytes, tcp.number("sport", known.local.port().into())?);
    put16(&mut bytes, tcp.number("dport", known.remote.port().into())?);
    put32(&mut bytes, tcp.number("seq", known.seq.into())?);
    put32(&mut bytes, tcp.number("ack", ack.into())?);
    let (words, reserved) =
        (tcp.number("dataofs", words.min(15) as u64)?, tcp.number("reserved", 0)?);
    put16(&mut bytes, words << 12 | reserved << 9 | flags);
    put16(&mut bytes, tcp.number("window", 65_535)?);
    let checksum_at = bytes.len();
    put16(&mut bytes, 0);
    put16(&mut bytes, tcp.number("urgptr", 0)?);
    bytes.extend_from_slice(options);
    bytes.extend_from_slice(payload);
    let mut sum = Checksum::new();
    for address in [src, dst] {
        match address {
            IpAddr::V4(address) => sum.add_bytes(&address.octets()),
            IpAddr::V6(address) => sum.add_bytes(&address.octets()),
        }
    }
    sum.add_u32(protocol::TCP.into());
    sum.add_u32(bytes.len() as u32);
    sum.add_bytes(&bytes);
    let checksum = tcp.number("chksum", sum.finish().into())?;
    set16(&mut bytes, checksum_at, checksum);
    Ok((bytes, tcp.finish()))
}

fn ipv4(
    ip: &mut Fill<'_>,
    src: IpAddr,
    dst: IpAddr,
    segment_len: usize,
) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::with_capacity(IPV4_LEN + segment_len);
    let (version, words) = (ip.number("version", 4)?, ip.number("ihl", 5)?);
    bytes.extend_from_slice(&[(version << 4 | words) as u8, ip.number("tos", 0)? as u8]);
    put16(&mut bytes, ip.number("len", (IPV4_LEN + segment_len).min(PACKET_MAX) as u64)?);
    put16(&mut bytes, ip.number("id", 0)?);
    let (flags, fragment) = (ip.number("flags", DONT_FRAGMENT)?, ip.number("frag", 0)?);
    put16(&mut bytes, flags << 13 | fragment);
    bytes.push(ip.number("ttl", HOP_LIMIT)? as u8);
    bytes.push(ip.number("proto", protocol::TCP.into())? as u8);
    put16(&mut bytes, 0);
    for address in [src, dst] {
        if let IpAddr::V4(address) = address {
            bytes.extend_from_slice(&address.octets());
        }
    }
    let mut sum = Checksum::new();
    sum.add_bytes(&bytes);
    set16(&mut bytes, 10, ip.number("chksum", sum.finish().into())?);
    Ok(bytes)
}

fn ipv6(
    ip: &mut Fill<'_>,
    src: IpAddr,
    dst: IpAddr,
    segment_len: usize,
) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::with_capacity(IPV6_LEN + segment_len);
    let (version, class, label) =
        (ip.number("version", 6)?, ip.number("tc", 0)?, ip.number("fl", 0)?);
    put32(&mut bytes, version << 28 | class << 20 | label);
    put16(&mut bytes, ip.number("plen", segment_len.min(PACKET_MAX) as u64)?);
    bytes.push(ip.number("nh", protocol::TCP.into())? as u8);
    bytes.push(ip.number("hlim", HOP_LIMIT)? as u8);
    for address in [src, dst] {
        if let IpAddr::V6(address) = address {
            bytes.extend_from_slice(&address.octets());
        }
    }
    Ok(bytes)
}

/// The table has checked that numbers fit.
fn put16(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&(number as u16).to_be_bytes());
}

fn put32(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&(number as u32).to_be_bytes());
}

fn set16(bytes: &mut [u8], at: usize, number: u64) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&(number as u16).to_be_bytes());
    }
}
