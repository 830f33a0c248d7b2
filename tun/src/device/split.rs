//! Cutting a super-segment in software, as a device with segmentation offload would.

use mpuser_engine::wire::checksum::Checksum;
use std::io;

pub(super) const IPV4: u8 = 4;
const IPV6: u8 = 6;
pub(super) const TCP: u8 = 6;
const IPV6_HEADER: usize = 40;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// Where the checksum stands in a TCP header.
pub(super) const TCP_CHECKSUM: usize = 16;

/// Where the headers of a TCP packet lie.
pub(super) struct Layout {
    pub(super) version: u8,
    /// Offset of the TCP header: the length of the IP header.
    pub(super) tcp: usize,
}

/// Cuts one TCP packet (`headers` = IP and TCP headers with options, then `payload`) into segments with at most
/// `segment_size` bytes of payload and hands each to `emit`.
///
/// Lengths, the IPv4 identification, sequence numbers and checksums are set per segment; FIN and PSH stay on the
/// last one only, CWR on the first. TCP options are repeated as they are, which RFC 8684 3.3 allows for a DSS
/// mapping that covers the whole: a mapping may be carried by any segment of it.
///
/// # Errors
/// `InvalidInput` if the headers are not those of a TCP packet, or the first error of `emit`.
pub fn split(
    headers: &[u8],
    payload: &[u8],
    segment_size: u16,
    mut emit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not a TCP super-segment");
    let layout = layout(headers).ok_or_else(invalid)?;
    if segment_size == 0 {
        return Err(invalid());
    }
    let size = usize::from(segment_size);
    let mut scratch = headers.to_vec();
    // An empty payload is one segment, not none.
    let count = payload.len().div_ceil(size).max(1);
    for index in 0..count {
        let start = index * size;
        let end = payload.len().min(start + size);
        let part = payload.get(start..end).unwrap_or_default();
        scratch.copy_from_slice(headers);
        let place = Place { index, offset: start as u32, last: index + 1 == count };
        rewrite(&mut scratch, &layout, place, part).ok_or_else(invalid)?;
        emit(&scratch, part)?;
    }
    Ok(())
}

/// Hands `emit` the packet as it is or, if its payload exceeds `segment_size`, its segments ([`split`]): what a device
/// without offload does.
///
/// # Errors
/// As [`split`].
pub fn segments(
    headers: &[u8],
    payload: &[u8],
    segment_size: Option<u16>,
    mut emit: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    match segment_size {
        Some(size) if payload.len() > usize::from(size) => split(headers, payload, size, emit),
        _ => emit(headers, payload),
    }
}

/// Which segment of the whole.
struct Place {
    index: usize,
    /// Payload bytes before it.
    offset: u32,
    last: bool,
}

/// Length of the IP header. The engine sends no extension headers.
fn tcp_offset(packet: &[u8]) -> Option<usize> {
    match packet.first()? >> 4 {
        IPV4 => Some(usize::from(packet.first()? & 0x0f) * 4),
        IPV6 => Some(IPV6_HEADER),
        _ => None,
    }
}

pub(super) fn layout(headers: &[u8]) -> Option<Layout> {
    let (version, tcp) = (headers.first()? >> 4, tcp_offset(headers)?);
    let protocol = *headers.get(if version == IPV4 { 9 } else { 6 })?;
    let offset = usize::from(headers.get(tcp + 12)? >> 4) * 4;
    let whole = tcp >= 20 && offset >= 20 && headers.len() == tcp + offset;
    (protocol == TCP && whole).then_some(Layout { version, tcp })
}

fn rewrite(headers: &mut [u8], layout: &Layout, place: Place, payload: &[u8]) -> Option<()> {
    let tcp_length = headers.len() - layout.tcp + payload.len();
    let (ip, tcp) = headers.split_at_mut_checked(layout.tcp)?;
    if layout.version == IPV4 {
        put16(ip, 2, u16::try_from(layout.tcp + tcp_length).ok()?)?;
        // RFC 6864: atomic datagrams need no distinct identification, but offload hardware counts up as well.
        let identification = get16(ip, 4)?.wrapping_add(place.index as u16);
        put16(ip, 4, identification)?;
        put16(ip, 10, 0)?;
        let mut sum = Checksum::new();
        sum.add_bytes(ip);
        put16(ip, 10, sum.finish())?;
    } else {
        put16(ip, 4, u16::try_from(tcp_length).ok()?)?;
    }
    let seq = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?).wrapping_add(place.offset);
    tcp.get_mut(4..8)?.copy_from_slice(&seq.to_be_bytes());
    let flags = tcp.get_mut(13)?;
    if !place.last {
        *flags &= !(FIN | PSH);
    }
    if place.index > 0 {
        // RFC 3168 6.1.2: CWR goes on the first new data packet.
        *flags &= !CWR;
    }
    checksum(layout, ip, tcp, payload)
}

/// Fills in the TCP checksum: pseudo header, header and payload (RFC 9293 3.1).
fn checksum(layout: &Layout, ip: &[u8], tcp: &mut [u8], payload: &[u8]) -> Option<()> {
    put16(tcp, TCP_CHECKSUM, 0)?;
    let addresses = if layout.version == IPV4 { 12..20 } else { 8..IPV6_HEADER };
    let mut sum = Checksum::new();
    sum.add_bytes(ip.get(addresses)?);
    sum.add_u16(u16::from(TCP));
    sum.add_u32(u32::try_from(tcp.len() + payload.len()).ok()?);
    // A multiple of four octets long.
    sum.add_bytes(tcp);
    sum.add_bytes(payload);
    put16(tcp, TCP_CHECKSUM, sum.finish())
}

/// The headers of a TCP packet, `payload` behind them, with the checksum a device would give it; `None` if it is none.
pub(crate) fn completed(headers: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let layout = layout(headers)?;
    let mut done = headers.to_vec();
    let (ip, tcp) = done.split_at_mut_checked(layout.tcp)?;
    checksum(&layout, ip, tcp, payload)?;
    Some(done)
}

/// [`completed`] for a packet in one piece: its headers, and where its payload begins.
pub(crate) fn completed_packet(packet: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let tcp = tcp_offset(packet)?;
    let end = tcp + usize::from(packet.get(tcp + 12)? >> 4) * 4;
    let (headers, payload) = packet.split_at_checked(end)?;
    Some((completed(headers, payload)?, payload))
}

fn get16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn put16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    bytes.get_mut(at..at + 2)?.copy_from_slice(&value.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sum of 16-bit words (RFC 1071), the slow way; an odd octet at the end counts as a high one.
    fn sum(bytes: &[u8]) -> u64 {
        let word =
            |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from);
        bytes.chunks(2).map(word).sum()
    }

    fn fold(mut sum: u64) -> u16 {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// A valid packet: IPv4 or IPv6, options of `options` bytes, sequence number near the wrap.
    fn headers(version: u8, options: usize, flags: u8) -> Vec<u8> {
        let mut ip = if version == IPV4 {
            let mut ip = vec![0u8; 20];
            ip[..2].copy_from_slice(&[0x45, 0]);
            ip[4..6].copy_from_slice(&0xffff_u16.to_be_bytes());
            ip[8..10].copy_from_slice(&[64, TCP]);
            ip[12..20].copy_from_slice(&[10, 9, 0, 2, 10, 9, 0, 1]);
            ip
        } else {
            let mut ip = vec![0u8; 40];
            ip[0] = 0x60;
            ip[6..8].copy_from_slice(&[TCP, 64]);
            ip[8..40].copy_from_slice(&[0xfd; 32]);
            ip
        };
        let mut tcp = vec![0u8; 20];
        tcp[..4].copy_from_slice(&[0x1f, 0x90, 0x00, 0x50]);
        tcp[4..8].copy_from_slice(&0xffff_ff00_u32.to_be_bytes());
        tcp[12] = (((20 + options) / 4) as u8) << 4;
        tcp[13] = flags;
        tcp.resize(20 + options, 1);
        ip.extend(tcp);
        ip
    }

    fn verify(packet: &[u8], version: u8) {
        let tcp = if version == IPV4 { 20 } else { 40 };
        let pseudo = if version == IPV4 {
            assert_eq!(fold(sum(&packet[..20])), 0xffff, "IPv4 header checksum");
            assert_eq!(usize::from(get16(packet, 2).unwrap()), packet.len());
            sum(&packet[12..20])
        } else {
            assert_eq!(usize::from(get16(packet, 4).unwrap()), packet.len() - 40);
            sum(&packet[8..40])
        };
        let total = pseudo + 6 + (packet.len() - tcp) as u64 + sum(&packet[tcp..]);
        assert_eq!(fold(total), 0xffff, "TCP checksum");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn segments_put_together_are_the_whole(
            version in prop::sample::select(vec![IPV4, IPV6]),
            options in (0usize..=10).prop_map(|n| n * 4),
            payload in prop::collection::vec(any::<u8>(), 0..6000),
            size in 1u16..2000,
        ) {
            let headers = headers(version, options, FIN | PSH | CWR | 0x10);
            let tcp = headers.len() - 20 - options;
            let mut seen: Vec<Vec<u8>> = Vec::new();
            split(&headers, &payload, size, |headers, part| {
                assert!(part.len() <= usize::from(size));
                seen.push([headers, part].concat());
                Ok(())
            }).unwrap();
            let mut joined = Vec::new();
            let count = seen.len();
            for (index, packet) in seen.iter().enumerate() {
                verify(packet, version);
                let seq = u32::from_be_bytes(packet[tcp + 4..tcp + 8].try_into().unwrap());
                prop_assert_eq!(seq, 0xffff_ff00_u32.wrapping_add(joined.len() as u32));
                let flags = packet[tcp + 13];
                prop_assert_eq!(flags & (FIN | PSH) != 0, index + 1 == count);
                prop_assert_eq!(flags & CWR != 0, index == 0);
                prop_assert_eq!(flags & 0x10, 0x10);
                prop_assert_eq!(&packet[tcp + 20..tcp + 20 + options], &headers[tcp + 20..]);
                if version == IPV4 {
                    prop_assert_eq!(get16(packet, 4).unwrap(), 0xffff_u16.wrapping_add(index as u16));
                }
                joined.extend_from_slice(&packet[tcp + 20 + options..]);
            }
            prop_assert_eq!(joined, payload);
        }

        #[test]
        fn no_input_panics(headers in prop::collection::vec(any::<u8>(), 0..120), size in 0u16..100) {
            let _ = split(&headers, &[7; 300], size, |_, _| Ok(()));
        }
    }

    #[test]
    fn an_error_ends_it() {
        let mut sent = 0;
        let error = split(&headers(IPV4, 0, 0), &[0; 3000], 1000, |_, _| {
            sent += 1;
            if sent == 2 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(sent, 2);
    }
}
