//! `mpuser sim` and `mpuser exp`: what they print, what they leave, and that nothing but the seed decides.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::{Run, mpuser};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).expect("a file");
        self.path(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    root.join("sim/data/examples").join(name).display().to_string()
}

fn ok(words: &[&str]) -> Run {
    let run = mpuser(words);
    assert_eq!(run.code, Some(0), "{words:?}: {}", run.stderr);
    run
}

/// A small scenario, and a plan of twelve runs over it.
const SCENARIO: &str = r#"
name = "small"
duration = "5s"
[params]
rate = 4
[links.a]
rate = "${rate}mbit"
delay = "10ms"
queue = "30p"
loss = "0.5%"
[links.b]
rate = "2mbit"
delay = "20ms"
queue = "30p"
[[flows]]
name = "mp"
paths = ["a", "b"]
traffic = { kind = "bulk", size = "100k" }
"#;
const PLAN: &str = r#"
name = "plan"
scenario = "small.toml"
repeat = 3
[grid]
rate = [2, 4]
cc = ["cubic", "newreno"]
"#;

fn plan(scratch: &Scratch) -> String {
    scratch.write("small.toml", SCENARIO);
    scratch.write("plan.toml", PLAN)
}

fn rows(scratch: &Scratch, dir: &str) -> Vec<u8> {
    fs::read(scratch.0.join(dir).join("rows.csv")).expect("rows")
}

/// Every example runs, shows its flows, links and digest, and gives the same digest again.
#[test]
fn examples_run() {
    for (name, flow, link) in [
        ("two-path.toml", "transfer", "wifi fwd"),
        ("trace.toml", "download", "cellular back"),
        ("failover.toml", "stream", "lte fwd"),
    ] {
        let words = ["sim", &example(name), "--seed", "3"];
        let run = ok(&words);
        for part in [flow, link, "digest ", "goodput", "longest queue"] {
            assert!(run.stdout.contains(part), "{name}: no {part} in\n{}", run.stdout);
        }
        assert_eq!(run.stdout, ok(&words).stdout, "{name}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn the_outcome_is_json_and_depends_on_the_seed() {
    let run = |seed: &str| -> serde_json::Value {
        let run =
            ok(&["sim", &example("two-path.toml"), "--set", "size=200k", "--seed", seed, "--json"]);
        serde_json::from_str(&run.stdout).expect("an object")
    };
    let one = run("1");
    assert_eq!(one["schema"], "mpuser.sim/1");
    assert_eq!(one["outcome"]["flows"][0]["delivered_bytes"], 204_800);
    assert_eq!(one["digest"], run("1")["digest"]);
    assert_ne!(one["digest"], run("2")["digest"]);
}

/// Looking on changes nothing.
#[test]
fn a_run_can_be_written_down() {
    let scratch = Scratch::new("traces");
    let (pcap, qlog) = (scratch.path("run.pcapng"), scratch.path("run.sqlog"));
    let words = ["sim", &example("two-path.toml"), "--set", "size=100k"];
    let traced = ok(&[&words[..], &["--pcap", &pcap, "--qlog", &qlog]].concat());
    assert_eq!(traced.stdout, ok(&words).stdout);
    // a section header of pcapng
    assert_eq!(fs::read(&pcap).expect("a capture")[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let events = fs::read_to_string(&qlog).expect("events");
    assert!(events.lines().count() > 100);
    for line in events.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("an object");
    }
    let nowhere = scratch.path("no/where.pcapng");
    mpuser(&[&words[..], &["--pcap", &nowhere]].concat()).assert_error(1);
}

#[test]
fn seeds_give_means_whatever_the_number_of_threads() {
    let file = example("two-path.toml");
    let run = |threads: &str| {
        ok(&["sim", &file, "--set", "size=200k", "--seeds", "1..6", "--threads", threads]).stdout
    };
    let text = run("1");
    assert!(text.contains("transfer") && text.contains('±') && text.contains("6 runs"), "{text}");
    assert_eq!(text, run("2"));
    assert_eq!(text, run("2"));
}

#[test]
fn two_shards_merged_are_one_run() {
    let scratch = Scratch::new("shards");
    let plan = plan(&scratch);
    let out = |dir: &str| scratch.path(dir);
    ok(&["exp", "run", &plan, "--out", &out("one"), "--threads", "1"]);
    ok(&["exp", "run", &plan, "--out", &out("again"), "--threads", "2"]);
    assert_eq!(rows(&scratch, "one"), rows(&scratch, "again"));

    ok(&["exp", "run", &plan, "--out", &out("two"), "--shard", "1/2"]);
    let half = mpuser(&["exp", "merge", &out("two")]);
    half.assert_error(7);
    assert!(half.stderr.contains("6 of 12 runs are missing: 0, 2, 4"), "{}", half.stderr);
    ok(&["exp", "run", &plan, "--out", &out("two"), "--shard", "0/2"]);
    let merged = ok(&["exp", "merge", &out("two"), "--json"]);
    let object: serde_json::Value = serde_json::from_str(&merged.stdout).expect("an object");
    assert_eq!((&object["schema"], &object["rows"]), (&"mpuser.exp.merge/1".into(), &12.into()));
    assert_eq!(rows(&scratch, "one"), rows(&scratch, "two"));
    let manifest = |dir: &str| {
        fs::read_to_string(scratch.0.join(dir).join("manifest.json")).expect("a manifest")
    };
    assert_eq!(manifest("one"), manifest("two"));

    // a table that was changed is not merged, a table of another plan not mixed in
    let part = scratch.0.join("two/part-0-of-2.csv");
    let text = fs::read_to_string(&part).expect("a part").replace("cubic", "cubix");
    fs::write(&part, text).expect("a part");
    mpuser(&["exp", "merge", &out("two")]).assert_error(7);
    mpuser(&["exp", "run", &plan, "--set", "rate=3", "--out", &out("one")]).assert_error(8);
}

/// What was there before a kill is kept, what was not is run, and nothing shows.
#[test]
fn a_restart_gives_what_an_uninterrupted_run_gives() {
    let scratch = Scratch::new("restart");
    let plan = plan(&scratch);
    ok(&["exp", "run", &plan, "--out", &scratch.path("whole")]);
    ok(&["exp", "run", &plan, "--out", &scratch.path("torn")]);
    // as a kill in the middle leaves it: some rows, a manifest that says so, a half-written file beside them
    let dir = scratch.0.join("torn");
    let table = fs::read_to_string(dir.join("part-0-of-1.csv")).expect("a part");
    let kept: Vec<&str> =
        table.lines().enumerate().filter(|(n, _)| n % 3 != 2).map(|(_, l)| l).collect();
    fs::write(dir.join("part-0-of-1.csv"), kept.join("\n") + "\n").expect("a part");
    let manifest = fs::read_to_string(dir.join("part-0-of-1.json")).expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).expect("an object");
    manifest["complete"] = false.into();
    manifest["sha256"] = serde_json::Value::Null;
    fs::write(dir.join("part-0-of-1.json"), manifest.to_string()).expect("a manifest");
    fs::write(dir.join(".part-0-of-1.csv.99"), "run,poi").expect("a leftover");
    fs::remove_file(dir.join("rows.csv")).expect("rows");
    let run = ok(&["exp", "run", &plan, "--out", &scratch.path("torn")]);
    assert!(run.stderr.contains("8 of 12 runs are there already"), "{}", run.stderr);
    assert_eq!(rows(&scratch, "whole"), rows(&scratch, "torn"));
}

/// A process that really is killed, at whatever moment.
#[test]
fn a_killed_run_goes_on() {
    let scratch = Scratch::new("killed");
    let plan = plan(&scratch);
    let long = ["exp", "run", &plan, "--seeds", "1..15", "--threads", "1", "--out"];
    ok(&[&long[..], &[&scratch.path("whole")]].concat());
    let out = scratch.path("torn");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_mpuser"))
        .args(long)
        .arg(&out)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the binary runs");
    // as soon as it says whose rows these are
    while !scratch.0.join("torn/part-0-of-1.json").exists() {
        std::thread::yield_now();
    }
    child.kill().expect("a kill");
    child.wait().expect("an end");
    ok(&[&long[..], &[&out]].concat());
    assert_eq!(rows(&scratch, "whole"), rows(&scratch, "torn"));
}

#[test]
fn presets_run_by_name() {
    let run = ok(&[
        "exp",
        "run",
        "scenario-c",
        "--set",
        "n=2,c=1",
        "--set",
        "cc=lia",
        "--set",
        "seconds=1,n2=1",
        "--seeds",
        "1..1",
        "--json",
    ]);
    let lines: Vec<serde_json::Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!((lines.len(), &lines[0]["schema"]), (2, &"mpuser.exp.row/1".into()));
    assert_eq!(lines[0]["parameters"]["cc"], "lia");
    assert_eq!(lines[0]["parameters"]["n"], 2);
    assert!(lines[0]["metrics"]["single.goodput_bps"].as_f64().is_some_and(|bps| bps > 0.0));
    // what the preset itself measures
    assert!(
        lines[1]["points"][0]["metrics"]["preset.mp"]["mean"].as_f64().is_some_and(|mp| mp > 0.0)
    );
    assert_eq!(lines[1]["schema"], "mpuser.exp.summary/1");
}

#[test]
fn jobs_are_printed() {
    let scratch = Scratch::new("jobs");
    let plan = plan(&scratch);
    let slurm = ok(&["exp", "slurm", &plan, "-n", "4", "--set", "rate=2", "--out", "a b"]).stdout;
    for part in [
        "#SBATCH --array=0-3\n",
        "MPUSER_SHARDS=4",
        "--set rate=2 --out 'a b' --shard auto",
        "mpuser exp merge 'a b'",
    ] {
        assert!(slurm.contains(part), "no {part} in\n{slurm}");
    }
    let k8s = ok(&["exp", "k8s", &plan, "-n", "4", "--parallelism", "2"]).stdout;
    for part in [
        "completionMode: Indexed",
        "completions: 4",
        "parallelism: 2",
        "MPUSER_SHARDS",
        "small.toml",
        "/plan/plan.toml",
    ] {
        assert!(k8s.contains(part), "no {part} in\n{k8s}");
    }
    mpuser(&["exp", "slurm", &plan, "-n", "40"]).assert_error(2);
}

/// Each says the file, the place and what would be right.
#[test]
fn mistakes_get_three_lines() {
    let scratch = Scratch::new("mistakes");
    let plan = plan(&scratch);
    let broken = |from: &str, to: &str| scratch.write("broken.toml", &SCENARIO.replace(from, to));
    for (from, to, place, help) in [
        ("queue", "queu", "line 9, column 1", "did you mean `queue`?"),
        ("${rate}mbit", "${rat}mbit", "line 7, column 8", "expressions"),
        ("\"0.5%\"", "\"5\"", "line 10, column 8", "1%"),
        ("\"b\"]", "\"c\"]", "line 17, column 15", "known: a, b"),
        ("rate = \"2mbit\"", "trace = \"no.trace\"", "line 12, column 9", "relative name"),
        ("paths", "scheduler = \"fast\"\npaths", "line 17, column 13", "did you mean `first`?"),
    ] {
        let run = mpuser(&["sim", &broken(from, to)]);
        run.assert_error(8);
        for part in ["broken.toml", place, help] {
            assert!(run.stderr.contains(part), "{to}: no {part} in\n{}", run.stderr);
        }
    }
    let small = scratch.path("small.toml");
    for (code, words) in [
        (2, &["sim", "nosuchpreset"][..]),
        (8, &["sim", "nosuchfile.toml"]),
        (2, &["sim", &small, "--set", "rat=1"]),
        (2, &["sim", &small, "--sched", "fastest"]),
        (2, &["sim", &small, "--cc", "fastest"]),
        (2, &["sim", &small, "--seeds", "9..1"]),
        (8, &["sim", &plan]),
        (2, &["exp", "run", &plan, "--shard", "0/2"]),
        (2, &["exp", "run", &plan, "--out", "x", "--shard", "2/2"]),
        (8, &["exp", "merge", &scratch.path("")]),
    ] {
        mpuser(words).assert_error(code);
    }
    assert!(!Path::new("x").exists());
}
