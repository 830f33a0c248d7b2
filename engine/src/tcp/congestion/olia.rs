//! Opportunistic linked increases (draft-khalili-mptcp-congestion-control-05): Pareto-optimal coupling, and windows
//! that move from the fullest path to the best one.

use super::SiblingView;
use super::window::{Own, Policy};
use crate::config::CongestionAlgorithm;
use crate::time::Duration;

/// OLIA. An ACK of one segment adds `(w_i / r_i^2) / (sum w_j / r_j)^2 + alpha_i / w_i` segments; the decrease is
/// Reno's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Olia {
    /// Octets acknowledged since the last loss.
    since_loss: u64,
    /// Octets acknowledged between the last two losses.
    between_losses: u64,
}

/// One path in the choice of alpha.
#[derive(Clone, Copy)]
struct Path {
    window: u64,
    /// The draft's l: an estimate of 1/p, octets.
    interval: u64,
    rtt: Duration,
}

impl Path {
    /// `l / r^2` of one against another, without rounding.
    fn cmp_quality(&self, other: &Self) -> core::cmp::Ordering {
        let square = |rtt: Duration| u128::from(micros(rtt)).pow(2);
        // An interval beyond 2^56 octets is as good as any.
        let interval = |path: &Self| u128::from(path.interval.min(1 << 56));
        (interval(self) * square(other.rtt)).cmp(&(interval(other) * square(self.rtt)))
    }
}

/// Below 2^35: an hour is longer than any RTT.
fn micros(rtt: Duration) -> u64 {
    u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX).clamp(1, 3_600_000_000)
}

impl Olia {
    const fn interval(&self) -> u64 {
        if self.since_loss > self.between_losses { self.since_loss } else { self.between_losses }
    }

    /// The draft's alpha: up on the best paths whose window is not the largest, down on the largest windows, and
    /// nothing while they are the same.
    fn alpha(own: Path, others: &[SiblingView]) -> f64 {
        let all = || {
            let others = others.iter().map(|s| Path {
                window: s.cwnd,
                interval: s.loss_interval,
                rtt: s.srtt,
            });
            core::iter::once(own).chain(others)
        };
        let best = all().fold(own, |a, b| if b.cmp_quality(&a).is_gt() { b } else { a });
        let largest = all().map(|p| p.window).max().unwrap_or(own.window);
        let is_best = |p: &Path| p.cmp_quality(&best).is_eq();
        let is_largest = |p: &Path| p.window == largest;
        let collected = all().filter(|p| is_best(p) && !is_largest(p)).count();
        if collected == 0 {
            return 0.0;
        }
        let paths = (others.len() + 1) as f64;
        if is_largest(&own) {
            -1.0 / (paths * all().filter(is_largest).count() as f64)
        } else if is_best(&own) {
            1.0 / (paths * collected as f64)
        } else {
            0.0
        }
    }
}

impl Policy for Olia {
    const ALGORITHM: CongestionAlgorithm = CongestionAlgorithm::Olia;

    fn gain(&self, own: &Own, others: &[SiblingView]) -> f64 {
        if others.is_empty() || own.srtt.is_zero() {
            return 1.0;
        }
        let sum = others.iter().fold(own.rate(), |sum, other| sum + other.rate());
        let share = own.rate() / sum;
        let path = Path { window: own.cwnd, interval: self.interval(), rtt: own.srtt };
        share * share + Self::alpha(path, others)
    }

    fn on_delivered(&mut self, octets: u64) {
        self.since_loss = self.since_loss.saturating_add(octets);
    }

    fn on_loss(&mut self) {
        // A second loss before any progress belongs to the first.
        if self.since_loss > 0 {
            self.between_losses = core::mem::take(&mut self.since_loss);
        }
    }

    fn tell(&self, view: &mut SiblingView) {
        view.loss_interval = self.interval();
    }
}
