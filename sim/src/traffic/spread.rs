//! Random times.

use crate::random::unit;
use crate::scenario::Spread;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::Duration;

/// Draws a time.
pub(crate) fn draw(spread: &Spread, rng: &mut Rng) -> Duration {
    // from just above 0 to 1
    let u = 1.0 - unit(rng);
    let seconds = match *spread {
        Spread::Constant(time) => return time,
        Spread::Exponential(mean) => -u.ln() * mean.as_secs_f64(),
        Spread::Pareto { mean, index } => {
            mean.as_secs_f64() * (index - 1.0) / index * u.powf(-1.0 / index)
        }
    };
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::rng;

    #[test]
    fn the_mean_is_the_one_asked_for() {
        let mean = Duration::from_millis(500);
        let spreads = [
            Spread::Constant(mean),
            Spread::Exponential(mean),
            Spread::Pareto { mean, index: 3.0 },
        ];
        for spread in spreads {
            let mut rng = rng(1, 1);
            let sum: f64 = (0..200_000).map(|_| draw(&spread, &mut rng).as_secs_f64()).sum();
            assert!((sum / 200_000.0 - 0.5).abs() < 0.01, "{spread:?}: {}", sum / 200_000.0);
        }
    }
}
