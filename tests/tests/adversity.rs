//! Two endpoints, and what can go wrong between and inside them: readers that are slow, middleboxes that take
//! options out, paths that end while the connection does.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use mpuser_engine::Event;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::config::{ConnectionConfig, SchedulerSpec};
use mpuser_engine::error::ReadError;
use mpuser_engine::time::Duration;
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};

fn open(world: &mut World, config: &ConnectionConfig) -> (ConnectionId, ConnectionId) {
    let listener = world.listen(config.clone());
    let client = world.connect(config.clone());
    (client, world.accept_within(Duration::from_secs(60), listener).expect("never accepted"))
}

/// Closes both ends and waits until nothing is left of the connection, timers included.
fn vanish(world: &mut World, ids: (ConnectionId, ConnectionId), limit: Duration) {
    let now = world.now;
    world.client.close(now, ids.0);
    world.server.close(now, ids.1);
    world.run_for(limit);
    let left = (world.client.info(ids.0), world.server.info(ids.1));
    assert!(left.0.is_none() && left.1.is_none(), "{left:#?}");
    assert_eq!(world.next_event(), None, "a timer was left behind");
}

/// Replaces every MPTCP option of an IPv4 TCP packet by NOPs and mends the checksum.
fn strip(mut packet: Vec<u8>) -> Vec<u8> {
    let end = 20 + usize::from(packet[32] >> 4) * 4;
    let mut at = 40;
    while at < end {
        let len = match packet[at] {
            0 => break,
            1 => 1,
            kind => {
                let len = usize::from(packet[at + 1]);
                if kind == 30 {
                    packet[at..at + len].fill(1);
                }
                len
            }
        };
        at += len;
    }
    packet[36..38].fill(0);
    let length = (packet.len() - 20) as u32;
    let pseudo = [&packet[12..20], &[0, 6], &length.to_be_bytes()[2..]].concat();
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum()
    };
    let mut sum = words(&pseudo) + words(&packet[20..]);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[36..38].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    packet
}

/// [RCV-1] [RCV-2]: a reader far slower than the paths. What is sent fits what was promised: nothing is dropped,
/// and the window opens again every time.
#[test]
fn a_slow_reader_loses_nothing() {
    for (seed, buffer) in [(1, 20_000), (2, 100_000), (3, 300_000), (4, 1_200)] {
        let mut world = World::new(seed, vec![Path::default(); 3]);
        let config = ConnectionConfig {
            receive_buffer: buffer,
            scheduler: SchedulerSpec::parse(if seed % 2 == 0 { "rr" } else { "minrtt" })
                .expect("a scheduler"),
            ..ConnectionConfig::default()
        };
        let (client, server) = open(&mut world, &config);
        let data = pattern(seed, 10 * buffer);
        let mut sender = Transfer::new(Side::Client, client, data.clone());
        let (mut got, mut pauses) = (Vec::new(), 0);
        while got.len() < data.len() {
            sender.pump(&mut world);
            world.run_for(Duration::from_millis(30));
            let mut buf = vec![0; buffer / 3];
            match world.server.read(world.now, server, &mut buf) {
                Ok(len) => got.extend_from_slice(&buf[..len]),
                Err(ReadError::WouldBlock) => pauses += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(pauses < 2_000, "{buffer}: stuck at {}", got.len());
        }
        assert!(got == data);
        assert_eq!(world.server.counters().no_dss_in_window, 0, "{buffer}");
    }
}

/// [FB-1] [FB-2] [INI-33] [INI-35] [FB-6]: options taken out from the n-th packet of a direction on. Until a join
/// there is always plain TCP to go on with; the data arrives whole.
#[test]
fn a_middlebox_that_strips_options_does_no_harm_to_the_data() {
    for from in [Side::Client, Side::Server] {
        for first in 0..6 {
            let mut world = World::new(first, vec![Path::default()]);
            let mut count = 0;
            world.tamper = Box::new(move |side, _, packet| {
                count += u64::from(side == from);
                if side == from && count > first { vec![strip(packet)] } else { vec![packet] }
            });
            let config =
                ConnectionConfig { close_timeout: Duration::from_secs(2), ..Default::default() };
            let (client, server) = open(&mut world, &config);
            let (up, down) = (pattern(1, 3_000), pattern(2, 50_000));
            let mut a = Transfer::new(Side::Client, client, up.clone());
            let mut b = Transfer::new(Side::Server, server, down.clone());
            let done = world.run_until(Duration::from_secs(300), |w| a.pump(w) & b.pump(w));
            assert!(done, "{from:?} from {first}: {:#?}", world.client.info(client));
            for (name, t, whole) in [("down", &a, &down), ("up", &b, &up)] {
                assert!(
                    whole.starts_with(&t.incoming),
                    "{from:?} from {first}: {name} was damaged"
                );
                assert!(
                    t.error.is_some() || t.incoming.len() == whole.len(),
                    "{from:?} from {first}: {name} ended early without an error"
                );
            }
            // The handshake's packets: SYN and third ACK of the client, SYN/ACK of the server.
            let handshake = if from == Side::Client { first < 2 } else { first < 1 };
            if handshake {
                assert_eq!((a.error, b.error), (None, None), "{from:?} from {first}");
                assert!(!world.client.info(client).expect("kept").mptcp);
            }
        }
    }
}

/// The shortest connections, under loss: handshake, DATA_FINs, FINs. Every one ends in order.
#[test]
fn empty_connections_end_in_order_under_loss() {
    let mut fallen = 0;
    for seed in 0..150 {
        let path = Path { loss: 150, reorder: 100, duplicate: 50, ..Path::default() };
        let mut world = World::new(seed, vec![path; 2]);
        let config =
            ConnectionConfig { syn_retrans_before_tcp_fallback: 9, ..ConnectionConfig::default() };
        let listener = world.listen(config.clone());
        let client = world.connect(config);
        let now = world.now;
        world.client.shutdown(now, client);
        let accepted = world.accept_within(Duration::from_secs(60), listener);
        let server = accepted.expect("accepted");
        let (mut a, mut b) = (
            Transfer::new(Side::Client, client, Vec::new()),
            Transfer::new(Side::Server, server, pattern(seed, 10)),
        );
        let done = world.run_until(Duration::from_secs(120), |w| a.pump(w) & b.pump(w));
        assert!(
            done && a.error.is_none() && b.error.is_none(),
            "seed {seed}: {:?} {:?}",
            a.error,
            b.error
        );
        assert_eq!(a.incoming, pattern(seed, 10), "seed {seed}");
        let (c, s) = (world.client.info(client), world.server.info(server));
        let (c, s) = (c.expect("kept"), s.expect("kept"));
        assert_eq!(c.mptcp, s.mptcp, "seed {seed}: {:?} {:?}", c.fallback, s.fallback);
        fallen += u32::from(!c.mptcp);
        vanish(&mut world, (client, server), Duration::from_secs(400));
        for side in [Side::Client, Side::Server] {
            let closed = world.events_of(side).filter(|e| matches!(e, Event::Closed(_))).count();
            assert!(closed <= 1, "seed {seed} {side:?}");
        }
    }
    assert!(fallen < 8, "{fallen}: the keys should nearly always arrive before the DATA_FIN (K5)");
}

/// All paths but one are cut, then the connection closes: it ends by the one that is left, and nothing stays.
#[test]
fn a_connection_closes_over_the_path_that_is_left() {
    for left in 0..3 {
        let mut world = World::new(left as u64, vec![Path::default(); 3]);
        let (client, server) = open(&mut world, &ConnectionConfig::default());
        let data = pattern(1, 200_000);
        let mut a = Transfer::new(Side::Client, client, data.clone());
        let mut b = Transfer::new(Side::Server, server, data.clone());
        world.run_for(Duration::from_millis(400));
        for index in (0..3).filter(|index| *index != left) {
            world.paths[index].up = false;
        }
        assert!(world.run_until(Duration::from_secs(60), |w| a.pump(w) & b.pump(w)));
        assert!(a.incoming == data && b.incoming == data);
        let end = world.now;
        let closed = |w: &World, side| w.events_of(side).any(|e| *e == Event::Closed(None));
        let done = world.run_until(Duration::from_secs(60), |w| {
            closed(w, Side::Client) && closed(w, Side::Server)
        });
        assert!(done, "{left}");
        assert!(world.now.saturating_since(end) < Duration::from_secs(2));
        vanish(&mut world, (client, server), Duration::from_secs(200));
    }
}

/// One end vanishes: the other gives up, and forgets.
#[test]
fn a_vanished_peer_is_given_up() {
    let mut world = World::new(5, vec![Path::default(); 2]);
    let (client, server) = open(&mut world, &ConnectionConfig::default());
    world.run_for(Duration::from_secs(1));
    for path in &mut world.paths {
        path.up = false;
    }
    vanish(&mut world, (client, server), Duration::from_secs(300));
}

/// Short numbers and checksums together, under loss.
#[test]
fn short_numbers_and_checksums_under_loss() {
    for seed in 0..10 {
        let path = Path { loss: 20, reorder: 50, ..Path::default() };
        let mut world = World::new(seed, vec![path; 2]);
        let config = ConnectionConfig {
            short_data_seq: true,
            checksum: true,
            ..ConnectionConfig::default()
        };
        let (client, server) = open(&mut world, &config);
        let data = pattern(seed, 300_000);
        let mut a = Transfer::new(Side::Client, client, data.clone());
        let mut b = Transfer::new(Side::Server, server, data.clone());
        assert!(
            world.run_until(Duration::from_secs(120), |w| a.pump(w) & b.pump(w)),
            "seed {seed}"
        );
        assert!(a.incoming == data && b.incoming == data, "seed {seed}");
        assert_eq!(world.client.counters().data_csum_err, 0);
    }
}
