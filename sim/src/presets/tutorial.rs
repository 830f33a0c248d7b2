//! The scenarios of the SIGCOMM 2020 tutorial (De Coninck, Bonaventure).

use super::check::{Check, Parameters, Results, Source, paired};
use super::measure::{completion_times, duration, flows};
use super::preset::{Preset, grid};
use crate::metrics::{FlowOutcome, Outcome};
use crate::stats::{mean, median};

const PUBLISHED: &str = "SIGCOMM 2020 tutorial on multipath transport protocols (De Coninck)";

fn first(outcome: &Outcome) -> Option<&FlowOutcome> {
    outcome.flows.first()
}

/// Two equal paths.
pub(super) const AGGREGATION: Preset = Preset {
    name: "tutorial-aggregation",
    title: "two paths of 20 Mbit/s give MPTCP about twice what TCP gets",
    published: PUBLISHED,
    asked: "at least 1.85 times the TCP, which gets 18 to 20 Mbit/s",
    notes: "",
    file: "tutorial-aggregation.toml",
    toml: include_str!("../../data/presets/tutorial-aggregation.toml"),
    variants: || grid(&[("stack", &["tcp", "mptcp"])]),
    measure: |_: &Parameters, outcome: &Outcome| {
        vec![("mbit", first(outcome).map_or(f64::NAN, |flow| flow.goodput_bps / 1e6))]
    },
    judge: |results: &Results| {
        let at = |stack| results.row(&[("stack", stack)]);
        let (Some(tcp), Some(mptcp)) = (at("tcp"), at("mptcp")) else { return Vec::new() };
        let one = Check::new("stack=tcp", "goodput, Mbit/s", &tcp.values("mbit"));
        let two = Check::new("stack=mptcp", "goodput, Mbit/s", &mptcp.values("mbit"));
        let ratio = paired(mptcp, tcp, "mbit", |mptcp, tcp| mptcp / tcp);
        vec![
            // "19-20" counts headers, of which TCP's payload is 96.5 %
            one.beside(19.5, Source::Published).within(18.0, 20.0),
            two.beside(39.0, Source::Published),
            Check::new("mptcp / tcp", "ratio", &ratio).at_least(1.85),
        ]
    },
};

/// Request and response over a short and a long path.
pub(super) const REQUESTS: Preset = Preset {
    name: "tutorial-requests",
    title: "minRTT answers in the short path's time, round robin in the long one's",
    published: PUBLISHED,
    asked: "minRTT 40 to 50 ms, round robin about 90 ms, its first answer about 50 ms, each within 5 ms",
    notes: "",
    file: "tutorial-requests.toml",
    toml: include_str!("../../data/presets/tutorial-requests.toml"),
    variants: || grid(&[("scheduler", &["minrtt", "rr"])]),
    measure: |_: &Parameters, outcome: &Outcome| {
        let times = first(outcome).map(completion_times).unwrap_or_default();
        let ms = |seconds: Option<f64>| seconds.map_or(f64::NAN, |s| s * 1e3);
        let later = times.get(1..).unwrap_or_default();
        vec![("first", ms(times.first().copied())), ("median", ms(median(later)))]
    },
    judge: |results: &Results| {
        let mut checks = Vec::new();
        for row in &results.rows {
            let label = row.variant.label();
            let first = Check::new(&label, "first answer, ms", &row.values("first"));
            let others = Check::new(&label, "other answers, median, ms", &row.values("median"));
            let published = Source::Published;
            checks.extend(match row.text("scheduler") {
                "minrtt" => [first, others.beside(45.0, published).within(35.0, 55.0)],
                "rr" => [
                    first.beside(50.0, published).within(45.0, 55.0),
                    others.beside(90.0, published).within(85.0, 95.0),
                ],
                _ => [first, others],
            });
        }
        checks
    },
};

/// A file, and buffers of three sizes.
pub(super) const HTTP: Preset = Preset {
    name: "tutorial-http",
    title: "a second path of 100 ms pays only with buffers that cover it",
    published: PUBLISHED,
    asked: "speed-up at 8 MB above that at 1 MB, which is below 1.8; no faster than 4.19 s and 2.10 s",
    notes: "Linux keeps about half of a buffer for overhead; a buffer of ours is all window, so it gets half of the bytes.",
    file: "tutorial-http.toml",
    toml: include_str!("../../data/presets/tutorial-http.toml"),
    variants: || grid(&[("buffer", &["300", "1000", "8000"]), ("stack", &["tcp", "mptcp"])]),
    measure: |_: &Parameters, outcome: &Outcome| {
        vec![("seconds", first(outcome).map_or(f64::NAN, duration))]
    },
    judge: judge_http,
};

fn judge_http(results: &Results) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut speedups = Vec::new();
    for buffer in ["300", "1000", "8000"] {
        let at = |stack| results.row(&[("buffer", buffer), ("stack", stack)]);
        let (Some(tcp), Some(mptcp)) = (at("tcp"), at("mptcp")) else { continue };
        for (row, bound) in [(tcp, 4.19), (mptcp, 2.10)] {
            let check = Check::new(row.variant.label(), "seconds", &row.values("seconds"));
            checks.push(check.beside(bound, Source::ClosedForm).each_at_least(bound));
        }
        let speedup = paired(tcp, mptcp, "seconds", |tcp, mptcp| tcp / mptcp);
        let check = Check::new(format!("buffer={buffer}"), "speed-up over TCP", &speedup);
        checks.push(if buffer == "1000" { check.at_most(1.8) } else { check });
        speedups.push(speedup);
    }
    if let [_, middle, large] = speedups.as_slice() {
        let more: Vec<f64> = large.iter().zip(middle).map(|(a, b)| a - b).collect();
        let check = Check::new("speed-up, 8 MB - 1 MB", "difference", &more);
        checks.push(check.at_least(f64::MIN_POSITIVE));
    }
    checks
}

/// The first path goes dark.
pub(super) const BACKUP: Preset = Preset {
    name: "tutorial-backup",
    title: "requests survive the loss of a path; the first answer after it is the slow one",
    published: PUBLISHED,
    asked: "all 60 answers come, the slowest is one that was asked for at the loss, later ones are fast",
    notes: "",
    file: "tutorial-backup.toml",
    toml: include_str!("../../data/presets/tutorial-backup.toml"),
    variants: || grid(&[("backup", &["true", "false"])]),
    measure: |_: &Parameters, outcome: &Outcome| {
        let done = first(outcome).map(|flow| flow.completions.clone()).unwrap_or_default();
        let took = |from: f64, to: f64| -> Vec<f64> {
            let within = done.iter().filter(|c| (from..to).contains(&c.start));
            within.map(|c| (c.end - c.start) * 1e3).collect()
        };
        let worst = |times: Vec<f64>| times.into_iter().fold(f64::NAN, f64::max);
        vec![
            ("answers", done.len() as f64),
            ("before", worst(took(0.0, 2.5))),
            ("at", worst(took(2.5, 4.0))),
            ("after", worst(took(6.0, 20.0))),
        ]
    },
    judge: |results: &Results| {
        let lines = results.rows.iter().flat_map(|row| {
            let line =
                |quantity: &str, name| Check::new(row.variant.label(), quantity, &row.values(name));
            [
                line("answers of 60", "answers").each_at_least(60.0),
                line("slowest before the loss, ms", "before").at_most(100.0),
                // minRTT has left the first path before the loss where the second is a regular one
                match (row.text("backup"), line("slowest at the loss, ms", "at")) {
                    ("true", at) => at.within(200.0, 3000.0),
                    (_, at) => at,
                },
                line("slowest after it, ms", "after").at_most(100.0),
            ]
        });
        lines.collect()
    },
};

/// Plateaus of the MPTCP connection's rate, Mbit/s, from second to second.
const PLATEAUS: [(&str, f64, f64, f64); 5] = [
    ("0-10", 2.0, 10.0, 40.0),
    ("10-20", 12.0, 20.0, 30.0),
    ("20-30", 22.0, 30.0, 20.0),
    ("30-40", 32.0, 40.0, 30.0),
    ("40-50", 42.0, 50.0, 40.0),
];

/// TCPs come and go.
pub(super) const FAIRNESS: Preset = Preset {
    name: "tutorial-fairness",
    title: "MPTCP leaves half of each path to a TCP that comes, and takes it back",
    published: PUBLISHED,
    asked: "plateaus of 40, 30, 20, 30 and 40 Mbit/s, each within 15 %; with 4 subflows OLIA keeps halves",
    notes: "",
    file: "tutorial-fairness.toml",
    toml: include_str!("../../data/presets/tutorial-fairness.toml"),
    variants: || {
        let mut all = grid(&[("cc", &["newreno"])]);
        all.extend(grid(&[("subflows", &["4"]), ("cc", &["newreno", "olia"])]));
        all
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        let mut found = Vec::new();
        for (name, from, to, _) in PLATEAUS {
            found.push((
                name,
                flows(outcome, "mptcp").next().map_or(f64::NAN, |f| rate(f, from, to)),
            ));
        }
        let tcp =
            |group, from, to| flows(outcome, group).next().map_or(f64::NAN, |f| rate(f, from, to));
        let both = [tcp("tcp-one", 20.0, 30.0), tcp("tcp-two", 22.0, 30.0)];
        found.push(("tcps", mean(&both)));
        found
    },
    judge: |results: &Results| {
        let mut checks = Vec::new();
        for row in &results.rows {
            let label = row.variant.label();
            if row.text("subflows") != "4" {
                for (name, _, _, mbit) in PLATEAUS {
                    let what = format!("MPTCP at {name} s, Mbit/s");
                    let check = Check::new(&label, what, &row.values(name));
                    checks.push(check.beside(mbit, Source::Published).close(0.15));
                }
                continue;
            }
            let check = Check::new(&label, "a TCP at 20-30 s, Mbit/s", &row.values("tcps"));
            checks.push(match row.text("cc") {
                "newreno" => check.at_most(6.0),
                "olia" => check.beside(10.0, Source::Published).close(0.25),
                _ => check,
            });
        }
        checks
    },
};

/// Mbit/s on the wire of a flow between two times; samples are 100 ms apart.
fn rate(flow: &FlowOutcome, from: f64, to: f64) -> f64 {
    let index = |seconds: f64| (seconds * 10.0).round() as usize;
    let samples = &flow.goodput_samples;
    let end = index(to).min(samples.len());
    let Some(part) = samples.get(index(from)..end).filter(|part| !part.is_empty()) else {
        return f64::NAN;
    };
    let payload = super::measure::payload(flow);
    let bytes: u64 = part.iter().sum();
    bytes as f64 * 8e-6 / (part.len() as f64 / 10.0) * 1500.0 / payload
}
