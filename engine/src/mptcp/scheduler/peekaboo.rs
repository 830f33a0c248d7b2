//! Peekaboo (JSAC 2020): with only the slower subflow free, whether to send or to wait is learned: LinUCB over the state
//! of both, then followed with a probability that depends on how well it predicts.
//!
//! Where the paper leaves room: the fit is the share of rewards predicted to within a half, and the learned answer is
//! followed with probability 0.5 between the two bounds. The dice are thrown from a fixed seed.

use crate::config::SchedulerSpec;
use crate::scheduling::{
    Action, Interest, Scheduler, SchedulerEvent, SchedulerView, SubflowSnapshot,
};
use crate::time::{Duration, Instant};

/// Window, in flight and the connection's window, each over the RTT, of two subflows.
const FEATURES: usize = 6;
type Vector = [f64; FEATURES];

/// What acknowledgements are worth in the three periods of a reward.
const PERIODS: [f64; 3] = [0.9, 0.7, 0.5];
/// Above the first the learned answer is followed nearly always, below the second nearly never.
const FIT: (f64, f64) = (0.7, 0.3);
/// A fit that moves by more asks for learning anew.
const DRIFT: f64 = 0.175;

/// One of the two answers: a ridge regression of rewards.
#[derive(Debug)]
struct Arm {
    inverse: [Vector; FEATURES],
    b: Vector,
}

impl Default for Arm {
    fn default() -> Self {
        let mut inverse = [[0.0; FEATURES]; FEATURES];
        for (index, row) in inverse.iter_mut().enumerate() {
            if let Some(cell) = row.get_mut(index) {
                *cell = 1.0;
            }
        }
        Self { inverse, b: [0.0; FEATURES] }
    }
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

impl Arm {
    fn times(&self, x: &Vector) -> Vector {
        self.inverse.map(|row| dot(&row, x))
    }

    /// theta . x
    fn predict(&self, x: &Vector) -> f64 {
        dot(&self.times(&self.b), x)
    }

    /// The upper confidence bound.
    fn score(&self, x: &Vector, alpha: f64) -> f64 {
        self.predict(x) + alpha * libm::sqrt(dot(x, &self.times(x)).max(0.0))
    }

    /// A += x x^T, b += R x; the inverse by Sherman and Morrison.
    fn learn(&mut self, x: &Vector, reward: f64) {
        let ax = self.times(x);
        let scale = 1.0 + dot(x, &ax);
        for (row, left) in self.inverse.iter_mut().zip(ax) {
            for (cell, right) in row.iter_mut().zip(ax) {
                *cell -= left * right / scale;
            }
        }
        for (b, x) in self.b.iter_mut().zip(x) {
            *b += reward * x;
        }
    }
}

/// An answer whose reward is being counted.
#[derive(Clone, Copy, Debug)]
struct Trial {
    sends: bool,
    state: Vector,
    start: Instant,
    period: Duration,
    una: u64,
    reward: f64,
}

#[derive(Debug)]
pub(super) struct Peekaboo {
    alpha: f64,
    /// Bytes of one round of learning.
    round: u64,
    arms: [Arm; 2],
    trial: Option<Trial>,
    /// Bytes acknowledged when learning ends; none once it has.
    learning_until: Option<u64>,
    /// How well rewards were predicted of late, and at the end of learning.
    fit: f64,
    learned_fit: f64,
    dice: u64,
}

impl Peekaboo {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        Self {
            alpha: spec.number("alpha"),
            round: (spec.number("round") * 1_048_576.0) as u64,
            arms: [Arm::default(), Arm::default()],
            trial: None,
            learning_until: Some(0),
            fit: 0.5,
            learned_fit: 0.5,
            dice: spec.number("seed") as u64 | 1,
        }
    }

    fn throw(&mut self) -> f64 {
        // xorshift64
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn decide(&mut self, view: &SchedulerView<'_>, state: &Vector) -> bool {
        let [wait, send] = &self.arms;
        let learned = send.score(state, self.alpha) >= wait.score(state, self.alpha);
        match self.learning_until {
            Some(0) => self.learning_until = Some(view.una + self.round),
            Some(until) if view.una >= until => {
                self.learning_until = None;
                self.learned_fit = self.fit;
            }
            Some(_) => {}
            None if (self.fit - self.learned_fit).abs() > DRIFT => {
                self.learning_until = Some(view.una + self.round);
            }
            None => {
                let follow = match self.fit {
                    fit if fit >= FIT.0 => 0.9,
                    fit if fit >= FIT.1 => 0.5,
                    _ => 0.1,
                };
                return (self.throw() < follow) == learned;
            }
        }
        learned
    }

    fn count(&mut self, now: Instant, una: u64) {
        let Some(trial) = &mut self.trial else { return };
        let elapsed = now.saturating_since(trial.start);
        let part = elapsed.as_secs_f64() / trial.period.as_secs_f64().max(1e-6);
        if let Some(weight) = PERIODS.get((part * 3.0) as usize) {
            let segments = una.saturating_sub(trial.una) as f64 / 1_400.0;
            trial.reward += weight * segments / (1_000.0 * elapsed.as_secs_f64()).max(1.0);
            trial.una = una;
            return;
        }
        let done = *trial;
        self.trial = None;
        let Some(arm) = self.arms.get_mut(usize::from(done.sends)) else { return };
        let predicted = arm.predict(&done.state);
        let good = (predicted - done.reward).abs() <= done.reward.abs() / 2.0;
        self.fit = 0.95 * self.fit + if good { 0.05 } else { 0.0 };
        arm.learn(&done.state, done.reward);
    }
}

/// The state of the pair, in segments per millisecond, scaled down to be about one.
fn features(view: &SchedulerView<'_>, fast: &SubflowSnapshot, slow: &SubflowSnapshot) -> Vector {
    let window = view.window_end.saturating_sub(view.una) as f64;
    let of = |s: &SubflowSnapshot| {
        let scale = s.segment() as f64 * (s.rtt().as_secs_f64() * 1_000.0).clamp(1.0, 1e6) * 10.0;
        [s.cwnd as f64 / scale, s.in_flight as f64 / scale, window / scale]
    };
    let ([a, b, c], [d, e, f]) = (of(fast), of(slow));
    [a, b, c, d, e, f].map(|x| x.min(100.0))
}

impl Scheduler for Peekaboo {
    fn name(&self) -> &str {
        "peekaboo"
    }

    fn interest(&self) -> Interest {
        Interest { events: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let (Some(fast), Some(open)) = (view.fastest(), view.fastest_open()) else {
            return Action::Wait;
        };
        if open.id == fast.id {
            return Action::Send { subflow: fast.id, len: fast.available };
        }
        let state = features(view, fast, open);
        let sends = match self.trial {
            // One answer at a time is judged, and holds meanwhile.
            Some(trial) => trial.sends,
            None => {
                let sends = self.decide(view, &state);
                let twice = |s: &SubflowSnapshot| s.srtt.unwrap_or_default() + s.rttvar;
                let period = (twice(fast) * 2).max(twice(open)).max(Duration::from_millis(1));
                let (start, una) = (view.now, view.una);
                self.trial = Some(Trial { sends, state, start, period, una, reward: 0.0 });
                sends
            }
        };
        if sends { Action::Send { subflow: open.id, len: open.available } } else { Action::Wait }
    }

    fn on_event(&mut self, view: &SchedulerView<'_>, event: SchedulerEvent) {
        if let SchedulerEvent::DataAck { una } = event {
            self.count(view.now, una);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The regression finds a linear reward, and is sure of what it has seen.
    #[test]
    fn an_arm_learns_a_linear_reward() {
        let mut arm = Arm::default();
        let truth = [0.5, -0.2, 1.0, 0.0, 0.3, 0.1];
        for round in 0..600_u32 {
            let x: Vector =
                core::array::from_fn(|i| f64::from((round * 7 + i as u32 * 13) % 11) / 11.0);
            arm.learn(&x, dot(&truth, &x));
        }
        let x = [0.3, 0.9, 0.1, 0.5, 0.2, 0.7];
        assert!((arm.predict(&x) - dot(&truth, &x)).abs() < 0.1, "{}", arm.predict(&x));
        let fresh = Arm::default();
        assert!(arm.score(&x, 1.0) - arm.predict(&x) < fresh.score(&x, 1.0) - fresh.predict(&x));
    }
}
