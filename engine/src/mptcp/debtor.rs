//! Which subflow owes the octets that are missing first, and whether it has been silent for too long.
//!
//! A sender gives octets to its subflows in their order, and a subflow delivers what it was given in order: one that brought
//! octets from behind the hole does not owe those before them. Who brought none may.

use crate::time::{Duration, Instant};

/// Data that a subflow has to have delivered before its silence means anything: by then its rhythm and its round trip are
/// known.
const ACQUAINTED: u64 = 64 << 10;
/// The longest packet, octets.
pub(crate) const SUPER_SEGMENT: u64 = 64 << 10;
/// From the look that finds it overdue to the one that has to find others heard of meanwhile, and it still silent: a machine
/// that slept has yet to read what came.
const CONFIRMATION: Duration = Duration::from_millis(4);
/// The same where nobody can be heard of, for the window is used up: a sender that was interrupted is back by then.
const UNWITNESSED: Duration = Duration::from_millis(24);
/// Least silence that is more than the two machines' doing: they have other things to do, too.
const BUSY: Duration = Duration::from_millis(16);
/// Patience with a subflow that was told of no window for the longest packet: it may wait for a larger one, and does not have
/// to know that others were told of it.
const HELD_UP: Duration = Duration::from_secs(1);
/// Most doublings of the patience with a path that was left and came back.
const MOST_DOUBLINGS: u32 = 6;

/// A subflow as the receiver of data knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deliveries {
    /// End of the furthest data it delivered, data offset.
    pub(crate) reached: u64,
    /// Octets it delivered.
    pub(crate) octets: u64,
    /// When it was last heard of.
    pub(crate) heard: Instant,
    /// How long it may be silent while it owes something.
    pub(crate) patience: Duration,
}

/// Who owes what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nobody that could be named; things may be clearer at this time.
    Unclear(Instant),
    /// This one of the subflows, and it has been silent for too long.
    Overdue(usize),
}

/// How long a subflow takes for as much as the longest packet has: it may come in one piece, and on a slow path nothing
/// comes for so long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rhythm {
    since: Option<Instant>,
    /// Octets that came since then.
    octets: u64,
    /// How long it took for the last 64 KiB.
    last: Duration,
}

impl Rhythm {
    /// So many octets came.
    pub(crate) fn on_data(&mut self, now: Instant, len: u64) {
        let since = *self.since.get_or_insert(now);
        self.octets += len;
        if self.octets >= SUPER_SEGMENT {
            *self = Self { since: Some(now), octets: 0, last: now.saturating_since(since) };
        }
    }

    /// For 64 KiB, as far as is known when nothing has come since `heard`.
    fn longest_packet(&self, heard: Instant) -> Duration {
        let under_way = self.since.filter(|_| self.octets >= SUPER_SEGMENT / 8).map(|since| {
            let scale = SUPER_SEGMENT.div_ceil(self.octets.max(1));
            heard.saturating_since(since) * u32::try_from(scale).unwrap_or(u32::MAX)
        });
        self.last.max(under_way.unwrap_or_default())
    }

    /// How long a subflow of this round-trip time may be silent that was heard of last at `heard`, was told of this window
    /// then, and was left `left` times and lived on.
    pub(crate) fn patience(
        &self,
        rtt: Duration,
        (heard, window): (Instant, u32),
        left: u32,
    ) -> Duration {
        let usual = rtt + rtt / 8 + self.longest_packet(heard);
        let least = if u64::from(window) < SUPER_SEGMENT { HELD_UP } else { BUSY };
        usual.max(least) * (1 << left.min(MOST_DOUBLINGS))
    }
}

/// The hole before what has come out of order, and when to look after it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    due: Option<Instant>,
    /// When it became the first one.
    since: Instant,
    /// The subflow found overdue, and when first.
    suspect: Option<(usize, Instant)>,
}

impl Watch {
    /// There is a hole, perhaps since now.
    pub(crate) fn on_hole(&mut self, now: Instant) {
        if self.due.is_none() {
            *self = Self { due: Some(now + CONFIRMATION), since: now, suspect: None };
        }
    }

    /// Data came in order: if there is a hole now, it is another one.
    pub(crate) const fn on_progress(&mut self, now: Instant) {
        self.since = now;
    }

    /// When to look at it.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// There is no hole any more, or nothing to be done about it.
    pub(crate) const fn end(&mut self) {
        self.due = None;
    }

    /// It is time: which of the subflows owes what is missing from data offset `missing` on, and is to be left? Where the
    /// window is `used_up`, others are silent as well.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        (missing, used_up): (u64, bool),
        subflows: impl Iterator<Item = (usize, Deliveries)> + Clone,
    ) -> Option<usize> {
        let index = match judge(now, self.since, missing, subflows.clone()) {
            Verdict::Overdue(index) => index,
            Verdict::Unclear(at) => {
                self.suspect = None;
                // By then another hole may be the first one, and somebody else's.
                self.due = Some(at.clamp(now + CONFIRMATION / 2, now + BUSY));
                return None;
            }
        };
        self.due = Some(now + CONFIRMATION);
        let (_, first) = *self.suspect.insert(match self.suspect {
            Some((known, at)) if known == index => (known, at),
            _ => (index, now),
        });
        let witness = |(_, d): (usize, Deliveries)| d.reached > missing && d.heard >= first;
        let asked = now.saturating_since(first);
        let confirmed = asked >= CONFIRMATION && subflows.clone().any(witness)
            || asked >= UNWITNESSED && used_up;
        confirmed.then(|| {
            self.since = now;
            self.suspect = None;
            index
        })
    }
}

/// Where several may owe it, it is the one that was heard of last; the others may just not be in use.
fn judge(
    now: Instant,
    since: Instant,
    missing: u64,
    subflows: impl Iterator<Item = (usize, Deliveries)> + Clone,
) -> Verdict {
    let overdue_at = |d: &Deliveries| d.heard.max(since) + d.patience;
    let passed = subflows.clone().any(|(_, d)| d.reached > missing);
    let owing = subflows.filter(|(_, d)| d.reached <= missing);
    let clear_at = owing.clone().map(|(_, d)| overdue_at(&d)).max();
    let known = owing.filter(|(_, d)| d.octets >= ACQUAINTED);
    match (known.max_by_key(|(_, d)| d.heard), clear_at) {
        (Some((index, _)), Some(at)) if passed && at <= now => Verdict::Overdue(index),
        (Some(_), Some(at)) if passed => Verdict::Unclear(at),
        _ => Verdict::Unclear(now + CONFIRMATION),
    }
}

#[cfg(test)]
mod tests;
