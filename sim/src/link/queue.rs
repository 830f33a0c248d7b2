//! What waits for a link: drop-tail or CoDel (RFC 8289).

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl Aqm {
    /// CoDel with the values of RFC 8289.
    pub const CODEL: Self =
        Self::CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
}

/// Packets that wait, with their time of arrival.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    packets: VecDeque<(Instant, Bytes)>,
    bytes: u64,
    codel: CoDel,
}

impl Queue {
    /// Takes a packet if `limit` allows; `rate` is what a limit in time is reckoned with.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        packet: Bytes,
        limit: QueueLimit,
        rate: Option<u64>,
    ) -> bool {
        let limit = match (limit, rate) {
            (QueueLimit::Time(time), Some(rate)) => {
                QueueLimit::Bytes((time.as_secs_f64() * rate as f64 / 8.0) as u64)
            }
            (QueueLimit::Time(_), None) => QueueLimit::default(),
            (other, _) => other,
        };
        let fits = match limit {
            QueueLimit::Packets(packets) => self.packets.len() < packets as usize,
            QueueLimit::Bytes(bytes) => self.bytes < bytes.max(1),
            QueueLimit::Time(_) => true,
        };
        if fits {
            self.bytes += packet.len() as u64;
            self.packets.push_back((now, packet));
        }
        fits
    }

    fn take(&mut self) -> Option<(Instant, Bytes)> {
        let (since, packet) = self.packets.pop_front()?;
        self.bytes -= packet.len() as u64;
        Some((since, packet))
    }

    /// The next packet to leave; adds to `dropped` what the queue management dropped before it.
    pub(crate) fn pop(&mut self, now: Instant, aqm: Aqm, dropped: &mut u64) -> Option<Bytes> {
        let Aqm::CoDel { target, interval } = aqm else { return Some(self.take()?.1) };
        let mut codel = std::mem::take(&mut self.codel);
        let packet = codel.dequeue(self, now, target, interval, dropped);
        self.codel = codel;
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
    fn head(
        &mut self,
        queue: &mut Queue,
        now: Instant,
        target: Duration,
        interval: Duration,
    ) -> Option<(Bytes, bool)> {
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

    fn dequeue(
        &mut self,
        queue: &mut Queue,
        now: Instant,
        target: Duration,
        interval: Duration,
        dropped: &mut u64,
    ) -> Option<Bytes> {
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
                *dropped += 1;
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
            *dropped += 1;
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
            let took = (0..10).filter(|_| queue.push(Instant::ZERO, packet(), limit, rate)).count();
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
            for ms in 0..2_000 {
                let now = Instant::from_millis(ms);
                queue.push(now, packet(), QueueLimit::Packets(60), None);
                if ms % 2 == 0 || queue.len() > 50 {
                    left += u32::from(queue.pop(now, aqm, &mut dropped).is_some());
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
            queue.push(now, packet(), QueueLimit::default(), None);
            assert!(queue.pop(now, Aqm::CODEL, &mut dropped).is_some());
        }
        assert_eq!(dropped, 0);
    }
}
