//! Cutting a super-segment into packets in software, as a device with segmentation offload would.

use super::checksum::Checksum;
use super::ip::protocol;
use super::ipv6::HEADER_LEN as IPV6_HEADER;
use super::source_route;
use super::tcp::{CWR, FIN, PSH};
use bytes::BytesMut;

/// Longest IP and TCP headers with all options.
const MAX_HEADERS: usize = 120;
/// Most TCP payload of a super-segment, octets: with all the headers it may have it is no longer than an IP packet.
pub const MAX_PAYLOAD: u32 = u16::MAX as u32 - MAX_HEADERS as u32;
/// Where the checksum stands in a TCP header.
pub const TCP_CHECKSUM: usize = 16;
const TCP_SEQ: usize = 4;
const TCP_FLAGS: usize = 13;

/// Where the headers of a TCP packet lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The packet is one of IPv4, and not of IPv6.
    pub ipv4: bool,
    /// Offset of the TCP header: the length of the IP header.
    pub tcp: usize,
}

impl Layout {
    /// The layout of `headers`, which are an IP and a TCP header with their options and nothing else; `None` for anything
    /// else. IPv6 extension headers, of which the engine sends none, are something else.
    #[must_use]
    pub fn of(headers: &[u8]) -> Option<Self> {
        let layout = Self::of_beginning(headers)?;
        let whole = headers.len() == layout.end(headers)?;
        (whole && headers.len() <= MAX_HEADERS).then_some(layout)
    }

    /// The layout of a packet that begins with `packet`, and where its payload begins; `None` if it is not one of TCP.
    #[must_use]
    pub fn of_packet(packet: &[u8]) -> Option<(Self, usize)> {
        let layout = Self::of_beginning(packet)?;
        let end = layout.end(packet)?;
        (end <= packet.len().min(MAX_HEADERS)).then_some((layout, end))
    }

    fn of_beginning(packet: &[u8]) -> Option<Self> {
        let first = packet.first()?;
        let (tcp, number) = match first >> 4 {
            4 => (usize::from(first & 0x0f) * 4, 9),
            6 => (IPV6_HEADER, 6),
            _ => return None,
        };
        let is_tcp = *packet.get(number)? == protocol::TCP && tcp >= 20;
        is_tcp.then_some(Self { ipv4: first >> 4 == 4, tcp })
    }

    fn end(self, packet: &[u8]) -> Option<usize> {
        let len = usize::from(packet.get(self.tcp + 12)? >> 4) * 4;
        (len >= 20).then_some(self.tcp + len)
    }

    /// The sum of source and destination, as the TCP checksum covers them: the destination is the final one.
    fn addresses(self, ip: &[u8]) -> Option<Checksum> {
        let mut sum = Checksum::new();
        if !self.ipv4 {
            sum.add_bytes(ip.get(8..IPV6_HEADER)?);
        } else if let Some(last) = source_route::final_destination(ip) {
            sum.add_bytes(ip.get(12..16)?);
            sum.add_bytes(&last);
        } else {
            sum.add_bytes(ip.get(12..20)?);
        }
        Some(sum)
    }
}

/// The packets of a super-segment, one after the other: lengths, the IPv4 identification, sequence numbers and checksums
/// are set for each; FIN and PSH stay on the last one only, CWR on the first.
///
/// TCP options are repeated as they are, which RFC 8684 3.3 allows for a DSS mapping that covers the whole: a mapping may
/// be carried by any segment of it [DSS-22].
#[derive(Debug)]
pub struct Segments<'a> {
    headers: [u8; MAX_HEADERS],
    len: usize,
    layout: Layout,
    rest: &'a [u8],
    size: usize,
    seq: u32,
    identification: u16,
    flags: u8,
    /// What all IPv4 headers have in common, and all TCP headers with the pseudo-header before them.
    ip_sum: Checksum,
    tcp_sum: Checksum,
    /// The last packet was given.
    done: bool,
}

impl<'a> Segments<'a> {
    /// The packets of `headers` (IP and TCP with options; what the checksums say does not matter) and `payload`, with at
    /// most `size` octets of payload each; without a size it is one. `None` if the headers are not those of TCP.
    #[must_use]
    pub fn new(headers: &[u8], payload: &'a [u8], size: Option<u16>) -> Option<Self> {
        let layout = Layout::of(headers)?;
        let size = size.map_or(payload.len(), usize::from).max(1);
        let mut own = [0; MAX_HEADERS];
        own.get_mut(..headers.len())?.copy_from_slice(headers);
        let (ip, tcp) = own.get_mut(..headers.len())?.split_at_mut_checked(layout.tcp)?;
        let (seq, flags) = (u32::from_be_bytes(take(tcp, TCP_SEQ)?), *tcp.get(TCP_FLAGS)?);
        let (mut ip_sum, mut identification) = (Checksum::new(), 0);
        if layout.ipv4 {
            identification = u16::from_be_bytes(take(ip, 4)?);
            put(ip, 2, [0; 4])?;
            put(ip, 10, [0; 2])?;
            ip_sum.add_bytes(ip);
        }
        put(tcp, TCP_SEQ, [0; 4])?;
        put(tcp, TCP_FLAGS, [0])?;
        put(tcp, TCP_CHECKSUM, [0; 2])?;
        let mut tcp_sum = layout.addresses(ip)?;
        tcp_sum.add_u16(protocol::TCP.into());
        tcp_sum.add_bytes(tcp);
        Some(Self {
            headers: own,
            len: headers.len(),
            layout,
            rest: payload,
            size,
            seq,
            identification,
            flags,
            ip_sum,
            tcp_sum,
            done: false,
        })
    }

    /// The next packet: its headers, checksums and all, and its payload. `None` after the last, and before one that would
    /// be longer than an IP header can say.
    pub fn next_packet(&mut self) -> Option<(&[u8], &'a [u8])> {
        let (part, flags) = self.next_part()?;
        let mut sum = Checksum::new();
        sum.add_bytes(part);
        let fields = self.fields(part, flags, sum)?;
        let headers = self.headers.get_mut(..self.len)?;
        fields.put(headers, self.layout)?;
        Some((headers, part))
    }

    /// Appends the next packet to `buffer` and returns the length of its payload; otherwise as [`Self::next_packet`]. The
    /// payload is summed as it is copied.
    pub fn next_onto(&mut self, buffer: &mut BytesMut) -> Option<usize> {
        let (part, flags) = self.next_part()?;
        let mut sum = Checksum::new();
        let headers = buffer.len()..buffer.len() + self.len;
        buffer.reserve(self.len + part.len());
        buffer.extend_from_slice(self.headers.get(..self.len)?);
        sum.copy_bytes(buffer, part);
        // Where they go, and not in a copy: what is copied right after a part of it was written waits for the memory.
        self.fields(part, flags, sum)?.put(buffer.get_mut(headers)?, self.layout)?;
        Some(part.len())
    }

    /// The payload and the flags of the next packet.
    #[inline(always)]
    fn next_part(&mut self) -> Option<(&'a [u8], u8)> {
        if self.done {
            return None;
        }
        let (part, rest) = self.rest.split_at_checked(self.size).unwrap_or((self.rest, &[]));
        u16::try_from(self.len + part.len()).ok()?;
        self.rest = rest;
        self.done = rest.is_empty();
        Some((part, if self.done { self.flags } else { self.flags & !(FIN | PSH) }))
    }

    /// What the packet with this payload, which has this sum, says of itself.
    #[inline(always)]
    fn fields(&mut self, part: &[u8], flags: u8, payload: Checksum) -> Option<Fields> {
        let tcp_len = u16::try_from(self.len - self.layout.tcp + part.len()).ok()?;
        let total = u16::try_from(self.len + part.len()).ok()?;
        let (seq, identification) = (self.seq, self.identification);
        let mut ip_sum = self.ip_sum;
        ip_sum.add_u32(u32::from(total) << 16 | u32::from(identification));
        let mut tcp_sum = self.tcp_sum;
        tcp_sum.add_u64(u64::from(tcp_len) + u64::from(seq) + u64::from(flags));
        tcp_sum.append(payload);
        self.seq = seq.wrapping_add(part.len() as u32);
        // RFC 6864: atomic datagrams need no distinct identification, but offload hardware counts up as well.
        self.identification = identification.wrapping_add(1);
        // RFC 3168 6.1.2: CWR goes on the first new data packet.
        self.flags &= !CWR;
        let (ip_checksum, tcp_checksum) = (ip_sum.finish(), tcp_sum.finish());
        Some(Fields { total, tcp_len, identification, ip_checksum, seq, flags, tcp_checksum })
    }
}

/// What differs between the packets of a super-segment.
#[derive(Clone, Copy)]
struct Fields {
    total: u16,
    tcp_len: u16,
    identification: u16,
    ip_checksum: u16,
    seq: u32,
    flags: u8,
    tcp_checksum: u16,
}

impl Fields {
    /// Writes them into headers of this layout.
    #[inline(always)]
    fn put(&self, headers: &mut [u8], layout: Layout) -> Option<()> {
        let (ip, tcp) = headers.split_at_mut_checked(layout.tcp)?;
        if layout.ipv4 {
            let [t0, t1] = self.total.to_be_bytes();
            let [i0, i1] = self.identification.to_be_bytes();
            put(ip, 2, [t0, t1, i0, i1])?;
            put(ip, 10, self.ip_checksum.to_be_bytes())?;
        } else {
            put(ip, 4, self.tcp_len.to_be_bytes())?;
        }
        put(tcp, TCP_SEQ, self.seq.to_be_bytes())?;
        put(tcp, TCP_FLAGS, [self.flags])?;
        put(tcp, TCP_CHECKSUM, self.tcp_checksum.to_be_bytes())
    }
}

#[inline(always)]
fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value;
    Some(())
}

#[cfg(test)]
mod tests;
