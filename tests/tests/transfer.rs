//! Whole transfers between two endpoints in virtual time.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::Event;
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::time::Duration;
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};

struct Outcome {
    world: World,
    client: mpuser_engine::addr::ConnectionId,
    server: mpuser_engine::addr::ConnectionId,
}

/// Moves `up` bytes to the server and `down` bytes back, and checks every one of them.
fn transfer(
    mut world: World,
    config: ConnectionConfig,
    up: usize,
    down: usize,
    seed: u64,
) -> Outcome {
    let listener = world.listen(config.clone());
    let client = world.connect(config);
    let accepted = world.accept_within(Duration::from_secs(30), listener);
    assert!(accepted.is_some(), "seed {seed}: never accepted");
    let server = accepted.expect("just seen");
    let (to_server, to_client) = (pattern(seed, up), pattern(seed + 1, down));
    let mut a = Transfer::new(Side::Client, client, to_server.clone());
    let mut b = Transfer::new(Side::Server, server, to_client.clone());
    let done = world.run_until(Duration::from_secs(600), |w| a.pump(w) & b.pump(w));
    assert!(
        done,
        "seed {seed}: stuck at {}/{down} down {}/{up} up\n{:#?}\n{:#?}",
        a.incoming.len(),
        b.incoming.len(),
        world.client.info(client),
        world.server.info(server)
    );
    assert_eq!((a.error, b.error), (None, None), "seed {seed}");
    assert!(a.incoming == to_client && b.incoming == to_server, "seed {seed}: data differs");
    Outcome { world, client, server }
}

fn three() -> Vec<Path> {
    vec![Path::default(); 3]
}

#[test]
fn three_subflows_share_a_transfer() {
    for size in [0, 1, 1399, 1400, 1401, 65_536, 4 << 20] {
        let world = World::new(7, three());
        let outcome = transfer(world, ConnectionConfig::default(), size, size, 7);
        let info = outcome.world.client.info(outcome.client).expect("not released");
        assert!(info.mptcp && info.fallback.is_none(), "{size}: {info:#?}");
        if size == 4 << 20 {
            assert_eq!(info.subflows.len(), 3, "{info:#?}");
            for subflow in &info.subflows {
                assert!(subflow.bytes_sent > size as u64 / 10, "{info:#?}");
            }
        }
    }
}

#[test]
fn both_ends_close_and_nothing_is_left() {
    let outcome =
        transfer(World::new(3, three()), ConnectionConfig::default(), 100_000, 100_000, 3);
    let Outcome { mut world, client, server } = outcome;
    world.run_for(Duration::from_secs(5));
    assert!(world.client.is_quiet() && world.server.is_quiet(), "{:#?}", world.client.info(client));
    let now = world.now;
    world.client.close(now, client);
    world.server.close(now, server);
    world.run_for(Duration::from_secs(130));
    assert!(world.client.info(client).is_none() && world.server.info(server).is_none());
    assert_eq!(world.next_event(), None, "a timer was left behind");
    let closed = world.events_of(Side::Client).filter(|e| **e == Event::Closed(None)).count();
    assert_eq!(closed, 1);
}

#[test]
fn plain_tcp_on_either_side_works() {
    let plain = ConnectionConfig { mptcp: false, ..ConnectionConfig::default() };
    for (client, server) in [(true, false), (false, true), (false, false)] {
        let config = |mptcp| ConnectionConfig { mptcp, ..plain.clone() };
        let mut world = World::new(11, three());
        let listener = world.listen(config(server));
        let id = world.connect(config(client));
        let accepted = world.accept_within(Duration::from_secs(5), listener);
        let (up, down) = (pattern(1, 300_000), pattern(2, 200_000));
        let mut a = Transfer::new(Side::Client, id, up.clone());
        let mut b = Transfer::new(Side::Server, accepted.expect("accepted"), down.clone());
        assert!(world.run_until(Duration::from_secs(60), |w| a.pump(w) & b.pump(w)));
        assert!(a.incoming == down && b.incoming == up);
        let info = world.client.info(id).expect("known");
        assert!(!info.mptcp && info.fallback.is_some());
        world.run_for(Duration::from_secs(2));
        assert!(world.client.is_quiet() && world.server.is_quiet());
    }
}

#[test]
fn loss_reordering_and_duplicates_damage_nothing() {
    for seed in 0..20 {
        let path = Path { loss: 10, reorder: 50, duplicate: 20, ..Path::default() };
        let config = ConnectionConfig { checksum: seed % 2 == 1, ..ConnectionConfig::default() };
        transfer(World::new(seed, vec![path; 3]), config, 500_000, 500_000, seed);
    }
}

/// Packets get lost one by one, and the mapping of each is that of the whole.
#[test]
fn super_segments_lose_nothing_when_some_of_their_pieces_are_lost() {
    for seed in 0..12 {
        let path = Path { loss: 10, reorder: 50, duplicate: 20, ..Path::default() };
        let config = ConnectionConfig { checksum: seed % 2 == 1, ..ConnectionConfig::default() };
        let mut world = World::new(seed, vec![path; 3]);
        world.super_segments(65_415);
        let outcome = transfer(world, config, 1 << 20, 1 << 20, seed);
        assert!(outcome.world.cut > 20, "seed {seed}: {}", outcome.world.cut);
        let info = outcome.world.client.info(outcome.client).expect("not released");
        assert!(info.mptcp && info.fallback.is_none(), "seed {seed}: {info:#?}");
    }
}

#[test]
fn a_path_cut_in_the_middle_costs_nothing_but_time() {
    for victim in 0..3 {
        let mut world = World::new(victim as u64, three());
        let config = ConnectionConfig::default();
        let listener = world.listen(config.clone());
        let client = world.connect(config);
        let accepted = world.accept_within(Duration::from_secs(5), listener);
        let data = pattern(1, 8 << 20);
        let mut a = Transfer::new(Side::Client, client, data.clone());
        let mut b = Transfer::new(Side::Server, accepted.expect("accepted"), data.clone());
        let half = world.run_until(Duration::from_secs(60), |w| {
            a.pump(w);
            b.pump(w);
            b.incoming.len() > 4 << 20
        });
        assert!(half);
        world.paths[victim].up = false;
        let cut = world.now;
        assert!(world.run_until(Duration::from_secs(60), |w| a.pump(w) & b.pump(w)));
        assert!(a.incoming == data && b.incoming == data);
        let took = world.now.saturating_since(cut);
        assert!(took < Duration::from_secs(3), "victim {victim}: {took:?}");
    }
}

/// The end that closes last has no TIME-WAIT: the connection is over and given back at the same moment, and the
/// application is told all the same.
#[test]
fn the_last_end_to_close_hears_of_the_end() {
    let mut world = World::new(5, three());
    let plain = ConnectionConfig { mptcp: false, ..ConnectionConfig::default() };
    let listener = world.listen(plain.clone());
    let client = world.connect(plain);
    let accepted = world.accept_within(Duration::from_secs(5), listener);
    let server = accepted.expect("accepted");
    world.run_for(Duration::from_secs(1));
    let now = world.now;
    world.client.close(now, client);
    world.run_for(Duration::from_secs(1));
    let now = world.now;
    world.server.close(now, server);
    world.run_for(Duration::from_secs(5));
    assert!(world.server.info(server).is_none(), "{:#?}", world.server.info(server));
    let closed = world.events_of(Side::Server).filter(|e| **e == Event::Closed(None)).count();
    assert_eq!(closed, 1);
}
