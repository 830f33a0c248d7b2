//! Delivery rate of a sender: how fast what it sent was received (the estimator behind BBR).

use crate::time::{Duration, Instant};

/// Delivery so far, at the time a range was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    app_limited: bool,
}

/// One measurement of the rate at which data is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSample {
    /// Octets delivered in `interval`.
    pub delivered: u64,
    /// The longer of the time they took to send and to be acknowledged; not zero.
    pub interval: Duration,
    /// The application had nothing to send in between: the path can do at least this.
    pub app_limited: bool,
    /// Octets delivered in all when the octets measured were sent.
    pub prior_delivered: u64,
    /// Octets delivered in all now.
    pub total: u64,
}

impl RateSample {
    /// Octets a second.
    #[must_use]
    pub fn per_second(&self) -> Option<u64> {
        let octets = u128::from(self.delivered) * 1_000_000_000;
        octets.checked_div(self.interval.as_nanos()).and_then(|rate| u64::try_from(rate).ok())
    }
}

/// Counts deliveries and makes samples of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateEstimator {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Samples are limited by the application until this much is delivered.
    app_limited_until: u64,
}

impl RateEstimator {
    /// What to remember with a range sent `now`. `idle`: nothing was in flight before it.
    pub(crate) fn on_send(&mut self, now: Instant, idle: bool) -> Snapshot {
        if idle {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.delivered < self.app_limited_until,
        }
    }

    /// There is room in the window and nothing to send, with `in_flight` octets under way.
    pub(crate) fn mark_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = self.delivered + in_flight.max(1);
    }

    /// `newly_delivered` octets arrived; `newest` is when the latest sent of them was sent, and its snapshot.
    pub(crate) fn on_delivery(
        &mut self,
        now: Instant,
        newly_delivered: u64,
        newest: (Instant, Snapshot),
    ) -> Option<RateSample> {
        self.delivered += newly_delivered;
        self.delivered_at = now;
        let (sent_at, then) = newest;
        self.first_sent_at = sent_at;
        let sending = sent_at.saturating_since(then.first_sent_at);
        let acknowledging = now.saturating_since(then.delivered_at);
        let interval = sending.max(acknowledging);
        if interval.is_zero() {
            return None;
        }
        let delivered = self.delivered.saturating_sub(then.delivered);
        Some(RateSample {
            delivered,
            interval,
            app_limited: then.app_limited,
            prior_delivered: then.delivered,
            total: self.delivered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_sender_measures_its_rate() {
        // 1000 octets each millisecond, acknowledged 10 ms later.
        let mut rate = RateEstimator::default();
        let mut snapshots = std::vec::Vec::new();
        let at = |ms: u64| Instant::from_millis(ms);
        for ms in 0..100 {
            if ms >= 10 {
                let sample = rate.on_delivery(at(ms), 1000, snapshots[ms as usize - 10]).unwrap();
                let per_second = sample.delivered * 1000 / sample.interval.as_millis() as u64;
                assert!((900_000..=1_000_000).contains(&per_second) || ms < 20, "{sample:?}");
                assert!(!sample.app_limited);
            }
            snapshots.push((at(ms), rate.on_send(at(ms), ms == 0)));
        }
    }

    #[test]
    fn an_idle_application_taints_what_was_in_flight() {
        let mut rate = RateEstimator::default();
        let first = (Instant::ZERO, rate.on_send(Instant::ZERO, true));
        rate.mark_app_limited(1000);
        let second = (Instant::from_millis(1), rate.on_send(Instant::from_millis(1), false));
        let a = rate.on_delivery(Instant::from_millis(10), 1000, first).unwrap();
        let b = rate.on_delivery(Instant::from_millis(11), 1000, second).unwrap();
        assert!(!a.app_limited && b.app_limited);
        let third = rate.on_send(Instant::from_millis(12), true);
        assert!(!third.app_limited);
    }
}
