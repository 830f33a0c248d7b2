//! Front doors between real programs: `mpuser proxy` and `mpuser forward` with the kernel's clients and servers, and our
//! client before haproxy and nginx. Skipped where namespaces or TUN devices are not allowed.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::doors::{Doors, KERNEL_CLIENT, PATHS, PROXY, Ready, SERVERS, STREAM_MODULE, has};
use common::{Run, data, finish};
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use serde_json::Value;
use std::collections::BTreeSet;

const SIZE: usize = 4 << 20;

fn intact(run: &Run, sent: &[u8]) {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let same = run.bytes.iter().zip(sent).take_while(|(back, there)| back == there).count();
    let whole = run.bytes.len() == sent.len() && same == sent.len();
    assert!(whole, "{} of {} octets came back, {same} right", run.bytes.len(), sent.len());
}

/// Our client at `a`.
fn ours(lab: &Doors, port: &str, sent: &[u8]) -> Run {
    let at = format!("{PROXY}:{port}");
    finish(lab.mpuser("a", &[&["connect", "--require-mptcp", &at], &PATHS[..]].concat()), sent)
}

/// The kernel's client at `a`, with MPTCP.
fn kernels(lab: &Doors, port: &str, sent: &[u8]) -> Run {
    let argv = ["python3", "-c", KERNEL_CLIENT, PROXY, port, "262"];
    finish(lab.spawn("a", &argv), sent)
}

fn count(lab: &Doors, node: &str, counter: &str) -> u64 {
    lab.counters(node).get(&format!("MPTcpExt{counter}")).copied().unwrap_or(0)
}

/// The last line of a program with `--json`.
fn report(lines: &[String]) -> Value {
    serde_json::from_str(lines.last().expect("a line")).expect("JSON")
}

/// The kernel's MPTCP client and ours, six connections: three servers take two each, and every byte comes back although
/// each client ends its data long before it has heard the last of it.
#[test]
fn plain_servers_behind_our_proxy() {
    let Some(mut lab) = Doors::up("plain") else { return };
    let servers = lab.plain_servers();
    let program = env!("CARGO_BIN_EXE_mpuser");
    let argv = [program, "proxy", "--json", "--listen", "mptcp://:7000", "--to", SERVERS];
    let said = lab.serve("p", &argv, Ready::Says("listening"));
    let sent = data(SIZE);
    for _ in 0..3 {
        intact(&kernels(&lab, "7000", &sent), &sent);
    }
    assert_eq!(count(&lab, "a", "MPJoinSynAckRx"), 6, "two more subflows each");
    for _ in 0..3 {
        intact(&ours(&lab, "7000", &sent), &sent);
    }
    for port in ["8001", "8002", "8003"] {
        let taken = servers.all().iter().filter(|line| *line == port).count();
        assert_eq!(taken, 2, "{:?}", servers.all());
    }
    lab.stop(&said);
    let report = report(&said.all());
    let totals = &report["totals"];
    assert_eq!(totals["finished"], 6, "{report}");
    assert_eq!((&totals["refused"], &totals["lost"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(totals["bytes_up"], 6 * SIZE);
    assert_eq!(totals["bytes_down"], 6 * SIZE);
    assert_eq!(report["servers"][2]["connections"], 2);
}

/// Programs that know nothing of MPTCP, to a kernel server over three networks: a fixed port, and SOCKS5 with a name.
#[test]
fn programs_led_over_all_paths() {
    let Some(mut lab) = Doors::up("lead") else { return };
    let at = format!("{PROXY}:7000").parse().expect("an address");
    let netns = mpuser_tun::net::Netns::named(&lab.name("p")).expect("it was made");
    let _echo = PeerServer::start(&netns, at, Protocol::Mptcp, Mode::Echo).expect("a server");
    let sent = data(SIZE);
    let program = env!("CARGO_BIN_EXE_mpuser");
    let target = format!("{PROXY}:7000");
    let forward = [&[program, "forward", "8080", &target, "--require-mptcp"], &PATHS[..]].concat();
    lab.serve("a", &forward, Ready::Says("listening"));
    let argv = ["python3", "-c", KERNEL_CLIENT, "127.0.0.1", "8080", "6"];
    intact(&finish(lab.spawn("a", &argv), &sent), &sent);
    assert_eq!(count(&lab, "p", "MPCapableSYNRX"), 1);
    assert_eq!(count(&lab, "p", "MPJoinAckRx"), 2, "a subflow by each network");
    let socks = [&[program, "proxy", "--listen", "socks5://:1080"], &PATHS[..]].concat();
    let said = lab.serve("a", &socks, Ready::Says("listening"));
    let argv = ["python3", "-c", SOCKS_CLIENT, PROXY, "7000"];
    intact(&finish(lab.spawn("a", &argv), &sent), &sent);
    assert_eq!(count(&lab, "p", "MPJoinAckRx"), 4);
    said.until("finished");
    // nobody listens there, and the program hears it
    let run = finish(lab.spawn("a", &["python3", "-c", SOCKS_CLIENT, PROXY, "7009"]), b"");
    assert!(run.stderr.contains("reply 5"), "{}", run.stderr);
    said.until("refused");
    let argv = ["python3", "-c", SOCKS_CLIENT, "127.0.0.1", "1080"];
    let run = finish(lab.spawn("a", &argv), b"");
    assert!(run.stderr.contains("reply 2"), "{}", run.stderr);
    said.until("this proxy itself");
}

/// CONNECT to a name, then as the kernel's client does.
const SOCKS_CLIENT: &str = r#"
import socket, struct, sys, threading
name, port = sys.argv[1].encode(), int(sys.argv[2])
sock = socket.create_connection(("127.0.0.1", 1080))
sock.sendall(b"\x05\x01\x00")
assert sock.recv(2, socket.MSG_WAITALL) == b"\x05\x00"
sock.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack("!H", port))
answer = sock.recv(10, socket.MSG_WAITALL)
if answer[1]: sys.exit(f"reply {answer[1]}")
def say():
    sock.sendall(sys.stdin.buffer.read())
    sock.shutdown(socket.SHUT_WR)
threading.Thread(target=say, daemon=True).start()
while data := sock.recv(1 << 18): sys.stdout.buffer.write(data)
sys.stdout.flush()
"#;

/// A name with two addresses, at one of which the port is closed: clients are led to the other one, whichever comes first.
#[test]
fn each_address_of_a_name() {
    let Some(mut lab) = Doors::up("names") else { return };
    let servers = lab.plain_servers();
    let at = format!("{PROXY}:7000").parse().expect("an address");
    let netns = mpuser_tun::net::Netns::named(&lab.name("p")).expect("it was made");
    let _echo = PeerServer::start(&netns, at, Protocol::Mptcp, Mode::Echo).expect("a server");
    let hosts = std::env::temp_dir().join(format!("mpuser-hosts-{}", std::process::id()));
    let [closed, open] = ["192.168.57.101", PROXY];
    let text = format!(
        "{closed} first\n{open} first\n{open} second\n{closed} second\n\
         10.50.0.1 plain-a\n10.50.0.2 plain-a\n10.50.0.2 plain-b\n10.50.0.1 plain-b\n"
    );
    std::fs::write(&hosts, text).expect("a file");
    let bound = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let named = ["unshare", "-m", "sh", "-c", bound, hosts.to_str().expect("text")];
    let mpuser = [&named[..], &[env!("CARGO_BIN_EXE_mpuser")]].concat();
    let sent = data(SIZE);
    for (local, name) in [("8081", "first:7000"), ("8082", "second:7000")] {
        let argv = [&mpuser[..], &["forward", local, name, "--require-mptcp"], &PATHS[..]].concat();
        lab.serve("a", &argv, Ready::Says("listening"));
        let argv = ["python3", "-c", KERNEL_CLIENT, "127.0.0.1", local, "6"];
        intact(&finish(lab.spawn("a", &argv), &sent), &sent);
    }
    assert_eq!(count(&lab, "p", "MPJoinAckRx"), 4, "a subflow by each network");
    let to = "plain-a:8001,plain-b:8002";
    let argv = [&mpuser[..], &["proxy", "--listen", "mptcp://:7001", "--to", to]].concat();
    let said = lab.serve("p", &argv, Ready::Says("listening"));
    for _ in 0..2 {
        intact(&ours(&lab, "7001", &sent), &sent);
    }
    let _ = std::fs::remove_file(hosts);
    let mut taken = servers.all();
    taken.sort();
    assert_eq!(taken, ["8001", "8002"], "{:?}", said.all());
    assert!(!said.all().iter().any(|line| line.contains("is down")), "{:?}", said.all());
}

/// A server dies and comes back; a client in between notices nothing.
#[test]
fn mistakes_are_named() {
    let Some(mut lab) = Doors::up("wrong") else { return };
    let program = env!("CARGO_BIN_EXE_mpuser");
    let to_itself = "192.168.56.101:7000,10.50.0.2:8001";
    let run =
        finish(lab.mpuser("p", &["proxy", "--listen", "mptcp://:7000", "--to", to_itself]), b"");
    run.assert_error(2);
    assert!(run.stderr.contains("is this proxy itself"), "{}", run.stderr);
    let local = format!("{PROXY}:7000");
    let run = finish(lab.mpuser("p", &["forward", &local, &local]), b"");
    run.assert_error(2);
    // nobody behind it: the client is reset, not left alone
    let argv = [program, "proxy", "--listen", "mptcp://:7000", "--to", SERVERS];
    let said = lab.serve("p", &argv, Ready::Says("listening"));
    said.until("10.50.0.2:8003 is down: connection refused");
    let run = ours(&lab, "7000", b"hello");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    said.until("no server answers");
}

/// RFC 8803 between two of ours: a server without MPTCP over three networks as far as the converter. The first connection
/// is given a cookie, the next one shows it; with Fast Open the wish is on the SYN.
#[test]
fn a_converter_leads_on() {
    let Some(mut lab) = Doors::up("convert") else { return };
    let servers = lab.plain_servers();
    let argv = [
        env!("CARGO_BIN_EXE_mpuser"),
        "proxy",
        "--convert",
        "--cookies",
        "--allow",
        "10.50.0.0/24",
        "--fast-open=no-cookie",
    ];
    let said = lab.serve("p", &argv, Ready::Says("listening"));
    let sent = data(SIZE);
    let to = ["connect", "--json", "--convert", PROXY, "10.50.0.2:8002", "--fast-open=no-cookie"];
    for round in 0..2 {
        let run = finish(lab.mpuser("a", &[&to[..], &PATHS].concat()), &sent);
        intact(&run, &sent);
        let report = report(&run.stderr.lines().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(report["subflows"].as_array().map(Vec::len), Some(3), "{report}");
        assert_eq!(report["fast_open"], "data", "round {round}: {report}");
        // a header, a cookie from the second round on, the wish, and what stdin had by then
        assert!(report["bytes_on_syn"].as_u64() >= Some(44), "{report}");
    }
    let given = said.all().iter().filter(|line| line.contains("Missing Cookie (3)")).count();
    assert_eq!(given, 1, "once, and kept: {:?}", said.all());
    assert_eq!(servers.all(), ["8002", "8002"]);
    // what the converter's network says is said here
    lab.run("p", &["ip", "route", "add", "unreachable", "10.50.0.9"]);
    for (server, code, words) in [
        ("10.50.0.2:8009", 3, "Connection Reset (96)"),
        ("10.50.0.9:80", 3, "Destination Unreachable (97)"),
        ("10.60.0.1:80", 3, "Not Authorized (32)"),
        ("127.0.0.1:80", 3, "Malformed Message (1)"),
    ] {
        let run = finish(lab.mpuser("a", &["-q", "connect", "--convert", PROXY, server]), b"");
        run.assert_error(code);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    said.until("10.60.0.1:80 is in none of the networks of --allow");
}

/// Converters that are none: an echo, and one that says nothing for too long.
#[test]
fn not_every_port_is_a_converter() {
    let Some(mut lab) = Doors::up("noconv") else { return };
    lab.plain_servers();
    let program = env!("CARGO_BIN_EXE_mpuser");
    let argv = [program, "proxy", "--listen", "mptcp://:7000", "--to", SERVERS];
    lab.serve("p", &argv, Ready::Says("listening"));
    let echo = format!("{PROXY}:7000");
    let run = finish(lab.mpuser("a", &["-q", "connect", "--convert", &echo, "10.50.0.2:80"]), b"");
    run.assert_error(3);
    assert!(run.stderr.contains("neither yes nor no"), "{}", run.stderr);
    let argv = [program, "listen", "-k", "--discard", "7001"];
    lab.serve("p", &argv, Ready::Says("listening"));
    let silent = format!("{PROXY}:7001");
    let words = ["-q", "connect", "-w", "1s", "--convert", &silent, "10.50.0.2:80"];
    let run = finish(lab.mpuser("a", &words), b"");
    run.assert_error(4);
    assert!(run.stderr.contains("did not answer within 1s"), "{}", run.stderr);
}

/// Our client through the proxies people have, whose kernel has MPTCP and whose servers have not.
#[test]
fn other_peoples_proxies() {
    let all = ["haproxy", "nginx", "mptcpize", STREAM_MODULE];
    if !all.iter().all(|program| has(program, "other_peoples_proxies")) {
        return;
    }
    let Some(mut lab) = Doors::up("other") else { return };
    let servers = lab.plain_servers();
    let haproxy = common::doors::haproxy(7000);
    // with a smaller one it may stall, whoever its client is: tests/frontdoors measures that
    let nginx = common::doors::nginx(7001, "proxy_buffer_size 4m;");
    lab.serve("p", &["mptcpize", "run", "haproxy", "-db", "-f", haproxy.path()], Ready::Port(7000));
    lab.serve("p", &["mptcpize", "run", "nginx", "-c", nginx.path()], Ready::Port(7001));
    let sent = data(SIZE);
    for (number, port) in ["7000", "7001"].into_iter().enumerate() {
        for _ in 0..3 {
            intact(&ours(&lab, port, &sent), &sent);
        }
        let joins = count(&lab, "p", "MPJoinAckRx");
        assert_eq!(joins, 6 * (number as u64 + 1), "three subflows at the proxy, each time");
    }
    let taken: BTreeSet<String> = servers.all().into_iter().collect();
    assert_eq!(taken.len(), 3, "{taken:?}");
}
