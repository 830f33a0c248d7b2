//! WiFi and 3G: goodput, and what a small receive buffer makes of it (NSDI 2012).

use super::check::{Check, Parameters, Results, paired};
use super::preset::{Preset, Variant, grid};
use crate::metrics::Outcome;

fn goodput(_: &Parameters, outcome: &Outcome) -> Vec<(&'static str, f64)> {
    vec![("mbit", outcome.flows.first().map_or(f64::NAN, |flow| flow.goodput_bps / 1e6))]
}

const TOML: &str = include_str!("../../data/presets/3gwifi.toml");

/// The regression test of the v0.9x kernels.
pub(super) const WIFI_3G: Preset = Preset {
    name: "3gwifi",
    title: "WiFi and 3G together give more than WiFi",
    published: "mptcp-scripts test_3gwifi, the scenario of NSDI 2012",
    asked: "every seed at least 7 Mbit/s, half of it with DSS checksums",
    notes: "Congestion control is not stated: CUBIC.",
    file: "3gwifi.toml",
    toml: TOML,
    variants: || grid(&[("checksum", &["false", "true"])]),
    measure: goodput,
    judge: |results: &Results| {
        let lines = results.rows.iter().map(|row| {
            let limit = if row.text("checksum") == "true" { 3.5 } else { 7.0 };
            let check = Check::new(row.variant.label(), "goodput, Mbit/s", &row.values("mbit"));
            check.each_at_least(limit)
        });
        lines.collect()
    },
};

/// minRTT without its two mechanisms against small buffers, with the first, and with both.
const MODES: [(&str, &str); 3] = [
    ("neither", "minrtt,opportunistic=off,penalise=off"),
    ("M1", "minrtt,opportunistic=on,penalise=off"),
    ("M1+M2", "minrtt,opportunistic=on,penalise=on"),
];

/// The paths of the paper: 3G with a round trip of 150 ms and 2 s of queue, WiFi with 80 ms of queue; long enough for
/// what lies out of order at the end to be little.
const PAPER: [(&str, &str); 4] =
    [("umts_delay", "75"), ("umts_queue", "333"), ("wifi_queue", "53"), ("seconds", "60")];

/// KiB.
const BUFFERS: [&str; 7] = ["50", "100", "200", "400", "600", "1024", "2048"];

/// Receive buffers from 50 KiB to 2 MiB.
pub(super) const BUFFER_SWEEP: Preset = Preset {
    name: "3gwifi-buffers",
    title: "opportunistic retransmission and penalisation make MPTCP bear small receive buffers",
    published: "Raiciu et al., NSDI 2012; Stanford's reproduction",
    asked: "M1+M2 never below 0.95 of TCP over WiFi, 9 Mbit/s from 600 KiB, better than neither at 200 KiB",
    notes: "The paper's paths: 3G with 150 ms and 2 s of queue, WiFi with 20 ms and 80 ms of queue; 60 s. The send buffer is 1 MiB, or as large as the receive buffer. A buffer of ours is all window; Linux keeps a part of it for overhead, so its curves lie to the right.",
    file: "3gwifi.toml",
    toml: TOML,
    variants: || {
        let variant = |name: &str, value: &str, size: &str| {
            let own = [(name, value), ("receive_buffer", size)];
            let all = own.iter().chain(&PAPER);
            Variant { set: all.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect() }
        };
        let all = BUFFERS.iter().flat_map(|size| {
            let tcp = variant("paths", "1", size);
            let modes = MODES.iter().map(|(_, scheduler)| variant("scheduler", scheduler, size));
            std::iter::once(tcp).chain(modes.collect::<Vec<_>>())
        });
        all.collect()
    },
    measure: goodput,
    judge: judge_sweep,
};

fn judge_sweep(results: &Results) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut sizes: Vec<&str> = results.rows.iter().map(|row| row.text("receive_buffer")).collect();
    sizes.dedup();
    for size in sizes {
        let at = |name: &str, value: &str| results.row(&[("receive_buffer", size), (name, value)]);
        let tcp = at("paths", "1");
        let modes = MODES.map(|(mode, scheduler)| (mode, at("scheduler", scheduler)));
        if let Some(tcp) = tcp {
            let case = format!("{size} KiB, TCP over WiFi");
            checks.push(Check::new(case, "goodput, Mbit/s", &tcp.values("mbit")));
        }
        for (mode, row) in modes {
            let Some(row) = row.filter(|row| row.text("paths") != "1") else { continue };
            let check =
                Check::new(format!("{size} KiB, {mode}"), "goodput, Mbit/s", &row.values("mbit"));
            let large = row.number("receive_buffer") >= 600.0;
            checks.push(if mode == "M1+M2" && large { check.at_least(9.0) } else { check });
        }
        let [(_, neither), _, (_, both)] = modes;
        if let (Some(both), Some(tcp)) = (both, tcp) {
            let ratio = paired(both, tcp, "mbit", |both, tcp| both / tcp);
            checks.push(
                Check::new(format!("{size} KiB, M1+M2 / TCP"), "ratio", &ratio).at_least(0.95),
            );
        }
        if let (Some(both), Some(neither), "200") = (both, neither, size) {
            let more = paired(both, neither, "mbit", |both, neither| both - neither);
            let check = Check::new("200 KiB, M1+M2 - neither", "goodput, Mbit/s", &more);
            checks.push(check.at_least(f64::MIN_POSITIVE));
        }
    }
    checks
}
