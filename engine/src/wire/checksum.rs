//! The Internet checksum (RFC 1071), for IP, TCP, ICMP and DSS.

use crate::seq::{DataSeq, SubflowSeq};
use bytes::BytesMut;

/// Below this many bytes, choosing a vector loop costs more than it saves.
const SHORT: usize = 128;

/// A ones' complement sum in the making; takes pieces of any length, odd ones too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum {
    /// Sum of big-endian 16-bit words, modulo 2^64 - 1 (of which 2^16 - 1 is a factor).
    sum: u64,
    /// An odd number of bytes went in: the next byte is the lower half of a word.
    odd: bool,
}

impl Checksum {
    /// The sum of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { sum: 0, odd: false }
    }

    /// Appends `bytes`.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        self.add_folded(sum_bytes(bytes));
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// Appends `bytes` here, and to `buffer`: one pass instead of two.
    pub fn copy_bytes(&mut self, buffer: &mut BytesMut, bytes: &[u8]) {
        let sum = mpuser_vector::extend_summed(buffer, bytes);
        self.add_folded(fold(sum).swap_bytes());
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// Appends two bytes.
    #[inline(always)]
    pub const fn add_u16(&mut self, word: u16) {
        self.add_folded(word);
    }

    /// Appends four bytes.
    #[inline(always)]
    pub const fn add_u32(&mut self, word: u32) {
        self.add_u64(word as u64);
    }

    /// Appends eight bytes.
    #[inline(always)]
    pub const fn add_u64(&mut self, word: u64) {
        if self.odd {
            self.add_folded(fold(word));
        } else {
            self.add(word);
        }
    }

    /// Appends what `next` has summed.
    #[inline(always)]
    pub const fn append(&mut self, next: Self) {
        self.add_u64(next.sum);
        self.odd ^= next.odd;
    }

    /// The sum itself, not complemented: what virtio wants in the field of a checksum it is to finish.
    #[must_use]
    #[inline(always)]
    pub const fn partial(self) -> u16 {
        fold(self.sum)
    }

    /// The checksum, which is the complement of the sum; 0 over bytes that contain their right checksum.
    #[must_use]
    #[inline(always)]
    pub const fn finish(self) -> u16 {
        !self.partial()
    }

    /// Adds a word in its place: after an odd byte the halves of every word change places, and a ones' complement
    /// sum of swapped words is the swapped sum.
    #[inline(always)]
    const fn add_folded(&mut self, word: u16) {
        self.add(if self.odd { word.swap_bytes() } else { word } as u64);
    }

    #[inline(always)]
    const fn add(&mut self, value: u64) {
        let (sum, carry) = self.sum.overflowing_add(value);
        self.sum = sum + carry as u64;
    }
}

/// Ones' complement sum of the 16-bit words in `sum`; 0 only for 0.
#[inline(always)]
pub(super) const fn fold(sum: u64) -> u16 {
    // Each half added to the other: the carry of the lower comes in at the upper, which holds the sum.
    fold_word((sum.wrapping_add(sum.rotate_right(32)) >> 32) as u32)
}

/// [`fold`] for what 32 bits hold.
#[inline(always)]
pub(super) const fn fold_word(sum: u32) -> u16 {
    (sum.wrapping_add(sum.rotate_right(16)) >> 16) as u16
}

/// Sum of big-endian words; an odd last byte is the upper half of one.
fn sum_bytes(bytes: &[u8]) -> u16 {
    // Sums little-endian words and swaps the result: the byte order of a ones' complement sum can be mended last.
    if bytes.len() >= SHORT {
        return fold(mpuser_vector::sum_words(bytes)).swap_bytes();
    }
    let mut sum = 0u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        sum += halves(*word);
    }
    let (pairs, rest) = rest.as_chunks::<2>();
    for pair in pairs {
        sum += u64::from(u16::from_le_bytes(*pair));
    }
    if let [last] = rest {
        sum += u64::from(*last);
    }
    fold(sum).swap_bytes()
}

/// Sum of two little-endian 32-bit words, which is that of their 16-bit words modulo 2^16 - 1.
#[inline(always)]
const fn halves(bytes: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(bytes);
    (word >> 32) + (word & 0xffff_ffff)
}

/// The checksum of a mapping (RFC 8684 3.3.1 [DSS-9]): over data sequence number (always all 64 bits), subflow
/// sequence number, data-level length, zero, and the mapping's payload, whose sum is `payload_sum`.
///
/// A DATA_FIN is counted in `data_len` and adds no byte.
#[must_use]
pub const fn dss_checksum(
    data_seq: DataSeq,
    subflow_seq: SubflowSeq,
    data_len: u16,
    payload_sum: Checksum,
) -> u16 {
    dss_sum(data_seq, subflow_seq, data_len, payload_sum).finish()
}

/// `checksum`, as received in a DSS, is right. Takes 0x0000 and 0xffff for the same number, as ones' complement
/// arithmetic does.
#[must_use]
pub const fn dss_checksum_valid(
    data_seq: DataSeq,
    subflow_seq: SubflowSeq,
    data_len: u16,
    payload_sum: Checksum,
    checksum: u16,
) -> bool {
    let mut sum = Checksum::new();
    sum.add_u16(checksum);
    sum.append(dss_sum(data_seq, subflow_seq, data_len, payload_sum));
    sum.finish() == 0
}

const fn dss_sum(
    data_seq: DataSeq,
    subflow_seq: SubflowSeq,
    data_len: u16,
    payload_sum: Checksum,
) -> Checksum {
    let mut sum = Checksum::new();
    sum.add_u64(data_seq.0);
    sum.add_u32(subflow_seq.0);
    sum.add_u16(data_len);
    sum.append(payload_sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// RFC 1071 word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    fn of(bytes: &[u8]) -> u16 {
        let mut sum = Checksum::new();
        sum.add_bytes(bytes);
        sum.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn equals_the_naive_sum(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(of(&bytes), naive(&bytes));
        }

        #[test]
        fn pieces_of_any_length_add_up(pieces in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..70), 0..12)) {
            let (mut by_bytes, mut by_append) = (Checksum::new(), Checksum::new());
            for piece in &pieces {
                by_bytes.add_bytes(piece);
                let mut own = Checksum::new();
                own.add_bytes(piece);
                by_append.append(own);
            }
            let whole = pieces.concat();
            prop_assert_eq!(by_bytes.finish(), naive(&whole));
            prop_assert_eq!(by_append.finish(), naive(&whole));
        }

        #[test]
        fn numbers_equal_their_bytes(odd: bool, a: u16, b: u32, c: u64) {
            let mut sum = Checksum::new();
            let mut bytes = Vec::new();
            if odd {
                sum.add_bytes(&[7]);
                bytes.push(7);
            }
            sum.add_u16(a);
            sum.add_u32(b);
            sum.add_u64(c);
            bytes.extend(a.to_be_bytes());
            bytes.extend(b.to_be_bytes());
            bytes.extend(c.to_be_bytes());
            prop_assert_eq!(sum.finish(), naive(&bytes));
        }
    }

    #[test]
    fn every_length_and_alignment() {
        let bytes: Vec<u8> = (0..400u32).map(|i| (i * 167 + 13) as u8).collect();
        for start in 0..8 {
            for end in start..bytes.len() {
                assert_eq!(of(&bytes[start..end]), naive(&bytes[start..end]), "{start}..{end}");
            }
        }
    }

    #[test]
    fn lanes_do_not_overflow() {
        // More than any packet, of the largest words.
        let bytes = vec![0xff; (2 << 20) + 35];
        assert_eq!(of(&bytes), naive(&bytes));
        let mut sum = Checksum::new();
        (0..5).for_each(|_| sum.add_u64(u64::MAX));
        assert_eq!(sum.finish(), 0);
    }

    #[test]
    fn dss_vectors() {
        let sum = |bytes: &[u8]| {
            let mut sum = Checksum::new();
            sum.add_bytes(bytes);
            sum
        };
        let hello = sum(b"hello mptcp");
        let get = sum(b"GET / HTTP/1.0\r\n\r\n");
        let none = Checksum::new();
        let (v1, v2, v3) = (0xe3db22c6785a0d45, 0x280818bf0fa7e28e, 0x57fb595bbbacf0ca);
        let table = [
            (v1 + 1, 1, 11, hello, 0xddea),
            (v2 + 1, 1, 18, get, 0xee4e),
            // DATA_FIN in the mapping of the data [FIN-1]
            (v1 + 1, 1, 12, hello, 0xdde9),
            (v2 + 1, 1, 19, get, 0xee4d),
            // DATA_FIN alone [FIN-2]
            (v1 + 12, 0, 1, none, 0x73b1),
            (v2 + 19, 0, 1, none, 0xccee),
            (v3 + 1, 0, 1, none, 0xa22f),
            // from a live kernel
            (0x242894828b368fca, 1, 11, hello, 0x9681),
        ];
        for (data_seq, subflow_seq, len, payload, expected) in table {
            let (data_seq, subflow_seq) = (DataSeq(data_seq), SubflowSeq(subflow_seq));
            assert_eq!(dss_checksum(data_seq, subflow_seq, len, payload), expected);
            assert!(dss_checksum_valid(data_seq, subflow_seq, len, payload, expected));
            assert!(!dss_checksum_valid(data_seq, subflow_seq, len, payload, expected ^ 0x0100));
        }
    }

    #[test]
    fn both_zeros_of_ones_complement_are_accepted() {
        let all_ones = DataSeq(0xffff);
        assert_eq!(dss_checksum(all_ones, SubflowSeq(0), 0, Checksum::new()), 0);
        for zero in [0, 0xffff] {
            assert!(dss_checksum_valid(all_ones, SubflowSeq(0), 0, Checksum::new(), zero));
        }
    }
}
