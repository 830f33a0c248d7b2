//! Randomness is handed in as a seed, never fetched.

use rand::Rng as _;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

/// The one generator of an endpoint: keys, nonces, ports and secrets come from it.
///
/// Give it 32 bytes from the operating system in production and a counter in a test.
#[derive(Debug)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A generator that repeats itself exactly for the same seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        // A 64-bit product keeps the bias below 2^-32, far under what ports and jitter need.
        ((u64::from(self.next_u32()) * u64::from(bound)) >> 32) as u32
    }
}
