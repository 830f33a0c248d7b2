//! The distribution of a sample: quantiles, tails, boxes.

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The `q`-quantile (0 to 1) with linear interpolation between neighbours, as R's type 7 and NumPy do it; `None` of
/// nothing.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    quantile_sorted(&sorted(values), q)
}

/// The median, `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

fn quantile_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    // within 0 ..= last by the clamp
    let (below, part) = (at.floor() as usize, at.fract());
    let low = *sorted.get(below)?;
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    Some(low + part * (high - low))
}

/// The complementary distribution: for each different value `x`, ascending, the share of values above `x`. The last
/// point has the share 0.
pub fn ccdf(values: &[f64]) -> Vec<(f64, f64)> {
    let sorted = sorted(values);
    let n = sorted.len();
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (index, &x) in sorted.iter().enumerate() {
        let above = (n - index - 1) as f64 / n as f64;
        match points.last_mut() {
            Some(last) if last.0.total_cmp(&x).is_eq() => last.1 = above,
            _ => points.push((x, above)),
        }
    }
    points
}

/// The five numbers of a box plot after Tukey, and what lies outside of the whiskers.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxPlot {
    /// The smallest value not further than 1.5 interquartile ranges below the box.
    pub low: f64,
    /// First quartile.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub q3: f64,
    /// The largest value not further than 1.5 interquartile ranges above the box.
    pub high: f64,
    /// Values beyond the whiskers, ascending.
    pub outliers: Vec<f64>,
}

impl BoxPlot {
    /// The box of `values`; `None` of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values);
        let at = |q| quantile_sorted(&sorted, q);
        let (q1, median, q3) = (at(0.25)?, at(0.5)?, at(0.75)?);
        let reach = 1.5 * (q3 - q1);
        let within = |v: &&f64| (q1 - reach..=q3 + reach).contains(*v);
        let low = *sorted.iter().find(within)?;
        let high = *sorted.iter().rev().find(within)?;
        let outliers = sorted.iter().copied().filter(|v| !within(&v)).collect();
        Some(Self { low, q1, median, q3, high, outliers })
    }
}
