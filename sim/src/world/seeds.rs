//! A seed for each component, from the run's seed and the component's name: adding one shifts no other.

use mpuser_engine::rng::Rng;
use sha2::{Digest as _, Sha256};

/// 32 bytes for the component of this name.
pub(crate) fn bytes(seed: u64, name: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(name.as_bytes());
    hash.finalize().into()
}

/// A number for it.
pub(crate) fn number(seed: u64, name: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = bytes(seed, name);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A generator for it.
pub(crate) fn rng(seed: u64, name: &str) -> Rng {
    Rng::from_seed(bytes(seed, name))
}
