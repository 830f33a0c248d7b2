//! Random operations on two endpoints over one to three paths: whatever the application and the network do, bytes
//! arrive in order or not at all, waiting applications are woken, and in the end nothing is left.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::Event;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::error::{ReadError, WriteError};
use mpuser_engine::time::Duration;
use mpuser_tests::world::{Path, Side, World, client_address, pattern, server_address};
use proptest::prelude::*;
use std::net::SocketAddr;

/// More steps than this without time passing are an endless loop.
const STEPS_PER_INSTANT: u32 = 10_000;

#[derive(Clone, Debug)]
enum Op {
    Write(Side, usize),
    Read(Side, usize),
    Shutdown(Side),
    Abort(Side),
    Cut(usize),
    Restore(usize),
    Loss(usize, u32),
    AddSubflow(usize),
    RemoveSubflow(Side, usize),
    RemoveAddress(usize),
    Advance(u64),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

fn gentle() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (side(), 1..100_000usize).prop_map(|(s, n)| Op::Write(s, n)),
        4 => (side(), 1..100_000usize).prop_map(|(s, n)| Op::Read(s, n)),
        1 => side().prop_map(Op::Shutdown),
        2 => (0..3usize).prop_map(Op::Cut),
        2 => (0..3usize).prop_map(Op::Restore),
        1 => (0..3usize, 0..300u32).prop_map(|(p, l)| Op::Loss(p, l)),
        2 => (0..3usize).prop_map(Op::AddSubflow),
        6 => (1..1_000u64).prop_map(Op::Advance),
        1 => (1..10_000u64).prop_map(Op::Advance),
    ]
}

/// Closing and silence, before the client has heard the server's first word: what makes one end fall back while the
/// other has not noticed.
fn early() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (side(), 1..20_000usize).prop_map(|(s, n)| Op::Write(s, n)),
        2 => (side(), 1..20_000usize).prop_map(|(s, n)| Op::Read(s, n)),
        4 => side().prop_map(Op::Shutdown),
        3 => Just(Op::Cut(0)),
        2 => Just(Op::Restore(0)),
        1 => (0..500u32).prop_map(|l| Op::Loss(0, l)),
        6 => (1..2_000u64).prop_map(Op::Advance),
    ]
}

/// What may end a connection, too.
fn violent() -> impl Strategy<Value = Op> {
    prop_oneof![
        24 => gentle(),
        1 => side().prop_map(Op::Abort),
        2 => (side(), 0..4usize).prop_map(|(s, n)| Op::RemoveSubflow(s, n)),
        1 => (0..3usize).prop_map(Op::RemoveAddress),
    ]
}

/// One end's application. It acts only when an event has told it to, as one that sleeps would.
struct App {
    side: Side,
    id: ConnectionId,
    outgoing: Vec<u8>,
    written: usize,
    read: usize,
    shut: bool,
    ended: bool,
    failed: bool,
    readable: bool,
    writable: bool,
}

impl App {
    fn new(side: Side, id: ConnectionId, outgoing: Vec<u8>) -> Self {
        let (written, read) = (0, 0);
        let (shut, ended, failed) = (false, false, false);
        Self {
            side,
            id,
            outgoing,
            written,
            read,
            shut,
            ended,
            failed,
            readable: true,
            writable: true,
        }
    }

    fn write(&mut self, world: &mut World, len: usize) {
        let end = (self.written + len).min(self.outgoing.len());
        while self.writable && !self.shut && self.written < end {
            let now = world.now;
            let rest = &self.outgoing[self.written..end];
            match world.endpoint(self.side).write(now, self.id, rest) {
                Ok(taken) => self.written += taken,
                Err(WriteError::WouldBlock) => self.writable = false,
                Err(_) => return,
            }
        }
    }

    /// Reads and compares with what `peer` wrote.
    fn read(&mut self, world: &mut World, len: usize, peer: &Self) {
        let mut left = len;
        while self.readable && !self.ended && !self.failed && left > 0 {
            let now = world.now;
            match world.endpoint(self.side).read_chunk(now, self.id, left) {
                Ok(piece) if piece.is_empty() => {
                    assert!(peer.shut && self.read == peer.written, "the end came too early");
                    self.ended = true;
                }
                Ok(piece) => {
                    let end = self.read + piece.len();
                    assert!(end <= peer.written, "more was read than written");
                    assert!(
                        peer.outgoing[self.read..end] == piece[..],
                        "other bytes at {}",
                        self.read
                    );
                    self.read = end;
                    left -= piece.len();
                }
                Err(ReadError::WouldBlock) => self.readable = false,
                Err(_) => self.failed = true,
            }
        }
    }

    fn shutdown(&mut self, world: &mut World) {
        let now = world.now;
        world.endpoint(self.side).shutdown(now, self.id);
        self.shut = true;
    }
}

struct Run {
    world: World,
    apps: [App; 2],
    seen_events: usize,
    /// Something happened that may end the connection with an error.
    hurt: bool,
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Server)
}

impl Run {
    fn new(seed: u64, paths: usize) -> Self {
        let mut world = World::new(seed, vec![Path::default(); paths]);
        let listener = world.listen(ConnectionConfig::default());
        let client = world.connect(ConnectionConfig::default());
        let accepted = world.accept_within(Duration::from_secs(5), listener);
        let now = world.now;
        world.server.unlisten(now, listener);
        let server = accepted.expect("a clean network");
        let apps = [
            App::new(Side::Client, client, pattern(seed, 4 << 20)),
            App::new(Side::Server, server, pattern(seed + 1, 4 << 20)),
        ];
        Self { world, apps, seen_events: 0, hurt: false }
    }

    fn apply(&mut self, op: &Op) {
        let paths = self.world.paths.len();
        let now = self.world.now;
        match *op {
            Op::Write(side, len) => self.apps[index(side)].write(&mut self.world, len),
            Op::Read(side, len) => self.read(side, len),
            Op::Shutdown(side) => self.apps[index(side)].shutdown(&mut self.world),
            Op::Abort(side) => {
                self.hurt = true;
                let id = self.apps[index(side)].id;
                self.world.endpoint(side).abort(now, id);
            }
            Op::Cut(path) => self.world.paths[path % paths].up = false,
            Op::Restore(path) => self.world.paths[path % paths].up = true,
            Op::Loss(path, loss) => self.world.paths[path % paths].loss = loss,
            Op::AddSubflow(path) => {
                let remote = SocketAddr::new(server_address(0), 80);
                let local = client_address(path % paths);
                let _ = self.world.client.open_subflow(now, self.apps[0].id, local, remote);
            }
            Op::RemoveSubflow(side, nth) => {
                self.hurt = true;
                let id = self.apps[index(side)].id;
                let endpoint = self.world.endpoint(side);
                let Some(info) = endpoint.info(id) else { return };
                let Some(subflow) = info.subflows.get(nth) else { return };
                let _ = endpoint.close_subflow(now, id, subflow.id);
            }
            Op::RemoveAddress(path) => {
                self.hurt = true;
                self.world.client.remove_address(now, client_address(path % paths));
            }
            Op::Advance(ms) => self.advance(Duration::from_millis(ms), |_| false),
        }
        self.look();
    }

    fn read(&mut self, side: Side, len: usize) {
        let [client, server] = &mut self.apps;
        match side {
            Side::Client => client.read(&mut self.world, len, server),
            Side::Server => server.read(&mut self.world, len, client),
        }
    }

    /// Sends what there is (which checks invariants), and wakes the applications.
    fn look(&mut self) {
        self.world.flush();
        for (_, side, _, event) in &self.world.events[self.seen_events..] {
            let app = &mut self.apps[index(*side)];
            app.readable |= matches!(event, Event::Readable | Event::Closed(_));
            app.writable |= matches!(event, Event::Writable | Event::Closed(_));
        }
        self.seen_events = self.world.events.len();
    }

    /// Lets time pass until `done` says so.
    fn advance(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.world.now + limit;
        let mut steps = 0;
        loop {
            self.look();
            if done(self) {
                return;
            }
            if self.world.next_event().is_none_or(|at| at > end) {
                break;
            }
            let before = self.world.now;
            self.world.step();
            steps = if self.world.now == before { steps + 1 } else { 0 };
            assert!(steps < STEPS_PER_INSTANT, "time stands still");
        }
        self.world.now = end;
    }

    /// The faults stop, both ends say their last word and listen to the end.
    fn finish(&mut self) {
        for path in &mut self.world.paths {
            *path = Path::default();
        }
        for side in [Side::Client, Side::Server] {
            self.apps[index(side)].shutdown(&mut self.world);
        }
        let over = |app: &App| app.ended || app.failed;
        // Nobody may be left at the other end; then the DATA_FIN is given up after eight minutes.
        let limit = Duration::from_secs(if self.hurt { 1_000 } else { 300 });
        self.advance(limit, |run| {
            run.read(Side::Client, usize::MAX);
            run.read(Side::Server, usize::MAX);
            run.apps.iter().all(over)
        });
        for (app, peer) in [(0, 1), (1, 0)].map(|(a, b)| (&self.apps[a], &self.apps[b])) {
            let state = self.world.endpoint(app.side).info(app.id);
            // TCP's half-open connection: the peer gave up, its RST got lost, and there is nothing to send.
            let of_peer = self.world.endpoint(peer.side).info(peer.id);
            let half_open = self.hurt && of_peer.is_none_or(|info| info.error.is_some());
            assert!(over(app) || half_open, "{:?} waits for ever: {state:#?}", app.side);
            assert!(self.hurt || !app.failed, "{:?} failed: {state:#?}", app.side);
        }
        for app in &self.apps {
            let now = self.world.now;
            self.world.endpoint(app.side).close(now, app.id);
        }
        self.advance(Duration::from_secs(200), |_| false);
        for app in &self.apps {
            let state = self.world.endpoint(app.side).info(app.id);
            assert!(state.is_none(), "{:?} is never forgotten: {state:#?}", app.side);
        }
        assert_eq!(self.world.next_event(), None, "a timer was left behind");
    }
}

fn run(seed: u64, paths: usize, ops: &[Op]) {
    let mut run = Run::new(seed, paths);
    for op in ops {
        run.apply(op);
    }
    run.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Cuts and losses that end do not end the connection.
    #[test]
    fn faults_are_survived(
        seed: u64,
        paths in 1..=3usize,
        ops in prop::collection::vec(gentle(), 1..40),
    ) {
        run(seed >> 1, paths, &ops);
    }

    /// The same on the only path, with little time and an early end.
    #[test]
    fn an_unnoticed_fallback_is_survived(
        seed: u64,
        ops in prop::collection::vec(early(), 1..16),
    ) {
        run(seed >> 1, 1, &ops);
    }

    /// Subflows, addresses and connections are taken away.
    #[test]
    fn violence_leaves_nothing_behind(
        seed: u64,
        paths in 1..=3usize,
        ops in prop::collection::vec(violent(), 1..40),
    ) {
        run(seed >> 1, paths, &ops);
    }
}
