//! ECF, earliest completion first (CoNEXT'17): the slower subflow is left alone where what is queued would be done
//! earlier by waiting for the faster one. Once as the paper has it, once as the v0.95 kernel does.

use super::receive_buffer::ReceiveBuffer;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Interest, Scheduler, SchedulerView, SubflowSnapshot};

#[derive(Debug)]
pub(super) struct Ecf {
    buffer: ReceiveBuffer,
    /// The kernel counts at least one window on either side.
    kernel: bool,
    beta: f64,
    /// Windows of all subflows that the connection's send buffer holds; 0: all there is counts as queued.
    autotune: f64,
    waiting: bool,
}

/// What the decision rests on: seconds, and what is queued in windows of each.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// Queued bytes over the fast window, and over the slow one.
    rounds: (f64, f64),
    rtt: (f64, f64),
    /// The larger of the RTTs' variations.
    delta: f64,
}

/// Whether to wait for the fast subflow; `waiting` is the memory of the last answer.
fn waits(terms: Terms, beta: f64, waiting: &mut bool) -> bool {
    let Terms { rounds, rtt, delta } = terms;
    let patience = if *waiting { beta } else { 0.0 };
    if (1.0 + rounds.0) * rtt.0 < (1.0 + patience) * (rtt.1 + delta) {
        let waits = rounds.1 * rtt.1 >= 2.0 * rtt.0 + delta;
        *waiting |= waits;
        waits
    } else {
        *waiting = false;
        false
    }
}

impl Ecf {
    pub(super) fn new(spec: &SchedulerSpec, kernel: bool) -> Self {
        Self {
            buffer: ReceiveBuffer::new(spec),
            kernel,
            beta: spec.number("beta"),
            autotune: spec.number("autotune"),
            waiting: false,
        }
    }

    /// The paper's k, in bytes: what waits in the connection's send buffer. Linux lets that grow to twice the windows,
    /// so k stays near one window; with all that an application has written in its place, every transfer would look
    /// too long to wait for.
    fn queued(&self, view: &SchedulerView<'_>) -> f64 {
        let sum = |of: fn(&SubflowSnapshot) -> u64| view.subflows.iter().map(of).sum::<u64>();
        let unsent = view.unsent as f64;
        if self.autotune <= 0.0 {
            return unsent;
        }
        let buffer = self.autotune * sum(|s| s.cwnd) as f64;
        unsent.min((buffer - sum(|s| s.write_memory) as f64).max(0.0))
    }

    fn terms(
        &self,
        view: &SchedulerView<'_>,
        fast: &SubflowSnapshot,
        slow: &SubflowSnapshot,
    ) -> Terms {
        let least = if self.kernel { 1.0 } else { 0.0 };
        let queued = self.queued(view);
        let rounds = |s: &SubflowSnapshot| (queued / s.cwnd.max(1) as f64).max(least);
        let seconds = |s: &SubflowSnapshot| s.rtt().as_secs_f64();
        Terms {
            rounds: (rounds(fast), rounds(slow)),
            rtt: (seconds(fast), seconds(slow)),
            delta: fast.rttvar.max(slow.rttvar).as_secs_f64(),
        }
    }
}

impl Scheduler for Ecf {
    fn name(&self) -> &str {
        if self.kernel { "ecf-linux" } else { "ecf-paper" }
    }

    fn interest(&self) -> Interest {
        Interest { in_flight: self.buffer.is_on(), ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        if view.sendable() == 0 {
            return self.buffer.action(view).unwrap_or(Action::Wait);
        }
        let (Some(fast), Some(open)) = (view.fastest(), view.fastest_open()) else {
            return Action::Wait;
        };
        if open.id == fast.id {
            return Action::Send { subflow: fast.id, len: fast.available };
        }
        let terms = self.terms(view, fast, open);
        if waits(terms, self.beta, &mut self.waiting) {
            return Action::Wait;
        }
        Action::Send { subflow: open.id, len: open.segment() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(k: f64, w: (f64, f64), rtt: (f64, f64), sigma: (f64, f64)) -> Terms {
        Terms { rounds: (k / w.0, k / w.1), rtt, delta: sigma.0.max(sigma.1) }
    }

    /// Decision vectors: (k, W_f, W_s, RTT_f, RTT_s, sigma_f, sigma_s), in milliseconds.
    #[test]
    fn ecf_paper_vectors() {
        let mut waiting = false;
        let wait = terms(5.0, (10.0, 10.0), (20.0, 100.0), (2.0, 10.0));
        assert!(waits(wait, 0.25, &mut waiting) && waiting);
        let mut waiting = false;
        let send = terms(10.0, (10.0, 10.0), (50.0, 60.0), (2.0, 2.0));
        assert!(!waits(send, 0.25, &mut waiting) && !waiting);
    }

    /// Who waits goes on waiting a little longer.
    #[test]
    fn ecf_waiting_is_sticky() {
        // (1 + 4.2) * 20 = 104 lies between 100 and 125.
        let between = terms(42.0, (10.0, 10.0), (20.0, 100.0), (0.0, 0.0));
        let (mut fresh, mut sticky) = (false, true);
        assert!(!waits(between, 0.25, &mut fresh) && !fresh);
        assert!(waits(between, 0.25, &mut sticky) && sticky);
    }
}
