//! The control socket, and the program that speaks to it.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use mpuser_packetdrill::serve::{CONTROL, Control};
use mpuser_packetdrill::shared::Shared;
use mpuser_packetdrill::{Machine, Options};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;

/// A path of this test's own.
fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("mpuser-drill-{}-{name}", std::process::id()))
}

#[test]
fn commands_are_understood_or_refused_with_a_reason() {
    let mut machine = Machine::new(&Options::default());
    for line in [
        "endpoint add 192.0.2.1 id 1 signal",
        "endpoint add 192.0.2.2 subflow backup",
        "endpoint change id 2 nobackup",
        "limits set subflows 8 add_addr_accepted 8",
        "endpoint delete id 1",
        "endpoint flush",
        "sysctl net.mptcp.checksum_enabled=1",
        "sysctl net.mptcp.close_timeout=1",
        "sysctl net.mptcp.blackhole_timeout=0",
        "sysctl -q net/mptcp/add_addr_timeout=3",
        "sysctl net.ipv4.tcp_rmem=\"4096 540000 15728640\"",
    ] {
        assert_eq!(machine.command(line), Ok(()), "{line}");
    }
    for (line, why) in [
        ("endpoint add", "ADDRESS"),
        ("endpoint delete id 77", "no"),
        ("endpoint add 192.0.2.1 id 0 signal", "0 is the address of the first subflow"),
        ("limits set subflows 9", "maximum"),
        ("sysctl net.mptcp.checksum_enabled=2", "0 or 1"),
        ("sysctl net.mptcp.no_such=1", "no such setting"),
        ("sysctl net.mptcp.enabled", "NAME=VALUE"),
        ("walk", "unknown"),
    ] {
        let told = machine.command(line).expect_err(line);
        assert!(told.contains(why), "{line}: {told}");
    }
}

#[test]
fn one_answer_for_each_line() {
    let path = path("lines");
    let shared = Arc::new(Shared::new(&Options::default()));
    let control = Control::listen(&path, &shared).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"limits set subflows 3\nlimits set subflows 30\n\nendpoint flush\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answers: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
    assert_eq!(answers.len(), 3);
    assert!(answers[0] == "ok" && answers[1].starts_with("error: ") && answers[2] == "ok");
    drop(control);
    assert!(!path.exists(), "the path goes with the socket");
}

#[test]
fn a_stale_path_is_replaced_and_a_live_one_is_not() {
    let path = path("stale");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let shared = Arc::new(Shared::new(&Options::default()));
    let control = Control::listen(&path, &shared).unwrap();
    assert!(Control::listen(&path, &shared).is_err(), "somebody listens there");
    drop(control);
}

fn run(path: &PathBuf, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser-drill"));
    command.env(CONTROL, path).args(arguments).output().unwrap()
}

#[test]
fn the_program_says_one_command_and_tells_what_was_wrong() {
    let path = path("program");
    let shared = Arc::new(Shared::new(&Options::default()));
    let _control = Control::listen(&path, &shared).unwrap();
    assert!(run(&path, &["endpoint", "add", "192.0.2.7", "signal"]).status.success());
    let refused = run(&path, &["endpoint", "add", "192.0.2.7", "signal"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("error: "));
    assert_eq!(run(&path, &[]).status.code(), Some(2));
}

#[test]
fn under_other_names_it_stands_in_for_ip_and_sysctl() {
    let path = path("names");
    let shared = Arc::new(Shared::new(&Options::default()));
    let _control = Control::listen(&path, &shared).unwrap();
    let directory = std::env::temp_dir().join(format!("mpuser-drill-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let called = |name: &str, arguments: &[&str]| {
        let link = directory.join(name);
        let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mpuser-drill"), &link);
        Command::new(link).env(CONTROL, &path).args(arguments).status().unwrap().success()
    };
    assert!(called("ip", &["mptcp", "limits", "set", "subflows", "8"]));
    assert!(called("ip", &["addr", "add", "192.0.2.9/24", "dev", "tun0"]));
    assert!(!called("ip", &["mptcp", "limits", "set", "subflows", "80"]));
    assert!(called("sysctl", &["-q", "net.ipv4.tcp_frto=2"]), "not for us");
    assert!(!called("sysctl", &["-q", "net.mptcp.no_such=2"]));
    assert!(called("tc", &["qdisc", "add", "dev", "tun0", "root", "pfifo"]));
    std::fs::remove_dir_all(&directory).unwrap();
}
