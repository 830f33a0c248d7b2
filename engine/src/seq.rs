//! Sequence arithmetic in three spaces that cannot be mixed.
//!
//! [`SeqNum`] is TCP's (RFC 9293 3.4), [`SubflowSeq`] the one DSS mappings use (relative to the ISN, RFC 8684
//! 3.3.1), [`DataSeq`] the connection's (64 bits). None implements `Ord`: a circle has no order, only "before
//! within half a turn".

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// An absolute TCP sequence number (RFC 9293 3.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// `self` comes before `other` on the circle.
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self` comes after `other` on the circle.
    #[must_use]
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// `self` equals `other` or comes before it.
    #[must_use]
    pub const fn before_or_eq(self, other: Self) -> bool {
        !other.before(self)
    }

    /// `start <= self < start + len` on the circle.
    #[must_use]
    pub const fn in_window(self, start: Self, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// Octets from `earlier` to `self`, going forward; negative when `self` is the earlier one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

impl Add<u32> for SeqNum {
    type Output = Self;
    fn add(self, rhs: u32) -> Self {
        Self(self.0.wrapping_add(rhs))
    }
}

impl Sub<u32> for SeqNum {
    type Output = Self;
    fn sub(self, rhs: u32) -> Self {
        Self(self.0.wrapping_sub(rhs))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, rhs: u32) {
        *self = *self + rhs;
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seq:{}", self.0)
    }
}

/// A subflow sequence number: relative to the subflow's ISN, so the SYN is 0 and the first data octet 1
/// (RFC 8684 3.3.1 [DSS-7]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SubflowSeq(pub u32);

impl SubflowSeq {
    /// The subflow sequence number of the octet at `offset` of the subflow's byte stream.
    #[must_use]
    pub const fn from_offset(offset: u64) -> Self {
        // Truncation is the point: the field wraps as TCP's does.
        Self((offset as u32).wrapping_add(1))
    }

    /// The stream offset this number stands for, taking the candidate nearest to `near`.
    ///
    /// `None` when the number would lie before the first octet of the stream.
    #[must_use]
    pub fn to_offset(self, near: u64) -> Option<u64> {
        let distance = self.0.wrapping_sub(1).wrapping_sub(near as u32) as i32;
        near.checked_add_signed(i64::from(distance))
    }
}

impl fmt::Debug for SubflowSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssn:{}", self.0)
    }
}

/// A data sequence number: 64 bits, modulo 2^64 (RFC 8684 3.3.1 [DSS-15]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DataSeq(pub u64);

impl DataSeq {
    /// `self` comes before `other` on the circle.
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i64) < 0
    }

    /// `self` comes after `other` on the circle.
    #[must_use]
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Octets from `earlier` to `self`, going forward; negative when `self` is the earlier one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }

    /// The low 32 bits, as the short wire form carries them.
    #[must_use]
    pub const fn low32(self) -> u32 {
        self.0 as u32
    }

    /// The full number whose low half is `low` and which lies nearest to `near`.
    ///
    /// The half-turn rule is both the extension and the plausibility test of RFC 8684 3.3.1 [DSS-19] [DSS-20]:
    /// the high half is bumped only when `near` stands close to the edge, and an old packet stays old.
    #[must_use]
    pub const fn expand(low: u32, near: Self) -> Self {
        let distance = low.wrapping_sub(near.0 as u32) as i32;
        Self(near.0.wrapping_add(distance as i64 as u64))
    }
}

impl Add<u64> for DataSeq {
    type Output = Self;
    fn add(self, rhs: u64) -> Self {
        Self(self.0.wrapping_add(rhs))
    }
}

impl Sub<u64> for DataSeq {
    type Output = Self;
    fn sub(self, rhs: u64) -> Self {
        Self(self.0.wrapping_sub(rhs))
    }
}

impl AddAssign<u64> for DataSeq {
    fn add_assign(&mut self, rhs: u64) {
        *self = *self + rhs;
    }
}

impl fmt::Debug for DataSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dsn:{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn before_and_after_are_opposites_within_half_a_turn(a: u32, d in 1..0x7fff_ffffu32) {
            let (x, y) = (SeqNum(a), SeqNum(a) + d);
            prop_assert!(x.before(y) && y.after(x) && !y.before(x));
            prop_assert_eq!(y.since(x), d as i32);
        }

        // [DSS-19] [DSS-20]: whatever is nearer, before or after.
        #[test]
        fn short_data_sequence_expands_to_the_nearest(near: u64, d in -0x7fff_ffffi64..0x7fff_ffff) {
            let full = DataSeq(near.wrapping_add_signed(d));
            prop_assert_eq!(DataSeq::expand(full.low32(), DataSeq(near)), full);
        }

        #[test]
        fn subflow_sequence_finds_its_offset(offset in 0u64..1 << 40, d in -0x4000_0000i64..0x4000_0000) {
            let near = offset.saturating_add_signed(d);
            prop_assert_eq!(SubflowSeq::from_offset(offset).to_offset(near), Some(offset));
        }
    }

    /// [DSS-15] [DSS-19] [DSS-20]
    #[test]
    fn data_sequence_wraps_upwards_and_back() {
        let near = DataSeq(0x1_ffff_fff0);
        assert_eq!(DataSeq::expand(0x10, near), DataSeq(0x2_0000_0010));
        assert_eq!(DataSeq::expand(0xffff_ff00, DataSeq(0x2_0000_0010)), DataSeq(0x1_ffff_ff00));
    }
}
