//! Loops compiled for several kinds of processors, one of them chosen at run time.
//!
//! To call a function compiled for what a processor may lack is unsafe in Rust: each call stands behind the question
//! whether this processor has it. The only other unsafe code says that memory which was written is no longer uninitialised.
#![no_std]

#[cfg(test)]
extern crate std;

use bytes::BytesMut;
use core::mem::MaybeUninit;

/// Sum of the little-endian 32-bit words of `bytes`, zeros behind the last octet: modulo 2^16 - 1 that of their 16-bit
/// words. For at most 16 GiB, which cannot overflow.
#[must_use]
#[inline]
pub fn sum_words(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        x86::sum_words(bytes)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        sum_words_portable(bytes)
    }
}

/// Appends `bytes` to `buffer` and returns their sum as [`sum_words`] does: one pass over them instead of two.
#[inline]
pub fn extend_summed(buffer: &mut BytesMut, bytes: &[u8]) -> u64 {
    buffer.reserve(bytes.len());
    let (room, _) = buffer.spare_capacity_mut().split_at_mut(bytes.len());
    #[cfg(target_arch = "x86_64")]
    let sum = x86::copy_summed(room, bytes);
    #[cfg(not(target_arch = "x86_64"))]
    let sum = copy_summed_portable(room, bytes);
    // SAFETY: as many octets behind the buffer's end were written just now.
    unsafe { buffer.set_len(buffer.len() + bytes.len()) };
    sum
}

/// Writes `bytes` to `room`, which is as long; every octet of it.
///
/// Two blocks a turn: a compiler that sees one takes the copy out of the loop, and reads everything twice.
#[inline(always)]
fn copy_summed_portable(room: &mut [MaybeUninit<u8>], bytes: &[u8]) -> u64 {
    const BLOCK: usize = 64;
    let mut sums = [[0; BLOCK / 8]; 4];
    let (room_pairs, room_rest) = room.as_chunks_mut::<{ 2 * BLOCK }>();
    let (pairs, rest) = bytes.as_chunks::<{ 2 * BLOCK }>();
    for (room, pair) in room_pairs.iter_mut().zip(pairs) {
        if let ([room, room_next], [block, next]) =
            (room.as_chunks_mut::<BLOCK>().0, pair.as_chunks::<BLOCK>().0)
        {
            let [low, high, low_next, high_next] = &mut sums;
            add_halves(low, high, block);
            add_halves(low_next, high_next, next);
            *room = block.map(MaybeUninit::new);
            *room_next = next.map(MaybeUninit::new);
        }
    }
    for (place, byte) in room_rest.iter_mut().zip(rest) {
        place.write(*byte);
    }
    sums.into_iter().flatten().sum::<u64>() + sum_words_portable(rest)
}

/// Adds the lower and the upper half of each eight octets of a block.
#[inline(always)]
fn add_halves(low: &mut [u64; 8], high: &mut [u64; 8], block: &[u8; 64]) {
    for ((low, high), word) in low.iter_mut().zip(high).zip(block.as_chunks::<8>().0) {
        let word = u64::from_le_bytes(*word);
        *low += word & 0xffff_ffff;
        *high += word >> 32;
    }
}

/// What compilers make vectors of; as wide as the features of the function it is compiled into allow.
#[inline(always)]
fn sum_words_portable(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum();
    let mut last = [0; 4];
    for (slot, byte) in last.iter_mut().zip(rest) {
        *slot = *byte;
    }
    sum + u64::from(u32::from_le_bytes(last))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::mem::MaybeUninit;

    cpufeatures::new!(has_avx512, "avx512f", "avx512bw", "avx512vl");
    cpufeatures::new!(has_avx2, "avx2");

    pub(super) fn sum_words(bytes: &[u8]) -> u64 {
        if has_avx512::get() {
            // SAFETY: the processor has the features this is compiled with.
            unsafe { sum_words_avx512(bytes) }
        } else if has_avx2::get() {
            // SAFETY: as above.
            unsafe { sum_words_avx2(bytes) }
        } else {
            super::sum_words_portable(bytes)
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn sum_words_avx512(bytes: &[u8]) -> u64 {
        super::sum_words_portable(bytes)
    }

    #[target_feature(enable = "avx2")]
    fn sum_words_avx2(bytes: &[u8]) -> u64 {
        super::sum_words_portable(bytes)
    }

    pub(super) fn copy_summed(room: &mut [MaybeUninit<u8>], bytes: &[u8]) -> u64 {
        if has_avx512::get() {
            // SAFETY: the processor has the features this is compiled with.
            unsafe { copy_summed_avx512(room, bytes) }
        } else if has_avx2::get() {
            // SAFETY: as above.
            unsafe { copy_summed_avx2(room, bytes) }
        } else {
            super::copy_summed_portable(room, bytes)
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn copy_summed_avx512(room: &mut [MaybeUninit<u8>], bytes: &[u8]) -> u64 {
        super::copy_summed_portable(room, bytes)
    }

    #[target_feature(enable = "avx2")]
    fn copy_summed_avx2(room: &mut [MaybeUninit<u8>], bytes: &[u8]) -> u64 {
        super::copy_summed_portable(room, bytes)
    }

    /// Every version this processor can run.
    #[cfg(test)]
    pub(super) fn all(bytes: &[u8]) -> std::vec::Vec<u64> {
        let mut sums = std::vec![super::sum_words_portable(bytes)];
        if has_avx2::get() {
            // SAFETY: the processor has the features this is compiled with.
            sums.push(unsafe { sum_words_avx2(bytes) });
        }
        if has_avx512::get() {
            // SAFETY: as above.
            sums.push(unsafe { sum_words_avx512(bytes) });
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn naive(bytes: &[u8]) -> u64 {
        let weigh = |(at, byte): (usize, &u8)| u64::from(*byte) << (at % 4 * 8);
        bytes.iter().enumerate().map(weigh).sum()
    }

    fn check(bytes: &[u8]) {
        let wanted = naive(bytes);
        assert_eq!(sum_words(bytes), wanted);
        #[cfg(target_arch = "x86_64")]
        x86::all(bytes).into_iter().for_each(|sum| assert_eq!(sum, wanted));
        let mut buffer = BytesMut::from(&b"before"[..]);
        assert_eq!(extend_summed(&mut buffer, bytes), wanted);
        assert_eq!(buffer.strip_prefix(b"before"), Some(bytes));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_version_equals_the_naive_sum(
            bytes in prop::collection::vec(any::<u8>(), 0..3_000),
            skip in 0..9_usize,
        ) {
            check(bytes.get(skip..).unwrap_or_default());
        }
    }

    #[test]
    fn every_length() {
        let bytes: Vec<u8> = (0..600u32).map(|i| (i * 167 + 13) as u8).collect();
        (0..bytes.len()).for_each(|end| check(&bytes[..end]));
        check(&std::vec![0xff; 70_000]);
    }
}
