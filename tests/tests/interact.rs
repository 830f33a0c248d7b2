//! The random interaction suite, 2 000 seeds of it; `tests/interact` runs more, and replays one.

use mpuser_tests::interact::{Part, Setup, Shown, draw, run_caught, shrink};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 2_000;

/// P1, P2, P3, P5 of the catalogue, whatever happens. A failing seed is told with what it takes to fail.
#[test]
fn two_thousand_seeds_keep_the_promises() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, failures) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        break;
                    }
                    if let Err(violation) = run_caught(&draw(seed), false) {
                        failures.lock().unwrap().push((seed, violation.what));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let Some((seed, _)) = failures.first() else { return };
    let setup = draw(*seed);
    let needed = shrink(&setup, 200);
    let parts: Vec<String> = needed.iter().map(Part::to_string).collect();
    println!("{}", setup.only(&needed));
    println!("tests/interact --seed {seed} --trace --only {}", parts.join(","));
    panic!("{} of {SEEDS} seeds fail: {failures:#?}", failures.len());
}

/// A seed is a run, to the last packet (P5), and what was drawn is varied.
#[test]
fn a_seed_is_a_run() {
    let run = |seed| run_caught(&draw(seed), false).unwrap();
    let mut sum = Shown::default();
    for seed in 0..50 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.digest, second.digest, "seed {seed}");
        sum.joins += first.joins;
        sum.plain += first.plain;
        sum.failed += first.failed;
        sum.octets += first.octets;
    }
    assert!(sum.joins > 50 && sum.plain > 0 && sum.failed > 0 && sum.octets > 500_000, "{sum:?}");
}

/// Header prediction changes nothing but the work: the same run to the last packet, and to the last counter.
#[test]
fn predicted_or_not_a_seed_is_the_same_run() {
    let mut predicted = 0;
    for seed in 0..1_000 {
        let [short, long] = [true, false].map(|predicting| {
            let setup = Setup { predicting, ..draw(seed) };
            run_caught(&setup, false).unwrap()
        });
        assert_eq!(short.digest, long.digest, "seed {seed}");
        assert_eq!(long.predicted, 0);
        predicted += short.predicted;
    }
    assert!(predicted > 3_000, "{predicted}");
}

/// Seeds at which the observer was wrong, or a box: an infinite mapping that begins before its segment; an answer to a
/// forged SYN on the same four-tuple, before and after the handshake; the window after a fallback, which begins at
/// TCP's own acknowledgement; a splitter whose far half was reset after its end. And one of
/// the engine: DATA_FINs on a dead path, with data in flight, were taken for a server without MPTCP.
#[test]
fn seeds_that_once_failed_keep_the_promises() {
    let infinite = [44019, 73311, 92363, 93193, 96552];
    let forged = [9588, 70452, 77272];
    let (window, splitter, half_open) = ([28664, 70668], [50390], [73492]);
    let dead_path = [55216];
    let first = infinite.iter().chain(&forged);
    for seed in first.chain(&window).chain(&splitter).chain(&half_open).chain(&dead_path) {
        if let Err(violation) = run_caught(&draw(*seed), false) {
            panic!("seed {seed}: {}", violation.what);
        }
    }
}
