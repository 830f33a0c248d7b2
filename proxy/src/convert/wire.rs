//! Messages of the Convert protocol as bytes (RFC 8803 section 6). Lengths are in words of 32 bits throughout.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The version spoken here.
const VERSION: u8 = 1;
/// What every message has in its header.
const MAGIC: u16 = 0x2263;
const WORD: usize = 4;
/// The longest message: 255 words, header included.
const MOST: usize = 255;
/// Words of a Connect TLV without TCP options.
const CONNECT: usize = 5;

/// A message: a header and TLVs in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(pub Vec<Tlv>);

/// A part of a message (RFC 8803 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tlv {
    /// Asks which TCP extensions a converter supports.
    Info,
    /// Asks for a connection.
    Connect(Connect),
    /// The connection is there; options of the server's SYN/ACK, padded with zeros to whole words.
    ExtendedTcpHeader(Vec<u8>),
    /// Kinds of TCP options a converter supports.
    SupportedTcpExtensions(Vec<u8>),
    /// What a converter gave the client so that it can show its address; whole words.
    Cookie(Vec<u8>),
    /// Why not.
    Error(ErrorCode, Vec<u8>),
    /// Something the RFC does not know: its type, and its value.
    Unknown(u8, Vec<u8>),
}

/// The wish for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Where to. An IPv4 address travels as an IPv4-mapped one.
    pub to: SocketAddr,
    /// Options wanted on the SYN to the server.
    pub options: Vec<TcpOption>,
}

/// A TCP option wanted on a SYN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOption {
    /// Its kind.
    pub kind: u8,
    /// To be copied as it is; when empty, the converter takes a value of its own.
    pub value: Vec<u8>,
}

/// Why not (RFC 8803 section 6.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// 0: the versions spoken are in the value.
    UnsupportedVersion,
    /// 1: the message is in the value.
    MalformedMessage,
    /// 2: the message is in the value.
    UnsupportedMessage,
    /// 3: the cookie to be shown is in the value, behind a zero.
    MissingCookie,
    /// 32.
    NotAuthorized,
    /// 33: the kinds are in the value.
    UnsupportedTcpOption,
    /// 64: the seconds to wait are in the value.
    ResourceExceeded,
    /// 65: the seconds to wait are in the value.
    NetworkFailure,
    /// 96: the server sent a RST.
    ConnectionReset,
    /// 97: the code of the ICMP message is in the value.
    DestinationUnreachable,
    /// Something the RFC does not know.
    Other(u8),
}

impl ErrorCode {
    /// Every code of the RFC.
    pub const ALL: [Self; 10] = [
        Self::UnsupportedVersion,
        Self::MalformedMessage,
        Self::UnsupportedMessage,
        Self::MissingCookie,
        Self::NotAuthorized,
        Self::UnsupportedTcpOption,
        Self::ResourceExceeded,
        Self::NetworkFailure,
        Self::ConnectionReset,
        Self::DestinationUnreachable,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::UnsupportedVersion => 0,
            Self::MalformedMessage => 1,
            Self::UnsupportedMessage => 2,
            Self::MissingCookie => 3,
            Self::NotAuthorized => 32,
            Self::UnsupportedTcpOption => 33,
            Self::ResourceExceeded => 64,
            Self::NetworkFailure => 65,
            Self::ConnectionReset => 96,
            Self::DestinationUnreachable => 97,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        let known = Self::ALL.into_iter().find(|code| code.number() == number);
        known.unwrap_or(Self::Other(number))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::UnsupportedVersion => "Unsupported Version",
            Self::MalformedMessage => "Malformed Message",
            Self::UnsupportedMessage => "Unsupported Message",
            Self::MissingCookie => "Missing Cookie",
            Self::NotAuthorized => "Not Authorized",
            Self::UnsupportedTcpOption => "Unsupported TCP Option",
            Self::ResourceExceeded => "Resource Exceeded",
            Self::NetworkFailure => "Network Failure",
            Self::ConnectionReset => "Connection Reset",
            Self::DestinationUnreachable => "Destination Unreachable",
            Self::Other(_) => "an unknown error",
        };
        write!(f, "{name} ({})", self.number())
    }
}

/// What a message is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// No message of this protocol at all.
    #[error("it does not begin as a Convert message does")]
    Magic,
    /// Another version.
    #[error("it is of version {0} of the Convert protocol, and version 1 is spoken here")]
    Version(u8),
    /// A length of nothing, or beyond the message.
    #[error("a length in it is wrong")]
    Length,
    /// A TLV of type 0, which is reserved.
    #[error("a TLV in it has the reserved type 0")]
    Reserved,
}

/// A message longer than 255 words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message does not fit in 255 words")]
pub struct TooLong;

impl Message {
    /// Reads a message at the beginning of `bytes`: what it is and how many bytes long, or `None` if more is to come. No
    /// more than 1 020 bytes are ever wanted.
    ///
    /// # Errors
    /// What it is not.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Mistake> {
        let Some(&[version, words, high, low]) = bytes.first_chunk() else { return Ok(None) };
        if u16::from_be_bytes([high, low]) != MAGIC {
            return Err(Mistake::Magic);
        }
        if version != VERSION {
            return Err(Mistake::Version(version));
        }
        let length = usize::from(words) * WORD;
        if length == 0 {
            return Err(Mistake::Length);
        }
        let Some(mut rest) = bytes.get(WORD..length) else { return Ok(None) };
        let mut all = Vec::new();
        while let Some(&[kind, words, ..]) = rest.first_chunk::<WORD>() {
            let length = usize::from(words) * WORD;
            if length == 0 || length > rest.len() {
                return Err(Mistake::Length);
            }
            let (tlv, after) = rest.split_at(length);
            all.push(Tlv::parse(kind, tlv.get(2..).unwrap_or_default())?);
            rest = after;
        }
        Ok(Some((Self(all), length)))
    }

    /// The message as bytes.
    ///
    /// # Errors
    /// It does not fit.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut bytes = vec![VERSION, 0];
        bytes.extend(MAGIC.to_be_bytes());
        self.0.iter().try_for_each(|tlv| tlv.encode(&mut bytes))?;
        let words = words(bytes.len())?;
        if let Some(length) = bytes.get_mut(1) {
            *length = words;
        }
        Ok(bytes)
    }

    /// A message that says why not. What is too long to be quoted is cut.
    #[must_use]
    pub fn error(code: ErrorCode, mut value: Vec<u8>) -> Vec<u8> {
        // header, and the word with the code
        value.truncate((MOST - 2) * WORD + 1);
        Self(vec![Tlv::Error(code, value)]).encode().unwrap_or_default()
    }
}

/// A length in bytes as one in words.
fn words(bytes: usize) -> Result<u8, TooLong> {
    u8::try_from(bytes.div_ceil(WORD)).map_err(|_| TooLong)
}

impl Tlv {
    /// The type's number.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Info => 1,
            Self::Connect(_) => 10,
            Self::ExtendedTcpHeader(_) => 20,
            Self::SupportedTcpExtensions(_) => 21,
            Self::Cookie(_) => 22,
            Self::Error(..) => 30,
            Self::Unknown(kind, _) => *kind,
        }
    }

    /// `value` is what follows type and length: two bytes and whole words.
    fn parse(kind: u8, value: &[u8]) -> Result<Self, Mistake> {
        // most types begin with two bytes of nothing
        let (first, rest) = value.split_first_chunk::<2>().ok_or(Mistake::Length)?;
        Ok(match kind {
            0 => return Err(Mistake::Reserved),
            1 if rest.is_empty() => Self::Info,
            1 => return Err(Mistake::Length),
            10 => Self::Connect(Connect::parse(u16::from_be_bytes(*first), rest)?),
            20 => Self::ExtendedTcpHeader(rest.to_vec()),
            21 => {
                let kinds = rest.iter().copied().filter(|kind| *kind != 0);
                Self::SupportedTcpExtensions(kinds.collect())
            }
            22 => Self::Cookie(rest.to_vec()),
            30 => {
                let (code, value) = value.split_first().ok_or(Mistake::Length)?;
                Self::Error(ErrorCode::from_number(*code), value.to_vec())
            }
            other => Self::Unknown(other, value.to_vec()),
        })
    }

    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), TooLong> {
        let start = bytes.len();
        bytes.extend([self.kind(), 0]);
        match self {
            Self::Info => {}
            Self::Connect(connect) => connect.encode(bytes)?,
            Self::ExtendedTcpHeader(value)
            | Self::SupportedTcpExtensions(value)
            | Self::Cookie(value) => {
                bytes.extend([0, 0]);
                bytes.extend(value);
            }
            Self::Error(code, value) => {
                bytes.push(code.number());
                bytes.extend(value);
            }
            Self::Unknown(_, value) => bytes.extend(value),
        }
        let length = bytes.len() - start;
        let words = words(length)?;
        bytes.resize(start + usize::from(words) * WORD, 0);
        if let Some(place) = bytes.get_mut(start + 1) {
            *place = words;
        }
        Ok(())
    }
}

impl Connect {
    fn parse(port: u16, value: &[u8]) -> Result<Self, Mistake> {
        let (address, options) = value.split_first_chunk::<16>().ok_or(Mistake::Length)?;
        let ip = IpAddr::V6(Ipv6Addr::from(*address)).to_canonical();
        Ok(Self { to: SocketAddr::new(ip, port), options: TcpOption::parse_all(options)? })
    }

    fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), TooLong> {
        let ip = match self.to.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        bytes.extend(self.to.port().to_be_bytes());
        bytes.extend(ip.octets());
        for TcpOption { kind, value } in &self.options {
            let length = u8::try_from(2 + value.len()).map_err(|_| TooLong)?;
            bytes.extend([*kind, length]);
            bytes.extend(value);
        }
        Ok(())
    }
}

impl TcpOption {
    /// As in a TCP header: kind, length of the whole, value; 0 is the end, 1 is nothing.
    fn parse_all(mut bytes: &[u8]) -> Result<Vec<Self>, Mistake> {
        let mut all = Vec::new();
        while let Some((&kind, rest)) = bytes.split_first() {
            match kind {
                0 => break,
                1 => bytes = rest,
                _ => {
                    let length = usize::from(*rest.first().ok_or(Mistake::Length)?);
                    let value = bytes.get(2..length).ok_or(Mistake::Length)?.to_vec();
                    all.push(Self { kind, value });
                    bytes = bytes.get(length..).unwrap_or_default();
                }
            }
        }
        Ok(all)
    }
}

/// The shortest Connect TLV is what fits beside a cookie on any SYN.
const _: () = assert!(CONNECT * WORD == 20);

#[cfg(test)]
mod tests;
