//! `mpuser replay` from the outside.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::mpuser;
use serde_json::Value;
use std::path::Path;

fn capture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(name);
    path.to_str().expect("a path").to_owned()
}

#[test]
fn both_sides_of_a_capture() {
    let file = capture("own01_v4_3paths.pcap");
    let run = mpuser(&["replay", &file]);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    for role in ["engine as client", "engine as server"] {
        assert!(run.stdout.contains(role), "{}", run.stdout);
    }
    let run = mpuser(&["replay", "--json", "--role", "server", &file]);
    let object: Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!(object["schema"], "mpuser.replay/1");
    assert_eq!((&object["good"], &object["replays"][0]["role"]), (&true.into(), &"server".into()));
}

#[test]
fn divergences_decide_the_exit_code() {
    let run = mpuser(&["replay", "--strict", "--role", "client", &capture("own01_v4_3paths.pcap")]);
    assert_eq!(run.code, Some(7), "{}", run.stdout);
    assert!(run.stdout.contains("FAILURE packet 14"), "{}", run.stdout);
    for (name, because) in [
        ("tcpdump__mptcp-fclose.pcap", "version 0"),
        ("tcpdump__mptcp-aa-echo.pcap", "its beginning is not in the capture"),
    ] {
        let run = mpuser(&["replay", &capture(name)]);
        run.assert_error(8);
        assert!(run.stderr.contains(because), "{}", run.stderr);
    }
    mpuser(&["replay", "no-such-file.pcap"]).assert_error(1);
    mpuser(&["replay", file!()]).assert_error(1);
}

#[test]
fn a_log_holds_what_was() {
    let file = capture("ksft_005_multiple_subflows.pcap");
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replay.log");
    let log = log.to_str().expect("a path");
    assert_eq!(mpuser(&["replay", "--write-expect", log, &file]).code, Some(0));
    assert_eq!(mpuser(&["replay", "--expect", log, &file]).code, Some(0));
    let run = mpuser(&["replay", "--seed", "9", "--expect", log, &file]);
    assert_eq!(run.code, Some(7));
    assert!(run.stderr.contains("from line 2 on"), "{}", run.stderr);
}
