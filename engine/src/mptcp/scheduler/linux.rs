//! Linux' own (`mptcp_subflow_get_send`, `mptcp_subflow_get_retrans`): the subflow whose send buffer will be empty first,
//! kept for a burst. Data is queued beyond the congestion window, as far as the send buffer goes.

use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Interest, Scheduler, SchedulerView, SubflowSnapshot};
use alloc::vec::Vec;
use core::ops::Range;

#[derive(Debug)]
pub(super) struct Linux {
    burst: u64,
    current: Option<SubflowId>,
    /// What is left of the burst.
    left: u64,
    /// Average pacing rates, bytes a second.
    averages: Vec<(SubflowId, u64)>,
}

/// Time to empty the send buffer, in seconds with 32 fraction bits.
fn linger(write_memory: u64, pacing: u64) -> u64 {
    let time = (u128::from(write_memory) << 32) / u128::from(pacing.max(1));
    u64::try_from(time).unwrap_or(u64::MAX)
}

/// The average pacing rate with a sample of it, weighted by what is in the buffer and what is about to be.
fn average_pacing(average: u64, write_memory: u64, sample: u64, burst: u64) -> u64 {
    let sum =
        u128::from(average) * u128::from(write_memory) + u128::from(sample) * u128::from(burst);
    let weight = u128::from(write_memory) + u128::from(burst);
    u64::try_from(sum / weight.max(1)).unwrap_or(u64::MAX)
}

impl Linux {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        let burst = spec.number("burst") as u64;
        Self { burst, current: None, left: 0, averages: Vec::new() }
    }

    fn average(&self, s: &SubflowSnapshot) -> u64 {
        self.averages.iter().find(|(id, _)| *id == s.id).map_or(s.pacing_rate, |(_, rate)| *rate)
    }

    fn update(&mut self, view: &SchedulerView<'_>, s: &SubflowSnapshot, burst: u64) {
        let average = average_pacing(self.average(s), s.write_memory, s.pacing_rate, burst);
        self.averages.retain(|(id, _)| *id != s.id && view.subflow(*id).is_some());
        self.averages.push((s.id, average));
    }

    /// Only one that has nothing else to do; a backup only while every busy one is in trouble.
    fn for_reinjection<'a>(view: &SchedulerView<'a>) -> Option<&'a SubflowSnapshot> {
        let idle = |s: &&SubflowSnapshot| s.write_memory == 0;
        let active = || view.subflows.iter().filter(|s| !s.backup);
        let troubled = active().filter(|s| !idle(s)).map(|s| s.timeouts).min();
        active().find(idle).or_else(|| {
            let allowed = troubled.is_none_or(|timeouts| timeouts > 1);
            view.subflows.iter().filter(|s| s.backup && allowed).find(idle)
        })
    }
}

impl Scheduler for Linux {
    fn name(&self) -> &str {
        "linux"
    }

    fn interest(&self) -> Interest {
        Interest { reinjections: true, ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        if let Some(waiting) = view.reinjections().next()
            && let Some(idle) = Self::for_reinjection(view)
            && idle.id != waiting.origin
        {
            return Action::Reinject { subflow: idle.id, range: waiting.range };
        }
        if view.sendable() == 0 {
            return Action::Wait;
        }
        let current = self.current.and_then(|id| view.subflow(id));
        if let Some(current) = current.filter(|s| self.left > 0 && s.queue_room > 0) {
            return Action::Send { subflow: current.id, len: self.left };
        }
        let paced = view.regular().filter(|s| s.pacing_rate > 0);
        let Some(pick) = paced.min_by_key(|s| linger(s.write_memory, self.average(s))) else {
            return Action::Wait;
        };
        if pick.queue_room == 0 {
            return Action::Wait;
        }
        self.left = self.burst.min(view.window_end.saturating_sub(view.nxt));
        self.current = Some(pick.id);
        self.update(view, pick, self.left);
        Action::Send { subflow: pick.id, len: self.left }
    }

    fn on_staged(&mut self, _subflow: SubflowId, range: Range<u64>) {
        self.left = self.left.saturating_sub(range.end - range.start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, subflow, view};
    use super::*;

    /// Vector of research: linger.
    #[test]
    fn linger_of_two_subflows() {
        let (a, b) = (linger(64_000, 2_500_000), linger(16_000, 250_000));
        assert_eq!((a, b), (109_951_162, 274_877_906));
    }

    #[test]
    fn average_pacing_of_a_burst() {
        assert_eq!(average_pacing(1_000_000, 30_000, 2_000_000, 65_428), 1_685_626);
    }

    #[test]
    fn the_one_that_is_done_first_is_kept_for_a_burst() {
        let a =
            SubflowSnapshot { write_memory: 64_000, pacing_rate: 2_500_000, ..subflow(0, 10, 0) };
        let b = SubflowSnapshot {
            write_memory: 16_000,
            pacing_rate: 250_000,
            ..subflow(1, 10, 2 * MSS)
        };
        let all = [a, b];
        let mut linux = super::super::tests::scheduler("linux");
        assert_eq!(linux.schedule(&view(&all)), Action::Send { subflow: a.id, len: 65_428 });
        linux.on_staged(a.id, 0..65_000);
        assert_eq!(linux.schedule(&view(&all)), Action::Send { subflow: a.id, len: 428 });
        linux.on_staged(a.id, 65_000..65_428);
        let full = [SubflowSnapshot { queue_room: 0, ..a }, b];
        assert_eq!(linux.schedule(&view(&full)), Action::Wait, "it does not spill over");
    }
}
