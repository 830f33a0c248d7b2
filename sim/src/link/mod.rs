//! Links: rate, delay, loss, queues, outages, and the boxes at one end.

mod cargo;
mod config;
mod counters;
mod delay;
mod dice;
mod holding;
mod icmp;
mod lane;
mod loss;
mod outage;
mod parse;
mod queue;
mod rate;
mod red;
mod schedule;

pub use cargo::Cargo;
pub use config::{LaneConfig, LinkConfig};
pub use counters::LaneCounters;
pub use delay::{Jitter, Shape};
pub(crate) use holding::Holding;
pub use icmp::{TooBig, fragmentation_needed};
pub use loss::Loss;
pub use outage::Outages;
pub(crate) use parse::KEYS;
pub use parse::ReadFile;
pub use queue::{Aqm, QueueLimit};
pub use rate::Trace;
pub use red::RedConfig;
pub use schedule::RateSchedule;

use crate::direction::{Direction, PerDirection};
use crate::middlebox::{Chain, Output};
use bytes::Bytes;
pub(crate) use lane::Lane;
use mpuser_engine::time::Instant;

/// A link between the ends `a` and `b`, its boxes standing at `a`: `a — boxes — lanes — b`.
///
/// Packets go in by [`Link::push`] and come out by [`Link::poll`] when their time has come; [`Link::next`] says when
/// to look again. Moments handed in must not go backwards.
#[derive(Debug)]
pub struct Link {
    lanes: PerDirection<Lane>,
    chain: Chain,
    boxes: Vec<String>,
    seed: u64,
    /// Out of the boxes towards `a`.
    arrived: std::collections::VecDeque<Bytes>,
}

impl Link {
    /// A link that begins at `start`, from which its schedules count. The same seed and the same packets at the same
    /// times give the same outcome.
    ///
    /// # Errors
    /// A box has an unknown name or argument.
    pub fn new(config: LinkConfig, seed: u64, start: Instant) -> Result<Self, String> {
        let LinkConfig { forward, backward, boxes } = config;
        Ok(Self {
            chain: Chain::build(&boxes, seed)?,
            lanes: PerDirection {
                forward: Lane::new(forward, seed, 1, start),
                backward: Lane::new(backward, seed, 2, start),
            },
            boxes,
            seed,
            arrived: std::collections::VecDeque::new(),
        })
    }

    /// What it is like now.
    #[must_use]
    pub fn config(&self) -> LinkConfig {
        LinkConfig {
            forward: self.lanes.forward.config.clone(),
            backward: self.lanes.backward.config.clone(),
            boxes: self.boxes.clone(),
        }
    }

    /// Changes what it is like from now on. Packets on their way stay there; boxes lose what they remember only when
    /// the list of boxes changes.
    ///
    /// # Errors
    /// A box has an unknown name or argument; nothing has changed then.
    pub fn set(&mut self, config: LinkConfig) -> Result<(), String> {
        if config.boxes != self.boxes {
            self.chain = Chain::build(&config.boxes, self.seed)?;
            self.boxes = config.boxes;
        }
        self.lanes.forward.config = config.forward;
        self.lanes.backward.config = config.backward;
        Ok(())
    }

    /// The settings of one direction, to be changed.
    pub const fn lane_mut(&mut self, direction: Direction) -> &mut LaneConfig {
        &mut self.lanes.of_mut(direction).config
    }

    /// Puts a packet in: `Forward` ones at `a`, `Backward` ones at `b`.
    pub fn push(&mut self, now: Instant, direction: Direction, packet: Bytes) {
        self.run(now);
        match direction {
            Direction::Forward => {
                let mut out = Output::default();
                self.chain.on_packet(now, Direction::Forward, packet, &mut out);
                self.route(now, out);
            }
            Direction::Backward => self.launch(now, Direction::Backward, packet),
        }
    }

    /// The next packet that has come out: `Forward` ones at `b`, `Backward` ones at `a`.
    pub fn poll(&mut self, now: Instant) -> Option<(Direction, Bytes)> {
        self.run(now);
        if let Some(packet) = self.arrived.pop_front() {
            return Some((Direction::Backward, packet));
        }
        Some((Direction::Forward, self.lanes.forward.poll(now)?))
    }

    /// Keeps what the link drops for [`Self::take_dropped`] from now on; whoever asks for that has to fetch it.
    pub fn keep_dropped(&mut self) {
        self.lanes.forward.keep_dropped();
        self.lanes.backward.keep_dropped();
    }

    /// A packet the link has dropped, with [`Self::keep_dropped`]. What boxes swallow is not among them.
    pub fn take_dropped(&mut self) -> Option<(Direction, Bytes)> {
        let lanes = &mut self.lanes;
        let forward = lanes.forward.take_dropped().map(|packet| (Direction::Forward, packet));
        forward
            .or_else(|| lanes.backward.take_dropped().map(|packet| (Direction::Backward, packet)))
    }

    /// When to poll next; `None` as long as nothing is pushed.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if !self.arrived.is_empty() {
            return Some(Instant::ZERO);
        }
        let lanes = Instant::earliest(self.lanes.forward.next(), self.lanes.backward.next());
        Instant::earliest(lanes, self.chain.next())
    }

    /// What one direction has done.
    #[must_use]
    pub const fn counters(&self, direction: Direction) -> &LaneCounters {
        &self.lanes.of(direction).counters
    }

    /// Packets and bytes that wait in one direction's queue.
    #[must_use]
    pub fn backlog(&self, direction: Direction) -> (usize, u64) {
        self.lanes.of(direction).backlog()
    }

    /// The boxes, nearest to `a` first.
    #[must_use]
    pub const fn boxes(&self) -> &Chain {
        &self.chain
    }

    /// Lets the boxes see what came back over the link, and their timers fire.
    fn run(&mut self, now: Instant) {
        let mut out = Output::default();
        self.chain.on_timer(now, &mut out);
        while let Some(packet) = self.lanes.backward.poll(now) {
            self.chain.on_packet(now, Direction::Backward, packet, &mut out);
        }
        self.route(now, out);
    }

    fn route(&mut self, now: Instant, out: Output) {
        for (direction, packet) in out.packets {
            match direction {
                Direction::Forward => self.launch(now, Direction::Forward, packet),
                Direction::Backward => self.arrived.push_back(packet),
            }
        }
    }

    fn launch(&mut self, now: Instant, direction: Direction, packet: Bytes) {
        let Some(message) = self.lanes.of_mut(direction).push(now, packet) else { return };
        // about a packet that did not get through: back where it came from
        match direction {
            Direction::Forward => self.arrived.push_back(message),
            Direction::Backward => {
                let _ = self.lanes.forward.push(now, message);
            }
        }
    }
}

#[cfg(test)]
mod tests;
