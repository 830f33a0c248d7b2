//! `--record` against the kernel, and `mpuser replay` of the log: the same packets, byte for byte.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::lab::TestLab;
use common::{Run, mpuser};
use mpuser_tun::lab::peer::{KernelClient, Mode, Protocol};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn log(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn replay(log: &Path) -> (Run, Value) {
    let run = mpuser(&["replay", "--json", log.to_str().expect("a path")]);
    let object = serde_json::from_str(&run.stdout).expect("one object");
    (run, object)
}

/// Three paths, data both ways, an orderly end.
#[test]
fn a_client_is_replayed_exactly() {
    let Some(lab) = TestLab::up_at("record", "100mbit") else { return };
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let log = log("client.log");
    let input: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    let file = log.to_str().expect("a path");
    let run = lab.run(&["connect", "192.168.56.101:7000", "--record", file], &input);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.bytes == input, "the echo differs");
    let mode = std::fs::metadata(&log).expect("the log").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "keys are in it");
    let (run, object) = replay(&log);
    assert_eq!((run.code, &object["identical"]), (Some(0), &true.into()), "{object}");
    assert_eq!(object["log"], "whole");
    assert!(object["packets_sent"].as_u64() > Some(100), "{object}");

    // the last packet sent was another one
    let text = std::fs::read_to_string(&log).expect("text");
    let at = text.rfind("\"headers\":\"4").expect("a packet") + 40;
    let changed = if text[at..].starts_with('0') { "1" } else { "0" };
    let other = format!("{}{changed}{}", &text[..at], &text[at + 1..]);
    let damaged = log.with_extension("damaged");
    std::fs::write(&damaged, other).expect("written");
    let (run, object) = replay(&damaged);
    assert_eq!((run.code, &object["identical"]), (Some(7), &false.into()), "{object}");
    assert_eq!(object["difference"]["what"], "packet");
}

#[test]
fn a_server_is_replayed_exactly_and_a_limit_is_kept() {
    let Some(lab) = TestLab::up("reclisten") else { return };
    for (limit, ended) in
        [("256M", "whole"), ("200K", "full: what came behind its limit is not in it")]
    {
        let log = log("server.log");
        let file = log.to_str().expect("a path");
        let args = ["listen", "7000", "-k", "--echo", "--record", file, "--record-limit", limit];
        let mut child = lab.start("client", &args);
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        lines.read_line(&mut String::new()).expect("it listens");
        let ns = lab.0.netns("server").expect("a namespace");
        let address = "10.83.56.2:7000".parse().expect("an address");
        let client = KernelClient::connect(&ns, address, Protocol::Mptcp).expect("a connection");
        assert_eq!(client.echo(200_000).expect("an echo").bytes, 200_000);
        let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(kill.is_ok_and(|status| status.success()));
        drop((child.stdin.take(), child.stdout.take()));
        child.wait().expect("it ends");
        let (run, object) = replay(&log);
        assert_eq!((run.code, &object["identical"]), (Some(0), &true.into()), "{object}");
        assert_eq!(object["log"], ended);
    }
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_said() {
    let log = log("garbage.log");
    std::fs::write(&log, "{\"mpuser_record\":9}\n").expect("written");
    let run = mpuser(&["replay", log.to_str().expect("a path")]);
    run.assert_error(8);
    assert!(run.stderr.contains("line 1"), "{}", run.stderr);
}
