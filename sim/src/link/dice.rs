//! The draws of one direction of a link: a generator for each purpose, made when it is first needed, so that one
//! setting does not shift the draws of another and a link that draws nothing costs nothing.

use super::delay::Jitter;
use super::loss::{Loss, LossState};
use crate::random::{chance, rng};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::Duration;

/// Purposes, in the order of a packet's way.
const LOSS: usize = 0;
const DUPLICATE: usize = 1;
const CORRUPT: usize = 2;
const REORDER: usize = 3;
const JITTER: usize = 4;
const QUEUE: usize = 5;

/// Generators for one direction of a link.
#[derive(Debug)]
pub(super) struct Dice {
    seed: u64,
    purpose: u64,
    rngs: [Option<Box<Rng>>; 6],
}

impl Dice {
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        Self { seed, purpose, rngs: [const { None }; 6] }
    }

    fn rng(&mut self, what: usize) -> &mut Rng {
        let (seed, purpose) = (self.seed, self.purpose << 8 | what as u64);
        let place = &mut self.rngs[what.min(QUEUE)];
        place.get_or_insert_with(|| Box::new(rng(seed, purpose)))
    }

    /// Whether the next packet is lost.
    pub(super) fn lost(&mut self, state: &mut LossState, model: &Loss) -> bool {
        match model {
            Loss::None => false,
            _ => state.next(model, self.rng(LOSS)),
        }
    }

    /// Whether the next packet comes twice.
    pub(super) fn duplicate(&mut self, p: f64) -> bool {
        p > 0.0 && chance(self.rng(DUPLICATE), p)
    }

    /// The bit of the next packet that is flipped, if one is.
    pub(super) fn corrupt(&mut self, p: f64, len: usize) -> Option<u32> {
        if p <= 0.0 {
            return None;
        }
        let rng = self.rng(CORRUPT);
        let hit = chance(rng, p);
        let bit = rng.below(u32::try_from(len * 8).unwrap_or(u32::MAX));
        hit.then_some(bit)
    }

    /// How many later packets overtake the next one, if any do.
    pub(super) fn reorder(&mut self, p: f64, most: u32) -> Option<u32> {
        if p <= 0.0 {
            return None;
        }
        let rng = self.rng(REORDER);
        let hit = chance(rng, p);
        let distance = 1 + rng.below(most);
        hit.then_some(distance)
    }

    /// Delay on top.
    pub(super) fn jitter(&mut self, jitter: &Jitter) -> Duration {
        if jitter.amount.is_zero() { Duration::ZERO } else { jitter.draw(self.rng(JITTER)) }
    }

    /// Whether the queue drops a packet it drops with this probability.
    pub(super) fn drop(&mut self, p: f64) -> bool {
        p > 0.0 && chance(self.rng(QUEUE), p)
    }
}
