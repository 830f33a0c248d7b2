//! `mpuser perf` against itself, over both stacks, and against what is no server of it.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::lab::{SERVER, TestLab};
use common::{Run, mpuser};
use mpuser_tun::lab::peer::{Mode, Protocol};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr};

/// A server of `mpuser perf`, and the rest of what it says.
struct Server {
    child: Child,
    _said: BufReader<ChildStderr>,
}

impl Server {
    fn start(lab: &TestLab, args: &[&str]) -> Self {
        let mut child = lab.start("server", &[&["perf", "-s"], args].concat());
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says something");
        assert!(line.starts_with("listening on"), "{line}");
        Self { child, _said: said }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that it takes its paths back; the namespace goes in any case
        let _ = std::process::Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn client(lab: &TestLab, words: &str) -> Run {
    let words: Vec<&str> = words.split(' ').collect();
    lab.run(&[&["perf", "-c", SERVER], words.as_slice()].concat(), b"")
}

fn object(run: &Run) -> Value {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_str(&run.stdout).expect("an object on stdout")
}

/// All octets, counted at both ends: 3 connections of 2 MiB each way, over our stack at both ends.
#[test]
fn both_ends_count_the_same_octets() {
    let Some(lab) = TestLab::up("perf") else { return };
    let _server = Server::start(&lab, &[]);
    let run = object(&client(&lab, "-n 2M -P 3 --bidir -J"));
    let handed_over = object(&client(&lab, "-n 2M -l 100K -Z --bidir -J"));
    for key in ["sent", "received"] {
        let rows = handed_over["end"][key].as_array().expect("rows");
        assert!(rows.len() == 2 && rows.iter().all(|row| row["bytes"] == 2 << 20), "{rows:?}");
    }
    for key in ["sent", "received"] {
        let rows = run["end"][key].as_array().expect("rows");
        assert_eq!(rows.len(), 6, "{key}: a row for each connection and direction");
        assert!(rows.iter().all(|row| row["bytes"] == 2 << 20), "{rows:?}");
        let sums = run["end"][format!("sum_{key}")].as_array().expect("sums");
        assert!(sums.len() == 2 && sums.iter().all(|row| row["bytes"] == 6 << 20), "{sums:?}");
    }
    for stream in run["start"]["connected"].as_array().expect("connections") {
        assert_eq!(stream["mptcp"], true);
    }
    // the client joins by its other interfaces, though the server's address is the first one's
    let subflows = run["subflows"][0]["subflows"].as_array().expect("subflows");
    assert_eq!(subflows.len(), 3, "{subflows:?}");
}

/// A column per subflow; one is added, one deleted, one made a backup; what cannot be done is said and fails.
#[test]
fn subflows_come_and_go_on_schedule() {
    let Some(lab) = TestLab::up("perfat") else { return };
    let _server = Server::start(&lab, &["--kernel"]);
    let at = "--at 0.3s add=eth2:192.168.57.101 --at 0.8s del=0";
    let picture = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("schedule-{}.svg", std::process::id()));
    let svg = picture.to_str().expect("a name in UTF-8");
    let run = client(&lab, &format!("-t 1.5 -i 0.25 --pm none {at} --svg {svg}"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let words = words(&std::fs::read_to_string(&picture).expect("a picture"));
    for word in ["#0 eth1", "#1 eth2", "add=eth2:192.168.57.101", "del=0", "sent, Mbit/s"] {
        assert!(words.iter().any(|found| found == word), "{word}: {words:?}");
    }
    let _ = std::fs::remove_file(picture);
    let heads: Vec<&str> = run.stdout.lines().filter(|line| line.contains("#")).collect();
    let columns: Vec<_> =
        heads.iter().map(|head| (head.contains("#0 eth1"), head.contains("#1 eth2"))).collect();
    assert_eq!(columns, [(true, false), (true, true), (false, true)], "{}", run.stdout);
    assert!(run.stdout.contains("del=0: done"), "{}", run.stdout);
    let backup = client(&lab, "-t 0.5 --pm none --at 0.1s backup=0 --at 0.2s del=5 -J");
    assert_eq!(backup.code, Some(7), "{}", backup.stderr);
    assert!(backup.stderr.contains("`--at del=5` was not followed"), "{}", backup.stderr);
    let shown: Value = serde_json::from_str(&backup.stdout).expect("an object");
    assert_eq!(shown["subflows"][0]["subflows"][0]["backup"], true, "{shown}");
    assert_eq!(shown["start"]["peer_kernel"], true);
}

/// The texts of a picture, which has to be XML.
fn words(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).expect("well-formed XML");
    let texts = document.descendants().filter(|node| node.is_text());
    texts.filter_map(|node| Some(node.text()?.trim().to_owned())).collect()
}

/// Something else listens there: an error that says so, at both ends of the mistake.
#[test]
fn what_is_no_server_of_perf_is_named() {
    let Some(lab) = TestLab::up("perfno") else { return };
    let echo = lab.serve(7_000, Protocol::Tcp, Mode::Echo);
    // it gives the order back, which is a line of JSON, but no answer
    foreign(&client(&lab, "-p 7000"));
    drop(echo);
    let _source = lab.serve(7_000, Protocol::Mptcp, Mode::Source(100_000));
    foreign(&client(&lab, "-p 7000"));
    let refused = client(&lab, "-p 7001");
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    // a client that is none disturbs nobody
    let _server = Server::start(&lab, &[]);
    let noise = lab.run(&["connect", &format!("{SERVER}:5201")], &[0xff; 3_000]);
    assert!(noise.code.is_some(), "{}", noise.stderr);
    let run = object(&client(&lab, "-n 100K -R -J"));
    assert_eq!(run["end"]["received"][0]["bytes"], 100 << 10);
}

fn foreign(run: &Run) {
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("is no server of mpuser perf"), "{}", run.stderr);
}

#[test]
fn orders_that_make_no_sense_are_refused_before_any_packet() {
    for (words, why) in [
        ("-c 192.0.2.1 --at 1s cut=1", "there is no order `cut`"),
        ("-c 192.0.2.1 --at soon del=1", "must start with a number"),
        ("-c 192.0.2.1 -t 30h", "asks for nothing, or for too much"),
        ("-c 192.0.2.1 -i 0 --svg x.svg", "-i is 0"),
        ("-c 192.0.2.1 --svg /", "cannot write to /"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let run = mpuser(&[&["perf"], words.as_slice()].concat());
        run.assert_error(if why.starts_with("cannot") { 1 } else { 2 });
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}

/// The smallest part of the standard set: a table, an object, a picture, captures.
#[test]
fn the_suite_leaves_a_table() {
    if !common::lab_allowed("suite") {
        return;
    }
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("suite-{}", std::process::id()));
    let name = directory.to_str().expect("a name in UTF-8");
    let run = mpuser(&["perf", "--suite", name, "--capture", "--only", "short: 1"]);
    assert_eq!(run.code, Some(0), "{}{}", run.stderr, run.stdout);
    assert_eq!(run.stdout.matches("| up IPv4, short: 1").count(), 3, "{}", run.stdout);
    let file = |name: &str| std::fs::read(directory.join(name)).expect("it was left");
    assert_eq!(file("table.md"), run.bytes);
    let results: Value = serde_json::from_slice(&file("results.json")).expect("an object");
    assert_eq!(results["runs"].as_array().map(Vec::len), Some(6));
    let words = words(&String::from_utf8(file("goodput.svg")).expect("text"));
    for run in results["runs"].as_array().expect("runs") {
        for key in ["name", "group"] {
            let word = run[key].as_str().expect("a word");
            assert!(words.iter().any(|found| found == word), "{word}: {words:?}");
        }
    }
    assert!(file("06.pcapng").len() > 1_000);
    let _ = std::fs::remove_dir_all(directory);
}
