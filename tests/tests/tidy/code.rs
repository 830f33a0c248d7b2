//! Rules about Rust sources.

use crate::repository::{has_word, report, root, rust_files, split};
use std::collections::BTreeMap;
use std::fs;

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

#[test]
fn unsafe_code_stays_in_tun() {
    let complaints = rust_files().into_iter().filter_map(|file| {
        let found = has_word(&split(&file.text).0, "unsafe");
        (found && !file.path.starts_with("tun/")).then(|| format!("{}: unsafe", file.path))
    });
    report(&complaints.collect::<Vec<_>>());
}

/// ID, section, level and text of every requirement.
fn requirements() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("tests/data/requirements.txt")).expect("the list");
    let mut list = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        assert!(fields.len() == 4 && fields.iter().all(|f| !f.is_empty()), "{line}");
        let id = fields[0].clone();
        assert!(list.insert(id.clone(), fields).is_none(), "{id} stands there twice");
    }
    list
}

/// What looks like the ID of a requirement in a comment: `[JOIN-8]`, `[DSS-5, DSS-6]`, `K12`.
fn citations(comments: &str) -> Vec<String> {
    let mut found = Vec::new();
    for group in comments.split('[').skip(1) {
        let Some((inside, _)) = group.split_once(']') else { continue };
        let ids: Vec<&str> = inside.split([',', ' ']).filter(|id| !id.is_empty()).collect();
        if !ids.is_empty() && ids.iter().all(|id| is_id(id)) {
            found.extend(ids.iter().map(|id| (*id).to_owned()));
        }
    }
    let words = comments.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
    let kernel = |word: &&str| word.strip_prefix('K').is_some_and(is_number);
    found.extend(words.filter(kernel).map(str::to_owned));
    found
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(letters, number)| {
        is_number(number) && !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_uppercase())
    })
}

#[test]
fn citations_are_found() {
    let found =
        citations("// [JOIN-8] [DSS-5, DSS-6] (K12) [`X`] [SHA-256] FIN-WAIT-1 [RFC 8684] K-1");
    assert_eq!(found, ["JOIN-8", "DSS-5", "DSS-6", "K12"]);
}

#[test]
fn cited_requirements_exist() {
    let known = requirements();
    let mut complaints = Vec::new();
    for file in rust_files().iter().filter(|file| !file.path.starts_with("tests/tests/tidy")) {
        for id in citations(&split(&file.text).1) {
            let label = id.split_once('-').is_some_and(|(l, _)| RFC_9293_LABELS.contains(&l));
            if !label && !known.contains_key(&id) {
                complaints.push(format!("{}: there is no {id}", file.path));
            }
        }
    }
    report(&complaints);
}
