//! Loops compiled for several kinds of processors, one of them chosen at run time.
//!
//! To call a function compiled for what a processor may lack is unsafe in Rust, and that is all the unsafe code there is
//! here: each call stands behind the question whether this processor has it.
#![no_std]

#[cfg(test)]
extern crate std;

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
