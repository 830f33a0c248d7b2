//! One direction of a link: loss, queue, transmission, propagation.

use super::cargo::Cargo;
use super::config::LaneConfig;
use super::counters::LaneCounters;
use super::dice::Dice;
use super::holding::Holding;
use super::icmp::TooBig;
use super::loss::LossState;
use super::queue::{Queue, QueueLimit};
use super::rate::{TraceState, transmission};
use bytes::Bytes;
use mpuser_engine::time::Instant;
use std::collections::VecDeque;

/// Most packets on their way at once; more is dropped like what a full queue drops.
const MAX_FLYING: usize = 1 << 20;

/// One direction at work.
#[derive(Debug)]
pub(crate) struct Lane<P = Bytes> {
    pub(crate) config: LaneConfig,
    pub(crate) counters: LaneCounters,
    start: Instant,
    dice: Dice,
    loss: LossState,
    queue: Queue<P>,
    trace: TraceState,
    /// The packet that is leaving, and when it has left.
    sending: Option<(Instant, P)>,
    /// By arrival.
    flying: VecDeque<(Instant, P)>,
    last_arrival: Instant,
    held: Holding<P>,
    /// What was dropped since somebody asked last, if anybody ever asks.
    dropped: Option<Vec<P>>,
}

impl<P: Cargo> Lane<P> {
    /// One direction of a link that begins at `start`. `purpose` keeps its draws apart from those of others.
    pub(crate) fn new(config: LaneConfig, seed: u64, purpose: u64, start: Instant) -> Self {
        Self {
            config,
            counters: LaneCounters::default(),
            start,
            dice: Dice::new(seed, purpose),
            loss: LossState::default(),
            queue: Queue::default(),
            trace: TraceState::default(),
            sending: None,
            flying: VecDeque::new(),
            last_arrival: Instant::ZERO,
            held: Holding::default(),
            dropped: None,
        }
    }

    /// Keeps dropped packets for [`Self::take_dropped`] from now on.
    pub(crate) fn keep_dropped(&mut self) {
        self.dropped = Some(Vec::new());
    }

    /// A packet that was dropped, with [`Self::keep_dropped`].
    pub(crate) fn take_dropped(&mut self) -> Option<P> {
        self.dropped.as_mut()?.pop()
    }

    /// Changes what it is like from `now` on.
    pub(crate) fn set(&mut self, now: Instant, config: LaneConfig) {
        self.advance(now);
        self.config = config;
    }

    fn is_down(&self, now: Instant) -> bool {
        !self.config.up || self.config.outages.covers(self.start, now)
    }

    fn discard(&mut self, packet: P) {
        if let Some(dropped) = &mut self.dropped {
            dropped.push(packet);
        }
    }

    /// Takes a packet; what comes back goes to its sender.
    pub(crate) fn push(&mut self, now: Instant, mut packet: P) -> Option<P> {
        self.advance(now);
        self.counters.received += 1;
        self.counters.received_bytes += packet.size() as u64;
        let lost = self.dice.lost(&mut self.loss, &self.config.loss);
        let twice = self.dice.duplicate(self.config.duplicate);
        if self.is_down(now) {
            self.counters.down += 1;
            self.discard(packet);
            return None;
        }
        if packet.size() > usize::from(self.config.mtu) {
            self.counters.too_big += 1;
            let message = match self.config.too_big {
                TooBig::FragmentationNeeded => packet.fragmentation_needed(self.config.mtu),
                TooBig::Drop => None,
            };
            self.discard(packet);
            return message;
        }
        if lost {
            self.counters.lost += 1;
            self.discard(packet);
            return None;
        }
        if let Some(bit) = self.dice.corrupt(self.config.corrupt, packet.size()) {
            self.counters.corrupted += 1;
            packet.flip(bit);
        }
        if twice {
            self.counters.duplicated += 1;
            self.enqueue(now, packet.clone());
        }
        self.enqueue(now, packet);
        None
    }

    fn enqueue(&mut self, now: Instant, packet: P) {
        let rate = match self.config.queue {
            QueueLimit::Time(_) => self.config.rate_at(now.saturating_since(self.start)),
            QueueLimit::Packets(_) | QueueLimit::Bytes(_) => None,
        };
        if self.flying.len() >= MAX_FLYING {
            self.counters.queue_full += 1;
            return self.discard(packet);
        }
        let (limit, aqm) = (self.config.queue, self.config.aqm);
        match self.queue.push(now, packet, limit, rate, aqm, &mut self.dice) {
            Ok(()) => {}
            Err((packet, managed)) => {
                let counters = &mut self.counters;
                *(if managed { &mut counters.managed } else { &mut counters.queue_full }) += 1;
                return self.discard(packet);
            }
        }
        if self.sending.is_none() {
            self.serve(now);
            // without a rate it has left already
            self.advance(now);
        }
    }

    /// Begins to transmit the next packet that waits.
    fn serve(&mut self, now: Instant) {
        let (managed, dropped) = (&mut self.counters.managed, &mut self.dropped);
        let drop = |packet| {
            *managed += 1;
            if let Some(dropped) = dropped {
                dropped.push(packet);
            }
        };
        let Some(packet) = self.queue.pop(now, self.config.aqm, drop) else { return };
        let done = match (&self.config.trace, &self.config.rates, self.config.rate) {
            (Some(trace), ..) => self.trace.departure(trace, self.start, now, packet.size() as u64),
            (None, Some(rates), _) => rates.departure(self.start, now, packet.size() as u64),
            (None, None, Some(rate)) => now + transmission(packet.size(), rate),
            (None, None, None) => now,
        };
        self.sending = Some((done, packet));
    }

    /// Lets everything happen that happens up to `now`.
    fn advance(&mut self, now: Instant) {
        while self.sending.as_ref().is_some_and(|(done, _)| *done <= now) {
            if let Some((done, packet)) = self.sending.take() {
                self.depart(done, packet);
                self.serve(done);
            }
        }
        while let Some(packet) = self.held.due(now) {
            self.fly(now, packet);
        }
    }

    /// The last bit of a packet has left.
    fn depart(&mut self, at: Instant, packet: P) {
        let reorder = self.dice.reorder(self.config.reorder, self.config.reorder_distance);
        let packet = match reorder {
            Some(distance) => {
                self.counters.reordered += 1;
                self.held.hold(at, distance, packet)
            }
            None => Some(packet),
        };
        if let Some(packet) = packet {
            self.held.pass();
            self.fly(at, packet);
        }
        while let Some(packet) = self.held.due(at) {
            self.fly(at, packet);
        }
    }

    fn fly(&mut self, at: Instant, packet: P) {
        let mut arrival = at + self.config.delay + self.dice.jitter(&self.config.jitter);
        if !self.config.jitter.reorders {
            // jitter and a changed delay keep the order
            self.last_arrival = self.last_arrival.max(arrival);
            arrival = self.last_arrival;
        }
        if self.flying.back().is_none_or(|(last, _)| *last <= arrival) {
            self.flying.push_back((arrival, packet));
        } else {
            let place = self.flying.partition_point(|(other, _)| *other <= arrival);
            self.flying.insert(place, (arrival, packet));
        }
    }

    /// A packet that has arrived.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<P> {
        self.advance(now);
        while self.flying.front().is_some_and(|(arrival, _)| *arrival <= now) {
            let (arrival, packet) = self.flying.pop_front()?;
            if self.is_down(arrival) {
                self.counters.down += 1;
                self.discard(packet);
                continue;
            }
            self.counters.delivered += 1;
            self.counters.delivered_bytes += packet.size() as u64;
            return Some(packet);
        }
        None
    }

    /// When a packet may arrive; nothing of interest happens before.
    pub(crate) fn next(&self) -> Option<Instant> {
        let sending = self.sending.as_ref().map(|(done, _)| *done + self.config.delay);
        let arrival = self.flying.front().map(|(at, _)| *at);
        Instant::earliest(Instant::earliest(sending, arrival), self.held.next())
    }

    /// Packets and bytes that wait for transmission.
    pub(crate) fn backlog(&self) -> (usize, u64) {
        (self.queue.len(), self.queue.bytes())
    }

    /// [`Self::backlog`] at this moment.
    pub(crate) fn backlog_at(&mut self, now: Instant) -> (usize, u64) {
        self.advance(now);
        self.backlog()
    }

    /// Packets in it, waiting, leaving or flying.
    pub(crate) fn inside(&self) -> usize {
        let sending = usize::from(self.sending.is_some());
        self.queue.len() + sending + self.flying.len() + self.held.len()
    }
}
