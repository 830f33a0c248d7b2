//! Draws from the engine's generator.

use mpuser_engine::rng::Rng;

/// A generator for one purpose: the same seed and purpose give the same draws, other purposes others.
#[must_use]
pub fn rng(seed: u64, purpose: u64) -> Rng {
    let mut bytes = [0x6d; 32];
    let (head, rest) = bytes.split_at_mut(8);
    head.copy_from_slice(&seed.to_be_bytes());
    if let Some(next) = rest.get_mut(..8) {
        next.copy_from_slice(&purpose.to_be_bytes());
    }
    Rng::from_seed(bytes)
}

/// A number from 0 to below 1, 32 bits fine.
pub(crate) fn unit(rng: &mut Rng) -> f64 {
    f64::from(rng.next_u32()) / 4_294_967_296.0
}

/// True with probability `p`. Always draws, so that one probability does not shift the draws of another.
pub(crate) fn chance(rng: &mut Rng, p: f64) -> bool {
    unit(rng) < p
}
