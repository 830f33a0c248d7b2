//! What is said of many numbers: means with confidence, quantiles, tails, fairness. Values that are no numbers
//! (NaN, infinities) are left out everywhere.

mod distribution;
#[cfg(test)]
mod tests;

pub use distribution::{BoxPlot, ccdf, median, quantile};

/// A sample of independent runs, in short.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many values.
    pub n: usize,
    /// Their mean; 0 if there are none.
    pub mean: f64,
    /// Sample standard deviation (divided by n - 1); 0 with fewer than two values.
    pub sd: f64,
    /// Half the width of the 95 % confidence interval of the mean, by Student's t; 0 with fewer than two values, of
    /// which nothing can be said.
    pub ci95: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// The summary of `values`.
    pub fn of(values: &[f64]) -> Self {
        let values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        let n = values.len();
        if n == 0 {
            return Self::default();
        }
        let count = n as f64;
        let mean = values.iter().sum::<f64>() / count;
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if n < 2 {
            return Self { n, mean, sd: 0.0, ci95: 0.0, min, max };
        }
        // the second pass keeps its digits where the sum of squares would lose them
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let sd = (squares / (count - 1.0)).sqrt();
        Self { n, mean, sd, ci95: student_t_975(n - 1) * sd / count.sqrt(), min, max }
    }
}

/// The 97.5 % quantile of Student's t distribution: half a two-sided 95 % interval in standard errors.
pub fn student_t_975(degrees_of_freedom: usize) -> f64 {
    let df = degrees_of_freedom.max(1);
    // 12.706 is the largest, that of one degree of freedom; 1.960 the smallest, that of the normal distribution
    let (mut low, mut high) = (1.9, 13.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if student_within(middle, df) < 0.95 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The probability that |t| stays below `t`: the finite series for whole degrees of freedom (Abramowitz and Stegun
/// 26.7.3 and 26.7.4).
fn student_within(t: f64, df: usize) -> f64 {
    let root = (df as f64).sqrt();
    let theta = (t / root).atan();
    let (sine, cosine) = theta.sin_cos();
    let odd = df % 2 == 1;
    let (mut term, first) = if odd { (cosine, 3) } else { (1.0, 2) };
    let mut sum = 0.0;
    for k in (first..=df).step_by(2) {
        sum += term;
        let k = k as f64;
        term *= cosine * cosine * (k - 1.0) / k;
    }
    if odd { (theta + sine * sum) / std::f64::consts::FRAC_PI_2 } else { sine * sum }
}

/// The arithmetic mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    Summary::of(values).mean
}

/// Jain's index of fairness, from 1/n (one has it all) to 1 (all have the same); 1 if there is nothing to share.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|x| x * x).sum();
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 1.0 }
}
