//! Schedulers held against the papers that made them: BLEST, ECF, Peekaboo.

use super::check::{Check, Parameters, Results, Row, Source, paired};
use super::measure::{completion_times, duration, flows};
use super::preset::{Preset, grid};
use crate::metrics::{FlowOutcome, Outcome};
use crate::stats::mean;

const BLEST: &str = "Ferlin et al., BLEST, IFIP Networking 2016";
const ECF: &str = "Lim et al., ECF, CoNEXT 2017";

fn of<'a>(outcome: &'a Outcome, group: &'a str) -> Option<&'a FlowOutcome> {
    flows(outcome, group).next()
}

/// A quantity of `one` in shares of that of `other`.
fn share(case: &str, quantity: &str, one: &Row, other: &Row, name: &str) -> Check {
    let ratio = paired(one, other, name, |a, b| a / b);
    Check::new(case, quantity, &ratio)
}

/// 64 MiB.
pub(super) const BLEST_BULK: Preset = Preset {
    name: "blest-bulk",
    title: "BLEST: more goodput, fewer retransmissions, less out of order than minRTT over WLAN and 3G",
    published: BLEST,
    asked: "BLEST / minRTT goodput 1.03 to 1.25, 60 % fewer retransmissions, less out of order; DAPS below minRTT; WLAN twice within 5 %",
    notes: "Delays are taken one way. Background: a TCP with exponential bursts on each path (2 and 0.5 Mbit/s) and UDP with Pareto bursts; the mix is not stated, and greedy TCPs would fill the 9 s of queue of the 3G path. The paper measured its authors' kernel module, so blest-linux is judged; blest-paper, the formula in the text, stands beside it.",
    file: "blest-bulk.toml",
    toml: include_str!("../../data/presets/blest-bulk.toml"),
    variants: || {
        let mut all =
            grid(&[("scheduler", &["minrtt", "otias", "daps", "blest-paper", "blest-linux"])]);
        all.extend(grid(&[("second", &["wlan"]), ("scheduler", &["minrtt", "blest-linux"])]));
        all
    },
    measure: |parameters: &Parameters, outcome: &Outcome| {
        let flow = of(outcome, "mptcp");
        let size: f64 = parameters.get("size").and_then(|s| s.parse().ok()).unwrap_or(f64::NAN);
        let sum = |f: &FlowOutcome| f.subflows.iter().map(|s| s.retransmitted_bytes).sum::<u64>();
        let mean_queue = |f: &FlowOutcome| {
            mean(&f.ofo_samples.iter().map(|bytes| *bytes as f64).collect::<Vec<_>>())
        };
        vec![
            ("mbit", flow.map_or(f64::NAN, |f| size * 8e-6 / duration(f))),
            ("again", flow.map_or(f64::NAN, |f| (sum(f) + f.reinjected_bytes) as f64 / 1e6)),
            ("ofo", flow.map_or(f64::NAN, |f| mean_queue(f) / 1e3)),
        ]
    },
    judge: |results: &Results| {
        let mut checks = Vec::new();
        for row in &results.rows {
            let label = row.variant.label();
            checks.push(Check::new(&label, "goodput, Mbit/s", &row.values("mbit")));
            checks.push(Check::new(&label, "sent again, MB", &row.values("again")));
            checks.push(Check::new(&label, "out of order, mean KB", &row.values("ofo")));
        }
        let at = |second, scheduler| results.row(&[("second", second), ("scheduler", scheduler)]);
        let Some(minrtt) = at("3g", "minrtt") else { return checks };
        for (name, band) in [("blest-paper", false), ("blest-linux", true)] {
            let Some(blest) = at("3g", name) else { continue };
            let case = format!("{name} / minrtt");
            let goodput = share(&case, "goodput", blest, minrtt, "mbit");
            let again = share(&case, "sent again", blest, minrtt, "again");
            let ofo = share(&case, "out of order", blest, minrtt, "ofo");
            let goodput = goodput.beside(1.12, Source::Published);
            let again = again.beside(0.19, Source::Published);
            let ofo = ofo.beside(0.81, Source::Published);
            checks.extend(if band {
                [goodput.within(1.03, 1.25), again.at_most(0.4), ofo.at_most(1.0)]
            } else {
                [goodput, again, ofo]
            });
        }
        for (name, goodput, ofo) in [("otias", 1.06, 0.65), ("daps", 0.73, 0.35)] {
            let Some(row) = at("3g", name) else { continue };
            let case = format!("{name} / minrtt");
            let line =
                share(&case, "goodput", row, minrtt, "mbit").beside(goodput, Source::Published);
            checks.push(if name == "daps" { line.at_most(1.0) } else { line });
            let line = share(&case, "out of order", row, minrtt, "ofo");
            checks.push(line.beside(ofo, Source::Published));
        }
        if let (Some(blest), Some(minrtt)) = (at("wlan", "blest-linux"), at("wlan", "minrtt")) {
            let line = share("two WLANs, blest-linux / minrtt", "goodput", blest, minrtt, "mbit");
            checks.push(line.within(0.95, 1.05));
        }
        checks
    },
};

/// Pages of three sizes.
pub(super) const BLEST_WEB: Preset = Preset {
    name: "blest-web",
    title: "BLEST: pages are complete sooner",
    published: BLEST,
    asked: "BLEST no slower than minRTT at each size",
    notes: "The pages are one response each; background and flavours as in blest-bulk.",
    file: "blest-web.toml",
    toml: include_str!("../../data/presets/blest-web.toml"),
    variants: || {
        grid(&[
            ("size", &["72", "1024", "3994"]),
            ("scheduler", &["minrtt", "otias", "daps", "blest-linux", "blest-paper"]),
        ])
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        vec![("seconds", of(outcome, "mptcp").map_or(f64::NAN, |f| mean(&completion_times(f))))]
    },
    judge: |results: &Results| {
        const TABLE: [(&str, [f64; 4]); 3] = [
            ("72", [0.421, 0.392, 0.435, 0.337]),
            ("1024", [1.60, 1.724, 1.789, 1.503]),
            ("3994", [4.87, 4.858, 4.932, 4.62]),
        ];
        let mut checks = Vec::new();
        for row in &results.rows {
            let known = TABLE.iter().find(|(size, _)| *size == row.text("size"));
            let names = ["minrtt", "otias", "daps", "blest-linux"];
            let column = names.iter().position(|name| *name == row.text("scheduler"));
            let check =
                Check::new(row.variant.label(), "mean completion, s", &row.values("seconds"));
            let reference = known.zip(column).and_then(|((_, times), at)| times.get(at));
            checks.push(match reference {
                Some(time) => check.beside(*time, Source::Published),
                None => check,
            });
        }
        for (size, [minrtt, _, _, blest]) in TABLE {
            let at = |name| results.row(&[("size", size), ("scheduler", name)]);
            if let (Some(a), Some(b)) = (at("blest-linux"), at("minrtt")) {
                let line = share(
                    &format!("{size} KiB, blest-linux / minrtt"),
                    "completion",
                    a,
                    b,
                    "seconds",
                );
                checks.push(line.beside(blest / minrtt, Source::Published).at_most(1.0));
            }
        }
        checks
    },
};

/// Messages at 1 Mbit/s.
pub(super) const BLEST_CBR: Preset = Preset {
    name: "blest-cbr",
    title: "BLEST: messages at a constant rate arrive sooner, and DAPS spoils them",
    published: BLEST,
    asked: "BLEST no slower than minRTT, DAPS slower; two WLANs within 5 %",
    notes: "Background and flavours as in blest-bulk.",
    file: "blest-cbr.toml",
    toml: include_str!("../../data/presets/blest-cbr.toml"),
    variants: || {
        grid(&[
            ("second", &["3g", "wlan"]),
            ("scheduler", &["minrtt", "otias", "daps", "blest-linux", "blest-paper"]),
        ])
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        vec![("ms", of(outcome, "mptcp").map_or(f64::NAN, |f| 1e3 * mean(&completion_times(f))))]
    },
    judge: |results: &Results| {
        const TABLE: [(&str, [f64; 4]); 2] =
            [("3g", [68.0, 53.2, 843.7, 62.8]), ("wlan", [52.18, 53.49, 54.02, 52.24])];
        let mut checks = Vec::new();
        for row in &results.rows {
            let known = TABLE.iter().find(|(second, _)| *second == row.text("second"));
            let names = ["minrtt", "otias", "daps", "blest-linux"];
            let column = names.iter().position(|name| *name == row.text("scheduler"));
            let check = Check::new(row.variant.label(), "mean delay, ms", &row.values("ms"));
            checks.push(match known.zip(column).and_then(|((_, ms), at)| ms.get(at)) {
                Some(ms) => check.beside(*ms, Source::Published),
                None => check,
            });
        }
        let at = |second, name| results.row(&[("second", second), ("scheduler", name)]);
        let ratio = |second, name| {
            let (row, minrtt) = (at(second, name)?, at(second, "minrtt")?);
            Some(share(&format!("{second}, {name} / minrtt"), "delay", row, minrtt, "ms"))
        };
        checks.extend(
            ratio("3g", "blest-linux")
                .map(|line| line.beside(0.92, Source::Published).at_most(1.0)),
        );
        checks.extend(
            ratio("3g", "daps").map(|line| line.beside(12.4, Source::Published).at_least(1.0)),
        );
        checks.extend(ratio("wlan", "blest-linux").map(|line| line.within(0.95, 1.05)));
        checks
    },
};

/// Video over WiFi and LTE.
pub(super) const ECF_STREAMING: Preset = Preset {
    name: "ecf-streaming",
    title: "ECF: with a slow WiFi, only a scheduler that waits keeps the fast path's window open between chunks",
    published: ECF,
    asked: "at 0.3 and 8.6 Mbit/s minRTT <= 50 % of the ideal rate, ECF >= 80 %, ten times fewer window resets; symmetric within 5 %",
    notes: "Queues of 30 packets give the round trips that were measured: about a second at 0.3 Mbit/s, 20 and 75 ms without queue. Congestion control is not stated: CUBIC. The player chooses by its buffer (BBA-0). The paper measured its authors' kernel module, so ecf-linux is judged; ecf-paper, the formula in the text, stands beside it.",
    file: "ecf-streaming.toml",
    toml: include_str!("../../data/presets/ecf-streaming.toml"),
    variants: || {
        let mut all = grid(&[
            ("wifi", &["0.3"]),
            ("lte", &["8.6"]),
            ("scheduler", &["minrtt", "daps", "blest-paper", "ecf-paper", "ecf-linux"]),
        ]);
        for rate in ["0.7", "4.2", "8.6"] {
            all.extend(grid(&[
                ("wifi", &[rate]),
                ("lte", &[rate]),
                ("scheduler", &["minrtt", "ecf-linux"]),
            ]));
        }
        all
    },
    measure: |parameters: &Parameters, outcome: &Outcome| {
        let number = |name| parameters.get(name).and_then(|v| v.parse::<f64>().ok());
        // the highest rate of the video is 8.47 Mbit/s, whatever the links carry
        let ideal = number("wifi").zip(number("lte")).map_or(f64::NAN, |(a, b)| (a + b).min(8.47));
        let flow = of(outcome, "client");
        let played = flow.and_then(|f| f.player.as_ref()).map_or(f64::NAN, |p| p.mean_rate / 1e6);
        let late = |seconds| {
            let time = mpuser_engine::time::Duration::from_secs_f64(seconds);
            flow.map_or(f64::NAN, |f| 100.0 * f.ofo_delay.above(time))
        };
        vec![
            ("share", played / ideal),
            ("mbit", played),
            ("resets", flow.map_or(f64::NAN, |f| f.idle_resets as f64)),
            ("late", late(1.0)),
            ("late8", late(0.8)),
        ]
    },
    judge: judge_streaming,
};

fn judge_streaming(results: &Results) -> Vec<Check> {
    let mut checks = Vec::new();
    let resets = [("minrtt", 486.0), ("daps", 92.0), ("blest-paper", 382.0), ("ecf-linux", 16.0)];
    for row in &results.rows {
        let label = row.variant.label();
        let slow = row.text("wifi") == "0.3" && row.text("lte") == "8.6";
        let scheduler = row.text("scheduler");
        let share = Check::new(&label, "bit rate / ideal", &row.values("share"));
        checks.push(match scheduler {
            "minrtt" if slow => share.beside(0.25, Source::Published).at_most(0.5),
            "ecf-linux" if slow => share.at_least(0.8),
            _ => share,
        });
        let idle = Check::new(&label, "windows reset after idle", &row.values("resets"));
        let known = resets.iter().find(|(name, _)| slow && *name == scheduler);
        checks.push(match known {
            Some((_, count)) => idle.beside(*count, Source::Published),
            None => idle,
        });
        if slow {
            let late =
                Check::new(&label, "bytes out of order for over 1 s, %", &row.values("late"));
            checks.push(late);
        }
    }
    let at = |wifi, lte, scheduler| {
        results.row(&[("wifi", wifi), ("lte", lte), ("scheduler", scheduler)])
    };
    if let (Some(minrtt), Some(ecf)) = (at("0.3", "8.6", "minrtt"), at("0.3", "8.6", "ecf-linux")) {
        let ratio = paired(minrtt, ecf, "resets", |minrtt, ecf| minrtt / ecf.max(1.0));
        let line = Check::new("0.3/8.6, minrtt / ecf-linux", "window resets", &ratio);
        checks.push(line.beside(486.0 / 16.0, Source::Published).at_least(10.0));
    }
    for rate in ["0.7", "4.2", "8.6"] {
        if let (Some(minrtt), Some(ecf)) = (at(rate, rate, "minrtt"), at(rate, rate, "ecf-linux")) {
            let line = share(
                &format!("{rate}/{rate}, ecf-linux / minrtt"),
                "bit rate",
                ecf,
                minrtt,
                "share",
            );
            checks.push(line.beside(1.0, Source::Published).within(0.95, 1.05));
        }
    }
    checks
}

/// One file over WiFi at 1 and LTE at 10 Mbit/s.
pub(super) const ECF_WGET: Preset = Preset {
    name: "ecf-wget",
    title: "ECF: files over a slow WiFi and a fast LTE are complete sooner",
    published: ECF,
    asked: "ECF no slower than minRTT from 256 KiB, within 5 % at 128 KiB",
    notes: "Paths and flavours as in ecf-streaming.",
    file: "ecf-wget.toml",
    toml: include_str!("../../data/presets/ecf-wget.toml"),
    variants: || {
        grid(&[
            ("wifi", &["1"]),
            ("lte", &["10"]),
            ("size", &["128", "256", "512", "1024"]),
            ("scheduler", &["minrtt", "ecf-linux", "ecf-paper"]),
        ])
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        vec![("seconds", of(outcome, "client").map_or(f64::NAN, |f| mean(&completion_times(f))))]
    },
    judge: |results: &Results| {
        let mut checks: Vec<Check> = Vec::new();
        for size in ["128", "256", "512", "1024"] {
            let at = |name| results.row(&[("size", size), ("scheduler", name)]);
            let (Some(minrtt), Some(ecf)) = (at("minrtt"), at("ecf-linux")) else { continue };
            for row in [minrtt, ecf] {
                let seconds = row.values("seconds");
                checks.push(Check::new(row.variant.label(), "mean completion, s", &seconds));
            }
            let line = share(
                &format!("{size} KiB, ecf-linux / minrtt"),
                "completion",
                ecf,
                minrtt,
                "seconds",
            );
            checks.push(match size {
                "128" => line.beside(1.0, Source::Published).within(0.95, 1.05),
                _ => line.beside(0.87, Source::Published).at_most(1.0),
            });
        }
        checks
    },
};

/// A page of 107 objects.
pub(super) const ECF_WEB: Preset = Preset {
    name: "ecf-web",
    title: "ECF: pages over unequal paths are complete sooner, over equal ones as soon",
    published: ECF,
    asked: "5/5 Mbit/s within 5 %; 1/5 and 1/10 ECF no slower than minRTT",
    notes: "The sizes of the 107 objects are drawn once from a lognormal distribution, 1.9 MB in all; the paper names the number only.",
    file: "ecf-web.toml",
    toml: include_str!("../../data/presets/ecf-web.toml"),
    variants: || {
        let pairs = [("5", "5"), ("1", "5"), ("1", "10")];
        let all = pairs.iter().flat_map(|(wifi, lte)| {
            grid(&[("wifi", &[wifi]), ("lte", &[lte]), ("scheduler", &["minrtt", "ecf-linux"])])
        });
        all.collect()
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        let flow = of(outcome, "client");
        vec![
            ("object", flow.map_or(f64::NAN, |f| mean(&completion_times(f)))),
            ("page", flow.map_or(f64::NAN, duration)),
        ]
    },
    judge: |results: &Results| {
        let mut checks = Vec::new();
        for (wifi, lte) in [("5", "5"), ("1", "5"), ("1", "10")] {
            let at = |name| results.row(&[("wifi", wifi), ("lte", lte), ("scheduler", name)]);
            let (Some(minrtt), Some(ecf)) = (at("minrtt"), at("ecf-linux")) else { continue };
            for row in [minrtt, ecf] {
                checks.push(Check::new(
                    row.variant.label(),
                    "mean object, s",
                    &row.values("object"),
                ));
                checks.push(Check::new(row.variant.label(), "page, s", &row.values("page")));
            }
            let line = share(
                &format!("{wifi}/{lte}, ecf-linux / minrtt"),
                "mean object",
                ecf,
                minrtt,
                "object",
            );
            checks.push(if wifi == lte { line.within(0.95, 1.05) } else { line.at_most(1.0) });
        }
        checks
    },
};

/// Little and much variation.
pub(super) const PEEKABOO: Preset = Preset {
    name: "peekaboo",
    title: "waiting for the fast path pays while its delay can be foreseen, and no longer when it cannot",
    published: "Wu et al., Peekaboo, IEEE JSAC 2020",
    asked: "the crossover: BLEST and ECF beat minRTT at no variation, minRTT is best at 16 % and 3 % loss",
    notes: "The middle of each range: 5 Mbit/s with 90 ms and 45 Mbit/s with 25 ms one way. Variation is uniform and keeps the order of packets.",
    file: "peekaboo.toml",
    toml: include_str!("../../data/presets/peekaboo.toml"),
    variants: || {
        let mut all = Vec::new();
        for (variation, loss) in [("0", "0"), ("8", "1.5"), ("16", "3")] {
            all.extend(grid(&[
                ("variation", &[variation]),
                ("loss", &[loss]),
                ("scheduler", &["minrtt", "blest-linux", "ecf-linux", "peekaboo"]),
            ]));
        }
        all
    },
    measure: |_: &Parameters, outcome: &Outcome| {
        vec![("seconds", of(outcome, "client").map_or(f64::NAN, |f| mean(&completion_times(f))))]
    },
    judge: |results: &Results| {
        let mut checks: Vec<Check> = results
            .rows
            .iter()
            .map(|row| Check::new(row.variant.label(), "mean download, s", &row.values("seconds")))
            .collect();
        for (variation, low) in [("0", true), ("16", false)] {
            let at = |name| results.row(&[("variation", variation), ("scheduler", name)]);
            for name in ["blest-linux", "ecf-linux"] {
                let (Some(other), Some(minrtt)) = (at(name), at("minrtt")) else { continue };
                let case = format!("variation={variation}, {name} / minrtt");
                let line = share(&case, "download", other, minrtt, "seconds");
                checks.push(if low { line.at_most(1.0) } else { line.at_least(1.0) });
            }
        }
        checks
    },
};
