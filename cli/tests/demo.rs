//! The commands that answer with JSON, from the outside.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::{Run, lab_allowed, mpuser};
use serde_json::Value;
use std::process::Command;

fn object(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON object")
}

#[test]
fn doctor_answers_with_one_object() {
    let run = mpuser(&["doctor", "--json"]);
    assert!(matches!(run.code, Some(0 | 6)), "{}", run.stderr);
    let report = object(&run.stdout);
    assert_eq!(report["schema"], "mpuser.doctor/1");
    let findings = report["findings"].as_array().expect("a list");
    assert!(findings.iter().any(|finding| finding["check"] == "tun"));
    for finding in findings {
        assert!(["ok", "warn", "fail"].contains(&finding["level"].as_str().expect("a word")));
        assert!(!finding["detail"].as_str().expect("text").is_empty());
    }
    let failed = findings.iter().any(|finding| finding["level"] == "fail");
    assert_eq!((report["ok"] == false, run.code == Some(6)), (failed, failed));
}

#[test]
fn lab_list_answers_with_one_object() {
    let run = mpuser(&["lab", "list", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(object(&run.stdout)["schema"], "mpuser.lab.list/1");
}

#[test]
fn what_is_not_there_is_said_in_three_lines() {
    mpuser(&["lab", "exec", "no-such-node", "--", "true"]).assert_error(6);
    mpuser(&["lab", "up", "moon"]).assert_error(2);
    let run = mpuser(&["demo", "--net", "memory", "--pcap", "/no/such/directory/x.pcapng"]);
    run.assert_error(1);
}

/// A scratch directory, gone at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mpuser-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn demo(scratch: &Scratch, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    command.arg("demo").args(args).current_dir(&scratch.0);
    common::run(command, b"")
}

/// Everything comes back over three subflows although one path is cut.
#[test]
fn demo_in_memory() {
    let scratch = Scratch::new("demo");
    let run = demo(&scratch, &["--net", "memory", "--json", "--size", "1M"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = object(&run.stdout);
    assert_eq!(report["schema"], "mpuser.demo/1");
    assert_eq!(report["peer"], "engine");
    assert_eq!(report["bytes_sent"], 1 << 20);
    assert_eq!(report["bytes_received"], 1 << 20);
    assert_eq!(report["sha256_ok"], true);
    assert_eq!(report["fallback"], Value::Null);
    assert_eq!(report["kernel_client"], Value::Null);
    assert_eq!(report["subflows"].as_array().expect("a list").len(), 3);
    let capture = std::fs::read(scratch.0.join("demo.pcapng")).expect("the capture");
    assert_eq!(capture.get(..4), Some(&[0x0a, 0x0d, 0x0d, 0x0a][..]), "a pcapng section header");
}

/// The same with the kernel as peer, where this machine allows it; no lab is left.
#[test]
fn demo_with_the_kernel() {
    if !lab_allowed("demo_with_the_kernel") {
        return;
    }
    let scratch = Scratch::new("kernel");
    let run = demo(&scratch, &["--net", "kernel", "--json", "--size", "8M"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report = object(&run.stdout);
    assert_eq!(report["peer"], "kernel");
    assert_eq!(report["sha256_ok"], true);
    assert_eq!(report["bytes_received"], 8 << 20);
    assert_eq!(report["subflows"].as_array().expect("a list").len(), 3);
    assert!(report["cut"]["path"].as_str().is_some_and(|path| path.starts_with("eth")));
    assert_eq!(report["kernel_counters"]["MPTcpExtMPJoinAckRx"], 2);
    let labs = mpuser(&["lab", "list", "--json"]);
    let (pid, labs) = (run.pid.to_string(), labs.stdout);
    assert!(!labs.contains(&format!("demo-{pid}")), "{labs}");
}

/// Without `--json` the explanation goes to stderr, a log line or more before it, nothing to stdout.
#[test]
fn demo_explains_itself() {
    let scratch = Scratch::new("explain");
    let run = demo(&scratch, &["--net", "memory", "--size", "256K", "--color", "never"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    assert!(run.stderr.contains("SHA-256 equal"), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
}
