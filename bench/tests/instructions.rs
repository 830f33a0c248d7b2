//! Instructions per MB between two endpoints in memory, counted by callgrind: a number that no load on the machine moves. Here
//! in the profile tests are built with; `tests/instructions` counts those of a release.
//!
//! `MPUSER_RECORD=1 CARGO_INCREMENTAL=0 cargo test -p mpuser-bench --test instructions` records it anew, after a change that is
//! worth it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is the report")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

const RECORDED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/instructions-in-tests.txt");
/// More than is recorded, per cent: by the same compiler on a processor of the same family, and by or on others, which choose
/// other instructions.
const ALLOWED: u64 = 3;
const ALLOWED_ELSEWHERE: u64 = 10;
/// MiB of the two runs whose difference counts, so that starting and connecting do not.
const RUNS: [u64; 2] = [4, 12];

/// To stderr past the test runner, which would keep it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Instructions of a process that moves so many MiB.
fn count(kind: &str, mib: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args([env!("CARGO_BIN_EXE_transfer"), kind, &mib.to_string()])
        // `rep movsb` is chosen by processor, and is one instruction for any number of octets
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS,-FSRM")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let words = said.lines().find_map(|line| line.split_once("Collected :"));
    words
        .unwrap_or_else(|| panic!("callgrind has counted nothing:\n{said}"))
        .1
        .trim()
        .parse()
        .unwrap()
}

fn per_mb(kind: &str) -> u64 {
    let [few, many] = RUNS.map(|mib| count(kind, mib));
    (many - few) * 1_000_000 / ((RUNS[1] - RUNS[0]) << 20)
}

/// What makes numbers comparable: the compiler, and vendor and family of the processor.
fn place() -> String {
    let rustc = Command::new("rustc").arg("--version").output().unwrap().stdout;
    let about = fs::read_to_string("/proc/cpuinfo").unwrap();
    let field = |name: &str| {
        let line = about.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim())
    };
    format!(
        "{}, {} {}",
        String::from_utf8_lossy(&rustc).trim(),
        field("vendor_id"),
        field("cpu family")
    )
}

#[test]
fn no_more_instructions_than_recorded() {
    // incremental builds inline less
    if option_env!("CARGO_INCREMENTAL") != Some("0") {
        return say(
            "SKIPPED: instructions: built without CARGO_INCREMENTAL=0, with which CI=true tests/run builds",
        );
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return say("SKIPPED: instructions: valgrind is not installed");
    }
    let (place, now) = (place(), ["mptcp", "tcp"].map(|kind| (kind, per_mb(kind))));
    if env::var_os("MPUSER_RECORD").is_some() {
        let lines = now.map(|(kind, count)| format!("{kind} {count}\n")).concat();
        let head = "# instructions per MB in the profile of tests; bench/tests/instructions.rs compares with them, and writes them";
        return fs::write(Path::new(RECORDED), format!("{head}\n# {place}\n{lines}")).unwrap();
    }
    let recorded = fs::read_to_string(RECORDED).unwrap();
    let here = recorded.lines().any(|line| line.strip_prefix("# ") == Some(&place));
    let allowed = if here { ALLOWED } else { ALLOWED_ELSEWHERE };
    for (kind, count) in now {
        let line = recorded.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
        let before: u64 = line.unwrap().parse().unwrap();
        let told = format!(
            "{kind}: {count} instructions per MB, recorded {before}, allowed {allowed} % more ({place})"
        );
        say(&told);
        assert!(count * 100 <= before * (100 + allowed), "{told}");
    }
}
