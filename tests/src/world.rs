//! Two endpoints driven by hand, and the simulator's network between them, in virtual time, from one seed.
//!
//! A path is known by the client's address on it, as in the lab: whatever travels between that address and any
//! address of the server takes that path.

use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, ListenerId, SocketAddr, SubflowId};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, EndpointFlags};
use mpuser_engine::error::{ReadError, WriteError};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{Endpoint, Event, LocalAddress, PmEndpoint};
use mpuser_sim::link::{LaneConfig, Loss, QueueLimit};
use mpuser_sim::world::Wires;
use mpuser_sim::{Direction, LinkConfig};
use mpuser_tun::device::segments;
use std::collections::BTreeMap;

/// One direction-independent description of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// One-way delay.
    pub delay: Duration,
    /// Bytes per second in each direction; 0 is unlimited.
    pub rate: u64,
    /// Bytes that may wait for the link; more is dropped.
    pub queue: u64,
    /// Loss probability in 1/1000.
    pub loss: u32,
    /// Probability in 1/1000 that a packet is overtaken by up to four later ones.
    pub reorder: u32,
    /// Probability in 1/1000 that a packet arrives twice.
    pub duplicate: u32,
    /// Packets pass.
    pub up: bool,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            rate: 12_500_000,
            queue: 256 << 10,
            loss: 0,
            reorder: 0,
            duplicate: 0,
            up: true,
        }
    }
}

impl From<Path> for LinkConfig {
    fn from(path: Path) -> Self {
        let (forward, backward) = (path.lane(), path.lane());
        Self { forward, backward, boxes: Vec::new() }
    }
}

impl Path {
    fn lane(&self) -> LaneConfig {
        let chance = |thousandths: u32| f64::from(thousandths) / 1000.0;
        LaneConfig {
            rate: (self.rate > 0).then_some(self.rate * 8),
            delay: self.delay,
            loss: if self.loss > 0 { Loss::Bernoulli(chance(self.loss)) } else { Loss::None },
            reorder: chance(self.reorder),
            duplicate: chance(self.duplicate),
            queue: QueueLimit::Bytes(self.queue),
            up: self.up,
            ..LaneConfig::default()
        }
    }
}

/// Which end.
#[derive(Hash, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Opens connections.
    Client,
    /// Listens.
    Server,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The way packets of this end go.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::Client => Direction::Forward,
            Self::Server => Direction::Backward,
        }
    }

    /// The end packets of this direction come from.
    #[must_use]
    pub const fn sender(direction: Direction) -> Self {
        match direction {
            Direction::Forward => Self::Client,
            Direction::Backward => Self::Server,
        }
    }

    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A packet at one of the ends.
#[derive(Clone, Copy, Debug)]
pub struct AtEnd<'a> {
    /// The end.
    pub side: Side,
    /// The path it takes or took.
    pub path: usize,
    /// The connection and subflow that sent it, if this end did and it belongs to one.
    pub owner: Option<(ConnectionId, SubflowId)>,
    /// All of it.
    pub bytes: &'a [u8],
}

/// Sees everything that happens at the ends.
pub trait Watch {
    /// An end sends a packet.
    fn sent(&mut self, _now: Instant, _packet: AtEnd<'_>) {}
    /// A packet is about to be given to an end.
    fn arrives(&mut self, _now: Instant, _packet: AtEnd<'_>) {}
}

/// Nobody looks.
impl Watch for () {}

/// Sees a packet before the network does (who sent it, on which path) and says what becomes of it.
pub type Tamper = Box<dyn FnMut(Side, usize, Vec<u8>) -> Vec<Vec<u8>>>;

/// Everything, at one moment.
pub struct World {
    /// Now.
    pub now: Instant,
    /// The client's endpoint.
    pub client: Endpoint,
    /// The server's endpoint.
    pub server: Endpoint,
    /// The paths, by client address.
    pub paths: Vec<Path>,
    /// Events seen so far, with their time.
    pub events: Vec<(Instant, Side, ConnectionId, Event)>,
    /// Every packet that was put on the wire passes here first; what it returns goes on.
    pub tamper: Tamper,
    /// Packets sent by each side on each path.
    pub packets: BTreeMap<(Side, usize), u64>,
    /// Super-segments the devices have cut.
    pub cut: u64,
    /// What of `paths` the links know.
    applied: Vec<Path>,
    seed: u64,
    wires: Wires,
    headers: Vec<u8>,
}

/// The client's address on path `index`.
#[must_use]
pub fn client_address(index: usize) -> IpAddr {
    IpAddr::from([10, 1, index as u8, 1])
}

/// The server's address number `index`.
#[must_use]
pub fn server_address(index: usize) -> IpAddr {
    IpAddr::from([10, 2, index as u8, 1])
}

/// The client's IPv6 address on path `index`.
#[must_use]
pub fn client_address6(index: usize) -> IpAddr {
    IpAddr::from([0xfd01, 0, 0, index as u16, 0, 0, 0, 1])
}

/// The server's IPv6 address number `index`.
#[must_use]
pub fn server_address6(index: usize) -> IpAddr {
    IpAddr::from([0xfd02, 0, 0, index as u16, 0, 0, 0, 1])
}

impl World {
    /// Ends with exactly these addresses: one of the client's for each path, made by [`client_address`] or
    /// [`client_address6`] of its number, and any number of the server's.
    #[must_use]
    pub fn with_addresses(
        seed: u64,
        paths: Vec<Path>,
        client: &[IpAddr],
        server: &[IpAddr],
    ) -> Self {
        let mut world = Self::new(seed, paths);
        world.client = Endpoint::new(EndpointConfig::default(), seed_bytes(seed, 1));
        world.server = Endpoint::new(EndpointConfig::default(), seed_bytes(seed, 2));
        for (index, address) in client.iter().enumerate() {
            world.client.add_address(Instant::ZERO, local(*address, index));
        }
        for address in server {
            world.server.add_address(Instant::ZERO, local(*address, 0));
        }
        world
    }

    /// A client with one address on each of `paths`, a server with one address.
    #[must_use]
    pub fn new(seed: u64, paths: Vec<Path>) -> Self {
        let links = paths.iter().map(|path| LinkConfig::from(*path)).collect();
        let mut world = Self::bare(seed, links, EndpointConfig::default());
        for index in 0..paths.len() {
            world.client.add_address(Instant::ZERO, local(client_address(index), index));
        }
        world.server.add_address(Instant::ZERO, local(server_address(0), 0));
        world.applied.clone_from(&paths);
        world.paths = paths;
        world
    }

    /// Two ends without addresses, and links between them; `paths` stays empty.
    #[must_use]
    pub fn bare(seed: u64, links: Vec<LinkConfig>, config: EndpointConfig) -> Self {
        let seeded = |(index, link)| (link, link_seed(seed, index));
        let wires = Wires::new(links.into_iter().enumerate().map(seeded));
        Self {
            now: Instant::ZERO,
            client: Endpoint::new(config.clone(), seed_bytes(seed, 1)),
            server: Endpoint::new(config, seed_bytes(seed, 2)),
            paths: Vec::new(),
            events: Vec::new(),
            tamper: Box::new(|_, _, packet| vec![packet]),
            packets: BTreeMap::new(),
            applied: Vec::new(),
            seed,
            wires: wires.unwrap_or_else(|error| panic!("{error}")),
            headers: Vec::new(),
            cut: 0,
        }
    }

    /// From now on the devices cut super-segments with up to so many octets of payload.
    pub fn super_segments(&mut self, max_payload: u32) {
        let now = self.now;
        for endpoint in [&mut self.client, &mut self.server] {
            for known in endpoint.addresses().to_vec() {
                endpoint.add_address(now, LocalAddress { max_payload, ..known });
            }
        }
    }

    /// Listens on port 80 of all server addresses.
    pub fn listen(&mut self, config: ConnectionConfig) -> ListenerId {
        let any = SocketAddr::from(([0, 0, 0, 0], 80));
        self.server.listen(config, any, 128).expect("nothing else listens")
    }

    /// The next connection to be accepted, if one is within `limit` of virtual time.
    pub fn accept_within(&mut self, limit: Duration, listener: ListenerId) -> Option<ConnectionId> {
        let mut accepted = None;
        self.run_until(limit, |world| {
            accepted = world.server.accept(listener);
            accepted.is_some()
        });
        accepted
    }

    /// Connects to port 80 of this address.
    pub fn connect_to(&mut self, config: ConnectionConfig, remote: IpAddr) -> ConnectionId {
        let remote = SocketAddr::new(remote, 80);
        self.client.connect(self.now, config, None, remote).expect("an address of that family")
    }

    /// Gives the server another address, which it announces; every path leads to it.
    pub fn add_server_address(&mut self, index: usize) {
        let (now, address) = (self.now, server_address(index));
        self.server.add_address(now, local(address, index));
        let flags = EndpointFlags { signal: true, ..EndpointFlags::default() };
        let endpoint = PmEndpoint { address, id: None, port: None, flags };
        self.server.add_endpoint(now, endpoint).expect("a new endpoint");
    }

    /// Connects to port 80 of the server's first address.
    pub fn connect(&mut self, config: ConnectionConfig) -> ConnectionId {
        let remote = SocketAddr::new(server_address(0), 80);
        self.client.connect(self.now, config, None, remote).expect("the client has an address")
    }

    /// The endpoint of a side.
    pub fn endpoint(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Sends what both ends have, and notes their events.
    pub fn flush(&mut self) {
        self.flush_watched(&mut ());
    }

    /// [`Self::flush`] while somebody looks on.
    pub fn flush_watched(&mut self, watch: &mut dyn Watch) {
        self.apply_paths();
        for side in Side::BOTH {
            let (now, mut headers) = (self.now, std::mem::take(&mut self.headers));
            while let Some(transmit) = self.endpoint(side).poll_transmit(now, &mut headers) {
                let (path, owner) = (path_of(&headers, side), transmit.subflow);
                // What is cut is cut by the device.
                self.cut += u64::from(transmit.segment_size.is_some());
                let on_the_wire = |headers: &[u8], payload: &[u8]| {
                    let packet = [headers, payload].concat();
                    watch.sent(now, AtEnd { side, path, owner, bytes: &packet });
                    for packet in (self.tamper)(side, path, packet) {
                        *self.packets.entry((side, path)).or_default() += 1;
                        self.wires.send(now, path, side.direction(), Bytes::from(packet));
                    }
                    Ok(())
                };
                segments(&headers, &transmit.payload, transmit.segment_size, on_the_wire)
                    .unwrap_or_else(|error| panic!("{error}"));
            }
            self.headers = headers;
            while let Some((id, event)) = self.endpoint(side).poll_event() {
                self.events.push((now, side, id, event));
            }
            self.endpoint(side).check_invariants().expect("an invariant is violated");
        }
    }

    /// The links become what `paths` says.
    fn apply_paths(&mut self) {
        if self.paths == self.applied {
            return;
        }
        for (index, path) in self.paths.iter().enumerate() {
            if self.applied.get(index) != Some(path) {
                self.wires.change(self.now, index, &LinkConfig::from(*path));
            }
        }
        self.applied.clone_from(&self.paths);
    }

    /// Puts middleboxes on a path, the first nearest to the client.
    pub fn set_boxes(&mut self, index: usize, boxes: &[&str]) {
        let made = self.wires.set_boxes(index, boxes, link_seed(self.seed, index));
        made.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The links between the ends.
    pub const fn wires(&mut self) -> &mut Wires {
        &mut self.wires
    }

    /// Packets each middlebox of a path has acted upon.
    #[must_use]
    pub fn acted(&self, index: usize) -> Vec<u64> {
        let boxes = self.wires.boxes(index);
        boxes.map_or_else(Vec::new, |boxes| boxes.acted().map(|(_, acted)| acted).collect())
    }

    /// Gives an end a packet the other end did not send.
    pub fn inject(&mut self, to: Side, path: usize, packet: Vec<u8>) {
        let now = self.now;
        self.endpoint(to).handle_packet(now, InterfaceId(path as u16), Bytes::from(packet));
    }

    /// The next moment at which something happens.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let timers = Instant::earliest(self.client.poll_timeout(), self.server.poll_timeout());
        Instant::earliest(self.wires.next(), timers)
    }

    /// Jumps to the next moment at which something happens; false when nothing will ever happen again.
    pub fn step(&mut self) -> bool {
        self.step_watched(&mut ())
    }

    /// [`Self::step`] while somebody looks on.
    pub fn step_watched(&mut self, watch: &mut dyn Watch) -> bool {
        self.flush_watched(watch);
        let Some(next) = self.next_event() else { return false };
        self.now = self.now.max(next);
        let now = self.now;
        while let Some((path, direction, packet)) = self.wires.poll(now) {
            let to = Side::sender(direction).peer();
            watch.arrives(now, AtEnd { side: to, path, owner: None, bytes: &packet });
            self.endpoint(to).handle_packet(now, InterfaceId(path as u16), packet);
        }
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
        self.flush_watched(watch);
        true
    }

    /// Steps until `done` says so; false when `limit` of virtual time passed first.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.flush();
            if done(self) {
                return true;
            }
            if self.now >= end || !self.step() {
                return done(self);
            }
        }
    }

    /// Steps until `limit` of virtual time has passed.
    pub fn run_for(&mut self, limit: Duration) {
        let end = self.now + limit;
        self.flush();
        while self.next_event().is_some_and(|at| at <= end) && self.step() {}
        self.now = end;
    }

    /// Events of one side, without their times.
    pub fn events_of(&self, side: Side) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |e| e.1 == side).map(|e| &e.3)
    }
}

fn link_seed(seed: u64, index: usize) -> u64 {
    seed.wrapping_mul(1_000).wrapping_add(index as u64)
}

/// An address of an end on path `index`.
#[must_use]
pub const fn local(address: IpAddr, index: usize) -> LocalAddress {
    LocalAddress {
        address,
        interface: InterfaceId(index as u16),
        mtu: 1500,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    }
}

/// The path a packet takes: the third octet of the client's address, or of an IPv6 address the eighth.
fn path_of(packet: &[u8], from: Side) -> usize {
    let at = match (packet[0] >> 4, from) {
        (4, Side::Client) => 14,
        (4, Side::Server) => 18,
        (_, Side::Client) => 15,
        (_, Side::Server) => 31,
    };
    usize::from(packet[at])
}

fn seed_bytes(seed: u64, purpose: u8) -> [u8; 32] {
    let mut bytes = [purpose; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes
}

/// `len` octets anybody can make again from `seed`.
#[must_use]
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::from_seed(seed_bytes(seed, 9));
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&rng.next_u64().to_be_bytes());
    }
    out.truncate(len);
    out
}

/// One side's half of a transfer: writes `outgoing`, reads until the end, closes when done.
pub struct Transfer {
    side: Side,
    id: ConnectionId,
    outgoing: Vec<u8>,
    written: usize,
    shut: bool,
    /// What has been read.
    pub incoming: Vec<u8>,
    /// The peer's end has been read.
    pub ended: bool,
    /// The error that ended it.
    pub error: Option<ReadError>,
}

impl Transfer {
    /// A transfer over connection `id`.
    #[must_use]
    pub fn new(side: Side, id: ConnectionId, outgoing: Vec<u8>) -> Self {
        let (incoming, ended, error) = (Vec::new(), false, None);
        Self { side, id, outgoing, written: 0, shut: false, incoming, ended, error }
    }

    /// Does what can be done now; true when both directions are done.
    pub fn pump(&mut self, world: &mut World) -> bool {
        let now = world.now;
        let (id, endpoint) = (self.id, world.endpoint(self.side));
        while let Some(rest) = self.outgoing.get(self.written..).filter(|r| !r.is_empty()) {
            match endpoint.write(now, id, rest) {
                Ok(taken) => self.written += taken,
                Err(WriteError::WouldBlock) => break,
                // Nobody will take the rest.
                Err(_) => self.written = self.outgoing.len(),
            }
        }
        if self.written == self.outgoing.len() && !self.shut {
            endpoint.shutdown(now, id);
            self.shut = true;
        }
        while !self.ended && self.error.is_none() {
            match endpoint.read_chunk(now, id, usize::MAX) {
                Ok(piece) if piece.is_empty() => self.ended = true,
                Ok(piece) => self.incoming.extend_from_slice(&piece),
                Err(ReadError::WouldBlock) => break,
                Err(error) => self.error = Some(error),
            }
        }
        self.shut && (self.ended || self.error.is_some())
    }
}
