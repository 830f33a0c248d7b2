use super::send_tuning::SHORT_MOST;
use super::*;
use alloc::vec::Vec;
use core::cell::Cell;

const INITIAL: usize = 128 << 10;
const MOST: usize = 16 << 20;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn rtt(longest: u64) -> LongestRtt {
    LongestRtt { echoed: Some(ms(longest)), sent: None, least: Some(ms(longest)) }
}

/// A sender that keeps as much in flight as its congestion window and the receiver's say, over paths of these round trips
/// and rates (octets in a millisecond), and a receiver whose application takes so much in a millisecond.
struct Model {
    tuning: ReceiveTuning,
    now: u64,
    paths: Vec<(u64, u64)>,
    appetite: u64,
    /// What a path delivers when: data offsets.
    underway: Vec<(u64, u64, u64)>,
    sent: u64,
    edges: Vec<(u64, u64)>,
    pieces: Vec<(u64, u64)>,
    at: Progress,
}

impl Model {
    fn new(paths: &[(u64, u64)], appetite: u64) -> Self {
        Self {
            tuning: ReceiveTuning::new(INITIAL, MOST),
            now: 1,
            paths: paths.to_vec(),
            appetite,
            underway: Vec::new(),
            sent: 0,
            edges: Vec::new(),
            pieces: Vec::new(),
            at: Progress::default(),
        }
    }

    /// One millisecond; how much memory the receiver needs.
    fn step(&mut self) -> u64 {
        self.now += 1;
        let shortest = self.paths.iter().map(|path| path.0).min().unwrap_or(1);
        // what the sender knows: told half a round trip ago
        let known = self.edges.iter().filter(|(at, _)| at + shortest / 2 <= self.now);
        let edge = known.map(|(_, edge)| *edge).max().unwrap_or(65_535);
        for (rtt, rate) in self.paths.clone() {
            let len = rate.min(edge.saturating_sub(self.sent));
            if len > 0 {
                self.underway.push((self.now + rtt / 2, self.sent, len));
                self.sent += len;
            }
        }
        let now = self.now;
        let (come, rest) = self.underway.iter().copied().partition(|(at, ..)| *at <= now);
        self.underway = rest;
        let come: Vec<(u64, u64, u64)> = come;
        for (_, start, len) in come {
            self.at.arrived += len;
            self.pieces.push((start, len));
        }
        self.pieces.sort_unstable();
        while self.pieces.first().is_some_and(|(start, _)| *start == self.at.in_order) {
            self.at.in_order += self.pieces.remove(0).1;
        }
        self.at.taken += self.appetite.min(self.at.in_order - self.at.taken);
        let longest = self.paths.iter().map(|path| path.0).max().unwrap_or(1);
        self.tuning.on_progress(Instant::from_millis(now), self.at, || rtt(longest));
        let edge = self.at.taken + self.tuning.capacity() as u64;
        self.tuning.on_told(Instant::from_millis(now), edge);
        self.edges.push((now, edge));
        self.at.arrived - self.at.taken
    }

    fn run(&mut self, millis: u64) -> u64 {
        (0..millis).map(|_| self.step()).max().unwrap_or(0)
    }
}

/// Rates of 100 Mbit/s each.
const RATE: u64 = 12_500;

#[test]
fn one_path_gets_twice_what_it_holds() {
    let mut model = Model::new(&[(100, RATE)], u64::MAX);
    model.run(1_000);
    let needed = 100 * RATE as usize;
    let capacity = model.tuning.capacity();
    assert!((2 * needed..=4 * needed).contains(&capacity), "{capacity}");
    let before = model.at.arrived;
    model.run(1_000);
    assert_eq!(model.at.arrived - before, 1_000 * RATE, "the path is full");
}

#[test]
fn the_slowest_path_says_how_long_is_counted() {
    let paths = [(10, RATE), (100, RATE)];
    let mut model = Model::new(&paths, u64::MAX);
    // ten of the longest round trips
    model.run(1_000);
    let needed = 2 * 2 * 100 * RATE as usize;
    let capacity = model.tuning.capacity();
    assert!((needed..=2 * needed).contains(&capacity), "{capacity}");
    let before = model.at.arrived;
    let held = model.run(1_000);
    assert_eq!(model.at.arrived - before, 2 * 1_000 * RATE, "both paths are full");
    assert!(held as usize <= needed, "{held} octets held");
}

#[test]
fn who_reads_slowly_gets_no_more_room() {
    let mut model = Model::new(&[(10, RATE)], RATE / 10);
    model.run(5_000);
    assert_eq!(model.tuning.capacity(), INITIAL);
}

#[test]
fn who_reads_all_at_once_now_and_then_gets_no_more_room() {
    let mut model = Model::new(&[(10, RATE)], 0);
    for _ in 0..50 {
        model.appetite = 0;
        model.run(99);
        model.appetite = u64::MAX;
        model.run(1);
    }
    assert!(model.tuning.capacity() <= 2 * INITIAL, "{}", model.tuning.capacity());
}

#[test]
fn a_short_path_opens_its_window_at_once() {
    let mut tuning = ReceiveTuning::new(INITIAL, 4 << 20);
    // 40 Gbit/s, 50 us
    let (mut now, mut octets) = (Instant::from_millis(5), 0);
    let opened = (0..10_000).find(|_| {
        now += Duration::from_micros(50);
        octets += 250_000.min(tuning.capacity() as u64);
        let at = Progress { arrived: octets, in_order: octets, taken: octets };
        let near = LongestRtt {
            echoed: Some(ms(1)),
            sent: Some(Duration::from_micros(50)),
            least: Some(Duration::from_micros(50)),
        };
        tuning.on_progress(now, at, || near);
        tuning.capacity() == 4 << 20
    });
    assert!(opened.is_some_and(|rounds| rounds <= 60), "{opened:?}");
}

/// What a hole held back is taken at once when it is filled: no more comes for that.
#[test]
fn a_hole_that_is_filled_is_no_faster_path() {
    let mut tuning = ReceiveTuning::new(INITIAL, MOST);
    let mut at = Progress::default();
    let mut now = Instant::from_millis(0);
    let mut period = |arrived: u64, taken: u64| {
        at.arrived += arrived;
        at.taken += taken;
        at.in_order = at.taken;
        now += ms(20);
        tuning.on_progress(now, at, || rtt(20));
        tuning.capacity()
    };
    (0..4).for_each(|_| _ = period(200_000, 200_000));
    let before = period(200_000, 200_000);
    period(200_000, 0);
    period(200_000, 0);
    assert_eq!(period(200_000, 600_000), before);
}

/// In slow start each round trip brings twice as much as the one before, and the window has to be there before.
#[test]
fn slow_start_is_never_held_up() {
    let mut tuning = ReceiveTuning::new(INITIAL, MOST);
    let (mut now, mut octets) = (Instant::from_millis(0), 1);
    let mut flight = 14_600;
    while flight < 3 << 20 {
        let at = Progress { arrived: octets, in_order: octets, taken: octets };
        now += ms(40);
        tuning.on_progress(now, at, || rtt(40));
        // the flight that comes next, and the one sent when its first acknowledgements come
        assert!(tuning.capacity() >= flight as usize, "{flight} in flight");
        octets += flight;
        flight *= 2;
    }
}

#[test]
fn a_peer_without_timestamps_is_measured_by_windows() {
    let mut tuning = ReceiveTuning::new(INITIAL, 1 << 20);
    let untold = LongestRtt { echoed: None, sent: Some(ms(1)), least: Some(ms(1)) };
    let (mut now, mut octets) = (Instant::from_millis(0), 0);
    // a queue has grown to 50 ms since the handshake, and the window is what limits
    for _ in 0..100 {
        let window = tuning.capacity() as u64;
        for _ in 0..50 {
            octets += window / 50;
            now += ms(1);
            let at = Progress { arrived: octets, in_order: octets, taken: octets };
            tuning.on_progress(now, at, || untold);
            tuning.on_told(now, octets + window);
        }
    }
    assert_eq!(tuning.capacity(), 1 << 20);
}

#[test]
fn a_slow_sender_without_timestamps_gets_little() {
    let mut tuning = ReceiveTuning::new(INITIAL, 16 << 20);
    let untold = LongestRtt { echoed: None, sent: Some(ms(20)), least: Some(ms(20)) };
    let (mut now, mut octets) = (Instant::from_millis(0), 0);
    for _ in 0..100_000 {
        octets += 1_000;
        now += ms(10);
        let at = Progress { arrived: octets, in_order: octets, taken: octets };
        tuning.on_progress(now, at, || untold);
        tuning.on_told(now, octets + tuning.capacity() as u64);
    }
    assert!(tuning.capacity() <= 3 * INITIAL, "{}", tuning.capacity());
}

#[test]
fn a_buffer_of_fixed_size_asks_for_nothing() {
    let asked = Cell::new(false);
    for (initial, most) in [(usize::MAX, INITIAL), (INITIAL, INITIAL)] {
        let mut tuning = ReceiveTuning::new(initial, most);
        assert_eq!(tuning.capacity(), INITIAL);
        for time in 0..100 {
            let octets = 1 + time * 1_000_000;
            let at = Progress { arrived: octets, in_order: octets, taken: octets };
            let grown = tuning.on_progress(Instant::from_millis(time), at, || {
                asked.set(true);
                rtt(1)
            });
            assert_eq!(grown, None);
        }
    }
    assert!(!asked.get());
}

/// Where the round trip is a tick of the timestamps at most, what goes through in that time is many windows.
#[test]
fn a_short_path_does_not_leave_the_caches() {
    for (millis, bound) in [(1, SHORT_MOST), (2, SHORT_MOST), (3, MOST)] {
        let mut tuning = ReceiveTuning::new(INITIAL, MOST);
        let (mut now, mut octets) = (Instant::from_millis(5), 0);
        for _ in 0..2_000 {
            octets += 4_000_000;
            now += ms(1);
            let at = Progress { arrived: octets, in_order: octets, taken: octets };
            tuning.on_progress(now, at, || rtt(millis));
        }
        assert_eq!(tuning.capacity(), bound, "{millis} ms");
    }
}

#[test]
fn it_never_shrinks_and_stays_within_its_bound() {
    let mut tuning = ReceiveTuning::new(INITIAL, 1 << 20);
    let (mut last, mut octets, mut now) = (INITIAL, 1, Instant::ZERO);
    for step in 0_u64..2_000 {
        octets += (step * 7_919) % 500_000 * (step % 3);
        now += Duration::from_micros(step % 5_000);
        let at = Progress { arrived: octets, in_order: octets, taken: octets };
        tuning.on_progress(now, at, || rtt(1 + step % 90));
        assert!((last..=1 << 20).contains(&tuning.capacity()));
        last = tuning.capacity();
    }
    assert_eq!(last, 1 << 20);
}
