//! `connect` and `listen` against the kernel's MPTCP in a lab of this test's own. Skipped where namespaces or TUN
//! devices are not allowed.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::lab::{SERVER, TestLab};
use mpuser_tun::lab::peer::{KernelClient, Mode, Protocol};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command};

/// U2: stdout holds the peer's bytes and nothing else, whatever the bytes are.
#[test]
fn connect_is_netcat() {
    let Some(lab) = TestLab::up_at("connect", "100mbit") else { return };
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let input: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let run = lab.run(&["connect", "192.168.56.101:7000"], &input);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.bytes == input, "the echo differs");
    let first = run.stderr.lines().next().expect("a line");
    assert!(first.starts_with("connected 192.168.56.101:7000 MPTCPv1 token "), "{first}");
    assert!(run.stderr.contains("subflow 2 up"), "{}", run.stderr);
    assert!(run.stderr.contains("closed after"), "{}", run.stderr);

    // nothing sent, nothing received; HOST and PORT as two words; only the handshake
    let run = lab.run(&["connect", SERVER, "7000", "-z", "-q"], b"not sent");
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));

    let run = lab.run(&["connect", "192.168.56.101:7000", "--json", "--no-join"], b"hello");
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "hello"));
    let parse = |line| serde_json::from_str(line).expect("JSON");
    let objects: Vec<serde_json::Value> = run.stderr.lines().map(parse).collect();
    let last = objects.last().expect("an object");
    assert_eq!(last["schema"], "mpuser.connect/1");
    assert_eq!((&last["bytes_sent"], &last["bytes_acked"]), (&5.into(), &5.into()));
    assert_eq!(last["subflows"].as_array().expect("a list").len(), 1);
}

/// U4: every way a connection can fail has its exit code and its three lines.
#[test]
fn failures_have_their_exit_codes() {
    let Some(lab) = TestLab::up("fail") else { return };
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let _plain = lab.serve(7001, Protocol::Tcp, Mode::Echo);
    lab.run(&["connect", "192.168.56.101:7999"], b"").assert_error(3);
    lab.run(&["connect", "[fd00::1]:7000"], b"").assert_error(3);
    lab.run(&["connect", "localhost:7000"], b"").assert_error(3);
    lab.run(&["connect", "192.168.56.77:7000", "-w", "300ms"], b"").assert_error(4);
    lab.run(&["connect", "192.168.56.101:7000", "--path", "eth9"], b"").assert_error(2);
    let plain = ["connect", "192.168.56.101:7001", "-q"];
    lab.run(&[&plain[..], &["--require-mptcp"]].concat(), b"").assert_error(5);
    let run = lab.run(&plain, b"plain");
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "plain"), "{}", run.stderr);

    // idle: the input stays open, so nobody says anything
    let mut idle = lab.start("client", &["connect", "192.168.56.101:7000", "-q", "-i", "300ms"]);
    let open = idle.stdin.take();
    let output = idle.wait_with_output().expect("it ends");
    drop(open);
    assert_eq!(output.status.code(), Some(4));
}

/// A server that closes with data unread resets the connection: exit code 1.
#[test]
fn a_lost_connection_is_no_success() {
    let Some(lab) = TestLab::up("lost") else { return };
    let listen = || std::net::TcpListener::bind((SERVER, 7000)).expect("a listener");
    let listener = lab.0.in_namespace("server", listen).expect("the server's namespace");
    let mut child = lab.start("client", &["connect", "192.168.56.101:7000", "-q"]);
    let (server, _) = listener.accept().expect("a connection");
    child.stdin.as_mut().expect("a pipe").write_all(b"unread").expect("room");
    server.peek(&mut [0]).expect("data");
    drop(server);
    let open = child.stdin.take();
    let output = child.wait_with_output().expect("it ends");
    drop(open);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("error[MPU-E0006]: the connection with 192.168.56.101:7000 was lost"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 3, "{error}");
}

fn finish_quietly(
    mut child: Child,
    lines: &mut impl std::io::Read,
    rest: &mut String,
) -> Option<i32> {
    drop(child.stdin.take());
    lines.read_to_string(rest).expect("text");
    child.wait().expect("it ends").code()
}

/// The kernel's clients, MPTCP and plain TCP, reach an engine that listens.
#[test]
fn listen_serves_the_kernels_clients() {
    let Some(lab) = TestLab::up("listen") else { return };
    let mut child = lab.start("client", &["listen", "7000", "-k", "--echo"]);
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    assert_eq!(
        first,
        "listening on 10.83.56.2:7000 (eth1), 10.83.57.2:7000 (eth2), 10.83.58.2:7000 (eth3)\n"
    );
    let ns = lab.0.netns("server").expect("a namespace");
    for (protocol, address) in
        [(Protocol::Mptcp, "10.83.56.2:7000"), (Protocol::Tcp, "10.83.58.2:7000")]
    {
        let address = address.parse().expect("an address");
        let client = KernelClient::connect(&ns, address, protocol).expect("a connection");
        assert_eq!(client.subflows().is_some(), protocol == Protocol::Mptcp);
        assert_eq!(client.echo(500_000).expect("an echo").bytes, 500_000);
    }
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(kill.is_ok_and(|status| status.success()));
    let mut rest = String::new();
    let code = finish_quietly(child, &mut lines, &mut rest);
    assert_eq!(code, Some(143), "{rest}");
    assert!(rest.contains("accepted") && rest.contains("plain TCP"), "{rest}");
}
