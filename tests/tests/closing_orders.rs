//! Closing in every order: thousands of random ones in virtual time, every permutation of a small set of events, and
//! many connections that end at the same moment. Nothing may be stuck, and nothing may be left.
//!
//! A failure prints its seed; `MPUSER_CLOSING_SEED=<seed>` runs that one again.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::Event;
use mpuser_engine::addr::{ConnectionId, FourTuple, ListenerId, SocketAddr};
use mpuser_engine::config::{Behaviour, ConnectionConfig, FastCloseForm};
use mpuser_engine::error::ReadError;
use mpuser_engine::rng::Rng;
use mpuser_engine::tcp::Flags;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::tcp::{ChecksumMode, emit};
use mpuser_engine::wire::{IpHeader, OptionBuffer, TcpHeader};
use mpuser_tests::world::{Path, Side, World, client_address, pattern};
use std::collections::BTreeSet;

/// Random orders in all, over four tests that run side by side.
const ORDERS: u64 = 10_000;
/// Nothing may take longer than this after both applications let go: the timeout of closing, TIME-WAIT, and the last
/// RTOs.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug)]
enum Act {
    Write(usize),
    Read,
    Shutdown,
    Release,
    Abort,
    RemoveSubflow(usize),
    RemoveAddress(usize),
    Cut(usize),
    Restore(usize),
}

/// One end's application, and what it has seen.
struct App {
    side: Side,
    id: ConnectionId,
    outgoing: Vec<u8>,
    written: usize,
    incoming: Vec<u8>,
    shut: bool,
    ends: u32,
    released: bool,
}

impl App {
    fn new(side: Side, id: ConnectionId, seed: u64) -> Self {
        let (outgoing, incoming) = (pattern(seed, 20_000), Vec::new());
        let (written, shut, ends, released) = (0, false, 0, false);
        Self { side, id, outgoing, written, incoming, shut, ends, released }
    }

    fn read(&mut self, world: &mut World) {
        let (now, id) = (world.now, self.id);
        while self.ends == 0 && !self.released {
            match world.endpoint(self.side).read_chunk(now, id, usize::MAX) {
                Ok(piece) if piece.is_empty() => self.ends += 1,
                Ok(piece) => self.incoming.extend_from_slice(&piece),
                Err(ReadError::WouldBlock | ReadError::Closed(_) | ReadError::NotFound) => break,
            }
        }
    }

    fn act(&mut self, world: &mut World, act: Act) {
        let (now, id) = (world.now, self.id);
        if self.released && !matches!(act, Act::Cut(_) | Act::Restore(_) | Act::RemoveAddress(_)) {
            return;
        }
        let paths = world.paths.len();
        let endpoint = world.endpoint(self.side);
        match act {
            Act::Write(len) => {
                let end = (self.written + len).min(self.outgoing.len());
                let rest = &self.outgoing[self.written..end];
                self.written += endpoint.write(now, id, rest).unwrap_or(0);
            }
            Act::Read => self.read(world),
            Act::Shutdown => {
                endpoint.shutdown(now, id);
                self.shut = true;
            }
            Act::Release => {
                endpoint.close(now, id);
                (self.shut, self.released) = (true, true);
            }
            Act::Abort => endpoint.abort(now, id),
            Act::RemoveSubflow(nth) => {
                let subflows = endpoint.info(id).map(|info| info.subflows).unwrap_or_default();
                if let Some(subflow) = subflows.get(nth) {
                    let _ = endpoint.close_subflow(now, id, subflow.id);
                }
            }
            Act::RemoveAddress(path) => {
                world.client.remove_address(now, client_address(path % paths));
            }
            Act::Cut(path) => world.paths[path % paths].up = false,
            Act::Restore(path) => world.paths[path % paths].up = true,
        }
    }
}

fn below(rng: &mut Rng, n: u32) -> usize {
    rng.below(n) as usize
}

fn random_path(rng: &mut Rng) -> Path {
    let lossy = rng.below(2) == 0;
    Path {
        delay: Duration::from_millis(1 + u64::from(rng.below(30))),
        rate: 0,
        loss: if lossy { rng.below(200) } else { 0 },
        reorder: if lossy { rng.below(200) } else { 0 },
        duplicate: if lossy { rng.below(50) } else { 0 },
        ..Path::default()
    }
}

fn random_config(rng: &mut Rng) -> ConnectionConfig {
    let fast_close = if rng.below(3) == 0 { FastCloseForm::Reset } else { FastCloseForm::Ack };
    let behaviour = Behaviour { fast_close, ..Behaviour::rfc() };
    let mut config = ConnectionConfig { behaviour, ..Default::default() };
    config.checksum = rng.below(4) == 0;
    config.mptcp = rng.below(20) != 0;
    config
}

fn random_act(rng: &mut Rng) -> Act {
    match rng.below(20) {
        0..=5 => Act::Write(1 + below(rng, 4_000)),
        6..=9 => Act::Read,
        10..=12 => Act::Shutdown,
        13..=14 => Act::Release,
        15 => Act::Abort,
        16 => Act::RemoveSubflow(below(rng, 3)),
        17 => Act::Cut(below(rng, 3)),
        18 => Act::Restore(below(rng, 3)),
        _ => Act::RemoveAddress(below(rng, 8)),
    }
}

/// Opens a connection; the server's end as soon as it is there.
fn open(world: &mut World, rng: &mut Rng) -> (ListenerId, ConnectionId) {
    let listener = world.listen(random_config(rng));
    (listener, world.connect(random_config(rng)))
}

/// Says which seed it was when a test fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("MPUSER_CLOSING_SEED={}", self.0);
        }
    }
}

/// A connection over two or three paths is used and ended at random by both ends, and forgotten by both.
fn random_order(seed: u64) {
    let _told = Told(seed);
    let mut key = [7; 32];
    key[..8].copy_from_slice(&seed.to_be_bytes());
    let rng = &mut Rng::from_seed(key);
    let paths = (0..2 + rng.below(2)).map(|_| random_path(rng)).collect();
    let mut world = World::new(seed, paths);
    let (listener, client) = open(&mut world, rng);
    let mut apps = vec![App::new(Side::Client, client, seed)];
    let acts = 2 + rng.below(14);
    for _ in 0..acts {
        // Some act in the handshake, some at the same moment, most some time later.
        let pause = match rng.below(4) {
            0 => 0,
            1 => rng.below(20),
            _ => rng.below(300),
        };
        advance(&mut world, Duration::from_millis(u64::from(pause)));
        if apps.len() == 1
            && let Some(id) = world.server.accept(listener)
        {
            apps.push(App::new(Side::Server, id, seed ^ 1));
        }
        let act = random_act(rng);
        let who = below(rng, apps.len() as u32);
        apps[who].act(&mut world, act);
    }
    finish(&mut world, listener, apps, rng);
}

fn advance(world: &mut World, time: Duration) {
    let end = world.now + time;
    world.flush();
    while world.next_event().is_some_and(|at| at <= end) {
        world.step();
    }
    world.now = end;
}

/// Both ends let go, in any order and with any pause; then everything has to come to its end.
fn finish(world: &mut World, listener: ListenerId, mut apps: Vec<App>, rng: &mut Rng) {
    if rng.below(2) == 0 {
        apps.reverse();
    }
    for app in &mut apps {
        app.read(world);
        app.act(world, Act::Release);
        let pause = u64::from(rng.below(200));
        advance(world, Duration::from_millis(pause));
    }
    let now = world.now;
    world.server.unlisten(now, listener);
    world.flush();
    let end = world.now + LIMIT;
    while world.next_event().is_some_and(|at| at <= end) {
        world.step();
    }
    check(world, &apps);
}

/// Bytes are a prefix of what was written, the end came once and at the end, and nothing is left.
fn check(world: &World, apps: &[App]) {
    for app in apps {
        let peer = apps.iter().find(|other| other.side != app.side);
        let sent = peer.map_or(&[][..], |peer| &peer.outgoing[..peer.written]);
        assert!(sent.starts_with(&app.incoming), "{:?} read other bytes", app.side);
        assert!(app.ends <= 1);
        let whole = peer.is_some_and(|peer| peer.shut && app.incoming.len() == peer.written);
        assert!(app.ends == 0 || whole, "{:?}: the end came too early", app.side);
    }
    let closed = |side| world.events_of(side).filter(|e| matches!(e, Event::Closed(_))).count();
    assert_eq!(closed(Side::Client), 1, "told once");
    assert_eq!(world.next_event(), None, "a timer was left behind");
    for (endpoint, side) in [(&world.client, Side::Client), (&world.server, Side::Server)] {
        assert_eq!(endpoint.connections().count(), 0, "{side:?} keeps a connection");
        assert!(endpoint.is_quiet());
    }
}

fn orders(part: u64) {
    if let Ok(seed) = std::env::var("MPUSER_CLOSING_SEED") {
        return random_order(seed.parse().expect("a number"));
    }
    for seed in (part..ORDERS).step_by(4) {
        random_order(seed);
    }
}

#[test]
fn random_orders_0() {
    orders(0);
}

#[test]
fn random_orders_1() {
    orders(1);
}

#[test]
fn random_orders_2() {
    orders(2);
}

#[test]
fn random_orders_3() {
    orders(3);
}

/// Two subflows, joined, over clean paths.
fn joined(seed: u64) -> (World, ConnectionId, ConnectionId) {
    let mut world = World::new(seed, vec![Path::default(); 2]);
    let listener = world.listen(ConnectionConfig::default());
    let client = world.connect(ConnectionConfig::default());
    world.run_for(Duration::from_secs(2));
    let server = world.server.accept(listener).expect("a clean network");
    let now = world.now;
    world.server.unlisten(now, listener);
    (world, client, server)
}

/// What X27 of the catalogue permutes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// The client ends the first subflow with a FIN.
    Fin(usize),
    /// The client ends its data.
    DataFin,
    /// The server ends its data: its Data ACK of the other DATA_FIN goes with it.
    PeerDataFin,
    /// The next packets of both ends are lost.
    Loss,
}

fn permutations(steps: &[Step]) -> Vec<Vec<Step>> {
    if steps.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..steps.len() {
        let mut rest = steps.to_vec();
        let first = rest.remove(at);
        for mut order in permutations(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

/// (X27) [FIN-6] [FIN-8] [FIN-9] [FIN-10]: the FINs of both subflows, both DATA_FINs and a loss, in all 120 orders,
/// with three different pauses between them: all data arrives, both ends read the end, nothing is left.
#[test]
fn every_permutation_of_fins_data_fins_and_loss() {
    let steps = [Step::Fin(0), Step::Fin(1), Step::DataFin, Step::PeerDataFin, Step::Loss];
    for (number, order) in permutations(&steps).into_iter().enumerate() {
        for pause in [0, 6, 400] {
            permuted(number as u64, &order, Duration::from_millis(pause));
        }
    }
}

fn permuted(seed: u64, order: &[Step], pause: Duration) {
    let (mut world, client, server) = joined(seed);
    let mut apps = [App::new(Side::Client, client, seed), App::new(Side::Server, server, seed + 1)];
    for app in &mut apps {
        app.act(&mut world, Act::Write(3_000));
    }
    let ids: Vec<_> =
        world.client.info(client).expect("open").subflows.iter().map(|s| s.id).collect();
    assert_eq!(ids.len(), 2);
    let mut lost_until = Instant::ZERO;
    for step in order {
        let now = world.now;
        match step {
            Step::Fin(nth) => {
                let _ = world.client.close_subflow(now, client, ids[*nth]);
            }
            Step::DataFin => apps[0].act(&mut world, Act::Shutdown),
            Step::PeerDataFin => apps[1].act(&mut world, Act::Shutdown),
            Step::Loss => {
                world.paths.iter_mut().for_each(|path| path.up = false);
                lost_until = now + Duration::from_millis(30);
            }
        }
        advance(&mut world, pause);
        if world.now >= lost_until {
            world.paths.iter_mut().for_each(|path| path.up = true);
        }
    }
    advance(&mut world, Duration::from_millis(30));
    world.paths.iter_mut().for_each(|path| path.up = true);
    let done = world.run_until(Duration::from_secs(50), |world| {
        apps.iter_mut().for_each(|app| app.read(world));
        apps.iter().all(|app| app.ends == 1)
    });
    let state = (world.client.info(client), world.server.info(server));
    assert!(done, "{order:?} {pause:?}: {state:#?}");
    assert!(apps[0].incoming.len() == 3_000 && apps[1].incoming.len() == 3_000);
    for app in &mut apps {
        app.act(&mut world, Act::Release);
    }
    world.run_for(LIMIT);
    check(&world, &apps);
}

/// How a whole crowd of connections ends.
#[derive(Clone, Copy, Debug)]
enum Storm {
    /// Everybody says its DATA_FIN.
    Fin,
    /// Everybody ends at once.
    FastClose(FastCloseForm),
    /// The network resets every subflow.
    Reset,
    /// One address after the other goes away.
    Addresses,
}

/// (X04) (X14) (X15) (X21) (X28): FIN, MP_FASTCLOSE and RST for 100 connections at the same moment, from one end, from
/// both, over clean and lossy paths.
#[test]
fn storms_leave_nothing_behind() {
    let storms = [
        Storm::Fin,
        Storm::FastClose(FastCloseForm::Ack),
        Storm::FastClose(FastCloseForm::Reset),
        Storm::Reset,
        Storm::Addresses,
    ];
    for storm in storms {
        for (loss, both) in [(0, false), (0, true), (150, true)] {
            storm_of(storm, loss, both);
        }
    }
}

/// A RST that follows the packet, exactly where the receiver expects the next octet.
fn reset_of(packet: &[u8]) -> Option<(FourTuple, Vec<u8>)> {
    let ip = IpHeader::parse(packet).ok()?;
    let (header, len) = TcpHeader::parse(packet.get(ip.header_len..)?).ok()?;
    let tuple = FourTuple {
        local: SocketAddr::new(ip.src, header.src_port),
        remote: SocketAddr::new(ip.dst, header.dst_port),
    };
    let payload = packet.len() - ip.header_len - len;
    let flags = Flags { rst: true, ..Flags::default() };
    let header = TcpHeader { seq: header.seq + payload as u32, flags, ..header };
    let (mut rst, options) = (Vec::new(), OptionBuffer::new());
    emit(&mut rst, &tuple, &header, &options, &[], ChecksumMode::Full)?;
    Some((tuple, rst))
}

fn storm_of(storm: Storm, loss: u32, both: bool) {
    const CROWD: usize = 100;
    let mut world = World::new(1, vec![Path { rate: 0, ..Path::default() }; 2]);
    let fast_close = if let Storm::FastClose(form) = storm { form } else { FastCloseForm::Ack };
    let behaviour = Behaviour { fast_close, ..Behaviour::rfc() };
    let config = ConnectionConfig { behaviour, ..Default::default() };
    let listener = world.listen(config.clone());
    let clients: Vec<_> = (0..CROWD).map(|_| world.connect(config.clone())).collect();
    world.run_for(Duration::from_secs(3));
    let servers: Vec<_> = std::iter::from_fn(|| world.server.accept(listener)).collect();
    assert_eq!(servers.len(), CROWD);
    for (id, side) in clients.iter().map(|id| (id, Side::Client)) {
        let now = world.now;
        let written = world.endpoint(side).write(now, *id, &[1; 2_000]);
        assert_eq!(written, Ok(2_000), "{storm:?}");
    }
    world.paths.iter_mut().for_each(|path| path.loss = loss);
    let now = world.now;
    world.server.unlisten(now, listener);
    let ends = [(Side::Client, &clients), (Side::Server, &servers)];
    for (side, ids) in ends.into_iter().take(1 + usize::from(both)) {
        for id in ids {
            match storm {
                Storm::Fin => world.endpoint(side).shutdown(now, *id),
                Storm::FastClose(_) => world.endpoint(side).abort(now, *id),
                Storm::Reset | Storm::Addresses => {}
            }
        }
    }
    if let Storm::Reset = storm {
        let mut known = BTreeSet::new();
        world.tamper = Box::new(move |side, _, packet| {
            let forged = (both || side == Side::Client).then(|| reset_of(&packet)).flatten();
            let forged = forged.filter(|(tuple, _)| known.insert(*tuple)).map(|(_, rst)| rst);
            [packet].into_iter().chain(forged).collect()
        });
    }
    if let Storm::Addresses = storm {
        for path in 0..2 {
            let now = world.now;
            world.client.remove_address(now, client_address(path));
            world.run_for(Duration::from_millis(3));
        }
    }
    world.run_for(Duration::from_millis(500));
    for (side, ids) in ends {
        for id in ids {
            let now = world.now;
            world.endpoint(side).close(now, *id);
        }
    }
    world.run_for(LIMIT);
    let left = (world.client.connections().count(), world.server.connections().count());
    assert_eq!(left, (0, 0), "{storm:?} {loss} {both}");
    assert_eq!(world.next_event(), None, "{storm:?} {loss} {both}: a timer was left behind");
}
