//! SYN cookies: what a SYN said, kept in the numbers of the answer and nowhere else (RFC 4987 3.6).
//!
//! The ISN holds the time slot and the MSS under a keyed hash, the low bits of the timestamp window scale and SACK.
//! MPTCP needs nothing more than its own key, and the third packet repeats it: it is made from a secret, the
//! four-tuple and the slot, so that whoever repeats it got it from here [INI-10].

use crate::addr::{FourTuple, SocketAddr};
use crate::crypto::{Key, derive_key};
use crate::rng::Rng;
use crate::seq::SeqNum;
use crate::tcp::{Segment, SegmentOptions};
use crate::time::{Duration, Instant};
use core::hash::{Hash, Hasher};
use siphasher::sip::SipHasher13;

/// A cookie is good in the slot it was made in and in the next one. Every slot has its own hashes and keys.
const SLOT: Duration = Duration::from_secs(64);
const LIFETIME_SLOTS: u32 = 2;
/// The MSS values a cookie can say; a SYN's is rounded down. 1 220 and 1 440 are those of IPv6.
const MSS_TABLE: [u16; 8] = [88, 536, 1_220, 1_300, 1_360, 1_400, 1_440, 1_460];
/// Low bits of the timestamp that hold options: four of window scale, one of SACK.
const OPTION_BITS: u32 = 0x1f;
const SACK_BIT: u32 = 0x10;
const NO_SCALE: u32 = 0xf;
/// Keys that are tried before a connection goes without MPTCP [INI-11].
pub(super) const KEY_DRAWS: u32 = 4;

/// The secrets, and whether cookies are about at all.
#[derive(Debug)]
pub(super) struct SynCookies {
    outer: (u64, u64),
    inner: (u64, u64),
    keys: [u8; 32],
    last_sent: Option<Instant>,
}

/// What a valid cookie gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) slot: u32,
    /// The client's initial sequence number.
    pub(super) irs: SeqNum,
    /// Our own.
    pub(super) iss: SeqNum,
    /// The options of its SYN, timestamps without values.
    pub(super) options: SegmentOptions,
}

impl SynCookies {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut pair = || (rng.next_u64(), rng.next_u64());
        let (outer, inner) = (pair(), pair());
        let mut keys = [0; 32];
        for chunk in keys.chunks_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_be_bytes());
        }
        Self { outer, inner, keys, last_sent: None }
    }

    /// The slot of this moment.
    pub(super) fn slot(now: Instant) -> u32 {
        (now.as_millis() / SLOT.as_millis() as u64) as u32
    }

    /// The ISN of the answer to `syn`.
    pub(super) fn isn(&mut self, now: Instant, tuple: &FourTuple, syn: &Segment) -> SeqNum {
        self.last_sent = Some(now);
        let slot = Self::slot(now);
        let announced = syn.options.mss.unwrap_or(536);
        let mss = MSS_TABLE.partition_point(|mss| *mss <= announced).saturating_sub(1) as u32;
        let low = self.inner_hash(tuple, slot).wrapping_add(mss) & 0x00ff_ffff;
        let value = self.outer_hash(tuple).wrapping_add(slot << 24).wrapping_add(low);
        syn.seq + value
    }

    /// TSval of the answer: the clock, at most 31 ticks slow, with window scale and SACK in its low bits. The clock
    /// then never goes back for what follows.
    pub(super) fn timestamp(clock: u32, window_scale: Option<u8>, sack_permitted: bool) -> u32 {
        let scale = window_scale.map_or(NO_SCALE, |shift| u32::from(shift.min(14)));
        let bits = scale | if sack_permitted { SACK_BIT } else { 0 };
        let value = (clock & !OPTION_BITS) | bits;
        if value.wrapping_sub(clock) as i32 > 0 {
            value.wrapping_sub(OPTION_BITS + 1)
        } else {
            value
        }
    }

    /// What the SYN said whose answer this segment acknowledges; `None` when no answer of ours is acknowledged.
    pub(super) fn check(
        &self,
        tuple: &FourTuple,
        ack: &Segment,
        now: Instant,
    ) -> Option<Remembered> {
        let (irs, iss) = (ack.seq - 1, ack.ack? - 1);
        let value = (iss.since(irs) as u32).wrapping_sub(self.outer_hash(tuple));
        let age = Self::slot(now).wrapping_sub(value >> 24) & 0xff;
        if age >= LIFETIME_SLOTS {
            return None;
        }
        let slot = Self::slot(now).wrapping_sub(age);
        let low = value.wrapping_sub(self.inner_hash(tuple, slot)) & 0x00ff_ffff;
        let mss = MSS_TABLE.get(usize::try_from(low).ok()?).copied();
        let mut options = SegmentOptions { mss: Some(mss?), ..SegmentOptions::default() };
        if let Some(timestamps) = ack.options.timestamps {
            let scale = timestamps.echo & NO_SCALE;
            options.window_scale = (scale != NO_SCALE).then_some(scale as u8);
            options.sack_permitted = timestamps.echo & SACK_BIT != 0;
            options.timestamps = Some(timestamps);
        }
        Some(Remembered { slot, irs, iss, options })
    }

    /// Answers were sent so recently that their third packets may still come.
    pub(super) fn expected(&self, now: Instant) -> bool {
        let lifetime = SLOT * LIFETIME_SLOTS;
        self.last_sent.is_some_and(|at| now.saturating_since(at) <= lifetime)
    }

    /// The key number `draw` of this handshake.
    pub(super) fn key(&self, tuple: &FourTuple, irs: SeqNum, slot: u32, draw: u32) -> Key {
        let (local, remote) = (address_bytes(tuple.local), address_bytes(tuple.remote));
        let numbers = [irs.0, slot, draw].map(u32::to_be_bytes);
        derive_key(&self.keys, &[&local, &remote, numbers.as_flattened()])
    }

    fn outer_hash(&self, tuple: &FourTuple) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.outer.0, self.outer.1);
        tuple.hash(&mut hasher);
        hasher.finish() as u32
    }

    fn inner_hash(&self, tuple: &FourTuple, slot: u32) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.inner.0, self.inner.1);
        (tuple, slot).hash(&mut hasher);
        hasher.finish() as u32
    }
}

/// Address and port in a form of fixed length.
fn address_bytes(address: SocketAddr) -> [u8; 18] {
    let mut bytes = [0; 18];
    let ip = match address.ip() {
        core::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        core::net::IpAddr::V6(ip) => ip,
    };
    let fields = ip.octets().into_iter().chain(address.port().to_be_bytes());
    for (slot, byte) in bytes.iter_mut().zip(fields) {
        *slot = byte;
    }
    bytes
}

#[cfg(test)]
mod tests;
