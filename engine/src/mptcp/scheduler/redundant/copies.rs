//! What was just sent goes to the other subflows as well, or never: R1, R4, R6.

use crate::addr::SubflowId;
use crate::scheduling::{Action, Interest, Scheduler, SchedulerView, SubflowSnapshot};
use alloc::collections::VecDeque;
use core::ops::Range;

/// Most copies waiting; further ones are forgotten.
const MOST: usize = 256;

/// When a copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// R1: for every other subflow; dropped if it has no room when its turn comes.
    WhileOpen,
    /// R4: for every other subflow that has room at this very moment.
    IfOpenNow,
    /// R6: for every other subflow, whatever its window; it waits there.
    Always,
}

#[derive(Debug)]
pub(super) struct Copies {
    name: &'static str,
    rule: Rule,
    waiting: VecDeque<(SubflowId, Range<u64>)>,
    /// What was answered last: those who are to get a copy of it.
    others: VecDeque<SubflowId>,
}

impl Copies {
    pub(super) fn new(name: &'static str, rule: Rule) -> Self {
        Self { name, rule, waiting: VecDeque::new(), others: VecDeque::new() }
    }

    fn has_room(&self, s: &SubflowSnapshot, len: u64) -> bool {
        match self.rule {
            Rule::Always => s.queue_room.max(s.available) > 0,
            Rule::WhileOpen | Rule::IfOpenNow => s.is_open(len),
        }
    }

    fn next_copy(&mut self, view: &SchedulerView<'_>) -> Option<Action> {
        while let Some((id, range)) = self.waiting.pop_front() {
            let rest = range.start.max(view.una)..range.end;
            let Some(s) = view.subflow(id).filter(|_| !rest.is_empty()) else { continue };
            let carried = view.queues.in_flight_at(rest.start).is_none_or(|f| f.is_on(s));
            if !carried && self.has_room(s, rest.end - rest.start) {
                return Some(Action::Duplicate { subflow: id, range: rest });
            }
        }
        None
    }
}

impl Scheduler for Copies {
    fn name(&self) -> &str {
        self.name
    }

    fn interest(&self) -> Interest {
        Interest { in_flight: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        self.others.clear();
        if let Some(copy) = self.next_copy(view) {
            return copy;
        }
        let sendable = view.sendable();
        let open = |s: &&SubflowSnapshot| self.has_room(s, sendable);
        let first = view.regular().filter(open).min_by_key(|s| (s.rtt(), s.id));
        let Some(first) = first.filter(|_| sendable > 0) else { return Action::Wait };
        let wanted = |s: &&SubflowSnapshot| {
            s.id != first.id && (self.rule == Rule::WhileOpen || self.has_room(s, sendable))
        };
        self.others = view.regular().filter(wanted).map(|s| s.id).collect();
        let len = view.regular().map(SubflowSnapshot::segment).min().unwrap_or(first.segment());
        Action::Send { subflow: first.id, len }
    }

    fn on_staged(&mut self, _subflow: SubflowId, range: Range<u64>) {
        for id in self.others.drain(..) {
            if self.waiting.len() < MOST {
                self.waiting.push_back((id, range.clone()));
            }
        }
    }
}
