//! Real proxies that end TCP, on the loopback interface: haproxy, microsocks and tinyproxy. No privileges.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// A program that runs until it is dropped.
pub(crate) struct Program {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
    files: Vec<PathBuf>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

impl Program {
    /// Dies at once, and its connections with it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it ran");
        self.child.wait().expect("it ends");
    }

    fn start(argv: &[&str], port: u16, files: Vec<PathBuf>) -> Self {
        Self::start_at(argv, ([127, 0, 0, 1], port).into(), files)
    }

    fn start_at(argv: &[&str], at: SocketAddr, files: Vec<PathBuf>) -> Self {
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("it was found a moment ago");
        let program = Self { child, port: at.port(), files };
        until_it_listens(at);
        program
    }
}

/// Nobody else takes it that soon.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

fn until_it_listens(at: SocketAddr) {
    let listens = |_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(at).is_ok()
    };
    assert!((0..500).any(listens), "nobody listens on {at}");
}

/// False, after saying so, when one of these is not installed; a panic when that must not happen.
pub(crate) fn installed(test: &str, programs: &[&str]) -> bool {
    let found = |program: &&&str| {
        let mut which = Command::new("sh");
        which.args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null());
        !which.status().is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = programs.iter().filter(found).collect();
    if missing.is_empty() {
        return true;
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: not installed: {missing:?}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped under CI: {test}");
    false
}

fn file(name: &str, port: u16, text: &str) -> PathBuf {
    let name = format!("mpuser-{name}-{}-{port}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).expect("the directory for temporary files can be written");
    path
}

/// haproxy in mode tcp that leads to `to`.
pub(crate) fn haproxy(to: SocketAddr) -> Program {
    let port = free_port();
    let text = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen streams\n bind 127.0.0.1:{port}\n server one {to}\n"
    );
    let path = file("haproxy", port, &text);
    let name = path.to_str().expect("plain").to_owned();
    Program::start(&["haproxy", "-db", "-f", &name], port, vec![path])
}

/// A SOCKS5 proxy, with a login if there is one.
pub(crate) fn microsocks(login: Option<(&str, &str)>) -> Program {
    let port = free_port();
    let word = port.to_string();
    let mut argv = vec!["microsocks", "-i", "127.0.0.1", "-p", &word];
    if let Some((user, password)) = login {
        argv.extend(["-u", user, "-P", password]);
    }
    Program::start(&argv, port, Vec::new())
}

/// An HTTP proxy that lets CONNECT through to this port.
pub(crate) fn tinyproxy(to: u16) -> Program {
    let port = free_port();
    let text =
        format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nConnectPort {to}\n");
    let path = file("tinyproxy", port, &text);
    let name = path.to_str().expect("plain").to_owned();
    Program::start(&["tinyproxy", "-d", "-c", &name], port, vec![path])
}

/// `mpuser listen` that takes streams and nothing else.
pub(crate) fn server() -> Program {
    let port = free_port();
    let at = format!("0.0.0.0:{port}");
    Program::start(&streams_at(&at), port, Vec::new())
}

/// The same on one address.
pub(crate) fn server_at(at: SocketAddr) -> Program {
    Program::start_at(&streams_at(&at.to_string()), at, Vec::new())
}

fn streams_at(at: &str) -> [&str; 8] {
    let program = env!("CARGO_BIN_EXE_mpuser");
    [program, "listen", "-k", "--echo", "7000", "--stream", at, "--streams-only"]
}
