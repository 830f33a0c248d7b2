//! Latin hypercubes: as many points as asked, and on every axis one in each of as many equal parts.

use crate::random::{rng, unit};
use mpuser_engine::rng::Rng;
use sha2::{Digest, Sha256};

/// An axis of a hypercube.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Axis {
    /// Numbers between two; on a logarithmic scale, and rounded, if so wanted.
    Span { from: f64, to: f64, log: bool, whole: bool },
    /// One of these, each about equally often.
    Choice(Vec<String>),
}

/// The values of an axis at the points in order. They depend on the seed, the axis and the number of points only, so
/// that another axis changes nothing.
pub(super) fn values(name: &str, axis: &Axis, points: usize, seed: u64) -> Vec<String> {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let purpose = hash.iter().take(8).fold(0, |x: u64, byte| x << 8 | u64::from(*byte));
    let mut rng = rng(seed, purpose);
    let mut strata: Vec<usize> = (0..points).collect();
    shuffle(&mut strata, &mut rng);
    let share = |stratum: usize, rng: &mut Rng| (stratum as f64 + unit(rng)) / points as f64;
    strata.into_iter().map(|stratum| axis.at(share(stratum, &mut rng))).collect()
}

impl Axis {
    /// The value at a share of the axis, from 0 to below 1.
    fn at(&self, share: f64) -> String {
        match self {
            Self::Choice(values) => {
                let index = (share * values.len() as f64) as usize;
                values.get(index.min(values.len().saturating_sub(1))).cloned().unwrap_or_default()
            }
            Self::Span { from, to, log, whole } => {
                let value = match log {
                    true => (from.ln() + (to.ln() - from.ln()) * share).exp(),
                    false => from + (to - from) * share,
                };
                if *whole { value.round().to_string() } else { digits(value).to_string() }
            }
        }
    }
}

/// Six significant digits are enough for a parameter, and can be read.
fn digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

fn shuffle(list: &mut [usize], rng: &mut Rng) {
    for last in (1..list.len()).rev() {
        let other = (unit(rng) * (last + 1) as f64) as usize;
        list.swap(last, other.min(last));
    }
}
