//! What one direction of a link is like, as a value.

use super::delay::Jitter;
use super::icmp::TooBig;
use super::loss::Loss;
use super::outage::Outages;
use super::queue::{Aqm, QueueLimit};
use super::rate::Trace;
use super::schedule::RateSchedule;
use mpuser_engine::time::Duration;
use std::sync::Arc;

/// One direction of a link. The default changes nothing: no delay, no loss, as fast as it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneConfig {
    /// Bits per second of IP packets; `None` is as fast as it goes.
    pub rate: Option<u64>,
    /// Delivery opportunities instead of a rate; takes precedence.
    pub trace: Option<Arc<Trace>>,
    /// A rate that changes with time, instead of `rate`.
    pub rates: Option<Arc<RateSchedule>>,
    /// One-way propagation delay.
    pub delay: Duration,
    /// Random delay on top.
    pub jitter: Jitter,
    /// Loss before the queue.
    pub loss: Loss,
    /// Probability that a packet is overtaken by up to [`LaneConfig::reorder_distance`] later ones.
    pub reorder: f64,
    /// How many later packets may overtake, 1 to 1000.
    pub reorder_distance: u32,
    /// Probability that a packet comes twice.
    pub duplicate: f64,
    /// Probability that one bit of a packet is flipped.
    pub corrupt: f64,
    /// What waits for the link at most.
    pub queue: QueueLimit,
    /// Active queue management.
    pub aqm: Aqm,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// What becomes of a larger one.
    pub too_big: TooBig,
    /// Whether packets pass at all.
    pub up: bool,
    /// Times at which none pass, counted from the start of the link.
    pub outages: Outages,
}

impl Default for LaneConfig {
    fn default() -> Self {
        Self {
            rate: None,
            trace: None,
            rates: None,
            delay: Duration::ZERO,
            jitter: Jitter::default(),
            loss: Loss::None,
            reorder: 0.0,
            reorder_distance: 4,
            duplicate: 0.0,
            corrupt: 0.0,
            queue: QueueLimit::default(),
            aqm: Aqm::DropTail,
            mtu: u16::MAX,
            too_big: TooBig::FragmentationNeeded,
            up: true,
            outages: Outages::default(),
        }
    }
}

impl LaneConfig {
    /// Bits per second `elapsed` after the link began; of a trace, the mean. `None` is as fast as it goes.
    #[must_use]
    pub fn rate_at(&self, elapsed: Duration) -> Option<u64> {
        match (&self.trace, &self.rates) {
            (Some(trace), _) => Some(trace.mean_rate()),
            (None, Some(rates)) => Some(rates.at(elapsed)),
            (None, None) => self.rate,
        }
    }

    /// Bits that can leave between two times since the link began; `None` is as fast as it goes.
    #[must_use]
    pub fn capacity(&self, from: Duration, to: Duration) -> Option<f64> {
        match (&self.trace, &self.rates) {
            (None, Some(rates)) => Some(rates.bits(from, to)),
            _ => Some(self.rate_at(from)? as f64 * to.saturating_sub(from).as_secs_f64()),
        }
    }
}

/// A link: its two directions, and the middleboxes at its end `a`, nearest to `a` first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// From `a` to `b`.
    pub forward: LaneConfig,
    /// From `b` to `a`.
    pub backward: LaneConfig,
    /// Names with arguments, as [`crate::middlebox::build`] takes them.
    pub boxes: Vec<String>,
}
