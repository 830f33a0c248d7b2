//! Times by how often: fine enough for quantiles, small enough to keep for every flow.

use mpuser_engine::time::Duration;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::collections::BTreeMap;

/// Parts each power of two is divided into: a value is known to 1/32.
const PARTS: u64 = 32;

/// Weighted times. Buckets are 1/32 of a power of two of microseconds wide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    buckets: BTreeMap<u32, u64>,
    count: u64,
    sum: f64,
    max: Duration,
}

/// The bucket of a number of microseconds.
fn bucket(micros: u64) -> u32 {
    if micros < PARTS {
        return micros as u32;
    }
    let shift = micros.ilog2() - PARTS.ilog2();
    shift * PARTS as u32 + (micros >> shift) as u32
}

/// The first number of microseconds beyond a bucket.
fn upper(bucket: u32) -> u64 {
    let (bucket, parts) = (u64::from(bucket), PARTS);
    if bucket < 2 * parts {
        return bucket + 1;
    }
    let shift = bucket / parts - 1;
    (bucket - shift * parts + 1) << shift
}

impl Histogram {
    /// Adds a time that `weight` things took.
    pub fn add(&mut self, time: Duration, weight: u64) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 1);
        *self.buckets.entry(bucket(micros)).or_default() += weight;
        self.count += weight;
        self.sum += time.as_secs_f64() * weight as f64;
        self.max = self.max.max(time);
    }

    /// All of another one.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// Weight in all.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Mean, seconds; 0 if there is nothing.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The longest, seconds.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.max.as_secs_f64()
    }

    /// The time that a share `q` (0 to 1) of the weight does not exceed, seconds, to 1/32; 0 if there is nothing.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let wanted = (q.clamp(0.0, 1.0) * self.count as f64).max(1.0);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen as f64 >= wanted {
                return (upper(*bucket) as f64 / 1e6).min(self.max());
            }
        }
        self.max()
    }

    /// The share of the weight above a time, to 1/32.
    #[must_use]
    pub fn above(&self, time: Duration) -> f64 {
        let limit = bucket(u64::try_from(time.as_micros()).unwrap_or(u64::MAX >> 1));
        let above: u64 = self.buckets.range(limit + 1..).map(|(_, count)| count).sum();
        if self.count == 0 { 0.0 } else { above as f64 / self.count as f64 }
    }

    /// The complementary distribution: times (seconds), ascending, and the share of the weight above each.
    #[must_use]
    pub fn ccdf(&self) -> Vec<(f64, f64)> {
        let mut left = self.count;
        let point = |(bucket, count): (&u32, &u64)| {
            left -= count;
            (upper(*bucket) as f64 / 1e6, left as f64 / self.count as f64)
        };
        self.buckets.iter().map(point).collect()
    }
}

/// Count, mean, maximum, some quantiles, and the complementary distribution.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Histogram", 7)?;
        out.serialize_field("count", &self.count)?;
        out.serialize_field("mean", &self.mean())?;
        out.serialize_field("max", &self.max())?;
        out.serialize_field("p50", &self.quantile(0.5))?;
        out.serialize_field("p95", &self.quantile(0.95))?;
        out.serialize_field("p99", &self.quantile(0.99))?;
        out.serialize_field("ccdf", &self.ccdf())?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buckets_hold_what_they_say(micros in 0u64..1 << 50) {
            let bucket = bucket(micros);
            prop_assert!(micros < upper(bucket));
            prop_assert!(bucket == 0 || upper(bucket - 1) <= micros);
            prop_assert!(upper(bucket) as f64 <= (micros + 1) as f64 * (1.0 + 1.0 / 32.0));
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|ms| histogram.add(Duration::from_millis(ms), 2));
        assert_eq!(histogram.count(), 2_000);
        for q in [0.1, 0.5, 0.9, 0.99, 1.0] {
            let found = histogram.quantile(q);
            assert!((found - q).abs() <= q / 31.0, "{q}: {found}");
        }
        assert!((histogram.mean() - 0.5005).abs() < 1e-9);
        assert!((histogram.above(Duration::from_millis(800)) - 0.2).abs() < 0.03);
        let ccdf = histogram.ccdf();
        assert!(ccdf.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 >= w[1].1));
        assert!(ccdf.last().unwrap().1.abs() < 1e-12);
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!((twice.count(), twice.quantile(0.5)), (4_000, histogram.quantile(0.5)));
    }
}
