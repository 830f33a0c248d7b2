//! TCP segments out of frames: IP, its extension headers, TCP, and nothing behind it.
//!
//! Captures are cut off, checksums left to hardware, lengths wrong: what can be read is read, and the rest is said.

use crate::read::{Frame, LinkError, Network, network};
use mpuser_engine::wire::ip::pseudo_header;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// FIN
pub const FIN: u16 = 0x01;
/// SYN
pub const SYN: u16 = 0x02;
/// RST
pub const RST: u16 = 0x04;
/// PSH
pub const PSH: u16 = 0x08;
/// ACK
pub const ACK: u16 = 0x10;
/// URG
pub const URG: u16 = 0x20;

const TCP: u8 = 6;
/// IP in IP goes no deeper than this.
const MOST_TUNNELS: u8 = 4;
/// No packet has more extension headers that mean anything.
const MOST_EXTENSIONS: usize = 16;

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A TCP segment.
    Tcp(Packet<'a>),
    /// A part of a packet that went in several; they are not put together.
    Fragment {
        /// From.
        src: IpAddr,
        /// To.
        dst: IpAddr,
        /// Octets before this part.
        offset: u32,
    },
    /// IP, but not TCP: the protocol's number.
    NotTcp(u8),
    /// Not IP: the EtherType or its like.
    NotIp(u16),
    /// The link layer cannot be read.
    Link(LinkError),
    /// A header that contradicts itself or was not captured whole.
    Malformed {
        /// Octets into the frame.
        at: usize,
        /// What it is.
        what: &'static str,
    },
}

/// What a TCP checksum says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumState {
    /// Right.
    Good,
    /// Wrong.
    Bad,
    /// The sum of the pseudo-header only: captured before the hardware had finished it.
    Unfilled,
    /// Not all octets were captured.
    Unknown,
}

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The frame's number in its file.
    pub number: u64,
    /// Nanoseconds since 1970.
    pub time: Option<i64>,
    /// From.
    pub src: SocketAddr,
    /// To.
    pub dst: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// The eight flags and AE.
    pub flags: u16,
    /// Window, as it stands.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// What the checksum says.
    pub checksum: ChecksumState,
    /// Where in the frame the options begin.
    pub options_at: usize,
    /// The options, as far as captured.
    pub options: &'a [u8],
    /// How many octets of options there are.
    pub options_len: usize,
    /// The data, as far as captured.
    pub payload: &'a [u8],
    /// How many octets of data there are.
    pub payload_len: u32,
}

impl Packet<'_> {
    /// All of `flags` are set.
    #[must_use]
    pub const fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// The first segment of a connection.
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }

    /// The answer to it.
    #[must_use]
    pub const fn is_syn_ack(&self) -> bool {
        self.flags & (SYN | ACK) == SYN | ACK
    }

    /// Sequence space it takes.
    #[must_use]
    pub const fn seq_len(&self) -> u32 {
        let syn = (self.flags & SYN != 0) as u32;
        let fin = (self.flags & FIN != 0) as u32;
        self.payload_len.saturating_add(syn + fin)
    }
}

/// Takes a frame apart.
#[must_use]
pub fn dissect<'a>(frame: &Frame<'a>) -> Content<'a> {
    match network(frame.link, frame.data) {
        Ok(Network::Ip(at)) => ip(frame, at, 0),
        Ok(Network::Other(kind)) => Content::NotIp(kind),
        Err(error) => Content::Link(error),
    }
}

/// Where the IP packet at hand ends, what it is about.
struct Ip {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    /// Where what it carries begins.
    at: usize,
    /// Where it ends on the wire, counted in octets of the frame.
    end: usize,
    /// The destination counts for the checksum: with a routing header it is another one.
    routed: bool,
}

/// Why an IP packet is not looked into.
enum Not {
    Malformed { at: usize, what: &'static str },
    Fragment { src: IpAddr, dst: IpAddr, offset: u32 },
}

impl From<Not> for Content<'_> {
    fn from(not: Not) -> Self {
        match not {
            Not::Malformed { at, what } => Content::Malformed { at, what },
            Not::Fragment { src, dst, offset } => Content::Fragment { src, dst, offset },
        }
    }
}

fn ip<'a>(frame: &Frame<'a>, at: usize, depth: u8) -> Content<'a> {
    let parsed = match frame.data.get(at).map(|first| first >> 4) {
        Some(4) => ipv4(frame, at),
        Some(6) => ipv6(frame, at),
        Some(_) => Err(Not::Malformed { at, what: "neither IPv4 nor IPv6" }),
        None => Err(Not::Malformed { at, what: "no IP header captured" }),
    };
    match parsed {
        Err(not) => not.into(),
        Ok(mut ip) if ip.protocol == TCP => {
            // the frame was shorter than its IP header says: there is no more than that
            ip.end = ip.end.min(frame.wire_len.max(frame.data.len()));
            tcp(frame, &ip)
        }
        Ok(inner) if matches!(inner.protocol, 4 | 41) && depth < MOST_TUNNELS => {
            self::ip(frame, inner.at, depth + 1)
        }
        Ok(ip) => Content::NotTcp(ip.protocol),
    }
}

fn half(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn ipv4(frame: &Frame<'_>, at: usize) -> Result<Ip, Not> {
    let bad = |what| Not::Malformed { at, what };
    let data = frame.data;
    let head: &[u8; 20] = data
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .ok_or_else(|| bad("the IPv4 header was not captured whole"))?;
    let header = usize::from(head[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if header < 20 {
        return Err(bad("the IPv4 header says that it has less than 20 octets"));
    }
    // captured before it was cut into segments, a packet may say 0
    let total = if total == 0 { frame.wire_len.saturating_sub(at) } else { total };
    if total < header {
        return Err(bad("the IPv4 packet is shorter than its header"));
    }
    let fragment = u16::from_be_bytes([head[6], head[7]]);
    let src = IpAddr::from(Ipv4Addr::new(head[12], head[13], head[14], head[15]));
    let dst = IpAddr::from(Ipv4Addr::new(head[16], head[17], head[18], head[19]));
    if fragment & 0x3fff != 0 {
        return Err(Not::Fragment { src, dst, offset: u32::from(fragment & 0x1fff) * 8 });
    }
    Ok(Ip { src, dst, protocol: head[9], at: at + header, end: at + total, routed: header > 20 })
}

fn ipv6(frame: &Frame<'_>, at: usize) -> Result<Ip, Not> {
    let bad = |at, what| Not::Malformed { at, what };
    let data = frame.data;
    let head: &[u8; 40] = data
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .ok_or_else(|| bad(at, "the IPv6 header was not captured whole"))?;
    let (_, addresses) = head.split_at(8);
    let address = |from: usize| {
        let octets = addresses.get(from..).and_then(|rest| rest.first_chunk::<16>());
        IpAddr::from(Ipv6Addr::from(octets.copied().unwrap_or_default()))
    };
    let (src, dst) = (address(0), address(16));
    let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let end = if length == 0 { frame.wire_len.max(at + 40) } else { at + 40 + length };
    let mut found = Ip { src, dst, protocol: head[6], at: at + 40, end, routed: false };
    for _ in 0..MOST_EXTENSIONS {
        let cut = || bad(found.at, "an IPv6 extension header was not captured whole");
        let len = match found.protocol {
            // hop by hop, routing, destination options, mobility, HIP, shim6
            0 | 43 | 60 | 135 | 139 | 140 => {
                (usize::from(*data.get(found.at + 1).ok_or_else(cut)?) + 1) * 8
            }
            // authentication counts in words
            51 => (usize::from(*data.get(found.at + 1).ok_or_else(cut)?) + 2) * 4,
            44 => {
                let offset = half(data, found.at + 2).ok_or_else(cut)?;
                if offset & 0xfff9 != 0 {
                    return Err(Not::Fragment { src, dst, offset: u32::from(offset & 0xfff8) });
                }
                8
            }
            _ => break,
        };
        found.routed |= found.protocol == 43;
        found.protocol = *data.get(found.at).ok_or_else(cut)?;
        found.at += len;
        if found.at > found.end {
            return Err(bad(found.at, "an IPv6 extension header is longer than its packet"));
        }
    }
    Ok(found)
}

fn tcp<'a>(frame: &Frame<'a>, ip: &Ip) -> Content<'a> {
    let at = ip.at;
    let bad = |what| Content::Malformed { at, what };
    // what is behind the packet is padding of the link
    let data = frame.data.get(..ip.end).unwrap_or(frame.data);
    let Some(segment) = data.get(at..) else { return bad("no TCP header captured") };
    let Some(head) = segment.first_chunk::<20>() else {
        return bad("the TCP header was not captured whole");
    };
    let header = usize::from(head[12] >> 4) * 4;
    let total = ip.end.saturating_sub(at);
    if header < 20 {
        return bad("the TCP header says that it has less than 20 octets");
    }
    if header > total {
        return bad("the TCP header is longer than its packet");
    }
    let options = segment.get(20..header.min(segment.len())).unwrap_or_default();
    let payload = segment.get(header..).unwrap_or_default();
    Content::Tcp(Packet {
        number: frame.number,
        time: frame.time,
        src: SocketAddr::new(ip.src, u16::from_be_bytes([head[0], head[1]])),
        dst: SocketAddr::new(ip.dst, u16::from_be_bytes([head[2], head[3]])),
        seq: word(segment, 4).unwrap_or_default(),
        ack: word(segment, 8).unwrap_or_default(),
        flags: u16::from_be_bytes([head[12], head[13]]) & 0x01ff,
        window: u16::from_be_bytes([head[14], head[15]]),
        urgent: u16::from_be_bytes([head[18], head[19]]),
        checksum: checksum(ip, segment, total),
        options_at: at + 20,
        options,
        options_len: header - 20,
        payload,
        payload_len: u32::try_from(total - header).unwrap_or(u32::MAX),
    })
}

fn checksum(ip: &Ip, segment: &[u8], total: usize) -> ChecksumState {
    let len = u32::try_from(total).unwrap_or(u32::MAX);
    let pseudo = pseudo_header(ip.src, ip.dst, TCP, len);
    let field = half(segment, 16).unwrap_or_default();
    let unfilled = field == pseudo.partial() || field == 0;
    if segment.len() < total || ip.routed {
        return if unfilled { ChecksumState::Unfilled } else { ChecksumState::Unknown };
    }
    let mut sum = pseudo;
    sum.add_bytes(segment);
    match (sum.finish(), unfilled) {
        (0, _) => ChecksumState::Good,
        (_, true) => ChecksumState::Unfilled,
        _ => ChecksumState::Bad,
    }
}

#[cfg(test)]
mod tests;
