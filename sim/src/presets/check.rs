//! Measured values held against what was published.

use super::preset::Variant;
use crate::stats::Summary;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Parameters of a variant as they were used: name and value.
pub type Parameters = BTreeMap<String, String>;

/// What the runs of one variant have shown, seed by seed.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub variant: Variant,
    /// All parameters of the scenario, the ones that were not set included.
    pub parameters: Parameters,
    /// Quantities of each seed. Every row has the same seeds in the same order.
    pub runs: Vec<BTreeMap<&'static str, f64>>,
}

impl Row {
    /// A parameter as text; empty if there is none of this name.
    pub fn text(&self, parameter: &str) -> &str {
        self.parameters.get(parameter).map_or("", String::as_str)
    }

    /// A parameter as a number; NaN if it is none.
    pub fn number(&self, parameter: &str) -> f64 {
        self.text(parameter).trim().parse().unwrap_or(f64::NAN)
    }

    /// A quantity, by seed; NaN where a run has none.
    pub fn values(&self, quantity: &str) -> Vec<f64> {
        self.runs.iter().map(|run| run.get(quantity).copied().unwrap_or(f64::NAN)).collect()
    }

    /// The mean of a quantity.
    pub fn mean(&self, quantity: &str) -> f64 {
        Summary::of(&self.values(quantity)).mean
    }

    /// Two quantities combined, seed by seed.
    pub fn combined(&self, a: &str, b: &str, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        self.values(a).into_iter().zip(self.values(b)).map(|(a, b)| f(a, b)).collect()
    }
}

/// A quantity of `row` beside that of `other`, seed by seed.
pub fn paired(row: &Row, other: &Row, quantity: &str, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    row.values(quantity).into_iter().zip(other.values(quantity)).map(|(a, b)| f(a, b)).collect()
}

/// The rows of a preset.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// One per variant.
    pub rows: Vec<Row>,
}

impl Results {
    /// The row whose parameters have these values, if it was run.
    pub fn row(&self, wanted: &[(&str, &str)]) -> Option<&Row> {
        self.rows.iter().find(|row| wanted.iter().all(|(name, value)| row.text(name) == *value))
    }
}

/// Where a reference comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A paper, a test script or an issue says so.
    Published,
    /// It follows from a formula for the parameters used.
    ClosedForm,
    /// Computed with the original authors' simulator (htsim) and the same parameters.
    Simulated,
}

impl Source {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::ClosedForm => "formula",
            Self::Simulated => "htsim",
        }
    }
}

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Band {
    /// Not less.
    pub low: Option<f64>,
    /// Not more.
    pub high: Option<f64>,
    /// Each seed has to lie inside, not only the mean.
    pub each: bool,
}

impl Band {
    fn holds(&self, value: f64) -> bool {
        value.is_finite()
            && self.low.is_none_or(|low| value >= low)
            && self.high.is_none_or(|high| value <= high)
    }
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (Some(low), Some(high)) => write!(f, "{} to {}", show(low), show(high))?,
            (Some(low), None) => write!(f, ">= {}", show(low))?,
            (None, Some(high)) => write!(f, "<= {}", show(high))?,
            (None, None) => f.write_str("-")?,
        }
        f.write_str(if self.each { ", every seed" } else { "" })
    }
}

/// A number with as many digits as are worth reading.
pub fn show(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "-".to_owned()
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

/// One line of a preset's table.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The variant, or what is compared.
    pub case: String,
    /// What is measured, with its unit.
    pub quantity: String,
    /// How many seeds.
    pub seeds: usize,
    /// Mean over the seeds.
    pub mean: f64,
    /// Half a 95 % confidence interval of the mean.
    pub ci95: f64,
    /// Smallest of a seed.
    pub min: f64,
    /// Largest of a seed.
    pub max: f64,
    /// What it was elsewhere.
    pub reference: Option<f64>,
    /// Where.
    pub source: Option<Source>,
    /// What it has to be; without one the line only informs.
    pub band: Option<Band>,
    /// Whether it is; `None` without a band.
    pub pass: Option<bool>,
}

impl Check {
    /// A line that only informs.
    pub fn new(case: impl Into<String>, quantity: impl Into<String>, values: &[f64]) -> Self {
        let Summary { n, mean, ci95, min, max, .. } = Summary::of(values);
        // a seed without the quantity is a failure, no reason to leave it out
        let mean = if n == values.len() && n > 0 { mean } else { f64::NAN };
        Self {
            case: case.into(),
            quantity: quantity.into(),
            seeds: values.len(),
            mean,
            ci95,
            min,
            max,
            reference: None,
            source: None,
            band: None,
            pass: None,
        }
    }

    /// Beside a reference.
    #[must_use]
    pub fn beside(self, reference: f64, source: Source) -> Self {
        Self { reference: Some(reference), source: Some(source), ..self }
    }

    fn judged(self, band: Band) -> Self {
        let values = if band.each { vec![self.min, self.max, self.mean] } else { vec![self.mean] };
        let pass = values.into_iter().all(|value| band.holds(value));
        Self { band: Some(band), pass: Some(pass), ..self }
    }

    /// The mean lies between.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        self.judged(Band { low: Some(low), high: Some(high), each: false })
    }

    /// The mean lies within this share of the reference.
    #[must_use]
    pub fn close(self, share: f64) -> Self {
        let reference = self.reference.unwrap_or(f64::NAN);
        self.within(reference * (1.0 - share), reference * (1.0 + share))
    }

    /// The mean is not less.
    #[must_use]
    pub fn at_least(self, low: f64) -> Self {
        self.judged(Band { low: Some(low), high: None, each: false })
    }

    /// The mean is not more.
    #[must_use]
    pub fn at_most(self, high: f64) -> Self {
        self.judged(Band { low: None, high: Some(high), each: false })
    }

    /// No seed is less.
    #[must_use]
    pub fn each_at_least(self, low: f64) -> Self {
        self.judged(Band { low: Some(low), high: None, each: true })
    }

    /// No seed is more.
    #[must_use]
    pub fn each_at_most(self, high: f64) -> Self {
        self.judged(Band { low: None, high: Some(high), each: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f64]) -> Check {
        Check::new("case", "x", values)
    }

    #[test]
    fn a_band_is_judged_by_the_mean_or_by_every_seed() {
        assert_eq!(check(&[0.5, 1.5]).within(0.9, 1.1).pass, Some(true));
        assert_eq!(check(&[0.5, 1.5]).each_at_least(0.9).pass, Some(false));
        assert_eq!(check(&[1.0, 1.5]).each_at_least(0.9).pass, Some(true));
        assert_eq!(check(&[1.0, 1.5]).at_most(1.2).pass, Some(false));
        assert_eq!(check(&[1.0]).pass, None);
    }

    #[test]
    fn nothing_measured_is_never_a_pass() {
        assert_eq!(check(&[]).at_least(0.0).pass, Some(false));
        assert_eq!(check(&[1.0, f64::NAN]).at_least(0.0).pass, Some(false));
        assert_eq!(check(&[1.0, f64::NAN]).each_at_most(2.0).pass, Some(false));
        // a reference that is not there makes no band
        assert_eq!(check(&[1.0]).close(0.05).pass, Some(false));
    }

    #[test]
    fn a_band_reads_well() {
        let close = check(&[1.29]).beside(1.296, Source::ClosedForm).close(0.05);
        assert_eq!(close.band.unwrap().to_string(), "1.231 to 1.361");
        assert_eq!(close.pass, Some(true));
        assert_eq!(
            check(&[1.0]).each_at_most(7906.0).band.unwrap().to_string(),
            "<= 7906, every seed"
        );
    }
}
