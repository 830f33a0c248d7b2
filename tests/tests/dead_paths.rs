//! A path dies, or holds its breath, in the middle of an upload, in virtual time: how long nothing arrives, and what it costs.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::time::{Duration, Instant};
use mpuser_tests::world::{Path, Side, Transfer, World, pattern};

const BYTES: usize = 24 << 20;
/// Octets a second on each path: 100 Mbit/s.
const RATE: u64 = 12_500_000;
/// No mapping is longer.
const MAPPING: u64 = 64 << 10;

fn path(delay: u64) -> Path {
    Path { rate: RATE, delay: Duration::from_millis(delay), queue: 256 << 10, ..Path::default() }
}

/// What an upload over three paths has shown.
struct Shown {
    world: World,
    /// The longest time in which nothing arrived after the middle, and the longest smoothed round trip there.
    gap: Duration,
    srtt: Duration,
    /// Octets that were given to a second subflow.
    again: u64,
}

/// An upload over three paths with this one-way delay; in its middle something happens to the first.
fn upload(delay: u64, happens: impl Fn(&mut Path)) -> Shown {
    let mut world = World::new(5, vec![path(delay); 3]);
    let listener = world.listen(ConnectionConfig::default());
    let id = world.connect(ConnectionConfig::default());
    let server = world.accept_within(Duration::from_secs(5), listener).expect("connected");
    let data = pattern(5, BYTES);
    let mut client = Transfer::new(Side::Client, id, data.clone());
    let mut peer = Transfer::new(Side::Server, server, Vec::new());
    let (mut gap, mut srtt) = (Duration::ZERO, Duration::ZERO);
    let (mut last, mut middle): ((usize, Instant), Option<Instant>) = ((0, Instant::ZERO), None);
    let done = world.run_until(Duration::from_secs(60), |w| {
        let sent = client.pump(w);
        let received = peer.pump(w);
        let (have, now) = (peer.incoming.len(), w.now);
        if have > last.0 {
            if middle.is_some() {
                gap = gap.max(now.saturating_since(last.1));
            }
            last = (have, now);
        }
        if middle.is_none() && have >= BYTES / 2 {
            middle = Some(now);
            let info = w.client.info(id).expect("not released");
            srtt = info.subflows.iter().map(|s| s.srtt).max().unwrap_or_default();
            happens(&mut w.paths[0]);
        }
        sent & received
    });
    assert!(done && peer.incoming == data, "{} of {BYTES}", peer.incoming.len());
    let again = world.client.info(id).map_or(0, |info| info.bytes_retrans);
    Shown { world, gap, srtt, again }
}

/// [DACK-11]: what a dead path carried has gone another way and arrived before anybody would call it a standstill: the
/// answer is overdue after little more than a round trip without ACKs, and another one brings the data.
#[test]
fn a_silent_path_is_left_after_little_more_than_a_round_trip() {
    for delay in [1, 5, 20, 50] {
        let Shown { world, gap, srtt, .. } = upload(delay, |path| path.up = false);
        eprintln!("delay {delay}: gap {gap:?}, srtt {srtt:?}");
        assert!(gap <= srtt * 5 / 2 + Duration::from_millis(10), "{delay}: {gap:?}, srtt {srtt:?}");
        assert_eq!(world.client.counters().subflow_stale, 1);
    }
}

/// A path that is late once by more than its ACKs ever were is suspected and believed again, and what is sent twice is no
/// more than the others carry until it is heard of: the rest is not sent again.
#[test]
fn a_path_that_is_late_costs_what_others_carry_meanwhile() {
    for late in [20, 24, 30, 60] {
        let held = |path: &mut Path| path.delay += Duration::from_millis(late);
        let Shown { world, srtt, again, .. } = upload(5, held);
        let counters = world.client.counters();
        eprintln!("late {late}: srtt {srtt:?}, again {again}, stale {}", counters.subflow_stale);
        assert_eq!(counters.subflow_stale, counters.subflow_recover);
        let (late, patience) = (Duration::from_millis(late), srtt * 5 / 4);
        if late < patience {
            assert_eq!((again, counters.subflow_stale), (0, 0), "{late:?}");
        }
        let beyond = u64::try_from(late.saturating_sub(patience).as_micros()).expect("short");
        let carried = 2 * RATE * beyond / 1_000_000;
        assert!(again <= carried + 2 * MAPPING, "{late:?}: {again} octets, {carried} carried");
    }
}
