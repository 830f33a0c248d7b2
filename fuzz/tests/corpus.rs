//! Every target over its corpus and some seconds of random mutations.
//!
//! `MPUSER_FUZZ_SEED=N` draws other mutations than those of seed 1, `MPUSER_FUZZ_EXECUTIONS=N` more of them.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use mpuser_fuzz::{TARGETS, corpus, mutate::Mutator};
use std::collections::BTreeSet;
use std::panic::catch_unwind;

/// Octets of all inputs together.
const MOST: usize = 1 << 20;

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// Mutations of one target: cheap ones are tried more often.
fn executions(name: &str) -> u64 {
    let own = match name {
        "options" | "identity" | "packet" | "line" => 30_000,
        "pcap" | "pcapng" | "mappings" | "replay" | "log" => 1_000,
        _ => 4_000,
    };
    number("MPUSER_FUZZ_EXECUTIONS", own)
}

fn run(name: &str) {
    let target = mpuser_fuzz::find(name).expect("a target");
    let inputs = corpus::read(&corpus::root().join(name)).expect("a readable corpus");
    for (path, input) in &inputs {
        let done = catch_unwind(|| (target.run)(input));
        assert!(done.is_ok(), "again with: fuzz replay {name} {}", path.display());
    }
    let (seed, executions) = (number("MPUSER_FUZZ_SEED", 1), executions(name));
    let inputs = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutator = Mutator::new(seed, inputs, target.most);
    for done in 0..executions {
        let input = mutator.next_input();
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            catch_unwind(|| (target.run)(&input)).is_ok(),
            "execution {done}; again with MPUSER_FUZZ_SEED={seed} MPUSER_FUZZ_EXECUTIONS={}, or octets {hex}",
            done + 1,
        );
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*
    };
}

targets! {
    options identity packet acceptance mappings reassembly endpoint network pcap pcapng scenario experiment line
    craft dissect script log replay frames convert greetings
}

#[test]
fn every_target_is_run_everywhere() {
    let all: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(all, TESTED.iter().copied().collect(), "in this file");
    let fuzz = corpus::root().join("../libfuzzer");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for name in all {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} in fuzz/libfuzzer/Cargo.toml"
        );
        let file = fuzz.join(format!("fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(file).expect("a file for libFuzzer");
        assert!(text.contains(&format!("\"{name}\"")), "{name}: {text}");
    }
}

#[test]
fn the_corpus_is_small() {
    let folders = std::fs::read_dir(corpus::root()).expect("a corpus");
    let mut sum = 0;
    for folder in folders.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let target = mpuser_fuzz::find(&name).expect("a folder for each target");
        for (path, input) in corpus::read(&folder.path()).expect("a readable corpus") {
            assert!(input.len() <= target.most, "{}: {} octets", path.display(), input.len());
            sum += input.len();
        }
    }
    assert!(sum <= MOST, "{sum} octets: minimise with tests/fuzz --minimise");
}

/// Whatever can be read is read up to any of its octets.
#[test]
fn inputs_cut_anywhere() {
    for target in TARGETS {
        let inputs = corpus::read(&corpus::root().join(target.name)).expect("a readable corpus");
        // some parse for long, and a model needs no file
        let textual = [
            "scenario",
            "experiment",
            "line",
            "craft",
            "script",
            "dissect",
            "pcap",
            "log",
            "convert",
            "greetings",
        ];
        for (path, input) in inputs.iter().filter(|_| textual.contains(&target.name)).take(6) {
            for len in 0..input.len().min(1_500) {
                let done = catch_unwind(|| (target.run)(&input[..len]));
                assert!(done.is_ok(), "{} {}, cut at {len}", target.name, path.display());
            }
        }
    }
}
