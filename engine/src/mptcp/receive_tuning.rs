//! How large the receive buffer has to be: twice what the application takes within a round trip. Once for what is in
//! flight, and once for what has come and waits: behind a hole until that is filled, or behind the slowest subflow. So the
//! round trip is that of the slowest (RFC 8684 3.3.5 asks for `2 * sum(BW_i) * RTT_max`).
//!
//! It grows and never shrinks: a window that was promised is not taken back [RCV-2].

use super::send_tuning;
use crate::time::{Duration, Instant};

/// The shortest period: timestamps tell a round trip to a millisecond. On a shorter path a period has several round trips,
/// and the window opens the sooner.
const SHORTEST: Duration = Duration::from_millis(1);

/// How far things have come, as data offsets and numbers of octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Arrived, in order or not.
    pub(crate) arrived: u64,
    /// Arrived in order.
    pub(crate) in_order: u64,
    /// Read by the application.
    pub(crate) taken: u64,
}

/// Round-trip times of the subflows, the longest of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LongestRtt {
    /// As data echo it that came.
    pub(crate) echoed: Option<Duration>,
    /// Of what was sent from here: of the handshake at least.
    pub(crate) sent: Option<Duration>,
    /// The shortest of each subflow.
    pub(crate) least: Option<Duration>,
}

/// A round trip over which is counted.
#[derive(Clone, Copy, Debug)]
struct Period {
    start: Instant,
    length: Duration,
    from: Progress,
    /// Most octets of buffer on the paths there are.
    most: usize,
}

/// Size of a receive buffer, octets.
#[derive(Debug)]
pub(crate) struct ReceiveTuning {
    capacity: usize,
    most: usize,
    period: Option<Period>,
    /// Octets of the period in which data came fastest, and its length, nanoseconds.
    best: Option<(u64, u128)>,
    /// An edge that was told, and when: data come up to it a round trip later, or after more.
    mark: Option<(u64, Instant)>,
    /// The shortest time they took.
    window_rtt: Option<Duration>,
}

impl ReceiveTuning {
    /// From `initial` up to `most`. Where `initial` is no less the size is fixed.
    pub(crate) fn new(initial: usize, most: usize) -> Self {
        let capacity = initial.min(most);
        Self { capacity, most, period: None, best: None, mark: None, window_rtt: None }
    }

    /// The size now.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Looks where things are; the new size if it has to grow. Round-trip times are asked for when a period is over.
    pub(crate) fn on_progress(
        &mut self,
        now: Instant,
        at: Progress,
        rtt: impl FnOnce() -> LongestRtt,
    ) -> Option<usize> {
        if self.capacity >= self.most || at.arrived == 0 {
            return None;
        }
        if let Some((_, since)) = self.mark.take_if(|(edge, _)| at.in_order >= *edge) {
            let took = now.saturating_since(since);
            self.window_rtt = Some(self.window_rtt.map_or(took, |least| least.min(took)));
        }
        match self.period {
            Some(period) if now < period.start + period.length => None,
            over => {
                let capacity = over.and_then(|period| self.judge(now, &period, at));
                let rtt = rtt();
                let most = self.most.min(send_tuning::most(rtt.least.into_iter()));
                let length = self.length(rtt);
                self.period = Some(Period { start: now, length, from: at, most });
                capacity
            }
        }
    }

    /// The peer is told of a window up to `edge`, further than any before.
    pub(crate) fn on_told(&mut self, now: Instant, edge: u64) {
        self.mark.get_or_insert((edge, now));
    }

    /// A peer without timestamps leaves the round trip of the handshake, and the time a window takes: the shortest, since
    /// a window lasts for as long as the peer likes.
    fn length(&self, rtt: LongestRtt) -> Duration {
        let untold = || rtt.sent.max(self.window_rtt);
        rtt.echoed.or_else(untold).unwrap_or_default().max(SHORTEST)
    }

    /// A period is over. What has come and was not taken asks for no room, nor does what was taken at once after a hole:
    /// the smaller of the two is what goes through. Where data have come faster than ever, as in slow start, they will come
    /// faster again, and are on their way before they can be told a window: up to twice as fast.
    fn judge(&mut self, now: Instant, period: &Period, at: Progress) -> Option<usize> {
        let elapsed = now.saturating_since(period.start).as_nanos().max(1);
        let length = period.length.as_nanos().min(elapsed);
        let since = |end: u64, start: u64| scale(end.saturating_sub(start), length, elapsed);
        let arrived = since(at.arrived, period.from.arrived);
        let taken = since(at.taken, period.from.taken);
        let best = self.best.map(|(octets, best)| scale(octets, length, best));
        let more = arrived.saturating_sub(best.unwrap_or(arrived)).saturating_mul(2).min(arrived);
        if best.is_none_or(|best| arrived > best) {
            self.best = Some((arrived, length));
        }
        let through = arrived.min(taken);
        let next = through.saturating_add(scale(through, more.into(), arrived.max(1).into()));
        let wanted = usize::try_from(next.saturating_mul(2)).unwrap_or(usize::MAX).min(period.most);
        (wanted > self.capacity).then(|| {
            self.capacity = wanted;
            wanted
        })
    }
}

/// `octets * part / whole`; `whole` is not zero.
fn scale(octets: u64, part: u128, whole: u128) -> u64 {
    u64::try_from(u128::from(octets) * part / whole).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
