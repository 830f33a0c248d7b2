//! Load on a link that answers to nothing.

use super::agenda::Source;
use super::network::Network;
use super::packet::Packet;
use crate::metrics::BackgroundOutcome;
use crate::scenario::Background;
use crate::traffic::draw;
use bytes::Bytes;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};

/// What its packets are cut from; all that counts is their length.
static ZEROS: [u8; 65_536] = [0; 65_536];

/// A source at work.
pub(crate) struct Load {
    config: Background,
    route: u32,
    pub(crate) source: Source,
    rng: Rng,
    /// When what it does now ends.
    until: Instant,
    sending: bool,
    sent: u64,
    pub(crate) delivered: u64,
}

impl Load {
    pub(crate) const fn new(config: Background, route: u32, source: Source, rng: Rng) -> Self {
        let until = Instant::ZERO;
        Self { config, route, source, rng, until, sending: false, sent: 0, delivered: 0 }
    }

    /// Asks to be woken for the first time.
    pub(crate) fn schedule(&mut self, net: &mut Network<'_>) {
        self.until = Instant::ZERO + self.config.start;
        net.agenda.want(self.source, Some(self.until));
    }

    /// The next step.
    pub(crate) fn on_wake(&mut self, now: Instant, net: &mut Network<'_>) {
        if self.config.stop.is_some_and(|stop| now >= Instant::ZERO + stop) {
            return;
        }
        if now >= self.until {
            self.sending = !self.sending;
            let spread = if self.sending { &self.config.on } else { &self.config.off };
            self.until = now + draw(spread, &mut self.rng);
        }
        let mut next = self.until;
        if self.sending {
            self.sent += 1;
            let octets = ZEROS.get(..usize::from(self.config.packet)).unwrap_or_default();
            let mut packet: Box<Packet> = Packet::blank();
            packet.payload = Bytes::from_static(octets);
            packet.route = self.route;
            // a way over one link: forward is the direction asked for
            packet.direction = self.config.direction;
            net.send(now, packet);
            let nanos = u64::from(self.config.packet) * 8_000_000_000 / self.config.rate.max(1);
            next = next.min(now + Duration::from_nanos(nanos));
        }
        // an empty time would be passed again and again at one moment
        net.agenda.want(self.source, Some(next.max(now + Duration::from_nanos(1))));
    }

    pub(crate) fn outcome(self) -> BackgroundOutcome {
        let Self { config, sent, delivered, .. } = self;
        BackgroundOutcome { name: config.name, sent, delivered }
    }
}
