//! The TCP header (RFC 9293 3.1).

use super::bytes::Writer;
use super::checksum::Checksum;
use super::error::Error;
use super::ip::{IpHeader, protocol, pseudo_header};
use super::option_buffer::OptionBuffer;
use super::{ipv4, ipv6};
use crate::addr::{FourTuple, IpAddr};
use crate::seq::SeqNum;
use crate::tcp::Flags;
use alloc::vec::Vec;

/// Octets of a TCP header without options.
pub const HEADER_LEN: usize = 20;

/// Length of a header with all the options it can hold.
const MAX_HEADER_LEN: usize = 60;

pub(super) const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const URG: u8 = 0x20;
const ECE: u8 = 0x40;
pub(super) const CWR: u8 = 0x80;

/// A TCP header without its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// SEG.SEQ
    pub seq: SeqNum,
    /// SEG.ACK; `None` when the ACK bit is clear.
    pub ack: Option<SeqNum>,
    /// Control bits.
    pub flags: Flags,
    /// SEG.WND as on the wire, not scaled.
    pub window: u16,
    /// Urgent pointer; means something only with URG.
    pub urgent: u16,
}

/// How much of the TCP checksum is to be computed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumMode {
    /// All of it.
    Full,
    /// The pseudo-header only; the device adds the rest (virtio `VIRTIO_NET_HDR_F_NEEDS_CSUM`).
    PseudoHeaderOnly,
}

/// What [`emit`] has appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLengths {
    /// Octets of the IP header.
    pub ip: usize,
    /// Octets of the TCP header, options included.
    pub tcp: usize,
}

impl TcpHeader {
    /// Reads the header of a segment; also returns its length with options, so that the options are
    /// `segment[20..len]` and the data is `segment[len..]`.
    ///
    /// # Errors
    ///
    /// When the header is cut short or its data offset cannot be.
    pub fn parse(segment: &[u8]) -> Result<(Self, usize), Error> {
        let fixed = segment.first_chunk().ok_or(Error::Truncated)?;
        let len = Self::len(fixed);
        if len < HEADER_LEN {
            return Err(Error::BadHeaderLength);
        }
        if len > segment.len() {
            return Err(Error::Truncated);
        }
        Ok((Self::of(fixed), len))
    }

    /// The length with options, octets; not necessarily one that can be.
    #[inline(always)]
    pub(super) const fn len(fixed: &[u8; HEADER_LEN]) -> usize {
        (fixed[12] >> 4) as usize * 4
    }

    /// What the part without options says.
    #[inline(always)]
    pub(crate) const fn of(fixed: &[u8; HEADER_LEN]) -> Self {
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, _, bits, w0, w1, _, _, u0, u1] =
            *fixed;
        let ack = SeqNum(u32::from_be_bytes([a0, a1, a2, a3]));
        Self {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            seq: SeqNum(u32::from_be_bytes([q0, q1, q2, q3])),
            ack: if bits & ACK != 0 { Some(ack) } else { None },
            flags: flags_from_bits(bits),
            window: u16::from_be_bytes([w0, w1]),
            urgent: u16::from_be_bytes([u0, u1]),
        }
    }

    /// A header without ports, from its control bits and numbers.
    pub(super) const fn of_bits(bits: u8, seq: SeqNum, ack: SeqNum, window: u16) -> Self {
        let ack = if bits & ACK != 0 { Some(ack) } else { None };
        let flags = flags_from_bits(bits);
        Self { src_port: 0, dst_port: 0, seq, ack, flags, window, urgent: 0 }
    }

    /// The byte with the eight control bits.
    #[must_use]
    #[inline(always)]
    pub fn flag_bits(&self) -> u8 {
        let flags = &self.flags;
        bit(flags.fin, FIN)
            | bit(flags.syn, SYN)
            | bit(flags.rst, RST)
            | bit(flags.psh, PSH)
            | bit(self.ack.is_some(), ACK)
            | bit(flags.urg, URG)
            | bit(flags.ece, ECE)
            | bit(flags.cwr, CWR)
    }
}

#[inline(always)]
const fn bit(set: bool, mask: u8) -> u8 {
    if set { mask } else { 0 }
}

#[inline(always)]
const fn flags_from_bits(bits: u8) -> Flags {
    Flags {
        syn: bits & SYN != 0,
        fin: bits & FIN != 0,
        rst: bits & RST != 0,
        psh: bits & PSH != 0,
        urg: bits & URG != 0,
        ece: bits & ECE != 0,
        cwr: bits & CWR != 0,
    }
}

/// Whether the checksum of `segment`, the payload of the packet with header `ip`, is right.
///
/// Not for a segment that a device marked as "checksum still to be finished".
#[must_use]
pub fn verify_checksum(ip: &IpHeader, segment: &[u8]) -> bool {
    let Ok(len) = u32::try_from(segment.len()) else { return false };
    let mut sum = ip.pseudo_header(len);
    sum.add_bytes(segment);
    sum.finish() == 0
}

/// Appends the IP and TCP headers of a segment from `tuple.local` to `tuple.remote` to `buf`. `payload` is
/// measured and summed; appending it is the caller's work. The ports are those of `header`.
///
/// `None`, and nothing appended, when the tuple mixes address families or the packet would be longer than an IP
/// length field can say (65 535 octets; without the header for IPv6).
pub fn emit(
    buf: &mut Vec<u8>,
    tuple: &FourTuple,
    header: &TcpHeader,
    options: &OptionBuffer,
    payload: &[u8],
    checksum: ChecksumMode,
) -> Option<HeaderLengths> {
    let payload_sum = (checksum == ChecksumMode::Full).then(|| {
        let mut sum = Checksum::new();
        sum.add_bytes(payload);
        sum
    });
    emit_summed(buf, tuple, header, options, payload.len(), payload_sum)
}

/// [`emit`] for a payload whose sum is known already, for instance from its DSS checksum; without a sum only the
/// pseudo-header is summed.
pub fn emit_summed(
    buf: &mut Vec<u8>,
    tuple: &FourTuple,
    header: &TcpHeader,
    options: &OptionBuffer,
    payload_len: usize,
    payload_sum: Option<Checksum>,
) -> Option<HeaderLengths> {
    let tcp = HEADER_LEN + options.padded_len();
    let segment_len = u16::try_from(payload_len.checked_add(tcp)?).ok()?;
    let (src, dst) = (tuple.local.ip(), tuple.remote.ip());
    let ip = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let total_len = segment_len.checked_add(ipv4::HEADER_LEN as u16)?;
            buf.reserve(ipv4::HEADER_LEN + MAX_HEADER_LEN);
            buf.extend_from_slice(&ipv4::header(src, dst, protocol::TCP, total_len));
            ipv4::HEADER_LEN
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            buf.reserve(ipv6::HEADER_LEN + MAX_HEADER_LEN);
            buf.extend_from_slice(&ipv6::header(src, dst, protocol::TCP, segment_len));
            ipv6::HEADER_LEN
        }
        _ => return None,
    };
    let pseudo_header = pseudo_header(src, dst, protocol::TCP, segment_len.into());
    let end = buf.len() + tcp;
    // Arrays of fixed size compile to a few stores, without the call that copying a slice costs.
    buf.extend_from_slice(&full_header(header, options, pseudo_header, payload_sum));
    buf.truncate(end);
    Some(HeaderLengths { ip, tcp })
}

/// The header with its options, NOPs behind them. Its checksum is finished if the payload's sum is there, else left to a device.
#[inline(always)]
fn full_header(
    header: &TcpHeader,
    options: &OptionBuffer,
    pseudo_header: Checksum,
    payload_sum: Option<Checksum>,
) -> [u8; MAX_HEADER_LEN] {
    let ports = u32::from(header.src_port) << 16 | u32::from(header.dst_port);
    let ack = header.ack.unwrap_or_default().0;
    let words = (HEADER_LEN + options.padded_len()) as u8 / 4;
    let control =
        u32::from_be_bytes([words << 4, header.flag_bits(), 0, 0]) | u32::from(header.window);
    let checksum = match payload_sum {
        None => pseudo_header.partial(),
        Some(payload_sum) => {
            let mut sum = pseudo_header;
            // One sum that cannot overflow, instead of a carry to wait for at each step.
            let fields = [ports, header.seq.0, ack, control, header.urgent.into()];
            sum.add_u64(fields.into_iter().map(u64::from).sum());
            sum.add_u16(options.sum());
            sum.append(payload_sum);
            sum.finish()
        }
    };
    let mut bytes = [0; MAX_HEADER_LEN];
    let mut writer = Writer::new(&mut bytes);
    writer.put(ports.to_be_bytes());
    writer.put(header.seq.0.to_be_bytes());
    writer.put(ack.to_be_bytes());
    writer.put(control.to_be_bytes());
    writer.put(checksum.to_be_bytes());
    writer.put(header.urgent.to_be_bytes());
    writer.put(*options.bytes());
    bytes
}

#[cfg(test)]
mod tests;
