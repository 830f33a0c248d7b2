//! All options of a segment in one pass, without allocation.

use super::mptcp::{Dss, MptcpOption, RawOption, subtype};
use super::tcp_option::{FastOpenCookie, kind, parse_sack, parse_timestamps, split};
use crate::tcp::{SackBlocks, Timestamps};
use core::fmt;

/// All the option space of a segment; no list of signals can be longer.
const CAPACITY: usize = 40;

/// The MPTCP options of one segment other than DSS, in the order of the wire.
///
/// Kept as bytes and read when asked for: most segments have none, and a list of values would be ten times as
/// large.
#[derive(Clone, Copy)]
pub struct SignalList {
    /// Whole options, one after the other.
    bytes: [u8; CAPACITY],
    len: u8,
}

impl SignalList {
    /// No signals.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// Adds a signal; false, and nothing added, when all of them would not fit into one segment.
    pub fn push(&mut self, signal: &MptcpOption) -> bool {
        let room = self.bytes.get_mut(usize::from(self.len)..).unwrap_or_default();
        let Some(written) = signal.emit(room) else { return false };
        self.len += written as u8;
        true
    }

    /// Adds an option by its bytes after kind and length.
    fn push_body(&mut self, body: &[u8]) -> bool {
        self.push(&MptcpOption::Unknown(RawOption::new(body)))
    }

    /// The signals.
    pub fn iter(&self) -> impl Iterator<Item = MptcpOption> + use<'_> {
        let mut rest = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::iter::from_fn(move || {
            let (_, body, after) = split(rest).ok()?;
            rest = after;
            Some(MptcpOption::parse(body))
        })
    }

    /// No signals.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for SignalList {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for SignalList {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SignalList {}

impl fmt::Debug for SignalList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The options of one segment as they stand on the wire, to be read later or compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionBytes {
    /// What lies beyond `len` is zero.
    bytes: [u8; CAPACITY],
    len: u8,
}

impl OptionBytes {
    /// The bytes between a TCP header and its data; more than a header can hold are cut off.
    #[must_use]
    pub fn of(options: &[u8]) -> Self {
        let mut bytes = [0; CAPACITY];
        let len = options.len().min(CAPACITY);
        if let (Some(to), Some(from)) = (bytes.get_mut(..len), options.get(..len)) {
            to.copy_from_slice(from);
        }
        Self { bytes, len: len as u8 }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether these are the same bytes: as `==` of both slices, without a call for so few of them.
    #[inline(always)]
    pub(crate) fn are(&self, options: &[u8]) -> bool {
        let ((own, _), (words, rest)) = (self.bytes.as_chunks::<8>(), options.as_chunks::<8>());
        let mut differ = 0;
        for (one, another) in own.iter().zip(words) {
            differ |= u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*another);
        }
        let same = differ == 0 && options.len() == usize::from(self.len);
        same && (rest.is_empty() || self.as_slice().ends_with(rest))
    }
}

/// What the engine wants to know of a segment's options.
///
/// Of an option that may stand only once the first counts; the others are ignored. So it is with DSS: a second
/// one on the same segment can only come from a middlebox or an attacker (RFC 8684 6 [OPT-17]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size, in octets.
    pub mss: Option<u16>,
    /// Window scale as on the wire; may be above 14.
    pub window_scale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// SACK blocks.
    pub sack: SackBlocks,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Fast Open cookie or request.
    pub fast_open: Option<FastOpenCookie>,
    /// The DSS. One with an impossible length is among the signals, as [`MptcpOption::Unknown`].
    pub dss: Option<Dss>,
    /// MPTCP options other than DSS.
    pub signals: SignalList,
    /// An option has a length of 0 or 1 or runs past the end. It and what follows is ignored, what stands before
    /// is valid, as in the kernel.
    pub malformed: bool,
}

impl TcpOptions {
    /// Reads the bytes between the TCP header and its data.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut options = Self::default();
        let mut rest = bytes;
        // Nearly every segment begins like this (RFC 7323 appendix A).
        if let [kind::NO_OPERATION, kind::NO_OPERATION, kind::TIMESTAMPS, 10, after @ ..] = rest
            && let Some((body, after)) = after.split_first_chunk::<8>()
        {
            options.timestamps = parse_timestamps(body);
            rest = after;
        }
        loop {
            rest = match rest {
                [] | [kind::END_OF_LIST, ..] => return options,
                [kind::NO_OPERATION, after @ ..] => after,
                _ => {
                    let Ok((kind, body, after)) = split(rest) else {
                        options.malformed = true;
                        return options;
                    };
                    options.take(kind, body);
                    after
                }
            };
        }
    }

    #[inline(always)]
    fn take(&mut self, kind: u8, body: &[u8]) {
        match kind {
            kind::MPTCP => self.take_mptcp(body),
            kind::TIMESTAMPS => {
                self.timestamps = self.timestamps.or_else(|| parse_timestamps(body))
            }
            kind::SACK if self.sack.is_empty() => {
                self.sack = parse_sack(body).unwrap_or_default();
            }
            kind::MAXIMUM_SEGMENT_SIZE => {
                self.mss = self.mss.or_else(|| body.try_into().ok().map(u16::from_be_bytes));
            }
            kind::WINDOW_SCALE => {
                self.window_scale =
                    self.window_scale.or_else(|| body.try_into().ok().map(u8::from_be_bytes));
            }
            kind::SACK_PERMITTED => self.sack_permitted |= body.is_empty(),
            kind::FAST_OPEN => {
                self.fast_open = self.fast_open.or_else(|| FastOpenCookie::new(body))
            }
            _ => {}
        }
    }

    #[inline(always)]
    fn take_mptcp(&mut self, body: &[u8]) {
        if body.first().is_some_and(|first| first >> 4 == subtype::DSS)
            && let Some(dss) = Dss::parse(body)
        {
            if self.dss.is_none() {
                self.dss = Some(dss);
            }
            return;
        }
        // Bytes that are no TCP options may be longer than a list can be; what is too much is dropped.
        let _fits = self.signals.push_body(body);
    }
}
