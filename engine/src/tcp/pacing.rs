//! Pacing: data leaves in small bursts at a rate, not a window at a time.

use crate::time::{Duration, Instant};

/// Longest burst, octets: what a super-segment holds.
const MOST: u64 = 65_536;
/// Octets a second (1.2 Mbit/s) below which a burst is one segment.
const SLOW: u64 = 150_000;
/// Bursts a second on a fast path: one in about a millisecond, as in Linux.
const BURSTS: u64 = 1 << 10;

/// The rate Linux paces at where congestion control has none of its own, octets a second: twice a window in each
/// round trip while the window may still double (`tcp_pacing_ss_ratio`), 1.2 times afterwards
/// (`tcp_pacing_ca_ratio`).
pub(super) fn linux_rate(window: u64, ssthresh: u64, srtt: Duration) -> u64 {
    let percent: u128 = if window < ssthresh / 2 { 200 } else { 120 };
    let octets = u128::from(window) * percent * 1_000_000_000 / 100;
    u64::try_from(octets / srtt.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// Octets that leave at once at this rate.
pub(super) fn quantum(rate: u64, mss: u64) -> u64 {
    let least = if rate < SLOW { mss } else { 2 * mss };
    (rate / BURSTS).min(MOST).max(least)
}

/// When the next data may go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pacer {
    next: Option<Instant>,
    /// As of the last time somebody asked: [`Self::next`] lies ahead.
    held: bool,
}

impl Pacer {
    /// True while data has to wait.
    pub(super) fn check(&mut self, now: Instant) -> bool {
        self.held = self.next.is_some_and(|next| next > now);
        self.held
    }

    /// The last answer of [`Self::check`].
    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    /// `octets` went out at `rate` octets a second. A sender that comes late makes up for one burst, not for all the
    /// time it was away.
    pub(super) fn on_sent(&mut self, now: Instant, octets: u64, rate: u64, burst: u64) {
        let earliest = now.as_nanos().saturating_sub(nanos(burst, rate));
        let from = self.next.map_or(now.as_nanos(), |next| next.as_nanos().max(earliest));
        self.next = Some(Instant::from_nanos(from.saturating_add(nanos(octets, rate))));
        self.check(now);
    }

    /// When data that waits may go.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next.filter(|_| self.held)
    }
}

/// The time `octets` take at `rate`, at most a minute.
fn nanos(octets: u64, rate: u64) -> u64 {
    let nanos = u128::from(octets) * 1_000_000_000 / u128::from(rate.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX).min(60_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_paces_at_twice_and_1_2_times_the_window() {
        let srtt = Duration::from_millis(100);
        assert_eq!(linux_rate(14_480, u64::MAX, srtt), 289_600);
        assert_eq!(linux_rate(14_480, 28_962, srtt), 289_600);
        assert_eq!(linux_rate(14_480, 28_960, srtt), 173_760, "one doubling more is past ssthresh");
        assert_eq!(linux_rate(14_480, 10_000, srtt), 173_760);
    }

    #[test]
    fn bursts_last_a_millisecond_or_two_segments() {
        assert_eq!(quantum(10_000, 1448), 1448);
        assert_eq!(quantum(1_250_000, 1448), 2896);
        assert_eq!(quantum(12_500_000, 1448), 12_207);
        assert_eq!(quantum(u64::MAX, 1448), 65_536);
    }

    #[test]
    fn the_rate_holds_whenever_the_sender_comes() {
        let mut pacer = Pacer::default();
        let (rate, burst) = (1_000_000, 2000);
        let (mut now, mut sent) = (Instant::ZERO, 0);
        while now < Instant::from_millis(1000) {
            while !pacer.check(now) {
                pacer.on_sent(now, 1000, rate, burst);
                sent += 1000;
            }
            // Half a millisecond late each time.
            now = pacer.deadline().unwrap() + Duration::from_micros(500);
        }
        assert!((995_000..=1_002_000).contains(&sent), "{sent}");
        // After a second of silence: no more than the burst and what follows it.
        now += Duration::from_secs(1);
        let before = sent;
        while !pacer.check(now) {
            pacer.on_sent(now, 1000, rate, burst);
            sent += 1000;
        }
        assert!(sent - before <= 3000, "{}", sent - before);
    }
}
