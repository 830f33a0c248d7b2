//! Links and the ways over them.

use super::agenda::{Agenda, Source};
use super::log::Log;
use super::observer::What;
use super::packet::{NO_TAG, Packet};
use crate::direction::{Direction, PerDirection};
use crate::link::{Lane, LinkConfig};
use crate::middlebox::{Chain, Output};
use mpuser_engine::time::Instant;
use std::collections::VecDeque;

/// Most packets kept for use again.
const POOL: usize = 4096;

/// One link of a way: its lanes, and the boxes before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    /// Number of the link.
    pub(crate) link: u32,
    /// Number of the chain of boxes this way has at this link.
    pub(crate) chain: Option<u32>,
}

/// A way from a client to a server.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The flow it belongs to, and which path of it.
    pub(crate) path: (u32, u32),
    pub(crate) hops: Vec<Hop>,
}

/// A chain of boxes, and where it stands.
#[derive(Debug)]
struct ChainAt {
    chain: Chain,
    source: Source,
    route: u32,
    /// Links before it.
    place: u16,
}

/// A link: one lane a direction.
#[derive(Debug)]
pub(crate) struct LinkAt {
    pub(crate) name: String,
    pub(crate) lanes: PerDirection<Lane<Box<Packet>>>,
    sources: PerDirection<Source>,
    pub(crate) boxes: Vec<String>,
}

/// All links, the ways over them, and what is under way.
pub(crate) struct Network<'a> {
    pub(crate) agenda: Agenda,
    pub(crate) log: Log<'a>,
    pub(crate) links: Vec<LinkAt>,
    routes: Vec<Route>,
    chains: Vec<ChainAt>,
    /// Out of the last link.
    pub(crate) arrived: VecDeque<Box<Packet>>,
    #[expect(clippy::vec_box, reason = "packets move by their address; this keeps the boxes")]
    pool: Vec<Box<Packet>>,
}

impl<'a> Network<'a> {
    pub(crate) fn new(agenda: Agenda, log: Log<'a>) -> Self {
        let (links, routes, chains) = (Vec::new(), Vec::new(), Vec::new());
        Self { agenda, log, links, routes, chains, arrived: VecDeque::new(), pool: Vec::new() }
    }

    /// Adds a link.
    pub(crate) fn add_link(&mut self, name: &str, config: LinkConfig, seed: u64) {
        let LinkConfig { forward, backward, boxes } = config;
        let lane = |config, purpose| {
            let mut lane = Lane::new(config, seed, purpose, Instant::ZERO);
            lane.keep_dropped();
            lane
        };
        let lanes = PerDirection { forward: lane(forward, 1), backward: lane(backward, 2) };
        let sources = PerDirection::from_fn(|_| self.agenda.source());
        self.links.push(LinkAt { name: name.to_owned(), lanes, sources, boxes });
    }

    /// Adds a way over links, by number; boxes it meets are its own. Returns its number.
    pub(crate) fn add_route(
        &mut self,
        path: (u32, u32),
        links: &[u32],
        seed: u64,
    ) -> Result<u32, String> {
        let number = self.routes.len() as u32;
        let mut hops = Vec::with_capacity(links.len());
        for (place, link) in links.iter().copied().enumerate() {
            let boxes = self.links.get(link as usize).map_or(&[][..], |link| &link.boxes);
            let mut chain = None;
            if !boxes.is_empty() {
                chain = Some(self.chains.len() as u32);
                let seed = seed.wrapping_add(place as u64);
                let (made, source) = (Chain::build(boxes, seed)?, self.agenda.source());
                let place = place as u16;
                self.chains.push(ChainAt { chain: made, source, route: number, place });
            }
            hops.push(Hop { link, chain });
        }
        self.routes.push(Route { path, hops });
        Ok(number)
    }

    /// Puts boxes at the beginning of a way, in place of those that are there.
    pub(crate) fn set_boxes(
        &mut self,
        route: u32,
        boxes: &[&str],
        seed: u64,
    ) -> Result<(), String> {
        let made = Chain::build(boxes, seed)?;
        let Some(hop) = self.routes.get_mut(route as usize).and_then(|r| r.hops.first_mut()) else {
            return Ok(());
        };
        match hop.chain.and_then(|chain| self.chains.get_mut(chain as usize)) {
            Some(at) => at.chain = made,
            None => {
                hop.chain = Some(self.chains.len() as u32);
                let source = self.agenda.source();
                self.chains.push(ChainAt { chain: made, source, route, place: 0 });
            }
        }
        Ok(())
    }

    /// The boxes at the beginning of a way.
    pub(crate) fn chain(&self, route: u32) -> Option<&Chain> {
        let hop = self.routes.get(route as usize)?.hops.first()?;
        Some(&self.chains.get(hop.chain? as usize)?.chain)
    }

    /// Packets along a way meet boxes.
    pub(crate) fn has_boxes(&self, route: u32) -> bool {
        let route = self.routes.get(route as usize);
        route.is_some_and(|route| route.hops.iter().any(|hop| hop.chain.is_some()))
    }

    /// The flow and the path a way belongs to.
    pub(crate) fn path_of(&self, route: u32) -> (u32, u32) {
        self.routes.get(route as usize).map_or((u32::MAX, 0), |route| route.path)
    }

    /// A packet to fill.
    pub(crate) fn blank(&mut self) -> Box<Packet> {
        self.pool.pop().unwrap_or_else(Packet::blank)
    }

    /// A packet that is not needed any more.
    pub(crate) fn recycle(&mut self, mut packet: Box<Packet>) {
        if self.pool.len() < POOL {
            packet.headers.clear();
            packet.payload = bytes::Bytes::new();
            packet.tag = NO_TAG;
            self.pool.push(packet);
        }
    }

    /// A packet leaves one end.
    pub(crate) fn send(&mut self, now: Instant, mut packet: Box<Packet>) {
        packet.hop = 0;
        self.log.packet(now, What::Sent, &packet, self.path_of(packet.route));
        self.enter(now, packet);
    }

    /// The hop at which a packet stands, and its place counted from the client; `None` at the end of its way.
    fn hop(&self, packet: &Packet) -> Option<(Hop, u16)> {
        let hops = &self.routes.get(packet.route as usize)?.hops;
        let place = match packet.direction {
            Direction::Forward => packet.hop,
            Direction::Backward => (hops.len() as u16).checked_sub(packet.hop + 1)?,
        };
        Some((*hops.get(usize::from(place))?, place))
    }

    /// A packet comes to the next link of its way.
    fn enter(&mut self, now: Instant, packet: Box<Packet>) {
        let Some((hop, _)) = self.hop(&packet) else {
            self.arrived.push_back(packet);
            return;
        };
        match hop.chain {
            Some(chain) if packet.direction == Direction::Forward => {
                self.through(now, chain, &packet);
            }
            _ => self.push(now, hop.link, packet),
        }
    }

    /// A packet passes boxes.
    fn through(&mut self, now: Instant, chain: u32, packet: &Packet) {
        let Some(at) = self.chains.get_mut(chain as usize) else { return };
        let mut out = Output::default();
        at.chain.on_packet(now, packet.direction, packet.to_bytes(), &mut out);
        self.leave_boxes(now, chain, out);
    }

    /// What boxes send: forward over their link, backward to what comes before it.
    fn leave_boxes(&mut self, now: Instant, chain: u32, out: Output) {
        let Some(at) = self.chains.get(chain as usize) else { return };
        let (source, next) = (at.source, at.chain.next());
        let (route, place) = (at.route, at.place);
        self.agenda.want(source, next);
        let Some(hops) = self.routes.get(route as usize).map(|route| &route.hops) else { return };
        let (count, link) = (hops.len() as u16, hops.get(usize::from(place)).map(|hop| hop.link));
        let like = Packet { route, ..*Packet::blank() };
        for (direction, bytes) in out.packets {
            match (direction, link) {
                (Direction::Forward, Some(link)) => {
                    self.push(now, link, like.whole(bytes, direction, place));
                }
                _ => self.enter(now, like.whole(bytes, direction, count - place)),
            }
        }
    }

    /// A packet enters a lane.
    fn push(&mut self, now: Instant, link: u32, packet: Box<Packet>) {
        let (direction, route, hop) = (packet.direction, packet.route, packet.hop);
        let Some(at) = self.links.get_mut(link as usize) else { return };
        let lane = at.lanes.of_mut(direction);
        let message = lane.push(now, packet);
        let (source, next) = (*at.sources.of(direction), lane.next());
        self.agenda.want(source, next);
        self.bury(now, link, direction);
        if let Some(mut message) = message {
            // back where it came from: over the links crossed already
            let count = self.routes.get(route as usize).map_or(0, |route| route.hops.len() as u16);
            message.direction = direction.reverse();
            message.hop = count - hop;
            self.enter(now, message);
        }
    }

    /// Takes note of what a lane has dropped.
    fn bury(&mut self, now: Instant, link: u32, direction: Direction) {
        while let Some(at) = self.links.get_mut(link as usize)
            && let Some(packet) = at.lanes.of_mut(direction).take_dropped()
        {
            self.log.packet(now, What::Dropped, &packet, self.path_of(packet.route));
            self.recycle(packet);
        }
    }

    /// A lane was woken.
    pub(crate) fn on_lane(&mut self, now: Instant, link: u32, direction: Direction) {
        while let Some(at) = self.links.get_mut(link as usize)
            && let Some(mut packet) = at.lanes.of_mut(direction).poll(now)
        {
            let chain = match direction {
                Direction::Forward => None,
                Direction::Backward => self.hop(&packet).and_then(|(hop, _)| hop.chain),
            };
            if let Some(chain) = chain {
                self.through(now, chain, &packet);
            } else {
                packet.hop += 1;
                self.enter(now, packet);
            }
        }
        self.bury(now, link, direction);
        let Some(at) = self.links.get(link as usize) else { return };
        self.agenda.want(*at.sources.of(direction), at.lanes.of(direction).next());
    }

    /// A chain of boxes was woken.
    pub(crate) fn on_chain(&mut self, now: Instant, chain: u32) {
        let Some(at) = self.chains.get_mut(chain as usize) else { return };
        let mut out = Output::default();
        at.chain.on_timer(now, &mut out);
        self.leave_boxes(now, chain, out);
    }

    /// A link becomes another. Its boxes stay.
    pub(crate) fn change(&mut self, now: Instant, link: u32, config: &LinkConfig) {
        for direction in Direction::BOTH {
            let config = match direction {
                Direction::Forward => &config.forward,
                Direction::Backward => &config.backward,
            };
            let Some(at) = self.links.get_mut(link as usize) else { return };
            at.lanes.of_mut(direction).set(now, config.clone());
            self.on_lane(now, link, direction);
        }
    }

    /// Who stands behind each source that belongs to the network, in the order of sources.
    pub(crate) fn sources(&self) -> Vec<(Source, NetworkPart)> {
        let mut all = Vec::new();
        for (link, at) in self.links.iter().enumerate() {
            for way in Direction::BOTH {
                all.push((*at.sources.of(way), NetworkPart::Lane(link as u32, way)));
            }
        }
        let chains = self.chains.iter().enumerate();
        all.extend(chains.map(|(chain, at)| (at.source, NetworkPart::Chain(chain as u32))));
        all
    }
}

/// A part of the network that is woken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetworkPart {
    /// One direction of a link.
    Lane(u32, Direction),
    /// Boxes.
    Chain(u32),
}
