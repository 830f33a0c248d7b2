//! A TCP packet that can be changed: what middleboxes work on.

use bytes::Bytes;
use mpuser_engine::addr::{IpAddr, SocketAddr};
use mpuser_engine::seq::SeqNum;
use mpuser_engine::wire::ip::protocol;
use mpuser_engine::wire::tcp::verify_checksum;
use mpuser_engine::wire::tcp_option::kind;
use mpuser_engine::wire::{Checksum, IpHeader};

/// Octets of a TCP header without options.
const FIXED: usize = 20;
/// Octets of options a header can have.
pub const OPTIONS_MAX: usize = 40;

/// Control bits by their place in the header.
pub mod bits {
    /// FIN
    pub const FIN: u8 = 0x01;
    /// SYN
    pub const SYN: u8 = 0x02;
    /// RST
    pub const RST: u8 = 0x04;
    /// PSH
    pub const PSH: u8 = 0x08;
    /// ACK
    pub const ACK: u8 = 0x10;
}

/// A TCP option as bytes. NOPs are options of their own; an end of the list and what follows are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTcpOption {
    /// The kind.
    pub kind: u8,
    /// What follows kind and length.
    pub body: Vec<u8>,
}

impl RawTcpOption {
    /// One octet of padding.
    pub const NOP: Self = Self { kind: kind::NO_OPERATION, body: Vec::new() };

    /// Octets on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        if self.kind == kind::NO_OPERATION { 1 } else { 2 + self.body.len() }
    }

    /// The MPTCP subtype, if this is an MPTCP option.
    #[must_use]
    pub fn mptcp_subtype(&self) -> Option<u8> {
        if self.kind != kind::MPTCP {
            return None;
        }
        self.body.first().map(|first| first >> 4)
    }
}

/// An IP packet with a TCP segment whose checksum was right, taken apart. What no field names (IP identification,
/// hop limit, traffic class, reserved bits) is kept as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPacket {
    /// Who sent it.
    pub src: SocketAddr,
    /// Whom it is for; of the same family.
    pub dst: SocketAddr,
    /// SEG.SEQ
    pub seq: SeqNum,
    /// SEG.ACK; means something only with the ACK bit.
    pub ack: SeqNum,
    /// The eight control bits, see [`bits`].
    pub flags: u8,
    /// The four reserved bits beside the data offset.
    pub reserved: u8,
    /// SEG.WND, not scaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options.
    pub options: Vec<RawTcpOption>,
    /// Data.
    pub payload: Bytes,
    ip: Bytes,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn parse_options(mut bytes: &[u8]) -> Vec<RawTcpOption> {
    let mut options = Vec::new();
    loop {
        match bytes {
            [] | [kind::END_OF_LIST, ..] => return options,
            [kind::NO_OPERATION, rest @ ..] => {
                options.push(RawTcpOption::NOP);
                bytes = rest;
            }
            [kind, len, rest @ ..] => {
                let body = usize::from(*len).checked_sub(2).and_then(|n| rest.split_at_checked(n));
                let Some((body, after)) = body else { return options };
                options.push(RawTcpOption { kind: *kind, body: body.to_vec() });
                bytes = after;
            }
            [_] => return options,
        }
    }
}

impl TcpPacket {
    /// Takes a packet apart; `None` for what is not TCP, is a fragment, is cut short or has a wrong checksum: boxes
    /// let such packets pass, for a box that repaired a checksum would hide the damage.
    #[must_use]
    pub fn parse(packet: &Bytes) -> Option<Self> {
        let ip = IpHeader::parse(packet).ok().filter(|ip| ip.protocol == protocol::TCP)?;
        let segment = packet.get(ip.header_len..ip.total_len)?;
        if !verify_checksum(&ip, segment) {
            return None;
        }
        let offset = *segment.get(12)?;
        let header_len = usize::from(offset >> 4) * 4;
        let options = segment.get(FIXED..header_len)?;
        let start = ip.header_len + header_len;
        Some(Self {
            src: SocketAddr::new(ip.src, half(segment, 0)?),
            dst: SocketAddr::new(ip.dst, half(segment, 2)?),
            seq: SeqNum(word(segment, 4)?),
            ack: SeqNum(word(segment, 8)?),
            flags: *segment.get(13)?,
            reserved: offset & 0x0f,
            window: half(segment, 14)?,
            urgent: half(segment, 18)?,
            options: parse_options(options),
            payload: packet.slice(start..ip.total_len),
            ip: packet.slice(..ip.header_len),
        })
    }

    /// The packet's bytes, all lengths and checksums right. Options beyond 40 octets are left out, and of the
    /// payload what exceeds the largest IP packet.
    #[must_use]
    pub fn emit(&self) -> Bytes {
        let mut options = Vec::with_capacity(OPTIONS_MAX);
        for option in &self.options {
            if options.len() + option.wire_len() > OPTIONS_MAX {
                continue;
            }
            options.push(option.kind);
            if option.kind != kind::NO_OPERATION {
                options.push(option.wire_len() as u8);
                options.extend_from_slice(&option.body);
            }
        }
        options.resize(options.len().next_multiple_of(4), kind::NO_OPERATION);
        let tcp = FIXED + options.len();
        let room = usize::from(u16::MAX) - self.ip.len() - tcp;
        let payload = self.payload.get(..room).unwrap_or(&self.payload);
        let mut packet = Vec::with_capacity(self.ip.len() + tcp + payload.len());
        packet.extend_from_slice(&self.ip);
        packet.extend_from_slice(&self.src.port().to_be_bytes());
        packet.extend_from_slice(&self.dst.port().to_be_bytes());
        packet.extend_from_slice(&self.seq.0.to_be_bytes());
        packet.extend_from_slice(&self.ack.0.to_be_bytes());
        packet.push(((tcp / 4) as u8) << 4 | self.reserved & 0x0f);
        packet.push(self.flags);
        packet.extend_from_slice(&self.window.to_be_bytes());
        packet.extend_from_slice(&[0, 0]);
        packet.extend_from_slice(&self.urgent.to_be_bytes());
        packet.extend_from_slice(&options);
        packet.extend_from_slice(payload);
        self.finish(packet)
    }

    /// Fills in addresses, lengths and checksums.
    fn finish(&self, mut packet: Vec<u8>) -> Bytes {
        let start = self.ip.len();
        let len = packet.len() - start;
        let mut pseudo = Checksum::new();
        match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let total = (packet.len() as u16).to_be_bytes();
                put(&mut packet, 2, &total);
                put(&mut packet, 10, &[0, 0]);
                put(&mut packet, 12, &src.octets());
                put(&mut packet, 16, &dst.octets());
                let mut sum = Checksum::new();
                sum.add_bytes(packet.get(..start).unwrap_or_default());
                put(&mut packet, 10, &sum.finish().to_be_bytes());
                pseudo.add_u32(src.to_bits());
                pseudo.add_u32(dst.to_bits());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let total = ((packet.len() - 40) as u16).to_be_bytes();
                put(&mut packet, 4, &total);
                put(&mut packet, 8, &src.octets());
                put(&mut packet, 24, &dst.octets());
                pseudo.add_bytes(&src.octets());
                pseudo.add_bytes(&dst.octets());
            }
            // both were of one family when parsed, and boxes keep that
            _ => {}
        }
        pseudo.add_u32(len as u32);
        pseudo.add_u32(protocol::TCP.into());
        pseudo.add_bytes(packet.get(start..).unwrap_or_default());
        put(&mut packet, start + 16, &pseudo.finish().to_be_bytes());
        Bytes::from(packet)
    }

    /// All of `flags` are set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// A SYN without ACK.
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.has(bits::SYN) && !self.has(bits::ACK)
    }

    /// A SYN with ACK.
    #[must_use]
    pub const fn is_syn_ack(&self) -> bool {
        self.has(bits::SYN | bits::ACK)
    }

    /// Octets of sequence space: data, SYN and FIN.
    #[must_use]
    pub const fn seq_len(&self) -> u32 {
        let (syn, fin) = (self.has(bits::SYN) as u32, self.has(bits::FIN) as u32);
        self.payload.len() as u32 + syn + fin
    }

    /// The sequence number behind the segment.
    #[must_use]
    pub fn end(&self) -> SeqNum {
        self.seq + self.seq_len()
    }

    /// Some MPTCP option is there.
    #[must_use]
    pub fn has_mptcp(&self) -> bool {
        self.options.iter().any(|option| option.kind == kind::MPTCP)
    }

    /// Replaces options for which `wanted` holds by NOPs; whether there were any.
    pub fn blank_options(&mut self, mut wanted: impl FnMut(&RawTcpOption) -> bool) -> bool {
        let mut found = false;
        let mut kept = Vec::with_capacity(self.options.len());
        for option in self.options.drain(..) {
            if option.kind != kind::NO_OPERATION && wanted(&option) {
                kept.extend(std::iter::repeat_n(RawTcpOption::NOP, option.wire_len()));
                found = true;
            } else {
                kept.push(option);
            }
        }
        self.options = kept;
        found
    }

    /// The body of the first option of this kind.
    pub fn option_mut(&mut self, kind: u8) -> Option<&mut Vec<u8>> {
        self.options.iter_mut().find(|option| option.kind == kind).map(|option| &mut option.body)
    }

    /// A segment without data or options, the other way along the same flow.
    #[must_use]
    pub fn answer(&self, seq: SeqNum, ack: SeqNum, flags: u8) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            seq,
            ack,
            flags,
            reserved: 0,
            window: self.window,
            urgent: 0,
            options: Vec::new(),
            payload: Bytes::new(),
            ip: self.ip.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
