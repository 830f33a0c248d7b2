//! When a link is down.

use mpuser_engine::time::{Duration, Instant};

/// Times at which nothing passes, counted from the start of the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    /// From (included) and to (not included).
    pub spans: Vec<(Duration, Duration)>,
    /// The whole list begins anew after this long.
    pub every: Option<Duration>,
}

impl Outages {
    /// It is down at `now`, the link having started at `start`.
    #[must_use]
    pub fn covers(&self, start: Instant, now: Instant) -> bool {
        let mut at = now.saturating_since(start);
        if let Some(every) = self.every.filter(|every| !every.is_zero()) {
            at = Duration::from_nanos((at.as_nanos() % every.as_nanos()) as u64);
        }
        self.spans.iter().any(|(from, to)| (*from..*to).contains(&at))
    }
}
