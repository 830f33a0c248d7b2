use super::*;
use crate::random::rng;
use crate::scenario::{Chunks, Spread, Traffic as Kind};

/// Carries traffic over pipes of this rate (bytes a second each) and no delay, in steps of a millisecond.
fn carry(kind: &Kind, rate: u64, until: u64) -> Desk {
    let mut traffic = build(kind);
    let mut desk = Desk::new(connections(kind), Direction::Backward, Instant::ZERO, rng(1, 1));
    (0..desk.pipes.len()).for_each(|c| traffic.on_open(Instant::ZERO, c, &mut desk));
    for ms in 0..until {
        let now = Instant::from_millis(ms);
        if desk.wake.is_some_and(|at| at <= now) {
            desk.wake = None;
            traffic.on_wake(now, &mut desk);
        }
        for connection in 0..desk.pipes.len() {
            for way in Direction::BOTH {
                let pipe = desk.pipe(connection, way).unwrap();
                let takes = (rate / 1_000).min(pipe.goal - pipe.delivered);
                pipe.written += takes;
                pipe.delivered += takes;
                if takes > 0 {
                    traffic.on_read(now, connection, way, &mut desk);
                }
            }
        }
        if desk.done {
            break;
        }
    }
    traffic.on_end(Instant::from_millis(until), &mut desk);
    desk
}

#[test]
fn a_transfer_ends_with_its_last_byte() {
    let desk = carry(&Kind::Bulk { size: Some(10_000) }, 1_000_000, 1_000);
    assert!(desk.done);
    assert_eq!(desk.completions.len(), 1);
    assert!((desk.completions[0].end - 0.009).abs() < 1e-9);
    assert!(!carry(&Kind::Bulk { size: None }, 1_000_000, 1_000).done);
}

#[test]
fn requests_keep_their_distance_and_wait_for_the_answer() {
    let every = Duration::from_millis(250);
    let kind = |response| Kind::RequestResponse { request: 100, response, every, count: Some(4) };
    let desk = carry(&kind(10_000), 1_000_000, 10_000);
    let starts: Vec<f64> = desk.completions.iter().map(|c| c.start).collect();
    assert_eq!((desk.done, starts), (true, vec![0.0, 0.25, 0.5, 0.75]));
    // an answer that takes longer delays the next request
    let desk = carry(&kind(1_000_000), 1_000_000, 10_000);
    assert_eq!(desk.completions.len(), 4);
    assert!(desk.completions.windows(2).all(|pair| pair[1].start >= pair[0].end));
}

#[test]
fn messages_come_at_their_rate_and_late_ones_are_told() {
    let deadline = Some(Duration::from_millis(33));
    let kind = Kind::Cbr { rate: 800_000, message: 1_000, deadline };
    let met =
        |desk: &Desk| desk.completions.iter().filter(|c| c.deadline_met == Some(true)).count();
    let fast = carry(&kind, 1_000_000, 1_000);
    assert_eq!((fast.completions.len(), met(&fast)), (100, 100));
    let slow = carry(&kind, 50_000, 1_000);
    assert!(met(&slow) < 10 && slow.completions.len() < 51);
}

#[test]
fn objects_are_shared_out_among_connections() {
    let objects: Vec<u64> = (1..=20).map(|n| n * 1_000).collect();
    let kind = Kind::Web { objects: objects.clone(), connections: 3, request: 300 };
    let desk = carry(&kind, 1_000_000, 10_000);
    assert!(desk.done);
    let mut sizes: Vec<u64> = desk.completions.iter().map(|c| c.size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, objects);
    let end = desk.completions.iter().map(|c| c.end).fold(0.0, f64::max);
    assert!((0.07..0.12).contains(&end), "210 kB over three connections of 1 MB/s: {end}");
}

#[test]
fn the_player_takes_what_fits_and_pauses_when_full() {
    let chunks = Chunks { count: Some(20), ..Chunks::default() };
    let desk = carry(&Kind::Chunks(chunks.clone()), 300_000, 200_000);
    let player = desk.player.unwrap();
    // 2.4 Mbit/s carry 2.0 at nine tenths, after the first chunk
    assert_eq!(player.rates.first(), Some(&110_000));
    assert!(player.rates.iter().skip(1).all(|rate| *rate == 2_000_000), "{:?}", player.rates);
    assert_eq!(player.stalls, 0);
    // the buffer holds 30 s: the last of 100 s of video is not asked for before 70 s have been played
    assert!(desk.completions.last().unwrap().start > 65.0);
    // a network below the lowest rate stalls
    let desk = carry(&Kind::Chunks(chunks), 10_000, 200_000);
    assert!(desk.player.unwrap().stalled > 20.0);
}

#[test]
fn bursts_have_their_rate() {
    let spread = |ms| Spread::Exponential(Duration::from_millis(ms));
    let kind = Kind::OnOff { on: spread(100), off: spread(300), rate: Some(1_000_000) };
    let desk = carry(&kind, 10_000_000, 200_000);
    let bits = desk.pipes[0].backward.delivered as f64 * 8.0 / 200.0;
    assert!((200_000.0..300_000.0).contains(&bits), "a quarter of 1 Mbit/s: {bits}");
}
