//! Every kind of file the program is given: nothing, garbage, cut off, changed, lengths that lie. There is an error with
//! the file's name and a place in it, or a result; never a panic, never more memory than allowed here, never no end.
//! The parsers themselves meet every cut and any octets in the fuzz targets.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run may take: KiB of address space, seconds.
const MEMORY: &str = "4000000";
const TIME: &str = "20";

/// A kind of file: how the program is called (`FILE` is the file), and a right one.
struct Kind {
    name: &'static str,
    words: &'static [&'static str],
    right: Vec<u8>,
    /// Garbage, and a file that ends early, may be a file of this kind.
    lenient: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn file(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).expect("a file of the repository")
}

fn kind(name: &'static str, words: &'static [&'static str], right: Vec<u8>) -> Kind {
    Kind { name, words, right, lenient: false }
}

fn kinds() -> Vec<Kind> {
    let capture = || file("pcaps/own10_mprst_limit.pcap");
    let scenario = || file("sim/data/examples/two-path.toml");
    let config = || b"[defaults]\ncolor = \"never\"\n".to_vec();
    vec![
        kind("pcap", &["decode", "FILE"], capture()),
        kind("pcap", &["inspect", "FILE"], capture()),
        kind("pcap", &["inspect", "--check", "--json", "FILE"], capture()),
        kind("pcap", &["replay", "FILE"], capture()),
        kind("log", &["replay", "FILE"], file("fuzz/corpus/log/small")),
        kind(
            "keys",
            &["decode", "--keylog", "FILE", "CAPTURE"],
            b"MPTCP_KEYS 0001020304050607 08090a0b0c0d0e0f\n".to_vec(),
        ),
        kind("toml", &["sim", "FILE"], scenario()),
        kind("toml", &["exp", "run", "FILE"], scenario()),
        kind("toml", &["--config", "FILE", "config", "check", "FILE"], config()),
        kind("rhai", &["sched", "FILE"], file("sim/data/schedulers/minrtt.rhai")),
        kind("mps", &["script", "FILE"], file("fuzz/corpus/script/steps")),
        Kind {
            lenient: true,
            ..kind("golden", &["replay", "--expect", "FILE", "CAPTURE"], b"".to_vec())
        },
    ]
}

/// The file as it should not be, with a name for each way.
fn spoilt(right: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![
        ("empty".to_owned(), Vec::new()),
        ("zeroes".to_owned(), vec![0; 4_096]),
        (
            "binary".to_owned(),
            (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        ),
        ("text".to_owned(), b"Lorem ipsum dolor sit amet\n".repeat(100)),
        ("one long line".to_owned(), vec![b'('; 1 << 20]),
        ("half of a character".to_owned(), [right, b"\xc3"].concat()),
    ];
    for part in 1..8 {
        let len = right.len() * part / 8;
        all.push((format!("cut at {len}"), right[..len].to_vec()));
    }
    // lengths that lie: words of ones
    for at in [8, 16, 24, 32, 36, 60, 100] {
        let mut changed = right.to_vec();
        if let Some(word) = changed.get_mut(at..at + 4) {
            word.fill(0xff);
            all.push((format!("ones at {at}"), changed));
        }
    }
    all
}

/// Runs the program with its memory and time limited.
fn bounded(words: &[&str]) -> common::Run {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v $0; limit=$1; shift; exec timeout $limit \"$@\"", MEMORY, TIME]);
    command.arg(env!("CARGO_BIN_EXE_mpuser")).args(words);
    common::run(command, b"")
}

/// Three lines, or an object.
fn is_error(run: &common::Run, json: bool) -> bool {
    if json {
        let object: Option<serde_json::Value> = serde_json::from_str(&run.stderr).ok();
        return object.is_some_and(|o| o["error"]["because"].is_string());
    }
    let first = run.stderr.lines().filter(|line| line.starts_with("error[MPU-E")).count();
    first == 1 && run.stderr.contains("\n  because ") && run.stderr.contains("\n  help: ")
}

#[test]
fn bad_files_get_an_error_and_nothing_else() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad-input");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a directory");
    let capture = root().join("pcaps/own10_mprst_limit.pcap");
    let mut complaints = Vec::new();
    for (number, kind) in kinds().iter().enumerate() {
        for (how, octets) in spoilt(&kind.right) {
            let path = folder.join(format!("bad-{number}.{}", kind.name));
            fs::write(&path, octets).expect("written");
            let (path, capture) = (path.display().to_string(), capture.display().to_string());
            let word = |word: &&str| match *word {
                "FILE" => path.clone(),
                "CAPTURE" => capture.clone(),
                other => other.to_owned(),
            };
            let words: Vec<String> = kind.words.iter().map(word).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let run = bounded(&words);
            let mut complain = |what: &str| {
                let beginning: String = run.stderr.chars().take(300).collect();
                complaints
                    .push(format!("{:?}, {how}: {what}: {:?} {beginning}", kind.words, run.code));
            };
            match run.code {
                Some(0 | 7) => {}
                Some(1..=20) => {
                    if !is_error(&run, kind.words.contains(&"--json")) {
                        complain("not in the form of an error");
                    }
                    if !run.stderr.contains(&format!("bad-{number}")) {
                        complain("the file is not named");
                    }
                }
                _ => complain("died"),
            }
            let garbage = ["zeroes", "binary", "text", "one long line"].contains(&how.as_str());
            if garbage && run.code == Some(0) && !kind.lenient {
                complain("taken for a right one");
            }
        }
    }
    assert!(complaints.is_empty(), "{}\n{} complaints", complaints.join("\n"), complaints.len());
}
