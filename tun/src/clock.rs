//! The only place that reads a clock.
//!
//! Engine time counts nanoseconds since shortly before the first call in this process, so moments of different
//! stacks and devices can be compared. Tokio's clock is the source: timers and engine then agree, and a test on a
//! paused runtime moves both.

use mpuser_engine::time::{Duration, Instant};
use std::sync::LazyLock;
use std::time::SystemTime;

/// Room before the origin: a paused runtime may have frozen its clock before the origin was taken.
const HEADROOM: Duration = Duration::from_secs(1);

struct Origin {
    monotonic: tokio::time::Instant,
    /// Wall-clock time of the origin, since the Unix epoch.
    wall: Duration,
}

#[expect(clippy::disallowed_methods, reason = "the one place where clocks are read")]
static ORIGIN: LazyLock<Origin> = LazyLock::new(|| {
    let real = std::time::Instant::now();
    let monotonic = real.checked_sub(HEADROOM).unwrap_or(real);
    let since_origin = real.saturating_duration_since(monotonic);
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Origin {
        monotonic: tokio::time::Instant::from_std(monotonic),
        wall: wall.saturating_sub(since_origin),
    }
});

/// The time now.
#[must_use]
pub fn now() -> Instant {
    let elapsed = tokio::time::Instant::now().saturating_duration_since(ORIGIN.monotonic);
    Instant::ZERO + elapsed
}

/// The moment as tokio's timers take it; `None` if it lies beyond what they can express.
#[must_use]
pub fn to_tokio(moment: Instant) -> Option<tokio::time::Instant> {
    ORIGIN.monotonic.checked_add(Duration::from_nanos(moment.as_nanos()))
}

/// The moment as wall-clock time since the Unix epoch, for capture files. The wall clock is read once, so that
/// timestamps within a run keep the distances of the monotonic clock whatever NTP does.
#[must_use]
pub fn to_wall(moment: Instant) -> Duration {
    ORIGIN.wall.saturating_add(Duration::from_nanos(moment.as_nanos()))
}

/// A time since the Unix epoch in words, to the microsecond: `2026-11-21T12:16:41.354816Z`.
#[must_use]
pub fn utc(since_epoch: Duration) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(since_epoch).unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::format_rfc3339_micros(at).to_string()
}

/// Sleeps until `deadline`, for ever if there is none. Tokio's timers are good to one millisecond and never early.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline.and_then(to_tokio) {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_engine_time() {
        let before = now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(now().saturating_since(before), Duration::from_secs(3));
        sleep_until(Some(before + Duration::from_secs(10))).await;
        assert!(now() >= before + Duration::from_secs(10));
    }

    #[test]
    fn moments_far_away_are_no_deadline() {
        assert!(to_tokio(now()).is_some());
        assert!(to_wall(Instant::ZERO) < to_wall(now()));
        // Whether the far future can be expressed depends on the platform; it must not panic.
        let _ = to_tokio(Instant::FAR_FUTURE);
    }
}
