//! Several proxies, one MPTCP connection: `connect --via` through translating boxes to a server of the kernel's.
//! Skipped where namespaces or TUN devices are not allowed.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::proxies::{Proxies, SERVER, proxy};
use common::{Run, data, finish, lab_allowed, mpuser};
use mpuser_tun::lab::peer::Mode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

const SIZE: usize = 48 << 20;
/// A second, and two for a machine that runs other tests as well.
const SOON: Duration = Duration::from_secs(3);

/// What tcpdump sees at a node.
struct Capture {
    tcpdump: Child,
    file: PathBuf,
}

impl Capture {
    fn start(lab: &Proxies, node: &str) -> Self {
        let name = format!("mpuser-{}-{node}.pcap", lab.0.options.name);
        let file = std::env::temp_dir().join(name);
        let to = file.to_str().expect("text");
        let mut tcpdump =
            lab.spawn(node, &["tcpdump", "-U", "-s", "128", "-i", "eth0", "-w", to, "tcp"]);
        let mut said = String::new();
        let mut stderr = BufReader::new(tcpdump.stderr.take().expect("a pipe"));
        while !said.contains("listening on") {
            assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
        }
        Self { tcpdump, file }
    }

    /// Fields of the packets that match, a line each.
    fn fields(mut self, filter: &str, fields: &[&str]) -> Vec<String> {
        // it writes what it has when it is asked to end
        let id = self.tcpdump.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
        self.tcpdump.wait().expect("it ends");
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&self.file).args(["-Y", filter, "-T", "fields"]);
        for field in fields {
            tshark.args(["-e", field]);
        }
        let output = tshark.output().expect("tshark runs");
        let _ = std::fs::remove_file(&self.file);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

/// The connection of this process, as `mpuser ss` shows it.
fn connection(lab: &Proxies, process: u32) -> Option<Value> {
    let run = finish(lab.start(&["ss", "--json"]), b"");
    let all: Value = serde_json::from_str(&run.stdout).ok()?;
    let ours = |s: &&Value| s["token"].is_string() && s["pid"] == process;
    all["sockets"].as_array()?.iter().find(ours).cloned()
}

/// Waits until the connection has so many subflows, those in TIME-WAIT left out; its token.
fn until(lab: &Proxies, process: u32, subflows: usize) -> String {
    for _ in 0..400 {
        if let Some(socket) = connection(lab, process) {
            let all = socket["subflow"].as_array().expect("an array");
            if all.iter().filter(|s| s["state"] == "ESTAB").count() == subflows {
                return socket["token"].as_str().expect("just seen").to_owned();
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never {subflows} subflows: {:?}", connection(lab, process));
}

/// The first word: a kernel server shows that it speaks MPTCP when it has something to say (K11).
fn begin(child: &mut Child, word: &[u8]) {
    child.stdin.as_mut().expect("a pipe").write_all(word).expect("it reads");
}

fn intact(run: &Run, sent: &[u8]) {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.bytes == sent, "{} of {} octets came back right", run.bytes.len(), sent.len());
}

/// [K19]: the server sees both proxies, and takes the join from the second one. The first one dies in the middle. A
/// path that is silent for a loss may be left, too, and joined again: a busy machine drops packets. Then the client says so.
#[test]
fn a_proxy_that_dies_loses_nothing() {
    let Some(lab) = Proxies::with_rate("via", 2, Some("200mbit")) else { return };
    let _echo = lab.serve(Mode::Echo);
    let capture = Capture::start(&lab, "server");
    let sent = data(SIZE);
    let (one, two) = (proxy(1), proxy(2));
    let mut child =
        lab.start(&["connect", "--via", &one, "--via", &two, SERVER, "--require-mptcp"]);
    begin(&mut child, &sent[..1_000]);
    until(&lab, child.id(), 2);
    let dying = thread::scope(|scope| {
        let lab = &lab;
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(300));
            lab.0.cut("p1", true).expect("tc runs");
        });
        finish(child, &sent[1_000..])
    });
    intact(&dying, &sent);
    let counters = lab.counters();
    let said = |words| dying.stderr.lines().filter(|line| line.contains(words)).count();
    let (joins, left) = (said(" up: "), said(" closed, reset here: unacceptable performance"));
    assert!((1..=left).contains(&joins), "{}", dying.stderr);
    assert_eq!(counters.get("MPTcpExtMPJoinAckRx"), Some(&(joins as u64)), "{counters:#?}");
    assert_eq!(counters.get("MPTcpExtMPCapableFallbackACK"), Some(&0), "{counters:#?}");
    // a second opinion of what the server saw
    let filter = "tcp.dstport == 7000 && tcp.len > 0";
    let lines = capture.fields(filter, &["mptcp.stream", "ip.src", "tcp.stream"]);
    let pairs = lines.iter().filter_map(|line| line.rsplit_once('\t'));
    let (ways, streams): (BTreeSet<_>, BTreeSet<_>) = pairs.unzip();
    assert!(ways.into_iter().eq(["0\t10.91.0.11", "0\t10.91.0.12"]), "one connection, two proxies");
    assert!((2..=1 + joins).contains(&streams.len()), "{streams:?}, {}", dying.stderr);
}

/// `mpuser demo --net proxies`: what a user would see first.
#[test]
fn the_demo_behind_proxies() {
    if !lab_allowed("the_demo_behind_proxies") {
        return;
    }
    let file = std::env::temp_dir().join(format!("mpuser-proxies-{}.pcapng", std::process::id()));
    let file = file.to_str().expect("text");
    let words = ["demo", "--net", "proxies", "--size", "6M", "--rate", "20mbit", "--json"];
    let run = mpuser(&[&words[..], &["--pcap", file]].concat());
    let _ = std::fs::remove_file(file);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!(report["sha256_ok"], true);
    assert!(["p1", "p2"].contains(&report["cut"]["path"].as_str().expect("it was cut")));
    let subflows = report["subflows"].as_array().expect("a list");
    assert_eq!(subflows.len(), 2, "{report:#}");
    for subflow in subflows {
        let share = subflow["share_before_cut"].as_f64().expect("a number");
        assert!(share > 0.3, "{report:#}");
    }
    assert_eq!(report["kernel_counters"]["MPTcpExtMPJoinAckRx"], 1);
}

/// Another proxy is added while data flows, the first one taken away, and back.
#[test]
fn proxies_come_and_go_while_data_flows() {
    let Some(lab) = Proxies::up("come", 2) else { return };
    let _echo = lab.serve(Mode::Echo);
    let sent = data(SIZE);
    let (one, two) = (format!("{}:7000", proxy(1)), format!("{}:7000", proxy(2)));
    let mut child = lab.start(&["connect", "--via", &one, SERVER]);
    begin(&mut child, &sent[..1_000]);
    let process = child.id();
    let token = until(&lab, process, 1);
    let order = |words: &[&str]| {
        let run = finish(lab.start(&[&["via", token.as_str()], words].concat()), b"");
        (run.code, run.stderr)
    };
    assert_eq!(order(&["add", &two]), (Some(0), String::new()));
    until(&lab, process, 2);
    let mut stdin = child.stdin.take().expect("a pipe");
    let changed = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            // slowly, until everything has happened
            for piece in sent[1_000..].chunks(1 << 20) {
                stdin.write_all(piece).expect("it reads");
                let pause = if changed.load(Relaxed) { 0 } else { 100 };
                thread::sleep(Duration::from_millis(pause));
            }
            drop(stdin);
        });
        let output = scope.spawn(|| child.wait_with_output().expect("it ends"));
        assert_eq!(order(&["del", &one]), (Some(0), String::new()));
        until(&lab, process, 1);
        assert_ne!(order(&["del", &one]).0, Some(0), "it is gone already");
        assert_ne!(order(&["add", &two]).0, Some(0), "it is there already");
        assert_eq!(order(&["add", &one]), (Some(0), String::new()));
        until(&lab, process, 2);
        changed.store(true, Relaxed);
        output.join().expect("no panic")
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == sent, "{stderr}");
}

/// A via that leads nowhere: the others carry the connection, and the reason is said.
#[test]
fn a_via_that_is_no_proxy_does_no_harm() {
    let Some(lab) = Proxies::up("none", 1) else { return };
    let _echo = lab.serve(Mode::Echo);
    let sent = data(SIZE);
    // nobody has the second address; at the third the port is closed
    let (one, closed) = (proxy(1), format!("{}:7001", proxy(1)));
    let run = finish(
        lab.start(&["connect", "--via", &one, "--via", "10.90.0.99", "--via", &closed, SERVER]),
        &sent,
    );
    intact(&run, &sent);
}

/// The client's only card loses its cable and gets it back: nothing is lost, and both proxies are used again.
#[test]
fn a_card_that_goes_and_comes_back() {
    let Some(lab) = Proxies::up("card", 2) else { return };
    let _echo = lab.serve(Mode::Echo);
    let sent = data(SIZE);
    let mut child = lab.start(&["connect", "-v", "--via", &proxy(1), "--via", &proxy(2), SERVER]);
    begin(&mut child, &sent[..1_000]);
    let process = child.id();
    until(&lab, process, 2);
    let cable = |state| {
        let run = finish(lab.spawn("client", &["ip", "link", "set", "eth0", state]), b"");
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    };
    cable("down");
    until(&lab, process, 0);
    cable("up");
    until(&lab, process, 2);
    let run = finish(child, &sent[1_000..]);
    intact(&run, &sent);
    assert!(run.stderr.contains("is gone") && run.stderr.contains("is back"), "{}", run.stderr);
}

/// The interface a subflow through the proxy leaves by, of those that are established.
fn card(lab: &Proxies, process: u32, through: &str) -> Vec<String> {
    let socket = connection(lab, process).unwrap_or_default();
    let all = socket["subflow"].as_array().cloned().unwrap_or_default();
    let is = |s: &&Value| {
        let remote = s["remote"].as_str().unwrap_or_default();
        s["state"] == "ESTAB" && remote.starts_with(&format!("{through}:"))
    };
    let dev = |s: &Value| s["path"].as_str().unwrap_or_default().to_owned();
    all.iter().filter(is).map(dev).collect()
}

/// Waits until the established subflow through the proxy leaves by this card, and no other is; how long that took.
fn until_by(lab: &Proxies, process: u32, through: &str, dev: &str) -> Duration {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        if card(lab, process, through) == [dev] {
            return begin.elapsed();
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{through} is never reached by {dev}: {:?}", connection(lab, process));
}

/// A second card with another way to the proxies comes while data flows: the second proxy is reached by it within a second.
/// Then the first card goes, and so the first proxy is, too.
#[test]
fn a_new_card_is_a_way_for_the_proxies() {
    let Some(lab) = Proxies::up("new", 2) else { return };
    let _echo = lab.serve(Mode::Echo);
    let ip = |node: &str, lines: &str| {
        let run = finish(lab.spawn(node, &["ip", "-batch", "-"]), lines.as_bytes());
        assert_eq!(run.code, Some(0), "{lines}{}", run.stderr);
    };
    for node in ["p1", "p2"] {
        ip(node, "route add 10.92.0.0/24 via 10.90.0.254\n");
    }
    let sent = data(SIZE / 8);
    let (one, two) = (proxy(1), proxy(2));
    let log = std::env::temp_dir().join(format!("mpuser-card-{}.log", std::process::id()));
    let log = log.to_str().expect("text");
    let args = ["connect", "-v", "--record", log, "--via", &one, "--via", &two, SERVER];
    let mut child = lab.start(&args);
    begin(&mut child, &sent[..1_000]);
    let process = child.id();
    until(&lab, process, 2);
    assert_eq!([card(&lab, process, &one), card(&lab, process, &two)], [["eth0"], ["eth0"]]);
    let switch = format!("mpu-{}-switch", lab.0.options.name);
    ip("client", &format!("link add eth1 type veth peer name second netns {switch}\n"));
    ip("switch", "addr add 10.92.0.254/24 dev second\nlink set second up\n");
    let up = "addr add 10.92.0.1/24 dev eth1\nlink set eth1 up\n\
              route add default via 10.92.0.254 dev eth1 metric 100\n";
    ip("client", up);
    let taken = until_by(&lab, process, &two, "eth1");
    println!("the new card is up: used, and the old subflow gone, after {taken:?}");
    assert!(taken < SOON, "{taken:?}");
    assert_eq!(card(&lab, process, &one), ["eth0"], "where it was");
    ip("client", "link set eth0 down\n");
    let taken = until_by(&lab, process, &one, "eth1");
    println!("the old card is gone: its proxy is reached by the new one after {taken:?}");
    assert!(taken < SOON, "{taken:?}");
    let run = finish(child, &sent[1_000..]);
    intact(&run, &sent);
    assert!(run.stderr.contains("path eth1 is new"), "{}", run.stderr);
    let joins = lab.counters()["MPTcpExtMPJoinAckRx"];
    assert_eq!(joins, 3, "the second proxy, again by the new card, and the first one by it");
    let again = mpuser(&["replay", log]);
    let _ = std::fs::remove_file(log);
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
}

/// Our own listener as the server: it wants an identifier of its own for each address it sees [JOIN-4].
#[test]
fn a_listener_of_ours_takes_joins_through_proxies() {
    let Some(lab) = Proxies::up("ours", 3) else { return };
    let program = env!("CARGO_BIN_EXE_mpuser");
    let mut server = lab.spawn("server", &[program, "listen", "-k", "--echo", "7000"]);
    let mut said = String::new();
    let mut stderr = BufReader::new(server.stderr.take().expect("a pipe"));
    while !said.contains("listening") {
        assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
    }
    let sent = data(SIZE);
    let vias = [1, 2, 3].map(proxy);
    let vias = vias.iter().flat_map(|via| ["--via", via.as_str()]);
    let args: Vec<&str> = ["connect"].into_iter().chain(vias).chain([SERVER]).collect();
    let mut child = lab.start(&args);
    begin(&mut child, &sent[..1_000]);
    until(&lab, child.id(), 3);
    let socket = connection(&lab, child.id()).expect("it runs");
    let ids = socket["subflow"].as_array().expect("a list").iter().map(|s| s["local_id"].as_u64());
    assert_eq!(ids.collect::<Vec<_>>(), [Some(0), Some(255), Some(254)], "{socket:#}");
    intact(&finish(child, &sent[1_000..]), &sent);
    let _ = server.kill();
    let _ = server.wait();
}
