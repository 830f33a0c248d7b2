//! TCP options one by one (RFC 9293 3.1, RFC 7323, RFC 2018, RFC 7413), for whoever wants to see them all.
//! The engine uses the summary, [`TcpOptions`](super::TcpOptions).

use super::bytes::{Reader, Writer};
use super::error::Error;
use super::mptcp::{self, MptcpOption};
use crate::seq::SeqNum;
pub use crate::tcp::FastOpenCookie;
use crate::tcp::{SackBlocks, Timestamps};
use core::fmt;

/// Option kinds (IANA).
pub mod kind {
    /// End of option list
    pub const END_OF_LIST: u8 = 0;
    /// No-operation
    pub const NO_OPERATION: u8 = 1;
    /// Maximum segment size
    pub const MAXIMUM_SEGMENT_SIZE: u8 = 2;
    /// Window scale
    pub const WINDOW_SCALE: u8 = 3;
    /// SACK permitted
    pub const SACK_PERMITTED: u8 = 4;
    /// SACK
    pub const SACK: u8 = 5;
    /// Timestamps
    pub const TIMESTAMPS: u8 = 8;
    /// Multipath TCP
    pub const MPTCP: u8 = super::mptcp::KIND;
    /// TCP Fast Open cookie
    pub const FAST_OPEN: u8 = 34;
}

/// One TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Nothing after this is an option.
    EndOfList,
    /// Padding.
    NoOperation,
    /// Largest segment the sender can receive, in octets (RFC 9293 3.7.1).
    MaximumSegmentSize(u16),
    /// Shift of the sender's window, as on the wire (RFC 7323 2.2).
    WindowScale(u8),
    /// The sender understands SACK (RFC 2018 2).
    SackPermitted,
    /// One to four blocks (RFC 2018 3).
    Sack(SackBlocks),
    /// Timestamps (RFC 7323 3.2).
    Timestamps(Timestamps),
    /// A Fast Open cookie, or with no bytes the request for one (RFC 7413 4.1.1).
    FastOpen(&'a [u8]),
    /// Multipath TCP.
    Mptcp(MptcpOption),
    /// Any other kind, or a known kind with a length it cannot have.
    Unknown {
        /// The kind byte.
        kind: u8,
        /// The bytes after kind and length.
        data: &'a [u8],
    },
}

impl<'a> TcpOption<'a> {
    /// Gives meaning to a kind and the bytes after kind and length.
    fn decode(kind: u8, body: &'a [u8]) -> Self {
        match (kind, body) {
            (kind::MAXIMUM_SEGMENT_SIZE, [a, b]) => {
                Self::MaximumSegmentSize(u16::from_be_bytes([*a, *b]))
            }
            (kind::WINDOW_SCALE, [shift]) => Self::WindowScale(*shift),
            (kind::SACK_PERMITTED, []) => Self::SackPermitted,
            (kind::SACK, _) => match parse_sack(body) {
                Some(blocks) => Self::Sack(blocks),
                None => Self::Unknown { kind, data: body },
            },
            (kind::TIMESTAMPS, _) => match parse_timestamps(body) {
                Some(timestamps) => Self::Timestamps(timestamps),
                None => Self::Unknown { kind, data: body },
            },
            (kind::FAST_OPEN, cookie) if FastOpenCookie::is_length(cookie.len()) => {
                Self::FastOpen(cookie)
            }
            (kind::MPTCP, _) => Self::Mptcp(MptcpOption::parse(body)),
            _ => Self::Unknown { kind, data: body },
        }
    }

    /// Octets on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::EndOfList | Self::NoOperation => 1,
            Self::MaximumSegmentSize(_) => 4,
            Self::WindowScale(_) => 3,
            Self::SackPermitted => 2,
            Self::Sack(blocks) => 2 + 8 * blocks.as_slice().len(),
            Self::Timestamps(_) => 10,
            Self::FastOpen(cookie) => 2 + cookie.len(),
            Self::Mptcp(option) => option.wire_len(),
            Self::Unknown { data, .. } => 2 + data.len(),
        }
    }

    /// Writes the option to the front of `out` and returns its length; `None`, and nothing written, when it does
    /// not fit or no length byte can say how long it is.
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let len = self.wire_len();
        if let Self::Mptcp(option) = self {
            return option.emit(out);
        }
        let mut writer = Writer::new(out.get_mut(..len)?);
        let len_byte = u8::try_from(len).ok()?;
        match self {
            Self::EndOfList => writer.put([kind::END_OF_LIST]),
            Self::NoOperation => writer.put([kind::NO_OPERATION]),
            Self::MaximumSegmentSize(mss) => {
                writer.put([kind::MAXIMUM_SEGMENT_SIZE, len_byte]);
                writer.put(mss.to_be_bytes());
            }
            Self::WindowScale(shift) => writer.put([kind::WINDOW_SCALE, len_byte, *shift]),
            Self::SackPermitted => writer.put([kind::SACK_PERMITTED, len_byte]),
            Self::Sack(blocks) => {
                writer.put([kind::SACK, len_byte]);
                for (start, end) in blocks.as_slice() {
                    writer.put(start.0.to_be_bytes());
                    writer.put(end.0.to_be_bytes());
                }
            }
            Self::Timestamps(timestamps) => {
                writer.put([kind::TIMESTAMPS, len_byte]);
                writer.put(timestamps.value.to_be_bytes());
                writer.put(timestamps.echo.to_be_bytes());
            }
            Self::FastOpen(cookie) => {
                writer.put([kind::FAST_OPEN, len_byte]);
                writer.put_slice(cookie);
            }
            Self::Unknown { kind: kind::END_OF_LIST | kind::NO_OPERATION, .. } => return None,
            Self::Unknown { kind, data } => {
                writer.put([*kind, len_byte]);
                writer.put_slice(data);
            }
            Self::Mptcp(_) => {}
        }
        Some(len)
    }
}

/// SACK blocks; `None` when there are none, or parts of one.
pub(super) fn parse_sack(body: &[u8]) -> Option<SackBlocks> {
    let (blocks, rest) = body.as_chunks::<8>();
    if blocks.is_empty() || !rest.is_empty() {
        return None;
    }
    let mut sack = SackBlocks::new();
    for block in blocks {
        let mut reader = Reader::new(block);
        let (start, end) = (SeqNum(reader.u32()?), SeqNum(reader.u32()?));
        if !sack.push(start, end) {
            return None;
        }
    }
    Some(sack)
}

#[inline(always)]
pub(super) fn parse_timestamps(body: &[u8]) -> Option<Timestamps> {
    let mut reader = Reader::new(body);
    let timestamps = Timestamps { value: reader.u32()?, echo: reader.u32()? };
    reader.rest().is_empty().then_some(timestamps)
}

/// Why an option could not be cut off the front.
#[derive(Clone, Copy, Debug)]
pub(super) enum Broken {
    /// A length of 0 or 1.
    Length,
    /// Runs past the end.
    Overrun,
}

/// Cuts an option that is neither NOP nor end of list off `bytes`: kind, body, rest.
#[inline(always)]
pub(super) fn split(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Broken> {
    let [kind, len, after @ ..] = bytes else { return Err(Broken::Overrun) };
    let body_len = usize::from(*len).checked_sub(2).ok_or(Broken::Length)?;
    let (body, rest) = after.split_at_checked(body_len).ok_or(Broken::Overrun)?;
    Ok((*kind, body, rest))
}

/// Goes through the bytes between the TCP header and its data. Ends after an end-of-list option (which is
/// returned) or the first broken option.
#[derive(Clone, Debug)]
pub struct TcpOptionIter<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> TcpOptionIter<'a> {
    /// The options in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, total: bytes.len() }
    }
}

impl<'a> Iterator for TcpOptionIter<'a> {
    type Item = Result<TcpOption<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = core::mem::take(&mut self.rest);
        Some(match bytes {
            [] => return None,
            [kind::END_OF_LIST, ..] => Ok(TcpOption::EndOfList),
            [kind::NO_OPERATION, rest @ ..] => {
                self.rest = rest;
                Ok(TcpOption::NoOperation)
            }
            _ => match split(bytes) {
                Ok((kind, body, rest)) => {
                    self.rest = rest;
                    Ok(TcpOption::decode(kind, body))
                }
                Err(broken) => {
                    let offset = self.total - bytes.len();
                    Err(match broken {
                        Broken::Length => Error::BadOptionLength { offset },
                        Broken::Overrun => Error::OptionOverrun { offset },
                    })
                }
            },
        })
    }
}

impl core::iter::FusedIterator for TcpOptionIter<'_> {}

/// As tcpdump prints it.
impl fmt::Display for TcpOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            Self::EndOfList => f.write_str("eol"),
            Self::NoOperation => f.write_str("nop"),
            Self::MaximumSegmentSize(mss) => write!(f, "mss {mss}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackPermitted => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                write!(f, "sack {} ", blocks.as_slice().len())?;
                blocks
                    .as_slice()
                    .iter()
                    .try_for_each(|(start, end)| write!(f, "{{{}:{}}}", start.0, end.0))
            }
            Self::Timestamps(timestamps) => {
                write!(f, "TS val {} ecr {}", timestamps.value, timestamps.echo)
            }
            Self::FastOpen([]) => f.write_str("tfo cookiereq"),
            Self::FastOpen(cookie) => {
                f.write_str("tfo cookie ")?;
                hex(f, cookie)
            }
            Self::Mptcp(option) => write!(f, "mptcp {option}"),
            Self::Unknown { kind, data } => {
                write!(f, "unknown-{kind} 0x")?;
                hex(f, data)
            }
        }
    }
}

#[cfg(test)]
mod tests;
