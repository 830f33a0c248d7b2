//! A client with three networks, a proxy, and three plain servers behind it:
//!
//! ```text
//! a == three networks == p -- b: servers on ports 8001, 8002, 8003
//! ```
//!
//! The proxy's machine speaks MPTCP in its kernel, the servers speak plain TCP. Nothing here is a lab of `mpuser lab`: the
//! engine's addresses are translated, as on any machine.

use super::{Run, finish, lab_allowed, pipes};
use mpuser_tun::lab::peer::kernel_counters;
use mpuser_tun::net::Netns;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Where clients find the proxy.
pub(crate) const PROXY: &str = "192.168.56.101";
/// The plain servers, as the proxy sees them.
pub(crate) const SERVERS: &str = "10.50.0.2:8001,10.50.0.2:8002,10.50.0.2:8003";
/// Where Debian has nginx's stream proxy.
pub(crate) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// A path by each network, for the client.
pub(crate) const PATHS: [&str; 6] = ["--path", "e56", "--path", "e57", "--path", "e58"];

/// The namespaces, and what runs in them; gone at the end.
pub(crate) struct Doors {
    prefix: String,
    running: Vec<Child>,
}

impl Doors {
    /// `None` where this machine does not allow it.
    pub(crate) fn up(name: &str) -> Option<Self> {
        if !lab_allowed(name) {
            return None;
        }
        let lab =
            Self { prefix: format!("door{}-{name}", std::process::id()), running: Vec::new() };
        for node in ["a", "p", "b"] {
            command(&["ip", "netns", "add", &lab.name(node)]);
            lab.ip(node, "link set lo up\n");
        }
        for net in [56, 57, 58] {
            lab.cable(
                ("a", &format!("e{net}"), &format!("192.168.{net}.100/24")),
                ("p", &format!("e{net}"), &format!("192.168.{net}.101/24")),
            );
            // without a rate a small transfer is over before there is a second subflow
            for node in ["a", "p"] {
                let shape =
                    format!("qdisc add dev e{net} root tbf rate 200mbit burst 64kb latency 50ms");
                lab.run(node, &[&["tc"][..], &shape.split(' ').collect::<Vec<_>>()].concat());
            }
        }
        lab.cable(("p", "eb", "10.50.0.1/24"), ("b", "ep", "10.50.0.2/24"));
        for node in ["a", "p", "b"] {
            lab.run(
                node,
                &["ip", "mptcp", "limits", "set", "subflows", "8", "add_addr_accepted", "8"],
            );
        }
        // the kernel's client opens a subflow from each network
        for net in [57, 58] {
            let (local, dev) = (format!("192.168.{net}.100"), format!("e{net}"));
            lab.run("a", &["ip", "mptcp", "endpoint", "add", &local, "dev", &dev, "subflow"]);
        }
        Some(lab)
    }

    /// A node's namespace.
    pub(crate) fn name(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    fn cable(&self, one: (&str, &str, &str), other: (&str, &str, &str)) {
        let (to, there) = (self.name(other.0), other.1);
        self.ip(one.0, &format!("link add {} type veth peer name {there} netns {to}\n", one.1));
        for (node, dev, address) in [one, other] {
            self.ip(node, &format!("addr add {address} dev {dev}\nlink set {dev} up\n"));
            // the default of this machine may be one that is no reference on a link without a queue
            let net = address.rsplit_once('.').expect("an address").0;
            let host = address.split('/').next().expect("an address");
            self.ip(
                node,
                &format!("route replace {net}.0/24 dev {dev} src {host} congctl cubic\n"),
            );
        }
    }

    fn ip(&self, node: &str, lines: &str) {
        let run = finish(self.spawn(node, &["ip", "-batch", "-"]), lines.as_bytes());
        assert_eq!(run.code, Some(0), "{lines}{}", run.stderr);
    }

    /// Runs a program in a node to its end; it has to succeed.
    pub(crate) fn run(&self, node: &str, argv: &[&str]) -> Run {
        let run = finish(self.spawn(node, argv), b"");
        assert_eq!(run.code, Some(0), "{argv:?}: {}", run.stderr);
        run
    }

    /// Starts a program in a node.
    pub(crate) fn spawn(&self, node: &str, argv: &[&str]) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(node)]).args(argv);
        pipes(&mut command);
        command.spawn().expect("ip runs")
    }

    /// Starts `mpuser` in a node.
    pub(crate) fn mpuser(&self, node: &str, args: &[&str]) -> Child {
        self.spawn(node, &[&[env!("CARGO_BIN_EXE_mpuser")], args].concat())
    }

    /// Starts a program that ends when the lab does, and waits until something listens on `port` in its node, or, for
    /// a stack of our own, until it says so. What it says is kept.
    pub(crate) fn serve(&mut self, node: &str, argv: &[&str], ready: Ready) -> Said {
        let mut child = self.spawn(node, argv);
        let said = Said { lines: Arc::default(), number: self.running.len() };
        let stderr = child.stderr.take().expect("a pipe");
        let lines = Arc::clone(&said.lines);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().expect("no panic").push(line);
            }
        });
        child.stdout.take();
        self.running.push(child);
        match ready {
            Ready::Port(port) => self.until_listening(node, port, &said),
            Ready::Says(word) => drop(said.until(word)),
        }
        said
    }

    fn until_listening(&self, node: &str, port: u16, said: &Said) {
        let filter = format!("sport = {port}");
        for _ in 0..200 {
            if !finish(self.spawn(node, &["ss", "-Htln", &filter]), b"").stdout.is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("nobody listens on {port}: {:?}", said.all());
    }

    /// The plain servers: an echo on each port; one line for each connection, its port.
    pub(crate) fn plain_servers(&mut self) -> Said {
        self.serve("b", &["python3", "-c", ECHO], Ready::Port(8003))
    }

    /// The kernel's counters in a node.
    pub(crate) fn counters(&self, node: &str) -> BTreeMap<String, u64> {
        let netns = Netns::named(&self.name(node)).expect("it was made");
        kernel_counters(&netns).expect("the kernel's counters")
    }

    /// Ends a program in order, and waits for its last line.
    pub(crate) fn stop(&mut self, said: &Said) {
        let child = &mut self.running[said.number];
        command(&["kill", "-INT", &child.id().to_string()]);
        let _ = child.wait();
        // its last words may still be in the pipe
        thread::sleep(Duration::from_millis(50));
    }
}

/// When a program is ready.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ready {
    /// Something listens on this port of its node's kernel.
    Port(u16),
    /// A line begins like this.
    Says(&'static str),
}

/// Lines a program has said so far.
pub(crate) struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    number: usize,
}

impl Said {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    /// Waits for a line that has this in it.
    pub(crate) fn until(&self, word: &str) -> String {
        for _ in 0..400 {
            if let Some(line) = self.all().into_iter().find(|line| line.contains(word)) {
                return line;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("never {word}: {:?}", self.all());
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        for node in ["a", "p", "b"] {
            // what a program has started and left
            if let Ok(pids) = Command::new("ip").args(["netns", "pids", &self.name(node)]).output()
            {
                let pids = String::from_utf8_lossy(&pids.stdout);
                let _ = Command::new("kill")
                    .arg("-9")
                    .args(pids.split_whitespace())
                    .stderr(Stdio::null())
                    .status();
            }
            let _ = Command::new("ip").args(["netns", "del", &self.name(node)]).status();
        }
    }
}

fn command(argv: &[&str]) {
    let mut command = Command::new(argv[0]);
    let status = command.args(&argv[1..]).stderr(Stdio::null()).status().expect("it runs");
    assert!(status.success(), "{argv:?}");
}

/// Whether a program is there; says so, loudly, if not.
pub(crate) fn has(program: &str, test: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    // daemons are where users do not look
    let there = path
        .split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|dir| Path::new(dir).join(program).exists());
    if !there {
        eprintln!("SKIPPED: {test}: {program} is not installed");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped under CI: {test}");
    }
    there
}

/// A file that is gone at the end.
pub(crate) struct Config(PathBuf);

impl Config {
    fn new(name: &str, text: &str) -> Self {
        let path = Self::place(name);
        std::fs::write(&path, text).expect("a temporary file");
        Self(path)
    }

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("mpuser-{}-{name}.conf", std::process::id()))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("text")
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        // nginx would take its own away if it were asked to end
        let _ = std::fs::remove_file(self.0.with_extension("pid"));
    }
}

/// haproxy before the plain servers, in turn.
pub(crate) fn haproxy(port: u16) -> Config {
    let servers = (1..=3).map(|n| format!(" server s{n} 10.50.0.2:800{n}\n")).collect::<String>();
    let text = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
         listen doors\n bind {PROXY}:{port}\n balance roundrobin\n{servers}"
    );
    Config::new(&format!("haproxy-{port}"), &text)
}

/// nginx's stream proxy before the plain servers, in turn; `extra` goes to its `server`.
pub(crate) fn nginx(port: u16, extra: &str) -> Config {
    let servers = (1..=3).map(|n| format!("server 10.50.0.2:800{n};")).collect::<String>();
    let name = format!("nginx-{port}");
    let pid = Config::place(&name).with_extension("pid");
    let text = format!(
        "daemon off; master_process off; error_log stderr; pid {};\nload_module {STREAM_MODULE};\n\
         events {{ worker_connections 512; }}\n\
         stream {{ upstream plain {{ {servers} }}\n\
         server {{ listen {PROXY}:{port}; proxy_pass plain; proxy_half_close on; {extra} }} }}\n",
        pid.display()
    );
    Config::new(&name, &text)
}

/// Three echoes. A client that ends its data gets the rest of its own and the end.
const ECHO: &str = r#"
import socket, sys, threading
def one(sock, port):
    said = False
    try:
        while data := sock.recv(1 << 18):
            # a health check says nothing
            if not said: print(port, file=sys.stderr, flush=True)
            said = True
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError: pass
    sock.close()
def serve(port):
    listener = socket.create_server(("10.50.0.2", port), backlog=64)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=one, args=(sock, port), daemon=True).start()
for port in (8001, 8002, 8003):
    threading.Thread(target=serve, args=(port,)).start()
"#;

/// The kernel's client: says what it reads from stdin, over three subflows if it speaks MPTCP, hears what comes, both at
/// once; ends its data in order.
pub(crate) const KERNEL_CLIENT: &str = r#"
import socket, sys, threading, time
host, port, protocol = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
sock.connect((host, port))
sock.settimeout(8)
def joined():
    # struct mptcp_info: the first octet counts the subflows beyond the first one
    for _ in range(100):
        if sock.getsockopt(284, 1, 4)[0] >= 2: return
        time.sleep(0.02)
def say():
    data = sys.stdin.buffer.read()
    try:
        # a short transfer would be over before the kernel had come to its joins
        sock.sendall(data[:1000])
        if protocol == 262: joined()
        sock.sendall(data[1000:])
        sock.shutdown(socket.SHUT_WR)
    except OSError as error: print("say:", error, file=sys.stderr)
threading.Thread(target=say, daemon=True).start()
try:
    while data := sock.recv(1 << 18):
        sys.stdout.buffer.write(data)
except OSError as error:
    print("hear:", error, file=sys.stderr)
sys.stdout.flush()
"#;
