//! One connection through proxies that end TCP: `connect --via socks5://...` to `listen --stream`. Real proxies on the
//! loopback interface, without privileges; packets and streams mixed need a lab.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::proxies::{Proxies, SERVER, proxy};
use common::real_proxies::{
    Program, free_port, haproxy, installed, microsocks, server, server_at, tinyproxy,
};
use common::{Run, data, finish, pipes};
use mpuser_tun::clock;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const SIZE: usize = 32 << 20;
/// What every connection is for; the streams say so in their preface.
const TARGET: &str = "127.0.0.1:7000";

fn connect(vias: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    command.args(["connect", TARGET]);
    vias.iter().for_each(|via| {
        command.args(["--via", via]);
    });
    pipes(&mut command);
    command.spawn().expect("the binary runs")
}

/// Sends everything; at a third of what comes back `happens` is called. What came, and the longest pause after that.
fn talk(mut child: Child, sent: &[u8], happens: impl FnOnce()) -> (Run, Duration) {
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    let received = AtomicUsize::new(0);
    let (bytes, stall) = thread::scope(|scope| {
        scope.spawn(move || {
            let _ = stdin.write_all(sent);
        });
        let reader = scope.spawn(|| {
            let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
            let (mut last, mut stall) = (clock::now(), Duration::ZERO);
            while let Ok(read @ 1..) = stdout.read(&mut piece) {
                bytes.extend_from_slice(&piece[..read]);
                if bytes.len() > sent.len() / 3 {
                    stall = stall.max(clock::now().saturating_since(last));
                }
                last = clock::now();
                received.store(bytes.len(), Relaxed);
            }
            (bytes, stall)
        });
        while received.load(Relaxed) < sent.len() / 3 && !reader.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        happens();
        reader.join().expect("no panic")
    });
    let run = finish_quietly(child);
    (Run { bytes, ..run }, stall)
}

fn finish_quietly(child: Child) -> Run {
    let pid = child.id();
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Run { pid, code: output.status.code(), stdout: String::new(), bytes: Vec::new(), stderr }
}

fn intact(run: &Run, sent: &[u8]) {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.bytes == sent, "{} of {} octets: {}", run.bytes.len(), sent.len(), run.stderr);
}

fn say(text: &str) {
    // Not by `eprintln`: the harness swallows that when the test passes.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The first proxy dies in the middle.
fn one_dies(name: &str, mut first: Program, vias: &[String]) {
    let sent = data(SIZE);
    let (run, stall) = talk(connect(vias), &sent, || first.kill());
    intact(&run, &sent);
    assert!(run.stderr.contains("its stream ended"), "it died too late: {}", run.stderr);
    say(&format!("{name}: one of two killed, nothing lost, stall {} ms", stall.as_millis()));
    assert!(stall < Duration::from_secs(1), "{stall:?}: {}", run.stderr);
}

#[test]
fn two_haproxies_and_one_dies() {
    if !installed("two_haproxies_and_one_dies", &["haproxy"]) {
        return;
    }
    let server = server();
    let to = SocketAddr::from(([127, 0, 0, 1], server.port));
    let (one, two) = (haproxy(to), haproxy(to));
    let vias = [&one, &two].map(|p| format!("tcp://127.0.0.1:{}", p.port));
    one_dies("haproxy", one, &vias);
}

#[test]
fn two_socks_proxies_and_one_dies() {
    if !installed("two_socks_proxies_and_one_dies", &["microsocks"]) {
        return;
    }
    let server = server();
    let to = format!("127.0.0.1:{}", server.port);
    let (one, two) = (microsocks(None), microsocks(Some(("me", "p@ss"))));
    let vias = [
        format!("socks5://127.0.0.1:{}/{to}", one.port),
        format!("socks5://me:p%40ss@127.0.0.1:{}/{to}", two.port),
    ];
    one_dies("SOCKS5", one, &vias);
}

#[test]
fn an_http_proxy_takes_over_from_a_port_forward() {
    if !installed("an_http_proxy_takes_over_from_a_port_forward", &["haproxy", "tinyproxy"]) {
        return;
    }
    let server = server();
    let to = SocketAddr::from(([127, 0, 0, 1], server.port));
    let (one, two) = (haproxy(to), tinyproxy(server.port));
    let vias =
        [format!("tcp://127.0.0.1:{}", one.port), format!("http://127.0.0.1:{}/{to}", two.port)];
    one_dies("haproxy and HTTP CONNECT", one, &vias);
}

/// The connection of this process, as `mpuser ss` shows it: its token, and the paths of its living subflows.
fn shown(pid: u32) -> Option<(String, Vec<String>)> {
    let run = common::mpuser(&["ss", "--json"]);
    let all: Value = serde_json::from_str(&run.stdout).ok()?;
    let own = all["sockets"].as_array()?.iter().find(|s| s["pid"] == pid)?;
    let living = own["subflow"].as_array()?.iter().filter(|s| s["state"] == "ESTAB");
    let paths = living.filter_map(|s| s["path"].as_str()).map(str::to_owned).collect();
    Some((own["token"].as_str()?.to_owned(), paths))
}

/// Waits until it has these; its token.
fn until(pid: u32, wanted: &[&str]) -> String {
    let mut found = None;
    for _ in 0..500 {
        found = shown(pid);
        if let Some((token, paths)) = &found
            && paths == wanted
        {
            return token.clone();
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(found.map(|(_, paths)| paths).as_deref().unwrap_or_default(), wanted);
    String::new()
}

/// Proxies come and go while data flows, and `ss` names them.
#[test]
fn proxies_come_and_go_while_data_flows() {
    if !installed("proxies_come_and_go_while_data_flows", &["haproxy", "microsocks"]) {
        return;
    }
    let server = server();
    let to = SocketAddr::from(([127, 0, 0, 1], server.port));
    let (one, two) = (haproxy(to), microsocks(None));
    let (first, second) =
        (format!("tcp://127.0.0.1:{}", one.port), format!("socks5://127.0.0.1:{}/{to}", two.port));
    let sent = data(SIZE);
    let mut child = connect(std::slice::from_ref(&first));
    let pid = child.id();
    child.stdin.as_mut().expect("a pipe").write_all(&sent[..1000]).expect("it reads");
    let token = until(pid, &[&first]);
    let order = |words: &[&str]| {
        let run = common::mpuser(&[&["via", token.as_str()], words].concat());
        (run.code, run.stderr)
    };
    assert_eq!(order(&["add", &second]), (Some(0), String::new()));
    until(pid, &[&first, &second]);
    assert_ne!(order(&["add", &second]).0, Some(0), "it is there already");
    assert_ne!(order(&["add", "gopher://127.0.0.1:70"]).0, Some(0));
    assert_eq!(order(&["del", &first]), (Some(0), String::new()));
    until(pid, &[&second]);
    assert_eq!(order(&["add", &first]), (Some(0), String::new()));
    let (run, _) = talk(child, &sent[1000..], || ());
    assert!(run.stderr.contains("finished"), "the one that was deleted: {}", run.stderr);
    intact(&run, &sent);
}

/// Something that takes a connection, says this, and closes.
fn impostor(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut greeting = [0; 256];
            let _ = stream.read(&mut greeting);
            let _ = stream.write_all(answer);
        }
    });
    port
}

/// Proxies that are none, close in the middle of their greeting, lead to themselves, refuse: each says why on its path,
/// and the connection lives on.
#[test]
fn bad_proxies_say_why_and_the_connection_lives_on() {
    if !installed("bad_proxies_say_why", &["microsocks", "tinyproxy"]) {
        return;
    }
    let server = server();
    let to = format!("127.0.0.1:{}", server.port);
    let (socks, locked) = (microsocks(None), microsocks(Some(("me", "secret"))));
    let web = tinyproxy(server.port);
    let looping = microsocks(None);
    let (closing, mute) = (impostor(b"\x05"), impostor(b""));
    let (garbage, half) =
        (impostor(b"SSH-2.0-OpenSSH_9.2\r\n"), impostor(b"HTTP/1.1 200 OK\r\nX: "));
    let closed = free_port();
    let at = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}/{to}");
    let cases = [
        (format!("tcp://127.0.0.1:{closed}"), "Connection refused"),
        (format!("tcp://127.0.0.1:{garbage}"), "it is no mpuser that answers there"),
        (at("socks5", closing), "it ended the greeting"),
        (at("socks5", mute), "it ended the greeting"),
        (at("http", half), "it ended the greeting"),
        (at("socks5", locked.port), "it wants another login"),
        (format!("socks5://127.0.0.1:{0}/127.0.0.1:{0}", looping.port), "it is no mpuser"),
        (format!("http://127.0.0.1:{}/127.0.0.1:{closed}", web.port), "its rules forbid this port"),
    ];
    let mut vias = vec![at("socks5", socks.port)];
    vias.extend(cases.iter().map(|(via, _)| via.clone()));
    let sent = data(4 << 20);
    let mut child = connect(&vias);
    child.stdin.as_mut().expect("a pipe").write_all(&sent[..1000]).expect("it reads");
    thread::sleep(Duration::from_millis(700));
    let run = finish(child, &sent[1000..]);
    intact(&run, &sent);
    for (via, part) in &cases {
        let path = format!("note: {}", via.replace("me:secret@", ""));
        let told = run.stderr.lines().any(|line| line.starts_with(&path) && line.contains(part));
        assert!(told, "{via}: {part}\n{}", run.stderr);
    }
    // alone, each is the reason why there is no connection
    let run = finish(connect(&[at("http", socks.port)]), b"");
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("is it one for socks5://?"), "{}", run.stderr);
    // a good way to a server that does not listen on that port
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    command.args(["connect", "127.0.0.1:7001", "--via", &at("socks5", socks.port)]);
    let run = common::run(command, b"");
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("because the server answered with a RST"), "{}", run.stderr);
    // the first one leads nowhere: the second is the first
    let run =
        finish(connect(&[format!("tcp://127.0.0.1:{closed}"), at("socks5", socks.port)]), &sent);
    intact(&run, &sent);
}

/// The log of a connection of two streams is done again to the octet.
#[test]
fn a_log_of_streams_is_done_again() {
    let server = server();
    let log = std::env::temp_dir().join(format!("mpuser-streams-{}.log", std::process::id()));
    let name = log.to_str().expect("plain");
    let at = |address: &str| format!("tcp://{address}:{}", server.port);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    // two addresses of one port
    command.args(["connect", TARGET, "--record", name]);
    command.args(["--via", &at("127.0.0.1"), "--via", &at("127.0.0.2")]);
    let sent = data(1 << 20);
    let run = common::run(command, &sent);
    let again = common::mpuser(&["replay", name]);
    let _ = std::fs::remove_file(log);
    intact(&run, &sent);
    assert!(again.stdout.contains("identical"), "{}{}", again.stdout, again.stderr);
}

/// Streams are taken on one address, of either family, and on no other one.
#[test]
fn streams_are_taken_on_one_address() {
    let sent = data(100_000);
    for (own, other) in [("127.0.0.2", "127.0.0.1"), ("[::1]", "127.0.0.1")] {
        let port = free_port();
        let at = format!("{own}:{port}").parse().expect("an address");
        let server = server_at(at);
        let run = finish(connect(&[format!("tcp://{own}:{port}")]), &sent);
        intact(&run, &sent);
        let run = finish(connect(&[format!("tcp://{other}:{port}")]), b"");
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert!(run.stderr.contains("Connection refused"), "{}", run.stderr);
        drop(server);
    }
    // an address where there is nothing but streams; one that is not of this machine; none
    for (words, why) in [
        (["127.0.0.1:7000", "9000"], "cannot listen on 127.0.0.1 for nothing but streams"),
        (["7000", "192.0.2.77:9000"], "cannot take streams on 192.0.2.77:9000"),
        (["7000", "::1:9000"], "needs brackets"),
    ] {
        let run = common::mpuser(&["listen", words[0], "--stream", words[1], "--streams-only"]);
        assert!(
            run.code.is_some_and(|code| code != 0) && run.stderr.contains(why),
            "{}",
            run.stderr
        );
    }
}

/// One address for packets and one for streams: clients of both kinds, on these and no others.
#[test]
fn one_address_for_packets_and_one_for_streams() {
    let Some(lab) = Proxies::up("addr", 1) else { return };
    let program = env!("CARGO_BIN_EXE_mpuser");
    let argv = [program, "listen", "-k", "--echo", SERVER, "--stream", "10.91.0.2:9000"];
    let mut server = lab.spawn("server", &argv);
    thread::sleep(Duration::from_millis(700));
    let sent = data(1 << 20);
    for vias in [[].as_slice(), &["--via", "tcp://10.91.0.2:9000"]] {
        let child = lab.start(&[&["connect", SERVER], vias].concat());
        intact(&finish(child, &sent), &sent);
    }
    server.kill().expect("it ran");
    let heard = server.wait_with_output().expect("it ends");
    let heard = String::from_utf8_lossy(&heard.stderr).into_owned();
    assert!(heard.contains("listening on 10.91.0.2:9000 (streams for port 7000)"), "{heard}");
}

/// Strangers and liars at the server's port: each loses its stream, and nobody else notices.
#[test]
fn a_peer_that_lies_loses_its_stream() {
    let server = server();
    let at = SocketAddr::from(([127, 0, 0, 1], server.port));
    let preface = b"mpus\x01\x00\x1b\x58";
    let frame = |head: [u8; 16]| [&preface[..], &head[..]].concat();
    let syn = [0, 0, 0, 0x02, 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
    let long = [0xff, 0xff, 0, 0x02, 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
    let options = [0, 0, 11, 0x02, 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0, 0];
    let no_syn = [0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 0];
    let lies = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"mpus\x02\x00\x1b\x58".to_vec(),
        frame(long),
        frame(options),
        // to a port nobody listens on; and what is no SYN: both get a RST
        [&b"mpus\x01\x00\x00\x07"[..], &syn[..]].concat(),
        frame(no_syn),
    ];
    for lie in lies {
        let mut stream = TcpStream::connect(at).expect("it listens");
        stream.write_all(&lie).expect("it is taken");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time");
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let reset = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(end.as_ref().is_ok() || end.as_ref().is_err_and(reset), "{lie:?}: {end:?}");
    }
    // one that ends in its preface, one that ends behind its SYN, and one that says nothing and stays
    let _silent = TcpStream::connect(at).expect("it listens");
    for part in [&preface[..5], &frame(syn)] {
        TcpStream::connect(at).expect("it listens").write_all(part).expect("it is taken");
    }
    let sent = data(1 << 20);
    let run = finish(connect(&[format!("tcp://{at}")]), &sent);
    intact(&run, &sent);
}

/// Packets through a box that translates, and a stream through haproxy: one connection.
#[test]
fn packets_and_streams_are_mixed() {
    if !installed("packets_and_streams_are_mixed", &["haproxy"]) {
        return;
    }
    let Some(lab) = Proxies::up("mix", 1) else { return };
    let program = env!("CARGO_BIN_EXE_mpuser");
    let argv = [program, "listen", "-k", "--echo", "7000", "--stream", "9000"];
    let mut server = lab.spawn("server", &argv);
    let config = std::env::temp_dir().join(format!("mpuser-mix-{}", std::process::id()));
    let text = "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
        listen streams\n bind 10.90.0.254:8000\n server one 10.91.0.2:9000\n";
    std::fs::write(&config, text).expect("it can be written");
    let mut forward =
        lab.spawn("switch", &["haproxy", "-db", "-f", config.to_str().expect("plain")]);
    thread::sleep(Duration::from_millis(700));
    let sent = data(SIZE);
    let child =
        lab.start(&["connect", "--via", &proxy(1), "--via", "tcp://10.90.0.254:8000", SERVER]);
    let (run, stall) = talk(child, &sent, || forward.kill().expect("it ran"));
    forward.wait().expect("it ends");
    let _ = std::fs::remove_file(config);
    server.kill().expect("it ran");
    let heard = server.wait_with_output().expect("it ends");
    intact(&run, &sent);
    let heard = String::from_utf8_lossy(&heard.stderr).into_owned();
    assert!(heard.contains("subflow 1 up"), "{heard}\n{}", run.stderr);
    say(&format!(
        "packets and haproxy: haproxy killed, nothing lost, stall {} ms",
        stall.as_millis()
    ));
}
