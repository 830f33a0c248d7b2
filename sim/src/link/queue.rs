//! What waits for a link: drop-tail, or managed: CoDel (RFC 8289), RED, drops near the end.

use super::cargo::Cargo;
use super::dice::Dice;
use super::red::{Red, RedConfig};
use bytes::Bytes;
use mpuser_engine::time::{Duration, Instant};
use std::collections::VecDeque;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLimit {
    /// This many packets.
    Packets(u32),
    /// This many bytes. A packet enters while less than that waits.
    Bytes(u64),
    /// As many bytes as leave in this time at the link's rate; without a rate, [`QueueLimit::default`].
    Time(Duration),
}

/// As the kernel's devices: 1000 packets.
impl Default for QueueLimit {
    fn default() -> Self {
        Self::Packets(1000)
    }
}

/// Active queue management.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aqm {
    /// None: what does not fit is dropped.
    DropTail,
    /// Controlled delay (RFC 8289).
    CoDel {
        /// Acceptable standing delay; 5 ms in the RFC.
        target: Duration,
        /// How long it may be exceeded; 100 ms in the RFC.
        interval: Duration,
    },
    /// Random early detection, gentle: see `link::red`.
    Red(RedConfig),
    /// Drops at random when only the last places are left: it breaks the lockstep in which flows otherwise lose, or
    /// never lose, the packets of a full queue.
    NearFull {
        /// How many places from the end.
        places: u32,
        /// Probability.
        p: f64,
    },
}

impl Aqm {
    /// CoDel with the values of RFC 8289.
    pub const CODEL: Self =
        Self::CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
    /// The last three places, one packet in ten.
    pub const NEAR_FULL: Self = Self::NearFull { places: 3, p: 0.1 };
}

/// Packets that wait, with their time of arrival.
#[derive(Debug)]
pub(crate) struct Queue<P = Bytes> {
    packets: VecDeque<(Instant, P)>,
    bytes: u64,
    codel: CoDel,
    red: Red,
}

impl<P> Default for Queue<P> {
    fn default() -> Self {
        let (codel, red) = (CoDel::default(), Red::default());
        Self { packets: VecDeque::new(), bytes: 0, codel, red }
    }
}

impl<P: Cargo> Queue<P> {
    /// Takes a packet if `limit` and `aqm` allow, or gives it back, saying whether `aqm` was the reason; `rate` is
    /// what a limit in time is reckoned with.
    pub(super) fn push(
        &mut self,
        now: Instant,
        packet: P,
        limit: QueueLimit,
        rate: Option<u64>,
        aqm: Aqm,
        dice: &mut Dice,
    ) -> Result<(), (P, bool)> {
        let limit = match (limit, rate) {
            (QueueLimit::Time(time), Some(rate)) => {
                QueueLimit::Bytes((time.as_secs_f64() * rate as f64 / 8.0) as u64)
            }
            (QueueLimit::Time(_), None) => QueueLimit::default(),
            (other, _) => other,
        };
        let size = packet.size() as u64;
        // how many packets like this one there is still room for
        let room = match limit {
            QueueLimit::Packets(packets) => {
                u64::from(packets) - self.packets.len().min(packets as usize) as u64
            }
            QueueLimit::Bytes(bytes) => {
                bytes.max(1).saturating_sub(self.bytes).div_ceil(size.max(1))
            }
            QueueLimit::Time(_) => u64::MAX,
        };
        let managed = match aqm {
            Aqm::DropTail | Aqm::CoDel { .. } => false,
            Aqm::Red(config) => {
                let p = self.red.probability(now, self.packets.len(), &config);
                dice.drop(p) && self.red.dropped()
            }
            Aqm::NearFull { places, p } => room <= u64::from(places) && dice.drop(p),
        };
        if managed || room == 0 {
            return Err((packet, managed && room > 0));
        }
        self.bytes += size;
        self.packets.push_back((now, packet));
        Ok(())
    }

    fn take(&mut self) -> Option<(Instant, P)> {
        let (since, packet) = self.packets.pop_front()?;
        self.bytes -= packet.size() as u64;
        Some((since, packet))
    }

    /// The next packet to leave; `drop` gets what the queue management drops before it.
    pub(crate) fn pop(&mut self, now: Instant, aqm: Aqm, drop: impl FnMut(P)) -> Option<P> {
        let packet = match aqm {
            Aqm::CoDel { target, interval } => {
                let mut codel = self.codel;
                let packet = codel.dequeue(self, now, target, interval, drop);
                self.codel = codel;
                packet
            }
            _ => self.take().map(|(_, packet)| packet),
        };
        if self.packets.is_empty() {
            self.red.empty_since(now);
        }
        packet
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The state of RFC 8289 section 5.
#[derive(Clone, Copy, Debug, Default)]
struct CoDel {
    first_above: Option<Instant>,
    drop_next: Instant,
    count: u32,
    last_count: u32,
    dropping: bool,
}

/// The queue is never emptied below this (RFC 8289 5.1: one MTU).
const KEEP: u64 = 1500;

impl CoDel {
    fn control_law(&self, at: Instant, interval: Duration) -> Instant {
        at + Duration::from_secs_f64(interval.as_secs_f64() / f64::from(self.count.max(1)).sqrt())
    }

    /// The head, and whether the delay has stood above the target for an interval.
    fn head<P: Cargo>(
        &mut self,
        queue: &mut Queue<P>,
        now: Instant,
        target: Duration,
        interval: Duration,
    ) -> Option<(P, bool)> {
        let Some((since, packet)) = queue.take() else {
            self.first_above = None;
            return None;
        };
        if now.saturating_since(since) < target || queue.bytes <= KEEP {
            self.first_above = None;
            return Some((packet, false));
        }
        let deadline = *self.first_above.get_or_insert(now + interval);
        Some((packet, now >= deadline))
    }

    fn dequeue<P: Cargo>(
        &mut self,
        queue: &mut Queue<P>,
        now: Instant,
        target: Duration,
        interval: Duration,
        mut dropped: impl FnMut(P),
    ) -> Option<P> {
        let Some((mut packet, mut drop)) = self.head(queue, now, target, interval) else {
            self.dropping = false;
            return None;
        };
        if self.dropping {
            if !drop {
                self.dropping = false;
                return Some(packet);
            }
            while now >= self.drop_next && self.dropping {
                dropped(packet);
                self.count += 1;
                let Some(next) = self.head(queue, now, target, interval) else {
                    self.dropping = false;
                    return None;
                };
                (packet, drop) = next;
                if drop {
                    self.drop_next = self.control_law(self.drop_next, interval);
                } else {
                    self.dropping = false;
                }
            }
        } else if drop {
            dropped(packet);
            (packet, _) = self.head(queue, now, target, interval)?;
            self.dropping = true;
            let delta = self.count.saturating_sub(self.last_count);
            let recent = now.saturating_since(self.drop_next) < interval * 16;
            self.count = if delta > 1 && recent { delta } else { 1 };
            self.drop_next = self.control_law(now, interval);
            self.last_count = self.count;
        }
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ZERO;

    fn packet() -> Bytes {
        Bytes::from_static(&[0; 1000])
    }

    #[test]
    fn limits_are_kept() {
        let mut fits = Vec::new();
        for (limit, rate) in [
            (QueueLimit::Packets(3), None),
            (QueueLimit::Bytes(2_500), None),
            (QueueLimit::Time(Duration::from_millis(2)), Some(8_000_000)),
        ] {
            let mut queue = Queue::default();
            let mut push =
                || queue.push(NOW, packet(), limit, rate, Aqm::DropTail, &mut Dice::new(1, 1));
            let took = (0..10).filter(|_| push().is_ok()).count();
            assert_eq!((queue.len(), queue.bytes()), (took, took as u64 * 1000));
            fits.push(took);
        }
        assert_eq!(fits, [3, 3, 2]);
    }

    /// A sender twice as fast as the link: drop-tail lets the delay stand, CoDel drops more and more.
    #[test]
    fn codel_works_on_a_standing_queue() {
        let run = |aqm| {
            let (mut queue, mut dropped, mut left) = (Queue::default(), 0, 0u32);
            let mut dice = Dice::new(1, 1);
            for ms in 0..2_000 {
                let now = Instant::from_millis(ms);
                let _ = queue.push(now, packet(), QueueLimit::Packets(60), None, aqm, &mut dice);
                if ms % 2 == 0 || queue.len() > 50 {
                    left += u32::from(queue.pop(now, aqm, |_| dropped += 1).is_some());
                }
            }
            (dropped, left)
        };
        assert_eq!(run(Aqm::DropTail).0, 0);
        let (dropped, left) = run(Aqm::CODEL);
        assert!((30..1_000).contains(&dropped), "{dropped} dropped, {left} left");
        // below the target nothing is dropped
        let (mut queue, mut dropped) = (Queue::default(), 0);
        for ms in 0..1_000 {
            let now = Instant::from_millis(ms);
            let _ = queue.push(
                now,
                packet(),
                QueueLimit::default(),
                None,
                Aqm::CODEL,
                &mut Dice::new(1, 1),
            );
            assert!(queue.pop(now, Aqm::CODEL, |_| dropped += 1).is_some());
        }
        assert_eq!(dropped, 0);
    }
    #[test]
    fn the_last_places_are_given_at_random() {
        let (mut queue, mut dice) = (Queue::default(), Dice::new(3, 3));
        let (limit, aqm) = (QueueLimit::Packets(10), Aqm::NearFull { places: 3, p: 0.5 });
        let mut verdicts = Vec::new();
        for _ in 0..1_000 {
            let took = queue.push(NOW, packet(), limit, None, aqm, &mut dice);
            verdicts.push(took.map_err(|(_, managed)| managed));
            if queue.len() > 7 {
                queue.pop(NOW, aqm, |_| ());
            }
        }
        assert!(verdicts.iter().take(7).all(Result::is_ok));
        let dropped = verdicts.iter().filter(|verdict| **verdict == Err(true)).count();
        assert!((400..600).contains(&dropped), "{dropped}");
    }
}
