//! Packets as a broken or hostile network delivers them: damaged, cut, repeated, made up.
//!
//! Without the right checksums they are noise, and a transfer arrives whole. With them they may end a connection,
//! but never the engine: no panic, no invariant broken, no endless loop, no memory that grows.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::addr::{ConnectionId, ListenerId};
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::Duration;
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};
use std::collections::VecDeque;

/// More steps than this without time passing are an endless loop.
const STEPS_PER_INSTANT: u32 = 10_000;
/// Headers of IPv4 and TCP without options.
const IP_HEADER: usize = 20;
const HEADERS: usize = 40;

fn rng(seed: u64) -> Rng {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Rng::from_seed(bytes)
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(u32::try_from(bound).unwrap_or(u32::MAX)) as usize
}

fn random_bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.next_u32() as u8).collect()
}

/// The Internet checksum (RFC 1071), the naive way.
fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let words = bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Makes length and checksums of an IPv4 packet right.
fn fix_up(packet: &mut [u8]) {
    let Ok(len) = u16::try_from(packet.len()) else { return };
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[10..12].fill(0);
    let sum = internet_checksum(&[&packet[..IP_HEADER]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[36..38].fill(0);
    let pseudo = [0, 6, (len - 20).to_be_bytes()[0], (len - 20).to_be_bytes()[1]];
    let sum = internet_checksum(&[&packet[12..20], &pseudo, &packet[IP_HEADER..]]);
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
}

/// Noise: one octet changed, the end cut off, something appended, or nothing but random octets.
fn damage(rng: &mut Rng, mut packet: Vec<u8>) -> Vec<u8> {
    let at = below(rng, packet.len());
    match rng.below(5) {
        0 | 1 => packet[at] ^= 1 + rng.below(255) as u8,
        2 => packet.truncate(at),
        3 => packet.extend(random_bytes(rng, 1 + at % 40)),
        _ => packet = random_bytes(rng, at),
    }
    packet
}

/// What somebody on the path could send: a well-formed packet that says something else.
fn forge(rng: &mut Rng, mut packet: Vec<u8>) -> Vec<u8> {
    let data = IP_HEADER + usize::from(packet[32] >> 4) * 4;
    for _ in 0..=rng.below(3) {
        let small = rng.below(4_000).wrapping_sub(2_000);
        let shift = if rng.below(4) == 0 { rng.next_u32() } else { small };
        match rng.below(12) {
            0 => packet[33] = rng.next_u32() as u8, // flags
            1 => packet[33] ^= 1 << rng.below(6),
            2 => add(&mut packet[24..28], shift), // sequence number
            3 => add(&mut packet[28..32], shift), // acknowledgement number
            4 => packet[34..36].copy_from_slice(&(shift as u16).to_be_bytes()), // window
            5 => packet[32] = rng.next_u32() as u8, // data offset
            6 => add(&mut packet[20..24], rng.below(3) << 16), // source port
            7 => packet.truncate(data.min(packet.len()) + below(rng, 8)),
            8 => packet.extend(random_bytes(rng, 30)),
            9 if packet.len() > HEADERS => {
                let at = HEADERS + below(rng, packet.len() - HEADERS);
                packet[at] = rng.next_u32() as u8; // payload or option
            }
            _ if data > HEADERS && data <= packet.len() => {
                let at = HEADERS + below(rng, data - HEADERS);
                packet[at] ^= 1 << rng.below(8); // option
            }
            _ => {}
        }
    }
    fix_up(&mut packet);
    packet
}

fn add(field: &mut [u8], value: u32) {
    let old = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
    field.copy_from_slice(&old.wrapping_add(value).to_be_bytes());
}

/// A connection over three paths, and the listener it came through.
struct Pair {
    world: World,
    listener: ListenerId,
    client: ConnectionId,
    server: ConnectionId,
}

fn connect(seed: u64, config: &ConnectionConfig) -> Pair {
    let mut world = World::new(seed, vec![Path::default(); 3]);
    let listener = world.listen(config.clone());
    let client = world.connect(config.clone());
    let accepted = world.accept_within(Duration::from_secs(5), listener);
    Pair { world, listener, client, server: accepted.expect("a clean network") }
}

/// Steps until `done`, but not for ever.
fn run(world: &mut World, limit: Duration, mut done: impl FnMut(&mut World) -> bool) -> bool {
    let (end, mut steps) = (world.now + limit, 0);
    loop {
        world.flush();
        if done(world) {
            return true;
        }
        if world.next_event().is_none_or(|at| at > end) {
            world.now = end;
            return false;
        }
        let before = world.now;
        world.step();
        world.events.clear();
        steps = if world.now == before { steps + 1 } else { 0 };
        assert!(steps < STEPS_PER_INSTANT, "time stands still");
    }
}

fn transfer(pair: &mut Pair, seed: u64, size: usize) {
    let (up, down) = (pattern(seed, size), pattern(seed + 1, size));
    let mut a = Transfer::new(Side::Client, pair.client, up.clone());
    let mut b = Transfer::new(Side::Server, pair.server, down.clone());
    let done = run(&mut pair.world, Duration::from_secs(600), |w| a.pump(w) & b.pump(w));
    let (at_a, at_b) = (a.incoming.len(), b.incoming.len());
    assert!(done, "seed {seed}: stuck at {at_a} and {at_b} of {size}");
    assert_eq!((a.error, b.error), (None, None), "seed {seed}");
    assert!(a.incoming == down && b.incoming == up, "seed {seed}: data differs");
}

/// Everything is closed; nothing may be left 200 seconds later.
fn wind_up(mut pair: Pair, seed: u64) {
    let world = &mut pair.world;
    let now = world.now;
    world.tamper = Box::new(|_, _, packet| vec![packet]);
    world.client.close(now, pair.client);
    world.server.close(now, pair.server);
    world.server.unlisten(now, pair.listener);
    run(world, Duration::from_secs(200), |_| false);
    let left = (world.client.info(pair.client), world.server.info(pair.server));
    assert_eq!(left, (None, None), "seed {seed}: never forgotten");
    assert_eq!(world.next_event(), None, "seed {seed}: a timer was left behind");
}

/// Damaged packets cost time, not data.
#[test]
fn noise_is_ignored() {
    for seed in 0..8 {
        let mut pair = connect(seed, &ConnectionConfig::default());
        let mut rng = rng(seed);
        pair.world.tamper = Box::new(move |_, _, packet| match rng.below(100) {
            0..3 => vec![damage(&mut rng, packet)],
            3..10 => vec![damage(&mut rng, packet.clone()), packet],
            10..13 => vec![packet.clone(), packet],
            _ => vec![packet],
        });
        transfer(&mut pair, seed, 1 << 20);
        let errors = pair.world.server.counters().tcp_in_errors;
        assert!(errors > 0, "nothing was damaged");
        wind_up(pair, seed);
    }
}

/// A middlebox that rewrites payload on one path and mends TCP's checksum is found out by the DSS checksum
/// (RFC 8684 3.7 [FB-9]); the other paths carry everything.
#[test]
fn rewritten_payload_is_never_delivered() {
    for seed in 0..8 {
        let config = ConnectionConfig { checksum: true, ..ConnectionConfig::default() };
        let mut pair = connect(seed, &config);
        let mut rng = rng(seed);
        pair.world.tamper = Box::new(move |_, path, mut packet| {
            let data = IP_HEADER + usize::from(packet[32] >> 4) * 4;
            if path == 1 && packet.len() > data && rng.below(4) == 0 {
                let at = data + below(&mut rng, packet.len() - data);
                // Only upwards: two changes of one mapping must not cancel each other in the sum.
                packet[at] = packet[at].saturating_add(1);
                fix_up(&mut packet);
            }
            vec![packet]
        });
        transfer(&mut pair, seed, 1 << 20);
        let found = [&pair.world.client, &pair.world.server].map(|e| e.counters().data_csum_err);
        assert!(found != [0, 0], "seed {seed}: nothing was rewritten");
        wind_up(pair, seed);
    }
}

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Forged packets may end connections, and nothing else.
#[test]
fn forged_packets_break_nothing_but_connections() {
    let before = resident();
    for seed in 0..48 {
        let mut pair =
            connect(seed, &ConnectionConfig { checksum: seed % 2 == 0, ..Default::default() });
        let mut rng = rng(seed);
        let mut old: VecDeque<Vec<u8>> = VecDeque::new();
        let often = [3, 30, 300][seed as usize % 3];
        pair.world.tamper = Box::new(move |_, _, packet| {
            old.push_front(packet.clone());
            old.truncate(64);
            let replay = old[below(&mut rng, old.len())].clone();
            match rng.below(1_000) {
                at if at >= 3 * often => vec![packet],
                at if at < often => vec![forge(&mut rng, packet)],
                at if at < 2 * often => vec![forge(&mut rng, packet.clone()), packet],
                _ => vec![forge(&mut rng, replay), packet],
            }
        });
        let mut a = Transfer::new(Side::Client, pair.client, pattern(seed, 1 << 20));
        let mut b = Transfer::new(Side::Server, pair.server, pattern(seed + 1, 1 << 20));
        run(&mut pair.world, Duration::from_secs(60), |w| a.pump(w) & b.pump(w));
        wind_up(pair, seed);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more than before");
}
