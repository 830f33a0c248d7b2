//! The demo's data: pseudo-random bytes from a seed, hashed on the way out and on the way in.

use sha2::{Digest, Sha256};

/// A SplitMix64 stream: fast, repeatable, and without patterns a middlebox or a bug could hide behind.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    state: u64,
    left: u64,
    hash: Sha256,
}

impl Payload {
    /// `size` bytes drawn from `seed`.
    pub(crate) fn new(seed: u64, size: u64) -> Self {
        Self { state: seed, left: size, hash: Sha256::new() }
    }

    /// Fills the front of `buffer` with the next bytes; how many, 0 at the end.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> usize {
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let (used, _) = buffer.split_at_mut(limit);
        for chunk in used.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
        self.hash.update(&*used);
        self.left = self.left.saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX));
        limit
    }

    /// The hash of everything drawn so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let draw = |seed| {
            let mut payload = Payload::new(seed, 1000);
            let mut buffer = [0; 640];
            let lengths =
                [payload.fill(&mut buffer), payload.fill(&mut buffer), payload.fill(&mut buffer)];
            assert_eq!(lengths, [640, 360, 0]);
            (buffer, payload.digest())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1).1, draw(2).1);
    }

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let mut payload = Payload::new(7, 100);
        let mut buffer = [0; 128];
        let length = payload.fill(&mut buffer);
        let expected: [u8; 32] = Sha256::digest(&buffer[..length]).into();
        assert_eq!(payload.digest(), expected);
        assert!(buffer[..100].iter().any(|&byte| byte != 0));
        assert!(buffer[100..].iter().all(|&byte| byte == 0));
    }
}
