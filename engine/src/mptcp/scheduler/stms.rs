//! After the idea of STMS (USENIX ATC 2018): the slow subflow gets data from so far ahead (the gap) that it arrives just
//! when the fast one has caught up. The fast subflow's queue holds what lies in the gap.
//!
//! The gap begins as difference of the one-way delays times the fast rate, and is corrected by what arrives too early.

use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{
    Action, Interest, Scheduler, SchedulerEvent, SchedulerView, SubflowSnapshot,
};
use alloc::collections::VecDeque;
use core::ops::Range;

/// Most ranges on the slow subflow that are watched.
const WATCHED: usize = 64;
/// Bounds of the correction.
const FACTOR: (f64, f64) = (0.25, 4.0);

/// A range given to the slow subflow.
#[derive(Debug)]
struct Ahead {
    subflow: SubflowId,
    range: Range<u64>,
    /// Where it ends among all bytes given to that subflow.
    end: u64,
}

#[derive(Debug)]
pub(super) struct Stms {
    gain: f64,
    factor: f64,
    watched: VecDeque<Ahead>,
    /// The slow subflow, bytes given to it and acknowledged by it.
    slow: Option<(SubflowId, u64, u64)>,
}

impl Stms {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        let gain = spec.number("gain");
        Self { gain, factor: 1.0, watched: VecDeque::new(), slow: None }
    }

    fn gap(&self, fast: &SubflowSnapshot, slow: &SubflowSnapshot) -> u64 {
        let ahead = slow.rtt().saturating_sub(fast.rtt()).as_secs_f64() / 2.0;
        let rate = if fast.delivery_rate > 0 { fast.delivery_rate } else { fast.pacing_rate };
        (ahead * rate as f64 * self.factor) as u64
    }

    fn correct(&mut self, up: bool) {
        let change = if up { 1.0 + self.gain } else { 1.0 - self.gain };
        self.factor = (self.factor * change).clamp(FACTOR.0, FACTOR.1);
        self.watched.pop_front();
    }
}

impl Scheduler for Stms {
    fn name(&self) -> &str {
        "stms"
    }

    fn interest(&self) -> Interest {
        Interest { events: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let Some(fast) = view.fastest() else { return Action::Wait };
        if fast.is_open(view.sendable()) {
            return Action::Send { subflow: fast.id, len: fast.available };
        }
        let Some(slow) = view.fastest_open() else { return Action::Wait };
        let gap = self.gap(fast, slow);
        if fast.queued + fast.segment() <= gap && fast.queue_room >= fast.segment() {
            return Action::Send { subflow: fast.id, len: gap - fast.queued };
        }
        if self.slow.is_none_or(|(id, ..)| id != slow.id) {
            self.slow = Some((slow.id, 0, 0));
            self.watched.clear();
        }
        Action::Send { subflow: slow.id, len: slow.segment() }
    }

    fn on_staged(&mut self, subflow: SubflowId, range: Range<u64>) {
        if let Some((slow, given, _)) = &mut self.slow
            && *slow == subflow
        {
            *given += range.end - range.start;
            if self.watched.len() < WATCHED {
                self.watched.push_back(Ahead { subflow, range, end: *given });
            }
        }
    }

    fn on_event(&mut self, _view: &SchedulerView<'_>, event: SchedulerEvent) {
        match event {
            SchedulerEvent::Ack { subflow, bytes } => {
                if let Some((slow, _, acked)) = &mut self.slow
                    && *slow == subflow
                {
                    *acked += bytes;
                }
            }
            SchedulerEvent::DataAck { una } => {
                self.watched.retain(|ahead| ahead.range.end > una);
                // All before it has arrived, it has not: it came too late, and should have been taken further ahead.
                if self.watched.front().is_some_and(|ahead| ahead.range.start == una) {
                    self.correct(true);
                }
            }
            _ => return,
        }
        // It has arrived, and what lies before has not: too early.
        let early = self.slow.zip(self.watched.front());
        if early.is_some_and(|((id, _, acked), a)| a.subflow == id && a.end <= acked) {
            self.correct(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, scheduler, subflow, view};
    use super::*;

    #[test]
    fn the_gap_is_filled_before_the_slow_subflow_gets_its_share() {
        // (100 - 20) / 2 ms at 100 segments a second: 4 segments.
        let fast = SubflowSnapshot { delivery_rate: 100 * MSS, ..subflow(0, 20, 0) };
        let slow = subflow(1, 100, 2 * MSS);
        let mut stms = scheduler("stms");
        let queue = Action::Send { subflow: fast.id, len: 4 * MSS };
        assert_eq!(stms.schedule(&view(&[fast, slow])), queue);
        let filled = [SubflowSnapshot { queued: 4 * MSS, ..fast }, slow];
        let ahead = Action::Send { subflow: slow.id, len: MSS };
        assert_eq!(stms.schedule(&view(&filled)), ahead);
        stms.on_staged(slow.id, 4 * MSS..5 * MSS);
        // Late: the gap grows by a tenth, and 4.4 segments are asked for.
        stms.on_event(&view(&filled), SchedulerEvent::DataAck { una: 4 * MSS });
        let longer = stms.schedule(&view(&[fast, slow]));
        assert_eq!(longer, Action::Send { subflow: fast.id, len: 44 * MSS / 10 });
    }
}
