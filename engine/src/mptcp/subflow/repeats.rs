//! REMOVE_ADDR and MP_PRIO go on pure ACKs, which nobody acknowledges: a lost one would stay unsaid, and the peer go on
//! with a path that is gone, or spare one it may use. Both say a state, so saying them again does no harm; an RTO and
//! two more later they are, unless they are no longer true.

use crate::addr::AddressId;
use crate::time::{Duration, Instant};
use crate::wire::mptcp::{MptcpOption, RemoveAddr};
use alloc::vec::Vec;

/// Repetitions of each.
const REPEATS: u32 = 2;
/// Most options remembered; as many may wait to be said.
const MAX_OPTIONS: usize = 8;
/// Shortest wait before the first repetition.
const MIN_WAIT: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
struct Repeat {
    option: MptcpOption,
    left: u32,
    wait: Duration,
    /// None while it waits to be sent.
    due: Option<Instant>,
}

/// What was said and is to be said again.
#[derive(Debug, Default)]
pub(super) struct Repeats(Vec<Repeat>);

impl Repeats {
    /// The option went out, for the first time or again, on a subflow with this RTO.
    pub(super) fn on_sent(&mut self, now: Instant, option: &MptcpOption, rto: Duration) {
        if !matches!(option, MptcpOption::RemoveAddr(_) | MptcpOption::Prio(_)) {
            return;
        }
        if let Some(at) = self.0.iter().position(|repeat| repeat.option == *option) {
            let Some(repeat) = self.0.get_mut(at) else { return };
            repeat.left -= 1;
            repeat.wait *= 2;
            repeat.due = Some(now + repeat.wait);
            if repeat.left == 0 {
                self.0.remove(at);
            }
            return;
        }
        if self.0.len() < MAX_OPTIONS {
            let wait = rto.max(MIN_WAIT);
            let due = Some(now + wait);
            self.0.push(Repeat { option: *option, left: REPEATS, wait, due });
        }
    }

    /// When one is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.iter().filter_map(|repeat| repeat.due).min()
    }

    /// One that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<MptcpOption> {
        let due = |repeat: &&mut Repeat| repeat.due.is_some_and(|due| due <= now);
        let repeat = self.0.iter_mut().find(due)?;
        repeat.due = None;
        Some(repeat.option)
    }

    /// The priority changed: the one that was said is no longer true.
    pub(super) fn forget_priority(&mut self) {
        self.0.retain(|repeat| !matches!(repeat.option, MptcpOption::Prio(_)));
    }

    /// This identifier stands for an address again.
    pub(super) fn forget_removal(&mut self, id: AddressId) {
        self.0.retain_mut(|repeat| {
            let MptcpOption::RemoveAddr(remove) = repeat.option else { return true };
            if !remove.ids().contains(&id) {
                return true;
            }
            let rest: Vec<AddressId> =
                remove.ids().iter().copied().filter(|other| *other != id).collect();
            let rest = RemoveAddr::from_ids(&rest);
            rest.is_some_and(|rest| {
                repeat.option = MptcpOption::RemoveAddr(rest);
                true
            })
        });
    }

    /// Nothing will be said here any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mptcp::MpPrio;
    use std::vec;

    const RTO: Duration = Duration::from_millis(300);

    fn removal(ids: &[u8]) -> MptcpOption {
        let ids: Vec<_> = ids.iter().copied().map(AddressId).collect();
        MptcpOption::RemoveAddr(RemoveAddr::from_ids(&ids).expect("1 to 37"))
    }

    /// Sends what is due as soon as it is, and says when.
    fn run(repeats: &mut Repeats) -> Vec<(u64, MptcpOption)> {
        let mut sent = Vec::new();
        while let Some(due) = repeats.poll_timeout() {
            let option = repeats.take_due(due).expect("it is due");
            repeats.on_sent(due, &option, RTO);
            sent.push((due.as_millis(), option));
        }
        sent
    }

    #[test]
    fn each_is_said_twice_more() {
        let mut repeats = Repeats::default();
        let prio = MptcpOption::Prio(MpPrio { backup: true });
        repeats.on_sent(Instant::ZERO, &prio, RTO);
        assert_eq!(run(&mut repeats), vec![(300, prio), (900, prio)]);
    }

    #[test]
    fn what_is_no_longer_true_is_not_said_again() {
        let mut repeats = Repeats::default();
        repeats.on_sent(Instant::ZERO, &removal(&[1, 2]), RTO);
        repeats.on_sent(Instant::ZERO, &MptcpOption::Prio(MpPrio { backup: true }), RTO);
        repeats.forget_priority();
        repeats.forget_removal(AddressId(1));
        assert!(run(&mut repeats).iter().all(|(_, option)| *option == removal(&[2])));
        repeats.on_sent(Instant::ZERO, &removal(&[2]), RTO);
        repeats.forget_removal(AddressId(2));
        assert_eq!(repeats.poll_timeout(), None);
    }

    #[test]
    fn they_are_bounded() {
        let mut repeats = Repeats::default();
        (0..100).for_each(|id| repeats.on_sent(Instant::ZERO, &removal(&[id]), RTO));
        assert_eq!(run(&mut repeats).len(), MAX_OPTIONS * 2);
    }
}
