//! Each subflow goes through what is in flight with a pointer of its own, and sends what it has not sent: R2, R3, R5, R7.

use crate::addr::SubflowId;
use crate::scheduling::{Action, Interest, Scheduler, SchedulerView, SubflowSnapshot};
use alloc::vec::Vec;
use core::ops::Range;

/// Who is served first, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// R2: subflows in turn.
    InTurn,
    /// R3: the fastest first.
    Fastest,
    /// R5: new data as `minrtt` would; old data only when there is nothing new.
    WhenIdle,
    /// R7: as R3, but a subflow begins with what is sent after it was opened.
    SinceJoined,
}

#[derive(Debug)]
pub(super) struct Pointers {
    name: &'static str,
    order: Order,
    /// Everything below is acknowledged or on the subflow already.
    pointers: Vec<(SubflowId, u64)>,
    last: Option<SubflowId>,
}

impl Pointers {
    pub(super) fn new(name: &'static str, order: Order) -> Self {
        Self { name, order, pointers: Vec::new(), last: None }
    }

    fn update(&mut self, view: &SchedulerView<'_>) {
        self.pointers.retain(|(id, _)| view.subflow(*id).is_some());
        let start = if self.order == Order::SinceJoined { view.nxt } else { view.una };
        for s in view.subflows {
            if !self.pointers.iter().any(|(id, _)| *id == s.id) {
                self.pointers.push((s.id, start));
            }
        }
        for (_, at) in &mut self.pointers {
            *at = (*at).max(view.una);
        }
    }

    /// The oldest range in flight that this subflow has not sent.
    fn missing(&mut self, view: &SchedulerView<'_>, s: &SubflowSnapshot) -> Option<Range<u64>> {
        let (_, at) = self.pointers.iter_mut().find(|(id, _)| *id == s.id)?;
        let found = view.in_flight_from(*at).find(|f| !f.is_on(s));
        *at = found.as_ref().map_or(view.nxt, |f| f.range.start.max(*at));
        found.map(|f| f.range.start.max(*at)..f.range.end)
    }

    fn action(&mut self, view: &SchedulerView<'_>, s: &SubflowSnapshot) -> Option<Action> {
        let fresh = view.sendable() > 0 && s.is_open(view.sendable());
        if self.order == Order::WhenIdle && fresh {
            return Some(Action::Send { subflow: s.id, len: s.available });
        }
        let idle_only = self.order == Order::WhenIdle && view.unsent > 0;
        if !idle_only
            && let Some(range) = self.missing(view, s)
            && s.is_open(range.end - range.start)
        {
            return Some(Action::Duplicate { subflow: s.id, range });
        }
        fresh.then_some(Action::Send { subflow: s.id, len: s.available })
    }
}

impl Scheduler for Pointers {
    fn name(&self) -> &str {
        self.name
    }

    fn interest(&self) -> Interest {
        Interest { in_flight: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        self.update(view);
        // Whoever comes first in the order and has something to do.
        let mut after: Option<&SubflowSnapshot> = None;
        let in_turn = self.order == Order::InTurn;
        let last = self.last;
        let key = |s: &SubflowSnapshot| {
            let passed = in_turn && Some(s.id) <= last;
            (passed, if in_turn { crate::time::Duration::ZERO } else { s.rtt() }, s.id)
        };
        loop {
            let behind = |s: &&SubflowSnapshot| after.is_none_or(|a| key(s) > key(a));
            let Some(next) = view.regular().filter(behind).min_by_key(|s| key(s)) else {
                return Action::Wait;
            };
            if let Some(action) = self.action(view, next) {
                self.last = Some(next.id);
                return action;
            }
            after = Some(next);
        }
    }
}
