//! Congestion control: a shared bottleneck, and the torus of NSDI 2011.

use super::check::{Check, Parameters, Results, Row, Source, paired};
use super::measure::{mean_of, packets_per_second, sum_of};
use super::preset::{Preset, grid};
use crate::metrics::Outcome;
use crate::stats::jain;

/// `mptcp / tcp` of htsim with one and with five TCPs.
const SHARED: [(&str, f64, f64); 6] = [
    ("newreno", 1.97, 2.03),
    ("coupled", 1.00, 1.04),
    ("ewtcp", 0.97, 0.92),
    ("lia", 1.06, 1.10),
    ("olia", 1.01, 0.96),
    ("balia", 0.98, 1.07),
];

/// One MPTCP connection beside TCPs on one link.
pub(super) const SHARED_BOTTLENECK: Preset = Preset {
    name: "shared-bottleneck",
    title: "n subflows through one link take as much as one TCP, if they are coupled",
    published: "RFC 6356 goal 2; numbers by htsim, the simulator of NSDI 2011",
    asked: "coupled 0.80 to 1.20 of a TCP; uncoupled n times, within 10 %",
    notes: "Rates are full-size packets of 1500 bytes a second, MPTCP 1428 and TCP 1448 bytes of payload each. Queues drop one packet in ten at random in their last three places, as the simulator of the references does; drop-tail synchronises few flows.",
    file: "shared-bottleneck.toml",
    toml: include_str!("../../data/presets/shared-bottleneck.toml"),
    variants: || {
        grid(&[
            ("cc", &["newreno", "coupled", "ewtcp", "lia", "olia", "balia"]),
            ("tcps", &["1", "5"]),
        ])
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        let mptcp = mean_of(outcome, "mptcp", packets_per_second);
        let tcp = mean_of(outcome, "tcp", packets_per_second);
        vec![("mptcp", mptcp), ("tcp", tcp)]
    },
    judge: judge_shared,
};

fn judge_shared(results: &Results) -> Vec<Check> {
    let lines = results.rows.iter().map(|row| {
        let ratio = row.combined("mptcp", "tcp", |mptcp, tcp| mptcp / tcp);
        let mut check = Check::new(row.variant.label(), "MPTCP / TCP", &ratio);
        let known = SHARED.iter().find(|(cc, ..)| *cc == row.text("cc"));
        let two = row.text("subflows") == "2";
        check = match (known, row.text("tcps")) {
            (Some((_, one, _)), "1") if two => check.beside(*one, Source::Simulated),
            (Some((_, _, five)), "5") if two => check.beside(*five, Source::Simulated),
            _ => check,
        };
        if matches!(row.text("cc"), "newreno" | "cubic" | "bbr") {
            let n = row.number("subflows");
            return check.within(0.9 * n, 1.1 * n);
        }
        check.within(0.80, 1.20)
    });
    lines.collect()
}

/// Jain's index and the sum of rates (packets a second) of htsim, all links alike and with the third at a tenth.
const TORUS: [(&str, [f64; 2], [f64; 2]); 5] = [
    ("coupled", [0.999, 4749.0], [0.983, 3853.0]),
    ("lia", [0.996, 4745.0], [0.981, 3918.0]),
    ("olia", [0.972, 4793.0], [0.972, 3932.0]),
    ("balia", [0.998, 4878.0], [0.986, 4002.0]),
    ("ewtcp", [0.998, 4940.0], [0.939, 4041.0]),
];

/// Five links, five connections.
pub(super) const TORUS_RING: Preset = Preset {
    name: "torus",
    title: "coupled connections move off a slow link, so that all get the same",
    published: "Wischik et al., NSDI 2011; numbers by htsim, its simulator",
    asked: "COUPLED and LIA have a Jain index >= 0.96 at C=100, EWTCP one at least 0.02 lower",
    notes: "A queue is one bandwidth-delay product of its own link: 10 packets at C=100.",
    file: "torus.toml",
    toml: include_str!("../../data/presets/torus.toml"),
    variants: || {
        grid(&[("c", &["1000", "100"]), ("cc", &["coupled", "lia", "olia", "balia", "ewtcp"])])
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        let rates: Vec<f64> = outcome.flows.iter().map(packets_per_second).collect();
        vec![("jain", jain(&rates)), ("sum", sum_of(outcome, "", packets_per_second))]
    },
    judge: judge_torus,
};

fn judge_torus(results: &Results) -> Vec<Check> {
    let mut checks = Vec::new();
    for row in &results.rows {
        let (cc, c) = (row.text("cc"), row.text("c"));
        let mut fair = Check::new(row.variant.label(), "Jain index", &row.values("jain"));
        let mut sum = Check::new(row.variant.label(), "sum, packets/s", &row.values("sum"));
        let known = TORUS.iter().find(|(name, ..)| *name == cc);
        let known = known.and_then(|(_, equal, slow)| match c {
            "1000" => Some(equal),
            "100" => Some(slow),
            _ => None,
        });
        if let Some([index, rate]) = known {
            fair = fair.beside(*index, Source::Simulated);
            sum = sum.beside(*rate, Source::Simulated);
        }
        if c == "100" && matches!(cc, "coupled" | "lia") {
            fair = fair.at_least(0.96);
        }
        checks.extend([fair, sum]);
    }
    let at = |cc| results.row(&[("cc", cc), ("c", "100")]);
    for better in ["coupled", "lia"] {
        if let (Some(better), Some(ewtcp)) = (at(better), at("ewtcp")) {
            checks.push(lead(better, ewtcp));
        }
    }
    checks
}

/// How much fairer `better` is than EWTCP, seed by seed.
fn lead(better: &Row, ewtcp: &Row) -> Check {
    let lead = paired(better, ewtcp, "jain", |a, b| a - b);
    let case = format!("c=100 {} - ewtcp", better.text("cc"));
    Check::new(case, "Jain index", &lead).at_least(0.02)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::Variant;

    /// BBR v1 beside a Reno with eight BDP of queue: about as much, as published. Were its samples taken for limited by
    /// the application, it would stay in its startup and leave nothing.
    #[test]
    fn bbr_leaves_room_where_the_queue_is_long() {
        let set = [
            ("cc", "bbr"),
            ("subflows", "1"),
            ("tcps", "1"),
            ("queue", "8"),
            ("aqm", "droptail"),
            ("seconds", "40"),
        ];
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let made = SHARED_BOTTLENECK.scenario(&Variant { set: set.collect() });
        let (scenario, parameters) = made.expect("a scenario");
        let outcome = crate::world::run(&scenario, 1).expect("a run");
        let found: std::collections::BTreeMap<_, _> =
            (SHARED_BOTTLENECK.measure)(&parameters, &outcome).into_iter().collect();
        let ratio = found["mptcp"] / found["tcp"];
        assert!((0.2..4.0).contains(&ratio), "{found:?}");
    }
}
