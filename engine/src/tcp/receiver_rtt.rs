//! The round-trip time as the receiving end sees it: data echo when the acknowledgement that let them go was sent
//! (RFC 7323 4). An end that only receives has nothing acknowledged and would know its handshake's time for ever.

use crate::time::{Duration, Instant};

/// What the echo is rounded to: one tick of the timestamps' clock.
const TICK: Duration = Duration::from_millis(1);

/// The smallest sample of each period, which may be no more than twice the estimate before: after a pause of the sender
/// data echo an old acknowledgement, and the next ones do not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReceiverRtt {
    estimate: Option<Duration>,
    least: Option<Duration>,
}

impl ReceiverRtt {
    /// Data came that echo something sent at `echoed`, a tick before at most.
    pub(super) fn on_data(&mut self, now: Instant, echoed: Instant) {
        let sample = now.saturating_since(echoed) + TICK;
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
    }

    /// What the last period left.
    pub(super) const fn estimate(&self) -> Option<Duration> {
        self.estimate
    }

    /// A period ends; `sent` is the round-trip time of what this end sent itself. An upper bound of the round-trip time,
    /// `None` if no data ever echoed anything.
    pub(super) fn settle(&mut self, sent: Option<Duration>) -> Option<Duration> {
        if let Some(least) = self.least.take() {
            let before = self.estimate.or(sent).map(|before| before.max(TICK));
            self.estimate = Some(before.map_or(least, |before| least.min(before * 2)));
        }
        self.estimate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// One period with data that echo what was sent so long ago.
    fn period(rtt: &mut ReceiverRtt, samples: &[u64], sent: Option<u64>) -> Option<u64> {
        let now = Instant::from_millis(100_000);
        samples.iter().for_each(|age| rtt.on_data(now, Instant::from_millis(100_000 - age)));
        rtt.settle(sent.map(ms)).map(|estimate| estimate.as_millis() as u64)
    }

    #[test]
    fn the_smallest_sample_of_a_period_counts_rounded_up() {
        let mut rtt = ReceiverRtt::default();
        assert_eq!(period(&mut rtt, &[], Some(50)), None, "nothing echoed");
        assert_eq!(period(&mut rtt, &[40, 20, 30], Some(20)), Some(21));
        assert_eq!(period(&mut rtt, &[], None), Some(21), "it stays");
        assert_eq!(period(&mut rtt, &[35], None), Some(36), "a queue grew");
        assert_eq!(period(&mut rtt, &[9], None), Some(10));
        assert_eq!(period(&mut ReceiverRtt::default(), &[0], None), Some(1), "within a tick");
    }

    #[test]
    fn a_pause_of_the_sender_is_no_round_trip() {
        let mut rtt = ReceiverRtt::default();
        assert_eq!(period(&mut rtt, &[20], Some(20)), Some(21));
        assert_eq!(period(&mut rtt, &[5_000], None), Some(42));
        assert_eq!(period(&mut rtt, &[20], None), Some(21));
        let mut greeted_late = ReceiverRtt::default();
        assert_eq!(period(&mut greeted_late, &[9_000], Some(30)), Some(60));
    }
}
