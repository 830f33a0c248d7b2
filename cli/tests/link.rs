//! `mpuser link` between two namespaces, the kernel at both ends.
#![expect(clippy::expect_used, clippy::panic, reason = "a panic is the verdict")]

mod common;

use common::{Run, lab_allowed, mpuser};
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use mpuser_tun::net::Netns;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Two namespaces, gone with this.
struct Spaces([String; 2]);

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).status().expect("ip runs");
    assert!(done.success(), "ip {args:?}");
}

impl Spaces {
    fn new(name: &str) -> Self {
        let names = ["a", "b"].map(|end| format!("mpl{}{name}{end}", std::process::id()));
        names.iter().for_each(|space| ip(&["netns", "add", space]));
        Self(names)
    }

    /// A command in one of them.
    fn run(&self, end: usize, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0[end]]).args(words);
        command
    }

    fn output(&self, end: usize, words: &[&str]) -> String {
        let output = self.run(end, words).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        for space in &self.0 {
            let _ = Command::new("ip").args(["netns", "delete", space]).status();
        }
    }
}

/// A running link, ended with this.
struct Link {
    child: Child,
    name: String,
}

impl Link {
    fn up(spaces: &Spaces, words: &[&str]) -> Self {
        let [a, b] = &spaces.0;
        let name = a.clone();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
        command.args(["link", "up", "--name", &name]);
        command.args(["--from", &format!("tun0@{a},10.77.0.1/24")]);
        command.args(["--to", &format!("tun0@{b},10.77.0.2/24")]).args(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let link = Self { child: command.spawn().expect("mpuser runs"), name };
        for _ in 0..100 {
            if link.order(&["show"]).code == Some(0) {
                return link;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the link does not come up");
    }

    /// `mpuser link WORD NAME ...`
    fn order(&self, words: &[&str]) -> Run {
        let (first, rest) = words.split_first().expect("an order");
        mpuser(&[&["link", first, self.name.as_str()], rest].concat())
    }

    fn state(&self) -> serde_json::Value {
        serde_json::from_str(&self.order(&["show", "--json"]).stdout).expect("an object")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.order(&["down"]);
        let _ = self.child.wait();
    }
}

/// Round-trip times of pings in milliseconds.
fn pings(spaces: &Spaces, count: u32) -> Vec<f64> {
    let count = count.to_string();
    let text = spaces.output(0, &["ping", "-c", &count, "-i", "0.02", "-W", "1", "10.77.0.2"]);
    let times = text.lines().filter_map(|line| line.split_once("time=")?.1.split(' ').next());
    times.filter_map(|time| time.parse().ok()).collect()
}

const SERVER: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('10.77.0.2', 7000)); s.listen(); print('ready', flush=True)
c, _ = s.accept()
n = 0
while d := c.recv(65536): n += len(d)
c.sendall(str(n).encode()); c.close()
";

const CLIENT: &str = "
import socket, sys, time
c = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
c.connect(('10.77.0.2', 7000))
t = time.monotonic(); c.sendall(b'x' * int(sys.argv[1])); c.shutdown(1)
n = int(c.recv(100)); print(n, time.monotonic() - t)
";

/// Bytes from a kernel's MPTCP client to a kernel's server: what arrived, and how many seconds it took.
fn transfer(spaces: &Spaces, size: u32) -> (u32, f64) {
    let mut server = spaces.run(1, &["python3", "-c", SERVER]);
    let mut server = server.stdout(Stdio::piped()).spawn().expect("python runs");
    let mut ready = [0; 6];
    let out = server.stdout.as_mut().expect("a pipe");
    std::io::Read::read_exact(out, &mut ready).expect("the server is ready");
    let text = spaces.output(0, &["python3", "-c", CLIENT, &size.to_string()]);
    server.wait().expect("the server ends");
    let (bytes, seconds) = text.trim().split_once(' ').expect("a report");
    (bytes.parse().expect("bytes"), seconds.parse().expect("seconds"))
}

/// A counter of the kernel's in a namespace.
fn counter(spaces: &Spaces, end: usize, name: &str) -> u64 {
    let text = spaces.output(end, &["nstat", "-az", name]);
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|l| l.split_whitespace().nth(1)).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Waits until nothing has gone in for a while: the end of a transfer may be sent again.
fn until_quiet(link: &Link) {
    let gone_in = || {
        let state = link.state();
        ["forward", "backward"].map(|way| state[way]["received"].as_u64())
    };
    let mut before = gone_in();
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = gone_in();
        if now == before {
            return;
        }
        before = now;
    }
    unreachable!("the link is never quiet: {before:?}");
}

#[test]
fn delay_rate_and_loss_are_what_was_asked_for_and_change_live() {
    if !lab_allowed("delay_rate_and_loss_are_what_was_asked_for_and_change_live") {
        return;
    }
    let spaces = Spaces::new("r");
    let link = Link::up(&spaces, &["rate=20mbit", "delay=10ms", "queue=100p"]);
    let mut times = pings(&spaces, 20);
    times.sort_by(f64::total_cmp);
    assert_eq!(times.len(), 20);
    // timers are good to a millisecond, on a busy machine to some more
    assert!(times[0] >= 20.0 && times[10] < 40.0, "{times:?}");
    let (bytes, seconds) = transfer(&spaces, 5_000_000);
    let rate = f64::from(bytes) * 8.0 / seconds / 1e6;
    assert!(bytes == 5_000_000 && (8.0..20.0).contains(&rate), "{bytes} in {seconds} s");

    until_quiet(&link);
    assert_eq!(link.order(&["set", "delay=30ms", "loss=20%"]).code, Some(0));
    let times = pings(&spaces, 100);
    assert!((30..95).contains(&times.len()) && times.iter().all(|time| *time >= 60.0), "{times:?}");
    let lost = |way: &str| link.state()[way]["lost"].as_u64().unwrap_or(0);
    let (missing, lost) = (100 - times.len() as u64, lost("forward") + lost("backward"));
    // A word of the neighbour discovery may be lost like anything else.
    assert!((missing..=missing + 4).contains(&lost), "{missing} missing, {lost} lost");
    link.order(&["set", "state=down"]);
    assert!(pings(&spaces, 3).is_empty());
    link.order(&["set", "state=up", "loss=0"]);
    assert_eq!(pings(&spaces, 3).len(), 3);
    link.order(&["set", "rate=fast"]).assert_error(2);
}

/// `mpuser scan` through a box that sends options back: the kernel behind it is no MPTCP stack to anybody.
#[test]
fn a_mirroring_box_is_found_out() {
    if !lab_allowed("a_mirroring_box_is_found_out") {
        return;
    }
    let spaces = Spaces::new("m");
    let link = Link::up(&spaces, &[]);
    let ns = Netns::named(&spaces.0[1]).expect("the namespace");
    let address = "10.77.0.2:7000".parse().expect("an address");
    let _server = PeerServer::start(&ns, address, Protocol::Mptcp, Mode::Echo).expect("a server");
    let program = env!("CARGO_BIN_EXE_mpuser");
    let verdict = || {
        let words = [program, "scan", "10.77.0.2", "-p", "7000", "--json", "--timeout", "300ms"];
        let found: serde_json::Value =
            serde_json::from_str(&spaces.output(0, &words)).expect("an object");
        found["verdict"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(verdict(), "mptcp");
    for (spec, expected) in [
        ("box=mirror-mptcp", "mirror"),
        ("box=strip-mptcp:syn", "tcp"),
        ("box=drop-mptcp:syn", "option-refused"),
    ] {
        assert_eq!(link.order(&["set", "box=none"]).code, Some(0));
        assert_eq!(link.order(&["set", spec]).code, Some(0));
        assert_eq!(verdict(), expected, "{spec}");
    }
}

#[test]
fn a_box_makes_kernels_fall_back() {
    if !lab_allowed("a_box_makes_kernels_fall_back") {
        return;
    }
    let spaces = Spaces::new("b");
    let link = Link::up(&spaces, &["delay=2ms"]);
    let agreed = |end| counter(&spaces, end, "MPTcpExtMPCapableACKRX");
    let plain = || counter(&spaces, 0, "MPTcpExtMPCapableFallbackSYNACK");
    assert_eq!(transfer(&spaces, 1_000_000).0, 1_000_000);
    assert_eq!((agreed(1), plain()), (1, 0), "MPTCP without a box");
    assert_eq!(link.order(&["set", "box=strip-mptcp:syn"]).code, Some(0));
    assert_eq!(transfer(&spaces, 1_000_000).0, 1_000_000);
    assert_eq!((agreed(1), plain()), (1, 1), "TCP with it");
    assert_eq!(link.state()["boxes"][0]["acted"], 1);
}

#[test]
fn mistakes_are_explained() {
    mpuser(&["link", "up"]).assert_error(2);
    mpuser(&["link", "up", "--from", "a0", "--to", "b0", "speed=1"]).assert_error(2);
    mpuser(&["link", "up", "--from", "a0", "--to", "b0", "box=teapot"]).assert_error(2);
    mpuser(&["link", "up", "--from", "a@", "--to", "b0"]).assert_error(2);
    mpuser(&["link", "up", "no-such-file.toml"]).assert_error(1);
    mpuser(&["link", "set", "no-such-link", "delay=1ms"]).assert_error(6);
    mpuser(&["link", "set", "../x", "delay=1ms"]).assert_error(2);
    assert!(mpuser(&["link", "boxes"]).stdout.contains("strip-mptcp"));
}
