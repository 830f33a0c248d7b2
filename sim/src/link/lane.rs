//! One direction of a link: loss, queue, transmission, propagation.

use super::config::LaneConfig;
use super::counters::LaneCounters;
use super::holding::Holding;
use super::icmp::{TooBig, fragmentation_needed};
use super::loss::{LossState, corrupt};
use super::queue::Queue;
use super::rate::{TraceState, transmission};
use crate::random::{chance, rng};
use bytes::Bytes;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::Instant;
use std::collections::BTreeMap;

/// Most packets on their way at once; more is dropped like what a full queue drops.
const MAX_FLYING: usize = 1 << 20;

/// One direction at work.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) config: LaneConfig,
    pub(crate) counters: LaneCounters,
    start: Instant,
    rng: Rng,
    loss: LossState,
    queue: Queue,
    trace: TraceState,
    /// The packet that is leaving, and when it has left.
    sending: Option<(Instant, Bytes)>,
    /// By arrival, then in order of departure.
    flying: BTreeMap<(Instant, u64), Bytes>,
    departed: u64,
    last_arrival: Instant,
    held: Holding,
}

impl Lane {
    pub(crate) fn new(config: LaneConfig, seed: u64, purpose: u64, start: Instant) -> Self {
        Self {
            config,
            counters: LaneCounters::default(),
            start,
            rng: rng(seed, purpose),
            loss: LossState::default(),
            queue: Queue::default(),
            trace: TraceState::default(),
            sending: None,
            flying: BTreeMap::new(),
            departed: 0,
            last_arrival: Instant::ZERO,
            held: Holding::default(),
        }
    }

    fn is_down(&self, now: Instant) -> bool {
        !self.config.up || self.config.outages.covers(self.start, now)
    }

    /// Takes a packet; what comes back goes to its sender.
    pub(crate) fn push(&mut self, now: Instant, mut packet: Bytes) -> Option<Bytes> {
        self.advance(now);
        self.counters.received += 1;
        self.counters.received_bytes += packet.len() as u64;
        let lost = self.loss.next(&self.config.loss, &mut self.rng);
        let twice = chance(&mut self.rng, self.config.duplicate);
        if self.is_down(now) {
            self.counters.down += 1;
            return None;
        }
        if packet.len() > usize::from(self.config.mtu) {
            self.counters.too_big += 1;
            return match self.config.too_big {
                TooBig::FragmentationNeeded => fragmentation_needed(&packet, self.config.mtu),
                TooBig::Drop => None,
            };
        }
        if lost {
            self.counters.lost += 1;
            return None;
        }
        if corrupt(&mut packet, self.config.corrupt, &mut self.rng) {
            self.counters.corrupted += 1;
        }
        if twice {
            self.counters.duplicated += 1;
            self.enqueue(now, packet.clone());
        }
        self.enqueue(now, packet);
        None
    }

    fn enqueue(&mut self, now: Instant, packet: Bytes) {
        let rate = match &self.config.trace {
            Some(trace) => Some(trace.mean_rate()),
            None => self.config.rate,
        };
        let room = self.flying.len() < MAX_FLYING;
        if !(room && self.queue.push(now, packet, self.config.queue, rate)) {
            self.counters.queue_full += 1;
            return;
        }
        if self.sending.is_none() {
            self.serve(now);
            // without a rate it has left already
            self.advance(now);
        }
    }

    /// Begins to transmit the next packet that waits.
    fn serve(&mut self, now: Instant) {
        let Some(packet) = self.queue.pop(now, self.config.aqm, &mut self.counters.codel) else {
            return;
        };
        let done = match (&self.config.trace, self.config.rate) {
            (Some(trace), _) => self.trace.departure(trace, self.start, now, packet.len() as u64),
            (None, Some(rate)) => now + transmission(packet.len(), rate),
            (None, None) => now,
        };
        self.sending = Some((done, packet));
    }

    /// Lets everything happen that happens up to `now`.
    fn advance(&mut self, now: Instant) {
        while let Some((done, packet)) = self.sending.take() {
            if done > now {
                self.sending = Some((done, packet));
                break;
            }
            self.depart(done, packet);
            self.serve(done);
        }
        while let Some(packet) = self.held.due(now) {
            self.fly(now, packet);
        }
    }

    /// The last bit of a packet has left.
    fn depart(&mut self, at: Instant, packet: Bytes) {
        let reorder = chance(&mut self.rng, self.config.reorder);
        let distance = 1 + self.rng.below(self.config.reorder_distance);
        let packet = if reorder {
            self.counters.reordered += 1;
            self.held.hold(at, distance, packet)
        } else {
            Some(packet)
        };
        if let Some(packet) = packet {
            self.held.pass();
            self.fly(at, packet);
        }
        while let Some(packet) = self.held.due(at) {
            self.fly(at, packet);
        }
    }

    fn fly(&mut self, at: Instant, packet: Bytes) {
        let arrival = at + self.config.delay + self.config.jitter.draw(&mut self.rng);
        // jitter and a changed delay keep the order
        self.last_arrival = self.last_arrival.max(arrival);
        self.departed += 1;
        self.flying.insert((self.last_arrival, self.departed), packet);
    }

    /// A packet that has arrived.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Bytes> {
        self.advance(now);
        while let Some(first) = self.flying.first_entry() {
            if first.key().0 > now {
                return None;
            }
            let (arrival, packet) = (first.key().0, first.remove());
            if self.is_down(arrival) {
                self.counters.down += 1;
                continue;
            }
            self.counters.delivered += 1;
            self.counters.delivered_bytes += packet.len() as u64;
            return Some(packet);
        }
        None
    }

    /// When something happens next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let sending = self.sending.as_ref().map(|(done, _)| *done);
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        Instant::earliest(Instant::earliest(sending, arrival), self.held.next())
    }

    /// Packets and bytes that wait for transmission.
    pub(crate) fn backlog(&self) -> (usize, u64) {
        (self.queue.len(), self.queue.bytes())
    }
}
