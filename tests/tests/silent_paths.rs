//! A download in virtual time one of whose paths falls silent: the client leaves it, and comes back to it.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::addr::ConnectionId;
use mpuser_engine::config::{Behaviour, ConnectionConfig};
use mpuser_engine::error::ResetReason;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{Event, SubflowEnd};
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};

/// Octets a second on each path: 100 Mbit/s.
const RATE: u64 = 12_500_000;
const SILENCE: SubflowEnd = SubflowEnd::ResetHere(ResetReason::UnacceptablePerformance);

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A path with this one-way delay.
fn path(delay: u64) -> Path {
    Path { rate: RATE, delay: ms(delay), queue: 256 << 10, ..Path::default() }
}

/// One that waits for the sender's timers.
fn patient() -> ConnectionConfig {
    let behaviour = Behaviour { leave_silent_paths: false, ..Behaviour::rfc() };
    ConnectionConfig { behaviour, ..ConnectionConfig::default() }
}

/// A download from a server that sends as Linux does.
struct Download {
    world: World,
    id: ConnectionId,
    client: Transfer,
    server: Transfer,
    data: Vec<u8>,
    /// The longest time in which nothing came, from [`Self::watch`] on.
    gap: Duration,
    last: (usize, Instant),
}

impl Download {
    fn new(paths: Vec<Path>, config: ConnectionConfig, octets: usize) -> Self {
        let mut world = World::new(11, paths);
        // all is written at once, and the end after it
        let behaviour = Behaviour { join_half_closed: true, ..Behaviour::linux() };
        let listener = world.listen(ConnectionConfig { behaviour, ..ConnectionConfig::default() });
        let id = world.connect(config);
        let server = world.accept_within(Duration::from_secs(5), listener).expect("connected");
        let data = pattern(11, octets);
        Self {
            world,
            id,
            client: Transfer::new(Side::Client, id, Vec::new()),
            server: Transfer::new(Side::Server, server, data.clone()),
            data,
            gap: Duration::ZERO,
            last: (0, Instant::ZERO),
        }
    }

    /// Until so many octets are there; false if they are not after a minute.
    fn until(&mut self, octets: usize) -> bool {
        let Self { world, client, server, gap, last, .. } = self;
        world.run_until(Duration::from_secs(60), |world| {
            client.pump(world);
            server.pump(world);
            let have = client.incoming.len();
            if have > last.0 {
                *gap = (*gap).max(world.now.saturating_since(last.1));
                *last = (have, world.now);
            }
            have >= octets
        })
    }

    /// To the end; every octet is right.
    fn finish(&mut self) {
        assert!(self.until(self.data.len()), "{} came", self.client.incoming.len());
        assert!(self.client.incoming == self.data, "octets changed");
    }

    fn srtt(&self) -> Duration {
        let info = self.world.client.info(self.id).expect("not released");
        info.subflows.iter().map(|s| s.srtt).max().unwrap_or_default()
    }

    /// How often the client left a path for its silence.
    fn left(&self) -> usize {
        let left = |e: &&Event| matches!(e, Event::SubflowClosed { cause: SILENCE, .. });
        self.world.events_of(Side::Client).filter(left).count()
    }

    /// Subflows that carry data now.
    fn alive(&self) -> usize {
        let info = self.world.client.info(self.id).expect("not released");
        info.subflows.iter().filter(|s| s.state == "ESTAB").count()
    }
}

/// A path goes silent with data on it: after three and a half round trips, with full queues, the application goes on. It would
/// have waited for the sender's timer.
#[test]
fn a_silent_path_is_left_after_little_more_than_a_round_trip() {
    for delay in [1, 5, 20, 40] {
        let mut gaps = Vec::new();
        for config in [ConnectionConfig::default(), patient()] {
            let mut download = Download::new(vec![path(delay); 3], config, 16 << 20);
            assert!(download.until(8 << 20));
            download.world.paths[0].up = false;
            (download.gap, download.last.1) = (Duration::ZERO, download.world.now);
            download.finish();
            gaps.push((download.gap, download.left()));
        }
        eprintln!("delay {delay}: {gaps:?}");
        let rtt = ms(2 * delay) + ms(256 * 1_024 * 1_000 / RATE);
        let bound = rtt * 7 / 2 + ms(30);
        assert!(gaps[0].0 <= bound && gaps[0].1 == 1, "{delay}: {gaps:?}, bound {bound:?}");
        assert!(gaps[1].0 > gaps[0].0 && gaps[1].1 == 0, "{delay}: {gaps:?}");
    }
}

/// The path is asked again, and carries data again once it can: TCP's SYNs come after 1, 3 and 7 seconds.
#[test]
fn a_path_that_comes_back_is_joined_again() {
    let mut download = Download::new(vec![path(5); 3], ConnectionConfig::default(), 200 << 20);
    assert!(download.until(4 << 20));
    download.world.paths[1].up = false;
    assert!(download.until(16 << 20));
    assert_eq!((download.left(), download.alive()), (1, 2));
    download.world.paths[1].up = true;
    let before = download.world.packets[&(Side::Server, 1)];
    assert!(download.until(150 << 20));
    assert_eq!((download.left(), download.alive()), (1, 3));
    let after = download.world.packets[&(Side::Server, 1)];
    assert!(after - before > 1_000, "{before} packets, then {after}");
    download.finish();
}

/// A path that holds its breath now and then is left a few times; each time it takes longer, and then it is kept.
#[test]
fn patience_grows_with_a_path_that_lives_on() {
    let mut download = Download::new(vec![path(5); 3], ConnectionConfig::default(), 400 << 20);
    for pause in 1..20 {
        assert!(download.until(pause * (16 << 20)));
        download.world.paths[2].up = false;
        let end = download.world.now + ms(60);
        while download.world.now < end {
            let have = download.client.incoming.len();
            assert!(download.until(have + 1));
        }
        download.world.paths[2].up = true;
    }
    assert_eq!(download.alive(), 3);
    assert!((1..=4).contains(&download.left()), "left {} times", download.left());
    download.finish();
}

/// Nothing is silent here, however unlike the paths are: none is left. Where packets are lost, a path may be silent for a
/// retransmission timeout, and to leave it costs no time.
#[test]
fn paths_that_are_only_slow_are_kept() {
    let delays: [&[u64]; 5] = [&[5, 5, 5], &[5, 20, 50], &[1, 100], &[2, 10, 150], &[50, 1]];
    for delays in delays {
        let paths: Vec<Path> = delays.iter().map(|delay| path(*delay)).collect();
        let mut download = Download::new(paths, ConnectionConfig::default(), 64 << 20);
        download.finish();
        assert_eq!(download.left(), 0, "{delays:?}, srtt {:?}", download.srtt());
    }
    for loss in [2, 10, 30] {
        let time = |config| {
            let lossy = Path { loss, ..path(20) };
            let mut download = Download::new(vec![path(5), path(10), lossy], config, 64 << 20);
            download.finish();
            (download.world.now.saturating_since(Instant::ZERO), download.left())
        };
        let (leaving, waiting) = (time(ConnectionConfig::default()), time(patient()));
        eprintln!("loss {loss}: {leaving:?}, waiting {waiting:?}");
        assert!(leaving.0 <= waiting.0 * 21 / 20, "{loss}: {leaving:?}, waiting {waiting:?}");
    }
}

/// One path after the other dies: the last one is kept whatever happens.
#[test]
fn the_last_path_is_kept() {
    let mut download = Download::new(vec![path(5); 3], ConnectionConfig::default(), 64 << 20);
    for dead in [0, 2] {
        let have = download.client.incoming.len();
        assert!(download.until(have + (8 << 20)));
        download.world.paths[dead].up = false;
    }
    let have = download.client.incoming.len();
    assert!(download.until(have + (8 << 20)));
    assert_eq!((download.left(), download.alive()), (2, 1));
    download.world.paths[1].up = false;
    let (server, client) = (&mut download.server, &mut download.client);
    download.world.run_until(Duration::from_secs(2), |world| {
        client.pump(world);
        server.pump(world);
        false
    });
    assert_eq!((download.left(), download.alive()), (2, 1));
    download.world.paths[1].up = true;
    download.finish();
}
