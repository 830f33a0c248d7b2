//! `mpuser decode` and `mpuser inspect` from the outside.
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::mpuser;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn capture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps").join(name);
    path.to_str().expect("a path").to_owned()
}

/// A directory of this test's own.
fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inspect-{name}"));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

#[test]
fn lines_and_objects() {
    let file = capture("own10_mprst_limit.pcap");
    let run = mpuser(&["decode", &file]);
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 32), "{}", run.stderr);
    let golden =
        std::fs::read_to_string(capture("golden/own10_mprst_limit.pcap.txt")).expect("text");
    assert_eq!(run.stdout, golden);
    let run = mpuser(&["decode", "--json", "--connection", "0", "--only", "mptcp", &file]);
    for line in run.stdout.lines() {
        let object: Value = serde_json::from_str(line).expect("an object per line");
        assert!(
            object["mptcp"][0]["raw"].as_str().is_some_and(|raw| raw.starts_with("1e")),
            "{line}"
        );
    }
    let run = mpuser(&["decode", "--stream", "1", &file]);
    assert!(run.stdout.lines().all(|line| line.contains(" 0.1 ")), "{}", run.stdout);
}

#[test]
fn stdin_is_a_file_too() {
    let bytes = std::fs::read(capture("own10_mprst_limit.pcap")).expect("a capture");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    command.args(["decode", "-"]);
    let run = common::run(command, &bytes);
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 32), "{}", run.stderr);
}

#[test]
fn findings_decide_the_exit_code() {
    let run = mpuser(&["inspect", "--check", &capture("own01_v4_3paths.pcap")]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "306 packets, nothing found\n"));
    let run = mpuser(&["inspect", "--check", &capture("tcpdump__mptcp-dss-oobr.pcap")]);
    assert_eq!(run.code, Some(7));
    assert!(run.stdout.contains("packet 1 [OPT-1] -.0: DSS of 3 octets"), "{}", run.stdout);
    let run = mpuser(&["inspect", "--check", "--json", &capture("tcpdump__mptcp-dss-oobr.pcap")]);
    let object: Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!(object["findings"][0]["ids"][0], "OPT-1");
}

#[test]
fn broken_files_say_where() {
    let directory = scratch("broken");
    let bytes = std::fs::read(capture("own10_mprst_limit.pcap")).expect("a capture");
    let cut = directory.join("cut.pcap");
    std::fs::write(&cut, &bytes[..bytes.len() - 5]).expect("written");
    let cut = cut.to_str().expect("a path");
    let run = mpuser(&["decode", cut]);
    assert_eq!(run.code, Some(8), "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 31, "what is whole is shown");
    assert!(run.stderr.contains("at byte "), "{}", run.stderr);
    let run = mpuser(&["inspect", cut]);
    assert_eq!(run.code, Some(8));
    assert!(run.stdout.contains("31 TCP packets"), "{}", run.stdout);
    let run = mpuser(&["inspect", env!("CARGO_BIN_EXE_mpuser")]);
    assert_eq!(run.code, Some(8));
    assert!(run.stderr.contains("at byte 0: not a capture"), "{}", run.stderr);
    mpuser(&["decode", "no-such-file.pcap"]).assert_error(1);
    mpuser(&["inspect"]).assert_error(2);
}

#[test]
fn tables_data_and_plots() {
    let file = capture("own01_v4_3paths.pcap");
    let run = mpuser(&["inspect", &file]);
    assert!(run.stdout.contains("connection 0: MPTCPv1, without checksums"), "{}", run.stdout);
    assert_eq!(run.stdout.matches(" ok").count(), 2, "two joins with HMACs: {}", run.stdout);
    let run = mpuser(&["inspect", "--csv", &file]);
    assert_eq!(run.stdout.lines().count(), 7, "a head, and two directions of three subflows");
    let run = mpuser(&["inspect", "--follow", "0", &file]);
    assert_eq!(run.bytes.len(), 90_500);
    let directory = scratch("plots");
    let run = mpuser(&["inspect", "--plot", directory.to_str().expect("a path"), &file]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for name in ["dsn-opener", "dsn-other", "rtt", "data"] {
        let svg = std::fs::read_to_string(directory.join(format!("connection-0-{name}.svg")));
        assert!(svg.expect("a plot").contains("subflow 2"), "{name}");
    }
}

/// One file for each path says the same as one for all.
#[test]
fn parts_are_merged() {
    let bytes = std::fs::read(capture("own01_v4_3paths.pcap")).expect("a capture");
    let mut parts = [bytes[..24].to_vec(), bytes[..24].to_vec()];
    let mut at = 24;
    while at < bytes.len() {
        let field = bytes[at + 8..at + 12].try_into().expect("four octets");
        let end = at + 16 + u32::from_le_bytes(field) as usize;
        // the third octet of the addresses tells the path
        let first = bytes[at + 16 + 28] == 1 && bytes[at + 16 + 32] == 1;
        parts[usize::from(!first)].extend(&bytes[at..end]);
        at = end;
    }
    let directory = scratch("merge");
    let names = [directory.join("a.pcap"), directory.join("b.pcap")];
    for (name, part) in names.iter().zip(&parts) {
        std::fs::write(name, part).expect("written");
    }
    let [a, b] = names.each_ref().map(|name| name.to_str().expect("a path"));
    let connections = |arguments: &[&str]| {
        let run = mpuser(&[&["inspect", "--json"], arguments].concat());
        let mut object: Value = serde_json::from_str(&run.stdout).expect("an object");
        object["connections"].take()
    };
    assert_eq!(connections(&["--merge", a, b]), connections(&[&capture("own01_v4_3paths.pcap")]));
    let run = mpuser(&["inspect", "--check", "--merge", a, b]);
    assert_eq!(run.code, Some(0), "{}", run.stdout);
}

/// A join whose connection is in another file is verified with keys from a key log.
#[test]
fn keys_from_elsewhere() {
    let object = |arguments: &[&str]| -> Value {
        let run = mpuser(&[&["inspect", "--json"], arguments].concat());
        serde_json::from_str(&run.stdout).expect("an object")
    };
    let whole = object(&[&capture("own01_v4_3paths.pcap")]);
    let keys = &whole["connections"][0]["directions"];
    let key = |side: usize| keys[side]["key"].as_str().expect("a key").to_owned();
    let bytes = std::fs::read(capture("own01_v4_3paths.pcap")).expect("a capture");
    let mut joined = bytes[..24].to_vec();
    let mut at = 24;
    while at < bytes.len() {
        let field = bytes[at + 8..at + 12].try_into().expect("four octets");
        let end = at + 16 + u32::from_le_bytes(field) as usize;
        if bytes[at + 16 + 28] != 1 || bytes[at + 16 + 32] != 1 {
            joined.extend(&bytes[at..end]);
        }
        at = end;
    }
    let directory = scratch("keylog");
    let (file, log) = (directory.join("joined.pcap"), directory.join("keys"));
    std::fs::write(&file, joined).expect("written");
    std::fs::write(&log, format!("# keys\nMPTCP_KEYS {} {}\n", key(0), key(1))).expect("written");
    let [file, log] = [&file, &log].map(|path| path.to_str().expect("a path"));
    let right = |object: &Value| object["connections"][0]["subflows"][0]["hmacs_right"].clone();
    assert_eq!(right(&object(&[file])), 0);
    let with = object(&["--keylog", log, file]);
    assert_eq!(
        (right(&with), with["connections"][0]["subflows"].as_array().map(Vec::len)),
        (2.into(), Some(2))
    );
    std::fs::write(log, "MPTCP_KEYS 12 34\n").expect("written");
    mpuser(&["inspect", "--keylog", log, file]).assert_error(8);
}

/// What our own engine sends breaks nothing, and all of it is understood.
#[test]
fn our_own_captures_are_clean() {
    let file = scratch("own").join("own.pcapng");
    let file = file.to_str().expect("a path");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/data/examples/two-path.toml");
    let run = mpuser(&["sim", scenario.to_str().expect("a path"), "--pcap", file]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = mpuser(&["inspect", "--check", file]);
    assert_eq!(run.code, Some(0), "{}", run.stdout);
    let run = mpuser(&["inspect", "--json", file]);
    let object: Value = serde_json::from_str(&run.stdout).expect("an object");
    assert_eq!(object["connections"].as_array().map(Vec::len), Some(1));
    assert_eq!(object["connections"][0]["subflows"][1]["hmacs_right"], 2);
    assert_eq!(object["connections"][0]["directions"][0]["bytes"], 4 << 20);
}
