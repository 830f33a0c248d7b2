//! The network of a run without its flows: paths between two ends that somebody else drives by hand.

use super::agenda::Agenda;
use super::log::Log;
use super::network::{Network, NetworkPart};
use super::packet::Packet;
use crate::direction::Direction;
use crate::link::LinkConfig;
use crate::middlebox::Chain;
use bytes::Bytes;
use mpuser_engine::time::Instant;

/// Paths of one link each between a client and a server, with the queue of what happens when.
///
/// Packets go in by [`Wires::send`] and come out by [`Wires::poll`] once their time has come; [`Wires::next`] says when
/// to look again. Moments handed in must not go backwards. The same seed and the same packets give the same outcome.
pub struct Wires {
    net: Network<'static>,
    /// By path: the way over its link, which has the same number.
    routes: Vec<u32>,
    /// By source.
    parts: Vec<NetworkPart>,
}

impl std::fmt::Debug for Wires {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wires").field("paths", &self.routes.len()).finish_non_exhaustive()
    }
}

impl Wires {
    /// Paths with these links, each drawing from a seed of its own.
    ///
    /// # Errors
    /// A middlebox has an unknown name or argument.
    pub fn new(links: impl IntoIterator<Item = (LinkConfig, u64)>) -> Result<Self, String> {
        let mut net = Network::new(Agenda::default(), Log::new(None));
        let mut routes = Vec::new();
        for (number, (config, seed)) in links.into_iter().enumerate() {
            let number = number as u32;
            net.add_link(&format!("path {number}"), config, seed);
            routes.push(net.add_route((0, number), &[number], seed)?);
        }
        let mut wires = Self { net, routes, parts: Vec::new() };
        wires.name_sources();
        Ok(wires)
    }

    fn name_sources(&mut self) {
        let mut all = self.net.sources();
        all.sort_unstable_by_key(|(source, _)| *source);
        self.parts = all.into_iter().map(|(_, part)| part).collect();
    }

    /// A path becomes another from now on. Packets on their way stay there; its boxes stay, too.
    pub fn change(&mut self, now: Instant, path: usize, config: &LinkConfig) {
        self.net.change(now, path as u32, config);
    }

    /// Puts middleboxes on a path in place of those it had, the first nearest to the client.
    ///
    /// # Errors
    /// A middlebox has an unknown name or argument; nothing has changed then.
    pub fn set_boxes(&mut self, path: usize, boxes: &[&str], seed: u64) -> Result<(), String> {
        let Some(route) = self.routes.get(path) else { return Ok(()) };
        self.net.set_boxes(*route, boxes, seed)?;
        self.name_sources();
        Ok(())
    }

    /// The middleboxes of a path.
    #[must_use]
    pub fn boxes(&self, path: usize) -> Option<&Chain> {
        self.net.chain(*self.routes.get(path)?)
    }

    /// A packet leaves an end: `Forward` the client, `Backward` the server. A path that is not there swallows it.
    pub fn send(&mut self, now: Instant, path: usize, direction: Direction, packet: Bytes) {
        let Some(route) = self.routes.get(path).copied() else { return };
        let like = Packet { route, ..*Packet::blank() };
        self.net.send(now, like.whole(packet, direction, 0));
    }

    /// The next packet that has come out: over which path, which way.
    pub fn poll(&mut self, now: Instant) -> Option<(usize, Direction, Bytes)> {
        loop {
            if let Some(packet) = self.net.arrived.pop_front() {
                let (_, path) = self.net.path_of(packet.route);
                let arrived = (path as usize, packet.direction, packet.to_bytes());
                self.net.log.packet(now, super::What::Arrived, &packet, (0, path));
                self.net.recycle(packet);
                return Some(arrived);
            }
            let (_, source) = self.net.agenda.pop(now)?;
            match self.parts.get(source as usize).copied() {
                Some(NetworkPart::Lane(link, way)) => self.net.on_lane(now, link, way),
                Some(NetworkPart::Chain(chain)) => self.net.on_chain(now, chain),
                None => {}
            }
        }
    }

    /// When to poll next; `None` as long as nothing is sent.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.net.arrived.is_empty() { self.net.agenda.next() } else { Some(Instant::ZERO) }
    }

    /// A digest of everything that was sent, dropped and delivered so far, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        self.net.log.digest()
    }
}
