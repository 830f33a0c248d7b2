//! A device around another that loses, duplicates, reorders and delays packets, repeatably.

use super::{Device, Received, segments, whole};
use bytes::{Bytes, BytesMut};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most packets held back per direction; beyond it the oldest goes first.
const MAX_HELD: usize = 256;

/// What happens to packets. Probabilities are from 0 to 1; each is drawn on its own for every packet.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    seed: u64,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    delay: (f64, Duration),
}

impl Faults {
    /// No faults yet; the same seed and the same packets at the same times give the same faults.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Loses packets.
    #[must_use]
    pub fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Sends packets twice.
    #[must_use]
    pub fn duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability;
        self
    }

    /// Holds packets back until one to four later ones have passed, or 20 ms.
    #[must_use]
    pub fn reorder(mut self, probability: f64) -> Self {
        self.reorder = probability;
        self
    }

    /// Holds packets back for `time`.
    #[must_use]
    pub fn delay(mut self, probability: f64, time: Duration) -> Self {
        self.delay = (probability, time);
        self
    }
}

/// Longest time a packet waits to be overtaken.
const MAX_HOLD: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Held {
    /// Goes when this many packets have passed in all.
    after: u64,
    /// Goes at this time at the latest.
    deadline: Instant,
    packet: Bytes,
}

/// One direction: packets go in, and come out of `ready`.
#[derive(Debug)]
struct Lane {
    faults: Faults,
    rng: Rng,
    passed: u64,
    held: VecDeque<Held>,
    ready: VecDeque<Bytes>,
}

impl Lane {
    fn new(faults: Faults, direction: u8) -> Self {
        let mut seed = [0; 32];
        let (low, rest) = seed.split_at_mut(8);
        low.copy_from_slice(&faults.seed.to_le_bytes());
        rest.fill(direction);
        Self {
            faults,
            rng: Rng::from_seed(seed),
            passed: 0,
            held: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    fn draw(&mut self, probability: f64) -> bool {
        // Drawn always, so that one probability does not shift the draws of another.
        f64::from(self.rng.next_u32()) < probability * 4_294_967_296.0
    }

    fn admit(&mut self, now: Instant, packet: Bytes) {
        let (delay, time) = self.faults.delay;
        let lost = self.draw(self.faults.loss);
        let twice = self.draw(self.faults.duplicate);
        let reorder = self.draw(self.faults.reorder);
        let delay = self.draw(delay);
        let distance = 1 + u64::from(self.rng.below(4));
        if lost {
            return;
        }
        self.passed += 1;
        if twice {
            self.ready.push_back(packet.clone());
        }
        if delay {
            self.held.push_back(Held { after: u64::MAX, deadline: now + time, packet });
        } else if reorder {
            let after = self.passed + distance;
            self.held.push_back(Held { after, deadline: now + MAX_HOLD, packet });
        } else {
            self.ready.push_back(packet);
        }
        self.release(now);
    }

    /// Moves what is due to `ready`.
    fn release(&mut self, now: Instant) {
        let excess = self.held.len().saturating_sub(MAX_HELD);
        let mut index = 0;
        self.held.retain(|held| {
            index += 1;
            let due = held.after <= self.passed || held.deadline <= now || index <= excess;
            if due {
                self.ready.push_back(held.packet.clone());
            }
            !due
        });
    }

    fn deadline(&self) -> Option<Instant> {
        self.held.iter().map(|held| held.deadline).min()
    }
}

/// A device with faults in both directions. For tests and demonstrations: packets sent are copied. The device inside must
/// be one without offload.
#[derive(Debug)]
pub struct Faulty<D> {
    inner: D,
    sending: Mutex<Lane>,
    receiving: Mutex<Lane>,
}

impl<D: Device> Faulty<D> {
    /// Wraps `inner`; `sending` and `receiving` say what happens in each direction.
    pub fn new(inner: D, sending: Faults, receiving: Faults) -> Self {
        Self {
            inner,
            sending: Mutex::new(Lane::new(sending, 0)),
            receiving: Mutex::new(Lane::new(receiving, 1)),
        }
    }

    /// Replaces what happens from now on, both directions; packets held back stay so.
    pub fn set_faults(&self, sending: Faults, receiving: Faults) {
        for (lane, faults) in [(&self.sending, sending), (&self.receiving, receiving)] {
            lock(lane).faults = faults;
        }
    }

    fn flush(&self, now: Instant, lane: &mut Lane) -> io::Result<()> {
        while let Some(packet) = lane.ready.pop_front() {
            self.inner.send(now, &packet, &[], None)?;
        }
        Ok(())
    }
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Device> Device for Faulty<D> {
    fn recv(&self, now: Instant, arena: &mut BytesMut) -> io::Result<Received> {
        let mut lane = lock(&self.receiving);
        lane.release(now);
        loop {
            if let Some(packet) = lane.ready.pop_front() {
                return Ok(Received::plain(packet));
            }
            // The wrapped device may be of any kind; what it vouches for is lost with the copy.
            let received = self.inner.recv(now, arena)?;
            lane.admit(now, received.packet);
        }
    }

    fn send(
        &self,
        now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()> {
        let mut lane = lock(&self.sending);
        let push = |headers: &[u8], payload: &[u8]| {
            lane.admit(now, whole(headers, payload));
            self.flush(now, &mut lane)
        };
        segments(headers, payload, segment_size, push)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn mtu(&self) -> u16 {
        self.inner.mtu()
    }

    fn offload(&self) -> bool {
        false
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let own =
            Instant::earliest(lock(&self.sending).deadline(), lock(&self.receiving).deadline());
        Instant::earliest(own, self.inner.poll_timeout())
    }

    fn handle_timeout(&self, now: Instant) {
        self.inner.handle_timeout(now);
        let mut lane = lock(&self.sending);
        lane.release(now);
        // Refused packets are lost, as everywhere.
        let _ = self.flush(now, &mut lane);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryConfig, MemoryDevice, memory_pair};
    use super::*;

    fn pair(sending: Faults) -> (Faulty<MemoryDevice>, MemoryDevice) {
        let config = MemoryConfig { queue: 100_000, ..MemoryConfig::default() };
        let (a, b, _) = memory_pair(config).unwrap();
        (Faulty::new(a, sending, Faults::new(0)), b)
    }

    fn drain(device: &impl Device, now: Instant) -> Vec<u32> {
        let mut numbers = Vec::new();
        while let Ok(received) = device.recv(now, &mut BytesMut::new()) {
            numbers.push(u32::from_be_bytes(received.packet[..4].try_into().unwrap()));
        }
        numbers
    }

    fn run(faults: Faults) -> Vec<u32> {
        let (a, b) = pair(faults);
        for n in 0..10_000u32 {
            a.send(Instant::from_micros(n.into()), &n.to_be_bytes(), &[], None).unwrap();
        }
        assert!(a.poll_timeout().is_none_or(|t| t <= Instant::from_millis(10) + MAX_HOLD));
        a.handle_timeout(Instant::from_millis(100));
        assert_eq!(a.poll_timeout(), None);
        drain(&b, Instant::from_millis(100))
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = || Faults::new(7).loss(0.01).reorder(0.05).duplicate(0.02);
        assert_eq!(run(faults()), run(faults()));
        assert_ne!(run(faults()), run(Faults::new(8).loss(0.01).reorder(0.05).duplicate(0.02)));
    }

    #[test]
    fn probabilities_are_kept() {
        assert_eq!(run(Faults::new(1)), (0..10_000).collect::<Vec<_>>());
        let lost = 10_000 - run(Faults::new(1).loss(0.01)).len();
        assert!((60..140).contains(&lost), "{lost}");
        let twice = run(Faults::new(1).duplicate(0.05)).len() - 10_000;
        assert!((400..600).contains(&twice), "{twice}");
        assert!(run(Faults::new(1).loss(1.0)).is_empty());
    }

    #[test]
    fn reordering_loses_nothing_and_moves_little() {
        let mut seen = run(Faults::new(1).reorder(0.05));
        let moved = seen.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((350..650).contains(&moved), "{moved}");
        let farthest = seen.iter().enumerate().map(|(i, n)| n.abs_diff(i as u32)).max();
        assert!(farthest < Some(10));
        seen.sort_unstable();
        assert_eq!(seen, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn delayed_packets_come_at_their_time_in_both_directions() {
        let (a, b, _) = memory_pair(MemoryConfig::default()).unwrap();
        let slow = Faults::new(3).delay(1.0, Duration::from_millis(7));
        let a = Faulty::new(a, slow.clone(), slow);
        a.send(Instant::ZERO, &[0, 0, 0, 1], &[], None).unwrap();
        assert_eq!(a.poll_timeout(), Some(Instant::from_millis(7)));
        assert!(drain(&b, Instant::from_millis(7)).is_empty());
        a.handle_timeout(Instant::from_millis(7));
        assert_eq!(drain(&b, Instant::from_millis(7)), [1]);
        b.send(Instant::from_millis(8), &[0, 0, 0, 2], &[], None).unwrap();
        assert!(drain(&a, Instant::from_millis(8)).is_empty());
        assert_eq!(a.poll_timeout(), Some(Instant::from_millis(15)));
        assert_eq!(drain(&a, Instant::from_millis(15)), [2]);
    }
}
