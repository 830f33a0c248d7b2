//! DAPS: a plan of whole windows, by the times at which they would arrive over the subflows, for as long as it takes the
//! delays to come round; then executed whatever the windows do.

use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Scheduler, SchedulerView, SubflowSnapshot};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

/// Most windows in one plan; delays that do not come round sooner are cut off.
const LONGEST: usize = 256;

#[derive(Debug)]
pub(super) struct Daps {
    /// Delays are rounded to this many microseconds.
    grid: u64,
    /// Bytes for each subflow, in the order of sending.
    plan: VecDeque<(SubflowId, u64)>,
    /// Smoothed windows, bytes.
    windows: Vec<(SubflowId, u64)>,
}

/// Which of `delays` gets a window next, over and over: at each time those whose delay divides it, up to the time that
/// all of them divide.
fn order(delays: &[u64]) -> Vec<usize> {
    let (mut found, mut next) = (Vec::new(), delays.to_vec());
    while found.len() < LONGEST {
        let Some(now) = next.iter().copied().min() else { break };
        for (index, (due, delay)) in next.iter_mut().zip(delays).enumerate() {
            if *due == now {
                found.push(index);
                *due += delay;
            }
        }
        if delays.iter().all(|delay| now % delay == 0) {
            break;
        }
    }
    found
}

impl Daps {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        let grid = (spec.number("grid") * 1_000.0) as u64;
        Self { grid: grid.max(1), plan: VecDeque::new(), windows: Vec::new() }
    }

    /// Half of the RTT, rounded, in units of the grid.
    fn delay(&self, s: &SubflowSnapshot) -> u64 {
        let half = u64::try_from(s.srtt.unwrap_or_default().as_micros()).unwrap_or(u64::MAX) / 2;
        (half.saturating_add(self.grid / 2) / self.grid).max(1)
    }

    fn smooth(&mut self, s: &SubflowSnapshot) -> u64 {
        let window = match self.windows.iter_mut().find(|(id, _)| *id == s.id) {
            Some((_, window)) => {
                *window = (*window * 7 + s.cwnd) / 8;
                *window
            }
            None => {
                self.windows.push((s.id, s.cwnd));
                s.cwnd
            }
        };
        (window / s.segment()).max(1) * s.segment()
    }

    fn make_plan(&mut self, view: &SchedulerView<'_>) {
        self.windows.retain(|(id, _)| view.subflow(*id).is_some());
        let subflows: Vec<&SubflowSnapshot> = view.regular().collect();
        let delays: Vec<u64> = subflows.iter().map(|s| self.delay(s)).collect();
        let windows: Vec<u64> = subflows.iter().map(|s| self.smooth(s)).collect();
        for index in order(&delays) {
            if let (Some(s), Some(window)) = (subflows.get(index), windows.get(index)) {
                self.plan.push_back((s.id, *window));
            }
        }
    }
}

impl Scheduler for Daps {
    fn name(&self) -> &str {
        "daps"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        let usable = |id: SubflowId| view.regular().find(|s| s.id == id);
        self.plan.retain(|(id, left)| *left > 0 && usable(*id).is_some());
        if self.plan.is_empty() {
            self.make_plan(view);
        }
        let next = self.plan.front().and_then(|(id, left)| Some((usable(*id)?, *left)));
        match next {
            Some((s, left)) if s.is_open(view.sendable()) => {
                Action::Send { subflow: s.id, len: left.min(s.available) }
            }
            _ => Action::Wait,
        }
    }

    fn on_staged(&mut self, _subflow: SubflowId, range: Range<u64>) {
        if let Some((_, left)) = self.plan.front_mut() {
            *left = left.saturating_sub(range.end - range.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_ordered_by_arrival_until_the_delays_come_round() {
        assert_eq!(order(&[10, 30]), [0, 0, 0, 1]);
        assert_eq!(order(&[4, 6]), [0, 1, 0, 0, 1]);
        assert_eq!(order(&[5]), [0]);
        assert!(order(&[]).is_empty());
        assert!(order(&[9_973, 9_967]).len() <= LONGEST + 1);
    }
}
