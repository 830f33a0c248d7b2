//! `mpuser run`: programs as they are, in a lab with the kernel's servers. Skipped where a lab cannot be made.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::lab::{SERVER, SERVER6, TestLab};
use common::real_proxies::installed;
use common::{Run, data, finish, pipes};
use mpuser_tun::lab::peer::{Mode, Protocol, counter_delta, kernel_counters};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// Plain TCP programs people read.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tun/examples/plain").join(name);
    path.to_str().expect("a name in UTF-8").to_owned()
}

/// The C one, compiled; static where the machine has what that takes.
fn compiled(directory: &Path) -> String {
    let out = directory.join("hello");
    let compile = |options: &[&str]| {
        let mut command = Command::new("cc");
        command.args(options).arg("-o").arg(&out).arg(example("hello.c"));
        command.output().is_ok_and(|output| output.status.success())
    };
    assert!(compile(&["-Wall", "-Werror", "-static"]) || compile(&["-Wall", "-Werror"]));
    out.to_str().expect("a name in UTF-8").to_owned()
}

fn scratch(name: &str) -> PathBuf {
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

fn program(lab: &TestLab, words: &[&str]) -> Run {
    lab.run(&[&["run"], words].concat(), b"")
}

fn python(lab: &TestLab, node: &str, script: &str) -> Child {
    let mut command = Command::new("python3");
    command.args(["-u", "-c", script]);
    pipes(&mut command);
    lab.0.spawn(node, command).expect("python runs")
}

/// C without any shared library, Python and Perl: each is an MPTCP client without knowing it, and a plain one where the
/// server is plain.
#[test]
fn hello_in_three_languages() {
    let Some(lab) = TestLab::up("hello") else { return };
    let directory = scratch("hello");
    let (c, py, pl) = (compiled(&directory), example("hello.py"), example("hello.pl"));
    for (protocol, connections) in [(Protocol::Mptcp, 3), (Protocol::Tcp, 0)] {
        let _echo = lab.serve(7_000, protocol, Mode::Echo);
        let namespace = lab.0.netns("server").expect("it is there");
        let before = kernel_counters(&namespace).expect("counters");
        for (words, answer) in [
            (&[c.as_str()][..], "hello from C\n"),
            (&["python3", &py], "hello from Python\n"),
            (&["perl", &pl], "hello from Perl\n"),
        ] {
            let run = program(&lab, &[words, &[SERVER, "7000"]].concat());
            assert_eq!((run.code, run.stdout.as_str()), (Some(0), answer), "{}", run.stderr);
            assert_eq!(run.stderr, "", "what it says is the program's");
        }
        let counted = counter_delta(&before, &kernel_counters(&namespace).expect("counters"));
        let mptcp = counted.get("MPTcpExtMPCapableACKRX").copied().unwrap_or(0);
        assert_eq!(mptcp, connections, "{protocol:?}: {counted:#?}");
    }
    let _ = std::fs::remove_dir_all(directory);
}

/// 32 MiB by the shell's own sockets: every octet, over more than one subflow.
#[test]
fn a_download_uses_the_other_paths() {
    let Some(lab) = TestLab::up("down") else { return };
    const SIZE: usize = 32 << 20;
    let _source = lab.serve(7_000, Protocol::Mptcp, Mode::Source(SIZE as u64));
    let namespace = lab.0.netns("server").expect("it is there");
    let script = format!("exec 3<>/dev/tcp/{SERVER}/7000; cat <&3");
    let run = program(&lab, &["bash", "-c", &script]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.bytes.len(), SIZE);
    assert!(run.bytes.iter().enumerate().all(|(place, octet)| usize::from(*octet) == place % 251));
    let counters = kernel_counters(&namespace).expect("counters");
    assert!(counters.get("MPTcpExtMPJoinAckRx").is_some_and(|joins| *joins >= 1), "{counters:#?}");
    // what a program wrote last arrives although it has ended
    let sink = lab.serve(7_001, Protocol::Mptcp, Mode::Discard);
    let script = format!("head -c 3000000 /dev/zero > /dev/tcp/{SERVER}/7001");
    let run = program(&lab, &["bash", "-c", &script]);
    assert_eq!((run.code, sink.received()), (Some(0), 3_000_000), "{}", run.stderr);
}

/// The same over IPv6, by a program of Python's that knows nothing: the joins come by IPv6, too, to the announced addresses.
#[test]
fn an_ipv6_server_over_several_paths() {
    let Some(lab) = TestLab::up_with_ipv6("six") else { return };
    const SIZE: usize = 32 << 20;
    let _source = lab.serve_at("::", 7_000, Protocol::Mptcp, Mode::Source(SIZE as u64));
    let script = format!(
        "
import socket, sys
sock = socket.create_connection(('{SERVER6}', 7000))
assert sock.family == socket.AF_INET6
while data := sock.recv(1 << 18):
    sys.stdout.buffer.write(data)
"
    );
    let run = program(&lab, &["python3", "-c", &script]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.bytes.len(), SIZE);
    assert!(run.bytes.iter().enumerate().all(|(place, octet)| usize::from(*octet) == place % 251));
    let namespace = lab.0.netns("server").expect("it is there");
    let counters = kernel_counters(&namespace).expect("counters");
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    assert_eq!(count("MPTcpExtMPCapableACKRX"), 1, "{counters:#?}");
    assert!(count("MPTcpExtMPJoinAckRx") >= 1, "{counters:#?}");
    // a closed port, and an address that nobody has
    let script = "
import errno, socket, sys
for address, port in (sys.argv[1], 9), ('fd00:192:168:56::77', 9):
    try: socket.create_connection((address, port)).close()
    except OSError as error: print(errno.errorcode[error.errno])
";
    let run = program(&lab, &["python3", "-c", script, SERVER6]);
    let said: Vec<&str> = run.stdout.split_whitespace().collect();
    assert_eq!(said, ["ECONNREFUSED", "EHOSTUNREACH"], "{}", run.stderr);
}

/// nginx as it is, as a front that fetches what it serves: its connections to the server leave as MPTCP.
#[test]
fn nginx_fetches_over_several_paths() {
    if !installed("nginx_fetches_over_several_paths", &["nginx", "curl"]) {
        return;
    }
    let Some(lab) = TestLab::up("nginx") else { return };
    let directory = scratch("nginx");
    let (big, conf) = (directory.join("big"), directory.join("nginx.conf"));
    let content = data(24 << 20);
    std::fs::write(&big, &content).expect("a file");
    let at = directory.display();
    let own = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let own: String = own.iter().map(|kind| format!("{kind}_temp_path {at}/{kind}; ")).collect();
    let text = format!(
        "daemon off; master_process off; error_log stderr; pid {at}/pid;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; {own}\n\
         upstream server {{ server {SERVER}:8000; keepalive 4; }}\n\
         server {{ listen 127.0.0.1:8080; location / {{ proxy_pass http://server; \
         proxy_http_version 1.1; proxy_set_header Connection ''; }} }} }}\n"
    );
    std::fs::write(&conf, text).expect("a file");
    let http = format!(
        "
import http.server, os, socket
os.chdir('{at}')
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    def server_bind(self):
        self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP)
        self.socket.bind(self.server_address)
server = Server(('{SERVER}', 8000), Handler)
print('ready')
server.serve_forever()
"
    );
    let mut server = python(&lab, "server", &http);
    let mut line = String::new();
    let out = server.stdout.as_mut().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("it is ready");
    assert_eq!(line, "ready\n");
    // one that waits until nginx listens, then the file twice at once
    let script = format!(
        "nginx -c {0} & nginx=$!
         until curl -sf -o /dev/null http://127.0.0.1:8080/nginx.conf; do sleep 0.05; done
         curl -sf http://127.0.0.1:8080/big -o {1}/one & curl -sf http://127.0.0.1:8080/big; code=$?
         wait $!; kill $nginx; exit $code",
        conf.display(),
        directory.display(),
    );
    let run = program(&lab, &["bash", "-c", &script]);
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.bytes == content, "{} of {} octets", run.bytes.len(), content.len());
    assert!(std::fs::read(directory.join("one")).expect("it was fetched") == content);
    let namespace = lab.0.netns("server").expect("it is there");
    let counters = kernel_counters(&namespace).expect("counters");
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    let (connections, joins) = (count("MPTcpExtMPCapableACKRX"), count("MPTcpExtMPJoinAckRx"));
    println!("nginx: {connections} MPTCP connections to the server, {joins} joined subflows");
    assert!(connections >= 2 && joins >= 2, "{counters:#?}");
    assert_eq!(count("MPTcpExtMPCapableFallbackACK"), 0, "{counters:#?}");
    let _ = std::fs::remove_dir_all(directory);
}

/// `connect` fails as it would without us, and the loopback device is the program's own.
#[test]
fn errors_are_those_of_the_network() {
    let Some(lab) = TestLab::up("errno") else { return };
    let script = format!(
        "
import errno, socket, threading
def attempt(address, port):
    try:
        socket.create_connection((address, port)).close()
        return 'connected'
    except OSError as error:
        return errno.errorcode[error.errno]
print(attempt('{SERVER}', 9), attempt('192.168.56.77', 9), attempt('127.0.0.1', 9))
listener = socket.create_server(('127.0.0.1', 9))
print(attempt('127.0.0.1', 9))
"
    );
    let run = program(&lab, &["python3", "-c", &script]);
    let said: Vec<&str> = run.stdout.split_whitespace().collect();
    let wanted = ["ECONNREFUSED", "EHOSTUNREACH", "ECONNREFUSED", "connected"];
    assert_eq!(said, wanted, "{}", run.stderr);
}

/// Exit codes, output and signals are the program's; nothing is left after a kill.
#[test]
fn the_program_ends_as_it_likes() {
    let Some(lab) = TestLab::up("ends") else { return };
    assert_eq!(program(&lab, &["sh", "-c", "exit 42"]).code, Some(42));
    assert_eq!(program(&lab, &["sh", "-c", "kill -9 $$"]).code, Some(137));
    for (name, code, words) in
        [("no-such-program", 127, "no such file"), ("/etc/passwd", 126, "permission denied")]
    {
        let run = program(&lab, &[name]);
        run.assert_error(code);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    let start = |script: &str| {
        let mut child = lab.start("client", &["run", "sh", "-c", script]);
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says its number");
        child.stdout = Some(said.into_inner());
        (child, line.trim().parse::<u32>().expect("a number"))
    };
    let signal = |pid: u32, number: &str| {
        let sent = Command::new("kill").args([number, &pid.to_string()]).status();
        assert!(sent.expect("kill runs").success());
    };
    let (child, _) = start("trap 'exit 9' TERM; echo $$; while :; do sleep 0.05; done");
    signal(child.id(), "-TERM");
    assert_eq!(finish(child, b"").code, Some(9), "the signal is the program's");
    let (child, program) = start("echo $$; exec sleep 60");
    signal(child.id(), "-KILL");
    assert_eq!(finish(child, b"").code, None);
    let there = || Path::new("/proc").join(program.to_string()).join("exe").exists();
    for _ in 0..100 {
        if !there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!there(), "{program} goes on without its network");
}

/// Names by the machine's own server on its loopback device, datagrams to anybody, and ping.
#[test]
fn names_and_datagrams() {
    let Some(lab) = TestLab::up("names") else { return };
    // answers every question with one address, 20 octets behind the question
    let dns = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.53', 53))
print('ready')
while True:
    q, who = s.recvfrom(512)
    end = q.index(0, 12) + 5
    a = bytes([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 168, 56, 101])
    ours = q[end - 3] == 1
    s.sendto(q[:2] + b'\\x81\\x80\\0\\1\\0' + bytes([ours]) + b'\\0\\0\\0\\0' + q[12:end] + (a if ours else b''), who)
";
    let echo = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 7))
print('ready')
while True:
    s.sendto(*s.recvfrom(65535))
";
    let mut servers = [python(&lab, "client", dns), python(&lab, "server", echo)];
    for server in &mut servers {
        let mut line = String::new();
        let out = server.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("it is ready");
        assert_eq!(line, "ready\n");
    }
    let directory = scratch("names");
    let resolv = directory.join("resolv.conf");
    std::fs::write(&resolv, "# a stub\nnameserver 127.0.0.53\n").expect("a file");
    let script = format!(
        "
import socket, subprocess
print(socket.gethostbyname('server.example'))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect(('server.example', 7))
s.send(b'x' * 1400)
print(len(s.recv(2000)))
s.connect(('{SERVER}', 8))
s.send(b'x')
try:
    s.recv(1)
except ConnectionRefusedError:
    print('refused')
print(subprocess.call(['ping', '-qc1', '-W2', 'server.example'], stdout=subprocess.DEVNULL))
print(open('/etc/resolv.conf').read().split()[-1])
"
    );
    let mut command = Command::new("unshare");
    let mounted = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
    command.args(["-m", "sh", "-c", mounted, "sh"]).arg(&resolv);
    command.args([env!("CARGO_BIN_EXE_mpuser"), "run", "python3", "-c", &script]);
    pipes(&mut command);
    let run = finish(lab.0.spawn("client", command).expect("unshare runs"), b"");
    for server in &mut servers {
        let _ = server.kill();
        let _ = server.wait();
    }
    let said: Vec<&str> = run.stdout.split_whitespace().collect();
    assert_eq!(said, [SERVER, "1400", "refused", "0", "198.18.0.1"], "{}", run.stderr);
    let _ = std::fs::remove_dir_all(directory);
}
