//! Link layers: where in a frame the IP packet begins.

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// An IP packet from this octet on.
    Ip(usize),
    /// Something else, by its EtherType or its like.
    Other(u16),
}

/// Why a frame's link layer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Too few octets captured.
    #[error("the frame ends within its link layer")]
    Short,
    /// A link type that is not read here.
    #[error("link type {0} is not supported")]
    Unsupported(u32),
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Tags stack; nobody has more than a few.
const MOST_TAGS: usize = 8;

/// The name of a link type, as tcpdump has it.
#[must_use]
pub const fn link_name(link: u32) -> &'static str {
    match link {
        0 => "NULL",
        1 => "EN10MB",
        9 => "PPP",
        12 | 14 | 101 => "RAW",
        50 => "PPP_SERIAL",
        51 => "PPP_ETHER",
        108 => "LOOP",
        113 => "LINUX_SLL",
        228 => "IPV4",
        229 => "IPV6",
        276 => "LINUX_SLL2",
        _ => "unknown",
    }
}

/// Finds the IP packet in a frame of a link type.
///
/// # Errors
/// When there are too few octets, or the link type is not known.
pub fn network(link: u32, frame: &[u8]) -> Result<Network, LinkError> {
    match link {
        0 | 108 => null(frame),
        1 => ethertype(frame, 12),
        9 | 50 => ppp(frame, 0),
        12 | 14 | 101 | 228 | 229 => Ok(Network::Ip(0)),
        51 => pppoe(frame, 0),
        113 => ethertype(frame, 14),
        // the protocol comes first, its tags would follow the header
        276 => match half(frame, 0)? {
            IPV4 | IPV6 => Ok(Network::Ip(20)),
            tag @ (0x8100 | 0x88a8 | 0x9100) => tagged(frame, tag, 20),
            other => Ok(Network::Other(other)),
        },
        other => Err(LinkError::Unsupported(other)),
    }
}

/// A family of the machine that captured, in its byte order or in network order.
fn null(frame: &[u8]) -> Result<Network, LinkError> {
    let word: [u8; 4] = *frame.first_chunk().ok_or(LinkError::Short)?;
    let family = match (u32::from_be_bytes(word), u32::from_le_bytes(word)) {
        (family @ ..=0xff, _) | (_, family) => family,
    };
    Ok(match family {
        // AF_INET; AF_INET6 of NetBSD, FreeBSD, Darwin, Linux
        2 | 10 | 24 | 28 | 30 => Network::Ip(4),
        other => Network::Other(other as u16),
    })
}

/// An EtherType at `at`, tags and sessions behind it taken off.
fn ethertype(frame: &[u8], at: usize) -> Result<Network, LinkError> {
    let kind = half(frame, at)?;
    tagged(frame, kind, at + 2)
}

/// What `kind` announces begins at `at`.
fn tagged(frame: &[u8], mut kind: u16, mut at: usize) -> Result<Network, LinkError> {
    for _ in 0..MOST_TAGS {
        match kind {
            IPV4 | IPV6 => return Ok(Network::Ip(at)),
            // 802.1Q, 802.1ad, and what came before that
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                kind = half(frame, at + 2)?;
                at += 4;
            }
            0x8864 => return pppoe(frame, at),
            // a label at the bottom of the stack; what follows says itself what it is
            0x8847 | 0x8848 => {
                let label = frame.get(at + 2).ok_or(LinkError::Short)?;
                at += 4;
                if label & 1 != 0 {
                    kind = match frame.get(at).ok_or(LinkError::Short)? >> 4 {
                        4 => IPV4,
                        6 => IPV6,
                        _ => return Ok(Network::Other(0x8847)),
                    };
                }
            }
            // a length: 802.2, perhaps with SNAP
            0..=1500 if frame.get(at..at + 6) == Some(&[0xaa, 0xaa, 3, 0, 0, 0]) => {
                kind = half(frame, at + 6)?;
                at += 8;
            }
            other => return Ok(Network::Other(other)),
        }
    }
    Ok(Network::Other(kind))
}

/// A PPPoE session: six octets, then PPP.
fn pppoe(frame: &[u8], at: usize) -> Result<Network, LinkError> {
    ppp(frame, at + 6)
}

/// PPP, perhaps with the address and control octets of HDLC, the protocol in one octet or two.
fn ppp(frame: &[u8], mut at: usize) -> Result<Network, LinkError> {
    if frame.get(at..at + 2) == Some(&[0xff, 0x03]) {
        at += 2;
    }
    let first = *frame.get(at).ok_or(LinkError::Short)?;
    let (protocol, len) =
        if first & 1 == 1 { (u16::from(first), 1) } else { (half(frame, at)?, 2) };
    Ok(match protocol {
        0x21 | 0x57 => Network::Ip(at + len),
        other => Network::Other(other),
    })
}

fn half(frame: &[u8], at: usize) -> Result<u16, LinkError> {
    let two = frame.get(at..).and_then(|rest| rest.first_chunk::<2>()).ok_or(LinkError::Short)?;
    Ok(u16::from_be_bytes(*two))
}
