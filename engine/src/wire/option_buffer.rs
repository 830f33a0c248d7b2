//! The 40 octets of options a TCP header can have (RFC 8684 appendix A [OPT-16]).

use super::checksum::fold;
use super::mptcp::{Dss, MptcpOption};
use super::tcp_option::{FastOpenCookie, TcpOption, kind};
use crate::tcp::{SackBlocks, Timestamps};

/// All a TCP header can hold.
const CAPACITY: usize = 40;
const NOP: u8 = kind::NO_OPERATION;

/// Options on their way out. Laid out as the kernel does, every field on its natural boundary; cannot overflow.
///
/// Each `push` says whether the option fitted; if not, nothing was written.
#[derive(Clone, Copy)]
pub struct OptionBuffer {
    /// NOPs from `len` on, so that padding is there already.
    bytes: [u8; CAPACITY],
    len: u8,
    /// The last thing pushed was SACK-permitted, after two NOPs that could be put to use.
    lone_sack_permitted: bool,
}

impl OptionBuffer {
    /// No options.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self { bytes: [NOP; CAPACITY], len: 0, lone_sack_permitted: false }
    }

    /// Options as they came, whole words; `None` if there are too many.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let mut buffer = Self::new();
        buffer.bytes.get_mut(..octets.len())?.copy_from_slice(octets);
        buffer.len = octets.len() as u8;
        Some(buffer)
    }

    /// Octets left, what padding needs already taken off: a multiple of 4.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        CAPACITY - self.padded_len()
    }

    /// Maximum segment size: 4 octets.
    pub fn push_mss(&mut self, mss: u16) -> bool {
        let [high, low] = mss.to_be_bytes();
        self.push_array([kind::MAXIMUM_SEGMENT_SIZE, 4, high, low])
    }

    /// Window scale: NOP and 3 octets.
    pub fn push_window_scale(&mut self, shift: u8) -> bool {
        self.push_array([NOP, kind::WINDOW_SCALE, 3, shift])
    }

    /// SACK-permitted: NOP, NOP and 2 octets; timestamps pushed next take the place of the NOPs.
    pub fn push_sack_permitted(&mut self) -> bool {
        let fits = self.push_array([NOP, NOP, kind::SACK_PERMITTED, 2]);
        self.lone_sack_permitted = fits;
        fits
    }

    /// Timestamps: NOP, NOP and 10 octets; 8 more octets after SACK-permitted.
    #[inline]
    pub fn push_timestamps(&mut self, timestamps: Timestamps) -> bool {
        let [lead0, lead1] = if self.lone_sack_permitted && self.remaining() >= 8 {
            self.len -= 4;
            [kind::SACK_PERMITTED, 2]
        } else {
            [NOP, NOP]
        };
        let mut option = [lead0, lead1, kind::TIMESTAMPS, 10, 0, 0, 0, 0, 0, 0, 0, 0];
        let [_, _, _, _, numbers @ ..] = &mut option;
        *numbers = (u64::from(timestamps.value) << 32 | u64::from(timestamps.echo)).to_be_bytes();
        self.push_array(option)
    }

    /// An MPTCP option, padded at its end.
    pub fn push_mptcp(&mut self, option: &MptcpOption) -> bool {
        self.push_with(|out| option.emit(out))
    }

    /// A DSS, padded at its end.
    #[inline]
    pub fn push_dss(&mut self, dss: &Dss) -> bool {
        self.push_with(|out| dss.emit(out))
    }

    /// As many blocks as fit, from the first on: NOP, NOP, 2 octets and 8 for each. Returns how many.
    pub fn push_sack(&mut self, sack: &SackBlocks) -> usize {
        let room = self.remaining().saturating_sub(4) / 8;
        let mut fitting = SackBlocks::new();
        for (start, end) in sack.as_slice().iter().take(room) {
            fitting.push(*start, *end);
        }
        let count = fitting.as_slice().len();
        if count > 0 {
            self.push_with(|out| {
                let at = out.get_mut(2..)?;
                Some(2 + TcpOption::Sack(fitting).emit(at)?)
            });
        }
        count
    }

    /// A Fast Open cookie or request, padded at its end.
    pub fn push_fast_open(&mut self, cookie: &FastOpenCookie) -> bool {
        self.push_with(|out| TcpOption::FastOpen(cookie.as_slice()).emit(out))
    }

    /// An option of any kind with these bytes after kind and length, padded at its end. False for the kinds 0 and
    /// 1, which have no length.
    pub fn push_raw(&mut self, kind: u8, data: &[u8]) -> bool {
        self.push_with(|out| TcpOption::Unknown { kind, data }.emit(out))
    }

    /// The options, padded with NOPs to a multiple of 4.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.padded_len()).unwrap_or_default()
    }

    /// Length of [`as_slice`](Self::as_slice).
    #[must_use]
    #[inline(always)]
    pub const fn padded_len(&self) -> usize {
        (self.len as usize).next_multiple_of(4)
    }

    /// All 40 octets, NOPs behind the options: of fixed size, so that copying and summing them is cheap.
    #[inline(always)]
    pub(super) const fn bytes(&self) -> &[u8; CAPACITY] {
        &self.bytes
    }

    /// Ones' complement sum of [`as_slice`](Self::as_slice).
    #[inline(always)]
    pub(super) fn sum(&self) -> u16 {
        // All ten words without a branch, and the NOPs behind the options taken off again. Little-endian words are
        // cheaper to add and the sum can be swapped afterwards.
        let (words, _) = self.bytes.as_chunks::<4>();
        let all: u64 = words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum();
        let nops = (self.remaining() / 4) as u64 * u64::from(u32::from_le_bytes([NOP; 4]));
        fold(all - nops).swap_bytes()
    }

    #[inline(always)]
    fn push_array<const N: usize>(&mut self, option: [u8; N]) -> bool {
        self.push_with(|out| {
            *out.first_chunk_mut()? = option;
            Some(N)
        })
    }

    /// Lets `emit` write at the next multiple of 4; it has to write all or nothing.
    #[inline(always)]
    fn push_with(&mut self, emit: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let start = self.padded_len();
        let Some(written) = self.bytes.get_mut(start..).and_then(emit) else { return false };
        self.len = (start + written) as u8;
        self.lone_sack_permitted = false;
        true
    }
}

impl Default for OptionBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for OptionBuffer {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for OptionBuffer {}

impl core::fmt::Debug for OptionBuffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(super::TcpOptionIter::new(self.as_slice())).finish()
    }
}

#[cfg(test)]
mod tests;
