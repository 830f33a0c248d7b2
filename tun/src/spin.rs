//! Whether a reader of a device stays awake for a moment before it sleeps.
//!
//! A sleep can cost a processor as much as an echo of small packets (20 us of a virtual one), and a packet waits as long
//! for the wake-up. Where packets come one at a time and soon after the answer to the one before, looking at the device
//! until the next is there takes less of both. It does not in bulk: packets that come while a reader sleeps make a batch.
//! Nor under a runtime of several threads, whose reader the kernel may put beside a peer on this machine.

use mpuser_engine::time::Duration;

/// Longest time awake before a sleep.
pub(crate) const LONGEST: Duration = Duration::from_micros(50);
/// A sleep up to this long, wake-up included, could have been spent awake.
const SHORT: Duration = Duration::from_micros(100);
/// So many short waits for a single packet make it likely that the next is one, too.
const STREAK: u32 = 8;
/// Waits awake that brought a packet, for one that did not or brought several: what is gained and what is lost.
const PRICE: u32 = 4;
/// Most that is put by of them.
const MAX_CREDIT: u32 = 8 * PRICE;
/// Most waits slept through after one in vain.
const MAX_PENALTY: u32 = 4096;

/// How a wait for packets ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Awake, until packets came.
    Awake,
    /// Asleep, for so long; perhaps after a time awake.
    Asleep(Duration),
}

/// What was learnt of the waits so far.
#[derive(Debug)]
pub(crate) struct Spin {
    /// The runtime has one thread.
    alone: bool,
    /// Short waits for single packets that have to come yet before one is awake.
    missing: u32,
    /// How many it will be after the next time awake in vain.
    penalty: u32,
    /// Waits awake that brought a packet and have not yet paid for one in vain: a single late packet is no reason to sleep
    /// where most come soon.
    credit: u32,
}

impl Spin {
    /// For a reader whose runtime has one thread, or several.
    pub(crate) const fn new(alone: bool) -> Self {
        Self { alone, missing: STREAK, penalty: STREAK, credit: 0 }
    }

    /// The next wait is to begin awake.
    pub(crate) const fn pays(&self) -> bool {
        self.alone && self.missing == 0
    }

    /// Takes in how a wait ended, and how many packets it brought.
    pub(crate) fn learn(&mut self, waited: Waited, packets: usize) {
        let single = packets <= 1;
        match waited {
            Waited::Awake if single => {
                self.penalty = (self.penalty / 2).max(STREAK);
                self.credit = (self.credit + 1).min(MAX_CREDIT);
            }
            _ if self.pays() && self.credit >= PRICE => self.credit -= PRICE,
            _ if !single => self.missing = self.missing.max(STREAK),
            Waited::Asleep(_) if self.pays() => {
                self.missing = self.penalty;
                self.penalty = (self.penalty * 2).min(MAX_PENALTY);
            }
            Waited::Asleep(took) if took <= SHORT && packets == 1 => {
                self.missing = self.missing.saturating_sub(1);
            }
            // what was learnt of a peer that is slow stays
            Waited::Asleep(_) | Waited::Awake => self.missing = self.missing.max(STREAK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Waited = Waited::Asleep(Duration::from_micros(60));
    const LATE: Waited = Waited::Asleep(Duration::from_millis(5));

    /// Short waits for single packets until it is awake.
    fn until_awake(spin: &mut Spin) -> u32 {
        let mut waits = 0;
        while !spin.pays() {
            spin.learn(SOON, 1);
            waits += 1;
        }
        waits
    }

    #[test]
    fn only_a_streak_of_single_packets_keeps_awake() {
        let mut spin = Spin::new(true);
        assert_eq!(until_awake(&mut spin), STREAK);
        // bulk: a batch ends it at once, a few of them do if it has paid before
        spin.learn(Waited::Awake, 2);
        assert_eq!(until_awake(&mut spin), STREAK);
        (0..1000).for_each(|_| spin.learn(Waited::Awake, 1));
        (0..MAX_CREDIT / PRICE).for_each(|_| spin.learn(Waited::Awake, 2));
        assert!(spin.pays());
        spin.learn(Waited::Awake, 2);
        assert_eq!(until_awake(&mut spin), STREAK);
        for other in [(SOON, 2), (SOON, 0), (LATE, 1)] {
            let mut spin = Spin::new(true);
            (1..STREAK).for_each(|_| spin.learn(SOON, 1));
            spin.learn(other.0, other.1);
            assert_eq!(until_awake(&mut spin), STREAK, "{other:?}");
        }
    }

    #[test]
    fn in_vain_is_rarer_and_rarer() {
        let mut spin = Spin::new(true);
        until_awake(&mut spin);
        for vain in 0..20 {
            spin.learn(SOON, 1);
            assert_eq!(until_awake(&mut spin), (STREAK << vain).min(MAX_PENALTY));
        }
        // a late packet makes it no more frequent
        spin.learn(SOON, 1);
        spin.learn(LATE, 1);
        assert_eq!(until_awake(&mut spin), MAX_PENALTY);
        // until it pays again
        (0..20).for_each(|_| spin.learn(Waited::Awake, 1));
        (0..=20 / PRICE).for_each(|_| spin.learn(SOON, 1));
        assert_eq!(until_awake(&mut spin), STREAK);
    }

    #[test]
    fn a_late_packet_among_many_is_no_reason_to_sleep() {
        let mut spin = Spin::new(true);
        until_awake(&mut spin);
        for _ in 0..100 {
            (0..PRICE).for_each(|_| spin.learn(Waited::Awake, 1));
            spin.learn(LATE, 1);
            assert!(spin.pays());
        }
        // one of two is
        (0..100).for_each(|n| spin.learn(if n % 2 == 0 { Waited::Awake } else { LATE }, 1));
        assert!(!spin.pays());
    }

    #[test]
    fn among_several_threads_one_sleeps() {
        let mut spin = Spin::new(false);
        (0..1000).for_each(|_| spin.learn(SOON, 1));
        assert!(!spin.pays());
    }
}
