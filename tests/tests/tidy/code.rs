//! Rules about Rust sources.

use crate::repository::{has_word, report, rust_files, split};
use mpuser_tests::compliance::{citations, requirements};
use std::collections::BTreeSet;

/// Most lines of a Rust file, its tests included.
const LINES_MAX: usize = 600;

/// The only readers of the operating system's clock.
const CLOCK_READERS: [&str; 2] = [
    "tun/src/clock.rs",    // time for the engine
    "tun/src/lab/peer.rs", // measures the kernel, not the engine
];

/// Labels of RFC 9293 itself: [MUST-15], [SHLD-2], ...
const RFC_9293_LABELS: [&str; 4] = ["MUST", "SHLD", "MAY", "REC"];

#[test]
fn files_are_short() {
    let long = rust_files().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines >= LINES_MAX)
            .then(|| format!("{}: {lines} lines, the limit is {LINES_MAX}", file.path))
    });
    report(&long.collect::<Vec<_>>());
}

/// Time is handed in. Clippy bans the standard library's clock; here are those who may read it, and what clippy
/// cannot say: the engine and its tests know no clock at all. (The program uses tokio's, which tests can pause.)
#[test]
fn the_clock_is_read_in_one_place() {
    let mut complaints = Vec::new();
    for file in rust_files() {
        let (code, _) = split(&file.text);
        let no_clock = ["engine/", "sim/", "tests/src/"].iter().any(|p| file.path.starts_with(p));
        let imports = |line: &str| line.contains("std::time::") && has_word(line, "Instant");
        let reads = has_word(&code, "SystemTime")
            || (code.contains("Instant::now") && (no_clock || code.lines().any(imports)));
        if reads && !CLOCK_READERS.contains(&file.path.as_str()) {
            complaints.push(format!("{}: reads the clock", file.path));
        }
    }
    report(&complaints);
}

/// Where pointers of the operating system or of a foreign program come in.
const UNSAFE_PLACES: [&str; 4] = [
    "tun/",
    "vector/src/",                // loops for features the processor was asked for
    "tests/packetdrill/src/ffi/", // the rim of the packetdrill door
    "tests/packetdrill/tests/",   // its driver calls through C pointers, as packetdrill does
];

#[test]
fn unsafe_code_stays_in_tun() {
    let complaints = rust_files().into_iter().filter_map(|file| {
        let found = has_word(&split(&file.text).0, "unsafe");
        let allowed = UNSAFE_PLACES.iter().any(|place| file.path.starts_with(place));
        (found && !allowed).then(|| format!("{}: unsafe", file.path))
    });
    report(&complaints.collect::<Vec<_>>());
}

#[test]
fn cited_requirements_exist() {
    let known: BTreeSet<String> = requirements().into_iter().map(|r| r.id).collect();
    let mut complaints = Vec::new();
    for file in rust_files().iter().filter(|file| !file.path.starts_with("tests/tests/tidy")) {
        for id in citations(&split(&file.text).1) {
            let label = id.split_once('-').is_some_and(|(l, _)| RFC_9293_LABELS.contains(&l));
            if !label && !known.contains(&id) {
                complaints.push(format!("{}: there is no {id}", file.path));
            }
        }
    }
    report(&complaints);
}
