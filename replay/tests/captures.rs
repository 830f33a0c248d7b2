//! Every capture replayed, the engine as either side: a table, and what differs. `MPUSER_BLESS=1` writes it anew.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use mpuser_replay::{Class, Options, Outcome, Recording, Role, compare_golden, replay};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps")
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "pcap" || e == "pcapng"));
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// One line for a replay, one for each kind of divergence below it.
fn row(name: &str, outcome: &Outcome) -> String {
    let connection = outcome.connection.map_or_else(|| "tcp".to_owned(), |n| n.to_string());
    let mut text = format!(
        "{name}\t{connection}\t{}\t{}\t{}\t{}\t{}\t{}\n",
        outcome.role,
        outcome.steps,
        outcome.engine_steps,
        outcome.count(Class::Choice),
        outcome.count(Class::Capture),
        outcome.count(Class::Failure),
    );
    for divergence in &outcome.divergences {
        let places: Vec<String> = divergence
            .fields
            .iter()
            .map(|field| format!("{}: {} / {}", field.name, field.capture, field.engine))
            .collect();
        let packet = divergence.packet.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let (step, class) = (&divergence.step, divergence.class.name());
        let _ = writeln!(
            text,
            "\t{class}\t{packet}\t{step}\t{}\t{}",
            places.join("; "),
            divergence.reason
        );
    }
    text
}

fn table(files: &[PathBuf]) -> (String, usize) {
    let mut text = String::from(
        "# capture\tconnection\tengine as\tsteps captured\tsteps of the engine\tchoices\tof the capture\tfailures\n\
         # below each: class, packet, step, what differs (capture / engine), why\n",
    );
    let mut failures = 0;
    for file in files {
        let bytes = std::fs::read(file).expect("a capture");
        let recording = match Recording::parse(&bytes) {
            Ok(recording) => recording,
            Err(error) => {
                let _ = writeln!(text, "{}\t-\t{error}", name(file));
                continue;
            }
        };
        if recording.cases().is_empty() {
            let _ = writeln!(text, "{}\t-\tnothing to replay: no TCP", name(file));
        }
        for case in recording.cases() {
            if let Some(unfit) = case.unfit {
                let _ = writeln!(text, "{}\t-\tnot replayed: {unfit}", name(file));
                continue;
            }
            for role in [Role::Client, Role::Server] {
                let outcome = replay(&recording, case, role, Options::default());
                failures += outcome.count(Class::Failure);
                text += &row(&name(file), &outcome);
            }
        }
    }
    (text, failures)
}

#[test]
fn captures_of_the_repository() {
    let (text, failures) = table(&captures(&folder()));
    let golden = folder().join("replay.txt");
    if std::env::var_os("MPUSER_BLESS").is_some() {
        std::fs::write(&golden, &text).expect("written");
    }
    let before = std::fs::read_to_string(&golden).unwrap_or_default();
    if let Some(difference) = compare_golden(&before, &text) {
        panic!("pcaps/replay.txt, line {}: {difference:#?}", difference.line);
    }
    assert_eq!(failures, 0, "unexplained divergences, see pcaps/replay.txt");
}

/// The captures that may not be in the repository, where they lie beside it. Some were damaged on purpose, so that
/// divergences are right; what must hold is that every one comes to an end, and that the untouched ones have none.
#[test]
fn captures_beside_the_repository() {
    let beside = std::env::var_os("MPUSER_PCAPS")
        .map_or_else(|| folder().join("../../shared/pcaps"), PathBuf::from);
    for part in ["free", "copyleft", "read-only"] {
        let part = beside.join(part);
        if !part.is_dir() {
            eprintln!("NOT READ: the captures of {}: no such folder", part.display());
            continue;
        }
        for file in captures(&part) {
            let (text, failures) = table(std::slice::from_ref(&file));
            let damaged = name(&file).starts_with('m');
            assert!(failures == 0 || damaged, "{text}");
        }
    }
}
