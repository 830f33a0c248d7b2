//! How large the buffers get: as large as the paths need, and no larger.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::addr::ConnectionId;
use mpuser_engine::config::{ConnectionConfig, Profile};
use mpuser_engine::time::Duration;
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};

/// 100 Mbit/s, as octets a second.
const RATE: u64 = 12_500_000;
const MIB: usize = 1 << 20;

/// A path of this round-trip time, in milliseconds, whose queue holds what the path does.
fn path(rtt: u64) -> Path {
    let queue = RATE * rtt / 1_000;
    Path { rate: RATE, delay: Duration::from_millis(rtt / 2), queue, ..Path::default() }
}

fn roomy(profile: Profile) -> ConnectionConfig {
    let (send_buffer, receive_buffer) = (32 * MIB, 32 * MIB);
    ConnectionConfig { send_buffer, receive_buffer, ..ConnectionConfig::of(profile) }
}

/// A connection to be written to by the client.
struct Upload {
    world: World,
    client: ConnectionId,
    server: ConnectionId,
    octets: Vec<u8>,
    written: usize,
    read: usize,
}

/// What was seen of it: octets.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// That came in order in the second half of the time.
    read: usize,
    /// Most that waited at the receiver, in order or not.
    held: u64,
}

impl Upload {
    fn new(paths: Vec<Path>, client: ConnectionConfig, server: ConnectionConfig) -> Self {
        let mut world = World::new(5, paths);
        let listener = world.listen(server);
        let client = world.connect(client);
        let server = world.accept_within(Duration::from_secs(5), listener).expect("connected");
        Self { world, client, server, octets: pattern(5, MIB), written: 0, read: 0 }
    }

    /// Writes all the time and reads at most `appetite` octets a millisecond for so long.
    fn run(&mut self, time: Duration, appetite: usize) -> Seen {
        let mut seen = Seen::default();
        let (start, end) = (self.world.now, self.world.now + time);
        let (mut taken, mut half) = (0, None);
        while self.world.now < end {
            let elapsed = self.world.now.saturating_since(start);
            self.write();
            let allowed = appetite.saturating_mul(1 + elapsed.as_millis() as usize);
            taken += self.take(allowed.saturating_sub(taken));
            if elapsed >= time / 2 {
                half.get_or_insert(taken);
            }
            seen.held = seen.held.max(self.held());
            if !self.world.step() {
                break;
            }
        }
        seen.read = taken - half.unwrap_or(taken);
        seen
    }

    fn write(&mut self) {
        let now = self.world.now;
        loop {
            let from = self.written % self.octets.len();
            let endpoint = self.world.endpoint(Side::Client);
            match endpoint.write(now, self.client, &self.octets[from..]) {
                Ok(taken) => self.written += taken,
                Err(_) => break,
            }
        }
    }

    fn take(&mut self, most: usize) -> usize {
        let (now, mut taken) = (self.world.now, 0);
        while taken < most {
            let endpoint = self.world.endpoint(Side::Server);
            let Ok(piece) = endpoint.read_chunk(now, self.server, most - taken) else { break };
            let from = self.read % self.octets.len();
            let same = piece.iter().zip(self.octets[from..].iter().chain(&self.octets));
            assert!(same.into_iter().all(|(one, other)| one == other), "octets differ");
            self.read += piece.len();
            taken += piece.len();
        }
        taken
    }

    fn held(&self) -> u64 {
        let info = self.world.server.info(self.server).expect("not released");
        let stats = self.world.server.receive_stats(self.server).unwrap_or_default();
        info.recv_queue + stats.out_of_order
    }

    /// The receive buffer of the server and the send buffer of the client.
    fn sizes(&self) -> (u64, u64) {
        let server = self.world.server.info(self.server).expect("not released");
        let client = self.world.client.info(self.client).expect("not released");
        (server.receive_buffer, client.send_buffer)
    }
}

/// Three paths of 100 Mbit/s whose round trips differ by ten: the buffers become what RFC 8684 3.3.5 asks for, soon, and
/// what is held never comes to twice that.
#[test]
fn unequal_paths_get_what_they_need() {
    for profile in [Profile::Rfc, Profile::Linux] {
        let config = ConnectionConfig { join_from_local: true, ..roomy(profile) };
        let paths = || vec![path(10), path(40), path(100)];
        let mut upload = Upload::new(paths(), config.clone(), config.clone());
        assert_eq!(upload.sizes(), (128 << 10, 128 << 10));
        // fifteen of the longest round trips, joining included
        upload.run(Duration::from_millis(1_500), usize::MAX);
        let needed = 2 * 3 * RATE / 10;
        let (receive, send) = upload.sizes();
        assert!(
            receive >= needed && send >= needed,
            "{profile:?}: {receive} and {send} of {needed}"
        );
        let seen = upload.run(Duration::from_secs(10), usize::MAX);
        assert!(seen.held < 2 * needed, "{profile:?}: {seen:?}");
        // as much as with buffers that were as large from the beginning
        let fixed = config.with_fixed_buffers(32 * MIB, 32 * MIB);
        let mut other = Upload::new(paths(), fixed.clone(), fixed);
        other.run(Duration::from_millis(1_500), usize::MAX);
        let most = other.run(Duration::from_secs(10), usize::MAX);
        assert!(seen.read * 20 >= most.read * 19, "{profile:?}: {seen:?} beside {most:?}");
    }
}

/// Memory follows the path: on a short one the same connection asks for little.
#[test]
fn a_short_path_needs_little() {
    let config = roomy(Profile::Rfc);
    let mut upload = Upload::new(vec![path(10)], config.clone(), config);
    let seen = upload.run(Duration::from_secs(5), usize::MAX);
    let (receive, send) = upload.sizes();
    // a full queue makes 20 ms of 10
    let holds = 2 * RATE / 100;
    assert!(seen.held <= 2 * holds, "{seen:?}");
    assert!(seen.read as u64 * 10 >= RATE * 5 / 2 * 9, "{seen:?}");
    assert!(receive <= 6 * holds && send <= 6 * holds, "{receive} and {send} for {holds}");
}

/// Nobody gets room for what is not read.
#[test]
fn a_slow_reader_does_not_grow() {
    let config = roomy(Profile::Rfc);
    let mut upload = Upload::new(vec![path(10), path(20)], config.clone(), config);
    let seen = upload.run(Duration::from_secs(10), 100);
    let (receive, _) = upload.sizes();
    assert_eq!(receive, 128 << 10);
    assert!(seen.held <= 128 << 10, "{seen:?}");
    // and once it reads, it has it
    upload.run(Duration::from_secs(3), usize::MAX);
    let (receive, _) = upload.sizes();
    assert!(receive >= 2 * 2 * RATE / 50, "{receive}");
}

/// A connection that rests stays what it is, and so does one with a few octets now and then.
#[test]
fn a_connection_at_rest_does_not_grow() {
    let config = roomy(Profile::Rfc);
    let mut upload = Upload::new(vec![path(10), path(100)], config.clone(), config);
    upload.world.run_for(Duration::from_secs(60));
    for _ in 0..60 {
        let now = upload.world.now;
        let from = upload.written % MIB;
        let piece = upload.octets[from..(from + 1_000).min(MIB)].to_vec();
        let endpoint = upload.world.endpoint(Side::Client);
        upload.written += endpoint.write(now, upload.client, &piece).expect("there is room");
        upload.world.run_for(Duration::from_secs(5));
        upload.take(usize::MAX);
    }
    assert_eq!((upload.read, upload.sizes()), (upload.written, (128 << 10, 128 << 10)));
}

/// `tcp_moderate_rcvbuf` off, and a size that was asked for: neither changes.
#[test]
fn fixed_sizes_stay() {
    let still = ConnectionConfig { moderate_receive_buffer: false, ..roomy(Profile::Rfc) };
    let asked = roomy(Profile::Rfc).with_fixed_buffers(300_000, 200_000);
    for (config, sizes) in [(still, (128 << 10, None)), (asked, (200_000, Some(300_000)))] {
        let mut upload = Upload::new(vec![path(100)], config.clone(), config);
        upload.run(Duration::from_secs(3), usize::MAX);
        let (receive, send) = upload.sizes();
        assert_eq!(receive, sizes.0);
        assert!(sizes.1.is_none_or(|size| size == send), "{send}");
    }
}

/// Plain TCP, a peer that offers no timestamps, and both: the windows open in any case.
#[test]
fn plain_tcp_and_peers_without_timestamps_are_tuned_too() {
    for (mptcp, timestamps) in [(false, true), (true, false), (false, false)] {
        let mut config = ConnectionConfig { mptcp, ..roomy(Profile::Rfc) };
        config.tcp.timestamps = timestamps;
        let mut upload = Upload::new(vec![path(60)], config.clone(), config);
        let seen = upload.run(Duration::from_secs(6), usize::MAX);
        let carried = seen.read as u64;
        assert!(carried * 10 >= RATE * 3 * 9, "{mptcp} {timestamps}: {carried}");
    }
}

/// The window grows beyond what 16 bits say without a scale: it was chosen for the largest buffer there may be.
#[test]
fn whole_transfers_arrive_whatever_the_sizes_are() {
    for (initial, most) in
        [(1_000, 20_000), (10_000, 3 * MIB), (65_535, 65_536), (1 << 17, 32 * MIB)]
    {
        let config = ConnectionConfig {
            send_buffer: most,
            receive_buffer: most,
            initial_send_buffer: initial,
            initial_receive_buffer: initial,
            ..ConnectionConfig::default()
        };
        let lossy = |rtt| Path { loss: 5, reorder: 10, ..path(rtt) };
        let mut world = World::new(9, vec![lossy(10), lossy(80)]);
        let listener = world.listen(config.clone());
        let id = world.connect(config);
        let server = world.accept_within(Duration::from_secs(9), listener).expect("connected");
        let (up, down) = (pattern(1, 6 * MIB), pattern(2, MIB));
        let mut client = Transfer::new(Side::Client, id, up.clone());
        let mut peer = Transfer::new(Side::Server, server, down.clone());
        let done = world.run_until(Duration::from_secs(900), |w| client.pump(w) & peer.pump(w));
        assert!(done && peer.incoming == up && client.incoming == down, "{initial} to {most}");
    }
}
