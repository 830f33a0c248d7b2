//! Parts of captures: one path of several, one direction, the middle of something. What is not there is no offence.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod common;

use common::{captures, each, name};
use mpuser_inspect::trace::Finding;
use mpuser_inspect::{Packet, Settings, Trace};

/// Captures whose findings are explained (`captures.rs`), or that are damaged.
fn is_clean(name: &str) -> bool {
    let damaged = name.starts_with('m') && name.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let explained = ["ksft_119", "tcpdump__mptcp-dss-oobr", "mod_tok", "DPI-MPTCP__mp_capable"];
    !damaged && !explained.iter().any(|part| name.contains(part))
}

/// What is really wrong in a capture is found in its parts, too: in those of MP_FAIL an octet was changed.
fn is_expected(name: &str, finding: &Finding) -> bool {
    name.contains("_mp_fail_") && finding.ids.contains(&"DSS-9")
}

/// What is found in the segments that `keep` wants, told their place in the whole.
fn findings(bytes: &[u8], keep: impl Fn(usize, usize, &Packet<'_>) -> bool) -> Vec<Finding> {
    let mut whole = Trace::new(Settings::default());
    let mut part = Trace::new(Settings::default());
    let mut count = 0;
    each(bytes, |packet| {
        let placed = whole.push(packet);
        count += 1;
        if keep(placed.stream, count, packet) {
            part.push(packet);
        }
    });
    part.finish().findings
}

fn check(what: &str, keep: impl Fn(usize, usize, &Packet<'_>) -> bool + Copy) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in captures().iter().filter(|file| is_clean(&name(file))) {
        // long ones would take the time of all others
        let Some(bytes) = std::fs::read(file).ok().filter(|bytes| bytes.len() < 500_000) else {
            continue;
        };
        let name = name(file);
        for finding in findings(&bytes, keep).iter().filter(|f| !is_expected(&name, f)) {
            wrong.push(format!("{name} {what}: {finding:?}"));
        }
    }
    wrong
}

fn none(wrong: &[String]) {
    for line in wrong.iter().take(40) {
        println!("{line}");
    }
    assert!(wrong.is_empty(), "{} false alarms", wrong.len());
}

#[test]
fn one_path_of_several() {
    let mut wrong = Vec::new();
    for only in 0..3 {
        wrong.extend(check(&format!("stream {only} alone"), move |stream, _, _| stream == only));
        wrong.extend(check(&format!("without stream {only}"), move |stream, _, _| stream != only));
    }
    none(&wrong);
}

#[test]
fn one_direction() {
    let mut wrong = check("towards the higher port", |_, _, p| p.src.port() < p.dst.port());
    wrong.extend(check("towards the lower port", |_, _, p| p.src.port() > p.dst.port()));
    none(&wrong);
}

#[test]
fn from_the_middle() {
    let mut wrong = Vec::new();
    for start in (1..12).chain((12..200).step_by(13)) {
        wrong.extend(check(&format!("from {start} on"), move |_, number, _| number > start));
    }
    none(&wrong);
}

/// Captures lose packets.
#[test]
fn with_holes() {
    let mut wrong = Vec::new();
    for every in [3, 7, 10, 23] {
        wrong.extend(check(&format!("without every {every}th"), move |_, number, _| {
            number % every != 1
        }));
    }
    none(&wrong);
}
