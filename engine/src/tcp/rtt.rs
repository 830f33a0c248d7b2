//! Round-trip time and retransmission timeout (RFC 6298).

use crate::time::Duration;

/// Granularity of the clock, RFC 6298's G. Ours is nanoseconds; drivers poll in about a millisecond.
const GRANULARITY: Duration = Duration::from_millis(1);
/// RTO before the first sample (RFC 6298 2.1).
const INITIAL_RTO: Duration = Duration::from_secs(1);
/// Samples one bucket of the minimum filter covers; two buckets make the window.
const MIN_RTT_BUCKET: u32 = 512;
/// Back-offs beyond this no longer change anything: the cap of the RTO was reached long before.
const MAX_BACKOFF: u32 = 16;
/// No path is longer than this; keeps the arithmetic far from overflow.
const MAX_SAMPLE: Duration = Duration::from_secs(3600);

/// Smoothed round-trip time, its variance, and the retransmission timeout made of them.
///
/// As in Linux the floor lies on the variance term, not on the sum: `rto = srtt + max(min_rto, 4 * rttvar)`. So
/// 200 ms of `min_rto` always leave 200 ms for a late ACK, however long the path; RFC 6298 2.4 would put 1 s under
/// the sum.
#[derive(Clone, Debug)]
pub(crate) struct RttEstimator {
    min_rto: Duration,
    max_rto: Duration,
    srtt: Option<Duration>,
    rttvar: Duration,
    latest: Option<Duration>,
    min: WindowedMin,
    backoff: u32,
}

/// The smallest of the last 512 to 1 024 samples: an old minimum of a path that has changed fades.
#[derive(Clone, Copy, Debug, Default)]
struct WindowedMin {
    previous: Option<Duration>,
    current: Option<Duration>,
    samples: u32,
}

impl WindowedMin {
    fn add(&mut self, sample: Duration) {
        if self.samples >= MIN_RTT_BUCKET {
            self.previous = self.current.take();
            self.samples = 0;
        }
        self.samples += 1;
        self.current = Some(self.current.map_or(sample, |min| min.min(sample)));
    }

    fn get(&self) -> Option<Duration> {
        match (self.previous, self.current) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl RttEstimator {
    /// No samples yet. `max_rto` below `min_rto` counts as `min_rto`.
    #[must_use]
    pub(crate) fn new(min_rto: Duration, max_rto: Duration) -> Self {
        Self {
            min_rto,
            max_rto: max_rto.max(min_rto),
            srtt: None,
            rttvar: Duration::ZERO,
            latest: None,
            min: WindowedMin::default(),
            backoff: 0,
        }
    }

    /// A measurement from a segment that was sent once, or from a timestamp echo (Karn, RFC 6298 3). It ends any
    /// back-off (RFC 6298 5.7: a new measurement collapses the RTO).
    pub(crate) fn on_sample(&mut self, rtt: Duration) {
        let rtt = rtt.min(MAX_SAMPLE);
        self.backoff = 0;
        self.latest = Some(rtt);
        self.min.add(rtt);
        match self.srtt {
            None => {
                self.srtt = Some(rtt);
                self.rttvar = rtt / 2;
            }
            Some(srtt) => {
                // RFC 6298 2.3: alpha = 1/8, beta = 1/4, and the variance first.
                self.rttvar = self.rttvar * 3 / 4 + srtt.abs_diff(rtt) / 4;
                self.srtt = Some(srtt * 7 / 8 + rtt / 8);
            }
        }
    }

    /// Smoothed RTT; `None` before the first sample.
    #[must_use]
    pub(crate) const fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    /// Mean deviation; zero before the first sample.
    #[must_use]
    pub(crate) const fn rttvar(&self) -> Duration {
        self.rttvar
    }

    /// Smallest RTT among the last 512 to 1 024 samples.
    #[must_use]
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min.get()
    }

    /// The last sample.
    #[cfg(test)]
    pub(crate) const fn latest(&self) -> Option<Duration> {
        self.latest
    }

    /// The retransmission timeout with the present back-off, never above `max_rto`.
    #[must_use]
    pub(crate) fn rto(&self) -> Duration {
        let base = match self.srtt {
            None => INITIAL_RTO.max(self.min_rto),
            Some(srtt) => srtt.saturating_add((self.rttvar * 4).max(self.min_rto).max(GRANULARITY)),
        };
        base.saturating_mul(1 << self.backoff).min(self.max_rto)
    }

    /// The timer expired: double the RTO (RFC 6298 5.5).
    pub(crate) fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(MAX_BACKOFF);
    }

    /// Progress without a sample (an ACK of retransmitted data), or a timeout that proved spurious.
    pub(crate) const fn reset_backoff(&mut self) {
        self.backoff = 0;
    }

    /// How often the RTO was doubled since the last progress.
    #[must_use]
    pub(crate) const fn backoff_count(&self) -> u32 {
        self.backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn estimator() -> RttEstimator {
        RttEstimator::new(ms(200), Duration::from_secs(120))
    }

    #[test]
    fn starts_at_one_second() {
        let mut rtt = estimator();
        assert_eq!(rtt.rto(), ms(1000));
        assert_eq!((rtt.srtt(), rtt.min_rtt(), rtt.latest()), (None, None, None));
        rtt.back_off();
        rtt.back_off();
        assert_eq!((rtt.rto(), rtt.backoff_count()), (ms(4000), 2));
    }

    #[test]
    fn follows_rfc_6298_and_keeps_the_floor_under_the_variance() {
        // (sample, srtt, rttvar, rto) in microseconds, calculated by hand from RFC 6298 2.2 and 2.3.
        let table = [
            (100_000, 100_000, 50_000, 300_000),
            (100_000, 100_000, 37_500, 300_000),
            (500_000, 150_000, 128_125, 662_500),
            (150_000, 150_000, 96_093, 534_375),
        ];
        let mut rtt = estimator();
        for (sample, srtt, rttvar, rto) in table {
            rtt.on_sample(Duration::from_micros(sample));
            assert_eq!(rtt.srtt().map(|d| d.as_micros()), Some(srtt), "after {sample}");
            assert_eq!(rtt.rttvar().as_micros(), rttvar);
            assert_eq!(rtt.rto().as_micros(), rto);
        }
    }

    #[test]
    fn a_stable_path_keeps_min_rto_above_the_round_trip() {
        let mut rtt = estimator();
        (0..200).for_each(|_| rtt.on_sample(ms(300)));
        assert_eq!(rtt.rto().as_millis(), 500);
    }

    #[test]
    fn back_off_doubles_up_to_the_cap_and_a_sample_ends_it() {
        let mut rtt = estimator();
        rtt.on_sample(ms(100));
        let expected = [600, 1200, 2400, 4800, 9600, 19_200, 38_400, 76_800, 120_000, 120_000];
        for want in expected {
            rtt.back_off();
            assert_eq!(rtt.rto(), ms(want));
        }
        (0..100).for_each(|_| rtt.back_off());
        assert_eq!(rtt.rto(), ms(120_000));
        rtt.on_sample(ms(100));
        assert_eq!((rtt.rto(), rtt.backoff_count()), (ms(300), 0));
    }

    #[test]
    fn minimum_of_an_abandoned_path_fades() {
        let mut rtt = estimator();
        rtt.on_sample(ms(10));
        (0..2 * MIN_RTT_BUCKET).for_each(|_| rtt.on_sample(ms(50)));
        assert_eq!(rtt.min_rtt(), Some(ms(50)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn rto_stays_within_bounds(samples in prop::collection::vec(0u64..u64::MAX / 4, 0..50), n in 0u32..40) {
            let mut rtt = estimator();
            for nanos in samples {
                rtt.on_sample(Duration::from_nanos(nanos));
            }
            (0..n).for_each(|_| rtt.back_off());
            prop_assert!(rtt.rto() >= ms(200) && rtt.rto() <= ms(120_000));
        }
    }
}
