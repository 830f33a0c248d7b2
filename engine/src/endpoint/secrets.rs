//! Numbers that must be unpredictable from outside: initial sequence numbers and timestamp offsets.

use crate::addr::FourTuple;
use crate::rng::Rng;
use crate::seq::SeqNum;
use crate::time::Instant;
use core::hash::{Hash, Hasher};
use siphasher::sip::SipHasher13;

/// The endpoint's secret.
#[derive(Debug)]
pub(super) struct Secrets {
    isn: (u64, u64),
    timestamp: (u64, u64),
    slot: (u64, u64),
}

impl Secrets {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut pair = || (rng.next_u64(), rng.next_u64());
        Self { isn: pair(), timestamp: pair(), slot: pair() }
    }

    /// The initial sequence number by RFC 6528: a keyed hash of the four-tuple plus a clock of 4 microseconds
    /// [OPT-7].
    pub(super) fn isn(&self, now: Instant, tuple: &FourTuple) -> SeqNum {
        let clock = (now.as_micros() / 4) as u32;
        SeqNum((hash(self.isn, tuple) as u32).wrapping_add(clock))
    }

    /// A per-connection offset of the timestamp clock (RFC 7323 5.4, 7.1).
    pub(super) fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        hash(self.timestamp, tuple) as u32
    }

    /// One of so many slots of a table, not to be guessed.
    pub(super) fn slot(&self, tuple: &FourTuple, slots: u32) -> u32 {
        (hash(self.slot, tuple) as u32) % slots.max(1)
    }
}

fn hash(key: (u64, u64), tuple: &FourTuple) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    tuple.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::SocketAddr;

    /// [OPT-7], RFC 6528 3: monotone for one four-tuple, unrelated between four-tuples.
    #[test]
    fn isn_grows_with_time_and_differs_between_tuples() {
        let secrets = Secrets::new(&mut Rng::from_seed([7; 32]));
        let tuple = |port| FourTuple {
            local: SocketAddr::from(([10, 0, 0, 1], port)),
            remote: SocketAddr::from(([10, 0, 0, 2], 80)),
        };
        let early = secrets.isn(Instant::ZERO, &tuple(1));
        let late = secrets.isn(Instant::from_millis(4), &tuple(1));
        assert_eq!(late.since(early), 1_000);
        assert_ne!(early, secrets.isn(Instant::ZERO, &tuple(2)));
    }
}
