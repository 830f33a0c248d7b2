//! BLEST (IFIP Networking 2016): the slower subflow is left alone where its segment would close the connection's window
//! before it is acknowledged. Once as the paper has it, once as the v0.95 kernel does.

use super::receive_buffer::ReceiveBuffer;
use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{
    Action, Interest, Scheduler, SchedulerEvent, SchedulerView, SubflowSnapshot,
};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Bounds of the paper's factor; it names none.
const DELTA: (f64, f64) = (0.5, 3.0);
/// Most doublings of a window that slow start is taken to make (v0.95).
const DOUBLINGS: u32 = 16;

/// Bytes the fast subflow would send while a segment travels on the slow one.
fn fast_bytes(mss: f64, window: f64, ratio: f64) -> f64 {
    mss * (window + (ratio - 1.0) / 2.0) * ratio
}

/// A factor that grows when the window was closed within an RTT, and falls when it was not.
#[derive(Debug)]
struct Factor {
    value: f64,
    up: f64,
    down: f64,
    bounds: (f64, f64),
    blocked: bool,
    updated: Option<Instant>,
}

impl Factor {
    fn update(&mut self, now: Instant, period: Duration) {
        if self.updated.is_some_and(|at| now < at + period) {
            return;
        }
        if self.updated.is_some() {
            let step = if self.blocked { self.up } else { -self.down };
            self.value = (self.value + step).clamp(self.bounds.0, self.bounds.1);
        }
        self.blocked = false;
        self.updated = Some(now);
    }
}

/// As in the paper.
#[derive(Debug)]
pub(super) struct Paper {
    buffer: ReceiveBuffer,
    delta: Factor,
}

/// As in the v0.95 kernel.
#[derive(Debug)]
pub(super) struct Kernel {
    buffer: ReceiveBuffer,
    lambda: Factor,
    /// Smallest and largest smoothed RTT of each subflow.
    ranges: Vec<(SubflowId, Duration, Duration)>,
}

impl Paper {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        let (value, step) = (spec.number("delta"), spec.number("step"));
        let delta =
            Factor { value, up: step, down: step, bounds: DELTA, blocked: false, updated: None };
        Self { buffer: ReceiveBuffer::new(spec), delta }
    }

    fn waits(
        &self,
        view: &SchedulerView<'_>,
        fast: &SubflowSnapshot,
        slow: &SubflowSnapshot,
    ) -> bool {
        let ratio = slow.rtt().as_secs_f64() / fast.rtt().as_secs_f64().max(1e-6);
        let window = fast.cwnd as f64 / fast.segment() as f64;
        let needed = fast_bytes(fast.segment() as f64, window, ratio);
        let send_window = view.window_end.saturating_sub(view.una) as f64;
        let taken = slow.segment() * (slow.in_flight_segments() + 1);
        needed * self.delta.value > send_window - taken as f64
    }
}

impl Scheduler for Paper {
    fn name(&self) -> &str {
        "blest-paper"
    }

    fn interest(&self) -> Interest {
        Interest { in_flight: self.buffer.is_on(), events: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        if view.sendable() == 0 {
            return self.buffer.action(view).unwrap_or(Action::Wait);
        }
        let (Some(fast), Some(open)) = (view.fastest(), view.fastest_open()) else {
            return Action::Wait;
        };
        self.delta.update(view.now, fast.srtt.unwrap_or_default());
        if open.id != fast.id && self.waits(view, fast, open) {
            return Action::Wait;
        }
        Action::Send { subflow: open.id, len: step(open, fast) }
    }

    fn on_event(&mut self, _view: &SchedulerView<'_>, event: SchedulerEvent) {
        self.delta.blocked |= is_blocking(event);
    }
}

/// Everything on the fast subflow, a segment at a time on the slow one: each is a decision.
fn step(open: &SubflowSnapshot, fast: &SubflowSnapshot) -> u64 {
    if open.id == fast.id { open.available } else { open.segment() }
}

fn is_blocking(event: SchedulerEvent) -> bool {
    matches!(event, SchedulerEvent::WindowClosed | SchedulerEvent::ReceiveBufferRetransmission(_))
}

impl Kernel {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        let lambda = Factor {
            value: spec.number("lambda"),
            up: 0.04,
            down: 0.01,
            bounds: (1.0, 1.3),
            blocked: false,
            updated: None,
        };
        Self { buffer: ReceiveBuffer::new(spec).of_all_carriers(), lambda, ranges: Vec::new() }
    }

    fn range(&self, s: &SubflowSnapshot) -> (f64, f64) {
        let known = self.ranges.iter().find(|(id, ..)| *id == s.id);
        let (least, most) = known.map_or((s.rtt(), s.rtt()), |(_, least, most)| (*least, *most));
        (least.as_secs_f64(), most.as_secs_f64())
    }

    fn observe(&mut self, view: &SchedulerView<'_>) {
        self.ranges.retain(|(id, ..)| view.subflow(*id).is_some());
        for s in view.subflows {
            let Some(srtt) = s.srtt else { continue };
            match self.ranges.iter_mut().find(|(id, ..)| *id == s.id) {
                Some((_, least, most)) => (*least, *most) = (srtt.min(*least), srtt.max(*most)),
                None => self.ranges.push((s.id, srtt, srtt)),
            }
        }
    }

    /// How long a segment lingers on the slow subflow, in round trips of the fast one.
    fn rounds(&self, fast: &SubflowSnapshot, slow: &SubflowSnapshot) -> f64 {
        let (least, most) = self.range(slow);
        let (flying, window) = (slow.in_flight_segments(), slow.window_segments());
        let lingers = if flying >= window {
            most
        } else {
            let estimate = least + (most - least) * (flying + 1) as f64 / window as f64;
            slow.rtt().as_secs_f64().max(estimate)
        };
        let (least, most) = self.range(fast);
        let rounds = lingers / ((least + most) / 2.0).max(1e-6);
        (rounds.min(1e6) as u64 + 1) as f64
    }

    fn waits(
        &self,
        view: &SchedulerView<'_>,
        fast: &SubflowSnapshot,
        slow: &SubflowSnapshot,
    ) -> bool {
        let (rounds, window) = (self.rounds(fast, slow), fast.window_segments() as f64);
        let packets = if fast.ssthresh == u64::MAX {
            let doublings = (rounds as u32).min(DOUBLINGS);
            window * ((1_u64 << doublings) - 1) as f64
        } else {
            let threshold = (fast.ssthresh / fast.segment() + 1) as f64;
            (window.max(threshold) + (rounds - 1.0) / 2.0) * rounds
        };
        let needed = packets * fast.segment() as f64 * self.lambda.value;
        let send_window = view.window_end.saturating_sub(view.una) as f64;
        let taken = slow.segment() + slow.write_memory;
        needed > send_window - taken as f64
    }
}

impl Scheduler for Kernel {
    fn name(&self) -> &str {
        "blest-linux"
    }

    fn interest(&self) -> Interest {
        Interest { in_flight: self.buffer.is_on(), events: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        if view.sendable() == 0 {
            return self.buffer.action(view).unwrap_or(Action::Wait);
        }
        self.observe(view);
        // The kernel asks nobody for backups here.
        let fastest = view.subflows.iter().min_by_key(|s| (s.rtt(), s.id));
        let (Some(fast), Some(open)) = (fastest, view.fastest_open()) else { return Action::Wait };
        self.lambda.update(view.now, fast.srtt.unwrap_or_default());
        if open.id != fast.id && !fast.backup && self.waits(view, fast, open) {
            return Action::Wait;
        }
        Action::Send { subflow: open.id, len: step(open, fast) }
    }

    fn on_event(&mut self, _view: &SchedulerView<'_>, event: SchedulerEvent) {
        self.lambda.blocked |= matches!(event, SchedulerEvent::ReceiveBufferRetransmission(_));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{scheduler, subflow, view};
    use super::*;

    /// Two subflows with segments of 1448 bytes: the fast one full, the slow one open.
    fn pair(window: u64, rtt_fast: u64, rtt_slow: u64, flying: u64) -> [SubflowSnapshot; 2] {
        let mss = 1_448;
        let fast = SubflowSnapshot {
            mss: 1_448,
            cwnd: window * mss,
            in_flight: window * mss,
            ..subflow(0, rtt_fast, 0)
        };
        let slow = SubflowSnapshot {
            mss: 1_448,
            in_flight: flying * mss,
            ..subflow(1, rtt_slow, 4 * mss)
        };
        [fast, slow]
    }

    fn sends(pair: &[SubflowSnapshot], window: u64) -> bool {
        let view = SchedulerView { window, window_end: window, ..view(pair) };
        let answer = scheduler("blest-paper").schedule(&view);
        assert!(matches!(
            answer,
            Action::Wait | Action::Send { subflow: SubflowId(1), len: 1_448 }
        ));
        answer != Action::Wait
    }

    /// Decision vectors: (W_f, RTT_f, RTT_s, F_s, M).
    #[test]
    fn blest_paper_vectors() {
        assert_eq!(fast_bytes(1_448.0, 20.0, 130.0 / 25.0) as u64, 166_404);
        assert!(sends(&pair(20, 25, 130, 10), 262_144));
        assert!(!sends(&pair(20, 25, 130, 10), 150_000));
        assert_eq!(fast_bytes(1_448.0, 40.0, 10.0) as u64, 644_360);
        assert!(sends(&pair(40, 20, 200, 5), 1_048_576));
        assert!(!sends(&pair(40, 20, 200, 5), 524_288));
    }

    /// Past slow start: (max(20, 31) + 5/2) * 6 packets, a fifth more, against what the window leaves.
    #[test]
    fn blest_linux_by_hand() {
        let [fast, slow] = pair(20, 25, 130, 10);
        let all = [SubflowSnapshot { ssthresh: 30 * 1_448, ..fast }, slow];
        let needed = (33.5 * 6.0 * 1_448.0 * 1.2) as u64;
        let taken = 1_448 + slow.write_memory;
        for (window, waits) in [(needed + taken - 2, true), (needed + taken + 2, false)] {
            let view = SchedulerView { window, window_end: window, ..view(&all) };
            let answer = scheduler("blest-linux").schedule(&view);
            assert_eq!(answer == Action::Wait, waits, "{window}: {answer:?}");
        }
    }

    #[test]
    fn the_factor_follows_blocking() {
        let mut delta = Factor {
            value: 1.0,
            up: 0.04,
            down: 0.01,
            bounds: (1.0, 1.3),
            blocked: false,
            updated: None,
        };
        let period = Duration::from_millis(10);
        for round in 0..20 {
            delta.blocked = round < 10;
            delta.update(Instant::from_millis(10 * round), period);
            if round == 9 {
                assert!((delta.value - 1.3).abs() < 1e-9, "{}", delta.value);
            }
        }
        assert!((delta.value - 1.2).abs() < 1e-9, "{}", delta.value);
    }
}
