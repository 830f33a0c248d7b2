//! After the idea of DEMS (MobiCom 2017): a chunk is sent from both ends, by the fast subflow forwards and by the slow one
//! backwards, so that both are done at the same time; around the place where they meet both send the same.
//!
//! A chunk ends where a write of the application ends, and is no longer than the parameter says.

use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Interest, Scheduler, SchedulerView, SubflowSnapshot};
use core::ops::Range;

/// Where new bytes have no origin: set aside, on no subflow so far.
#[derive(Debug)]
pub(super) struct Dems {
    chunk: u64,
    /// Segments around the meeting point that both subflows send.
    overlap: u64,
    /// What both are working on.
    current: Range<u64>,
    /// Where the fast one stopped.
    met: u64,
    last: Option<(SubflowId, bool)>,
}

impl Dems {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        let (chunk, overlap) = (spec.number("chunk") as u64 * 1_024, spec.number("overlap") as u64);
        Self { chunk, overlap, current: 0..0, met: 0, last: None }
    }

    /// Part of a chunk for one of the two.
    fn share(&mut self, view: &SchedulerView<'_>, pair: [&SubflowSnapshot; 2]) -> Option<Action> {
        let waiting = view.reinjections().next()?.range;
        let [fast, slow] = pair;
        let left = waiting.end - waiting.start;
        if fast.is_open(left) {
            self.last = Some((fast.id, true));
            let end = waiting.start + left.min(fast.available);
            return Some(Action::Reinject { subflow: fast.id, range: waiting.start..end });
        }
        // The fast one would be done before anything arrived over the slow one.
        let head_start = slow.rtt().saturating_sub(fast.rtt()).as_secs_f64() / 2.0;
        let rate = fast.delivery_rate.max(fast.pacing_rate) as f64;
        if slow.is_open(left) && left as f64 > head_start * rate {
            self.last = Some((slow.id, false));
            let last = waiting.end.saturating_sub(slow.segment()).max(waiting.start);
            return Some(Action::Reinject { subflow: slow.id, range: last..waiting.end });
        }
        None
    }

    /// What the other one sent next to the place where they met.
    fn around(&self, view: &SchedulerView<'_>, pair: [&SubflowSnapshot; 2]) -> Option<Action> {
        let [fast, slow] = pair;
        let span = self.overlap * fast.segment();
        let behind = self.met..(self.met + span).min(self.current.end);
        let before = self.met.saturating_sub(span).max(self.current.start)..self.met;
        [(fast, behind), (slow, before)].into_iter().find_map(|(s, range)| {
            let found = view.in_flight_from(range.start).take_while(|f| f.range.start < range.end);
            let missing = found.into_iter().find(|f| !f.is_on(s))?.range;
            let range = missing.start.max(range.start)..missing.end.min(range.end);
            let wanted = !range.is_empty() && s.is_open(range.end - range.start);
            wanted.then_some(Action::Duplicate { subflow: s.id, range })
        })
    }
}

impl Scheduler for Dems {
    fn name(&self) -> &str {
        "dems"
    }

    fn interest(&self) -> Interest {
        Interest { in_flight: true, reinjections: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        self.last = None;
        let Some(fast) = view.fastest() else { return Action::Wait };
        let others = view.regular().filter(|s| s.id != fast.id);
        let Some(slow) = others.min_by_key(|s| (s.rtt(), s.id)) else {
            return match view.reinjections().next() {
                Some(waiting) if fast.is_open(u64::MAX) => {
                    Action::Reinject { subflow: fast.id, range: waiting.range }
                }
                _ if view.sendable() > 0 && fast.is_open(view.sendable()) => {
                    Action::Send { subflow: fast.id, len: fast.available }
                }
                _ => Action::Wait,
            };
        };
        let pair = [fast, slow];
        if view.reinjections().next().is_some() {
            return self.share(view, pair).unwrap_or(Action::Wait);
        }
        if let Some(again) = self.around(view, pair) {
            return again;
        }
        let open = fast.is_open(view.sendable()) || slow.is_open(view.sendable());
        if view.sendable() == 0 || !open {
            return Action::Wait;
        }
        let end = view.next_boundary().unwrap_or(u64::MAX).min(view.nxt + self.chunk);
        let len = (end - view.nxt).min(view.sendable());
        self.current = view.nxt..view.nxt + len;
        self.met = self.current.start;
        Action::SetAside { len }
    }

    fn on_staged(&mut self, subflow: SubflowId, range: Range<u64>) {
        if self.last == Some((subflow, true)) && self.current.contains(&range.start) {
            self.met = range.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, Queues, scheduler, subflow, view};
    use super::*;
    use crate::scheduling::Reinjection;
    use std::vec;

    #[test]
    fn a_chunk_is_sent_from_both_ends() {
        let mut dems = scheduler("dems,chunk=14");
        let all = [subflow(0, 20, 2 * MSS), subflow(1, 30, 2 * MSS)];
        let first = view(&all);
        assert_eq!(dems.schedule(&first), Action::SetAside { len: 14 * 1_024 });
        let origin = Reinjection::SET_ASIDE;
        let aside =
            |range| Queues { waiting: vec![Reinjection { range, origin }], ..Queues::default() };
        let queues = aside(0..14_336);
        let whole = SchedulerView { nxt: 14_336, queues: &queues, ..first };
        let forwards = Action::Reinject { subflow: SubflowId(0), range: 0..2 * MSS };
        assert_eq!(dems.schedule(&whole), forwards);
        dems.on_staged(SubflowId(0), 0..2 * MSS);
        let full = [subflow(0, 20, 0), all[1]];
        let queues = aside(2 * MSS..14_336);
        let rest = SchedulerView { nxt: 14_336, queues: &queues, ..view(&full) };
        let backwards = Action::Reinject { subflow: SubflowId(1), range: 14_336 - MSS..14_336 };
        assert_eq!(dems.schedule(&rest), backwards);
    }
}
