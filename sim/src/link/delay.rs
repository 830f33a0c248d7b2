//! Jitter: delay that changes from packet to packet.

use crate::random::unit;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::Duration;

/// How jitter is spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Anything from 0 to twice the amount alike.
    #[default]
    Uniform,
    /// Around the amount, standard deviation half of it, cut off at 0 and at four times the amount.
    Normal,
    /// Mostly little, sometimes much (Pareto, index 2), mean the amount, cut off at 50 times the amount.
    Pareto,
}

impl Shape {
    /// The names in texts.
    pub const NAMES: [(&'static str, Self); 3] =
        [("uniform", Self::Uniform), ("normal", Self::Normal), ("pareto", Self::Pareto)];
}

/// Random delay on top of the propagation delay; its mean is the amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jitter {
    /// Mean.
    pub amount: Duration,
    /// Distribution.
    pub shape: Shape,
    /// A packet may overtake one that was delayed more. Otherwise the order is kept.
    pub reorders: bool,
}

impl Jitter {
    /// Draws a delay. Always takes the same number of draws.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Duration {
        let draws = [unit(rng), unit(rng), unit(rng), unit(rng)];
        let [first, ..] = draws;
        let factor = match self.shape {
            Shape::Uniform => 2.0 * first,
            // Irwin-Hall: the sum of four has mean 2 and variance 1/3
            Shape::Normal => {
                let standard = (draws.iter().sum::<f64>() - 2.0) * 3f64.sqrt();
                (1.0 + standard / 2.0).clamp(0.0, 4.0)
            }
            // Lomax of index 2: mean equals its scale
            Shape::Pareto => (1.0 / (1.0 - first).max(1e-9).sqrt() - 1.0).min(50.0),
        };
        Duration::from_nanos((self.amount.as_nanos() as f64 * factor) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::rng;

    #[test]
    fn the_mean_is_the_amount() {
        for (name, shape) in Shape::NAMES {
            let jitter = Jitter { amount: Duration::from_millis(2), shape, reorders: false };
            let mut rng = rng(1, 2);
            let draws: Vec<f64> =
                (0..100_000).map(|_| jitter.draw(&mut rng).as_secs_f64()).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            assert!((0.0017..0.0022).contains(&mean), "{name}: {mean}");
        }
    }
}
