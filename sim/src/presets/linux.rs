//! What Linux says of itself: the selftest `simult_flows.sh`, and what its scheduler does to a fast path beside a slow
//! one.

use super::check::{Check, Parameters, Results, Source, paired};
use super::measure::{duration, mean_of};
use super::preset::{Preset, Variant, grid};
use crate::metrics::Outcome;

/// Rates in Mbit/s and delays in ms of the selftest's cases.
const CASES: [[&str; 4]; 5] = [
    ["10", "10", "0", "0"],
    ["10", "10", "1", "25"],
    ["15", "5", "0", "0"],
    ["15", "5", "1", "25"],
    ["15", "5", "25", "1"],
];

/// What the script allows for 16 MiB over 20 Mbit/s: ten ninths of the time of the payload alone (7456 ms), 400 ms
/// for its sleeps around the join, and 50 ms.
const LIMIT: f64 = 7906.0;

/// Five cases, both directions.
pub(super) const SIMULT_FLOWS: Preset = Preset {
    name: "simult-flows",
    title: "two paths fill 20 Mbit/s, whatever their rates and delays",
    published: "Linux selftest net/mptcp/simult_flows.sh",
    asked: "every seed within the script's 7906 ms, payload at least 90 % of the aggregate rate",
    notes: "Delays are one way, as netem at both ends gives them. The simulator needs none of the 400 ms the script allows for its sleeps; the second check leaves them out. Seeds differ in the start only.",
    file: "simult-flows.toml",
    toml: include_str!("../../data/presets/simult-flows.toml"),
    variants: || {
        let names = ["rate1", "rate2", "delay1", "delay2"];
        let all = CASES.iter().flat_map(|case| {
            ["up", "down"].map(|direction| {
                let pairs = names.iter().zip(case).map(|(n, v)| ((*n).into(), (*v).into()));
                let mut set: Vec<(String, String)> = pairs.collect();
                set.push(("direction".to_owned(), direction.to_owned()));
                Variant { set }
            })
        });
        all.collect()
    },
    measure: |parameters: &Parameters, outcome: &Outcome| {
        let number = |name| parameters.get(name).and_then(|v: &String| v.parse::<f64>().ok());
        let seconds = mean_of(outcome, "transfer", duration);
        let bits = number("size").unwrap_or(f64::NAN) * 8.0;
        let aggregate = number("rate1").zip(number("rate2")).map_or(f64::NAN, |(a, b)| a + b);
        vec![("ms", seconds * 1e3), ("share", bits / seconds / (aggregate * 1e6))]
    },
    judge: |results: &Results| {
        let lines = results.rows.iter().flat_map(|row| {
            let aggregate = row.number("rate1") + row.number("rate2");
            let limit = LIMIT - 7456.0 + row.number("size") * 8.0 / 0.9 / (aggregate * 1e3);
            let label = row.variant.label();
            let time = Check::new(&label, "time, ms", &row.values("ms"));
            let share = Check::new(&label, "payload / aggregate rate", &row.values("share"));
            let time = time.beside(limit, Source::Published).each_at_most(limit);
            [time, share.each_at_least(0.9)]
        });
        lines.collect()
    },
};

/// Delays of the slow path in ms, and the share of the single path's throughput that issue 381 measured.
const PATHOLOGY: [(&str, f64); 3] = [("1", 0.157), ("10", 0.266), ("25", 0.99)];

/// 100 Mbit/s beside 2 Mbit/s.
pub(super) const SLOW_SECOND_PATH: Preset = Preset {
    name: "slow-second-path",
    title: "Linux's scheduler lets a slow path with a short delay hold up a fast one",
    published: "multipath-tcp/mptcp_net-next issue 381",
    asked: "below half of the single path with 1 ms on the slow path, at least 90 % with 25 ms",
    notes: "The issue transfers 1 Mb, taken for 1 MB (its throughputs fit no other size); the meaning of its delays is not stated: one way.",
    file: "slow-second-path.toml",
    toml: include_str!("../../data/presets/slow-second-path.toml"),
    variants: || {
        let mut all = grid(&[("paths", &["1"])]);
        all.extend(grid(&[("scheduler", &["linux", "minrtt"]), ("delay2", &["1", "10", "25"])]));
        all
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        vec![("seconds", outcome.flows.first().map_or(f64::NAN, duration))]
    },
    judge: |results: &Results| {
        let Some(one) = results.row(&[("paths", "1")]) else { return Vec::new() };
        let mut checks = vec![Check::new("one path", "completion time, s", &one.values("seconds"))];
        for row in results.rows.iter().filter(|row| row.text("paths") != "1") {
            let share = paired(one, row, "seconds", |one, two| one / two);
            let check = Check::new(row.variant.label(), "throughput / single path", &share);
            let known = PATHOLOGY.iter().find(|(delay, _)| *delay == row.text("delay2"));
            checks.push(match known.filter(|_| row.text("scheduler") == "linux") {
                Some(("1", share)) => check.beside(*share, Source::Published).at_most(0.5),
                Some(("25", share)) => check.beside(*share, Source::Published).at_least(0.9),
                Some((_, share)) => check.beside(*share, Source::Published),
                None => check,
            });
        }
        checks
    },
};
