//! Kernel peers in Python: commands in and reports out, a JSON line each.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a report may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The arguments of the server that give every mode a port: `Peer::ECHO` and so on.
#[must_use]
pub fn ports() -> String {
    let modes = [
        ("echo", Peer::ECHO),
        ("sink", Peer::SINK),
        ("source", Peer::SOURCE),
        ("store", Peer::STORE),
        ("reset", Peer::RESET),
    ];
    modes.map(|(mode, port)| format!("{mode}:{port}")).join(" ")
}

/// What a peer says about a connection.
#[derive(Clone, Debug)]
pub struct Facts(pub Value);

impl Facts {
    /// A string, empty if it is not there.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number, 0 if it is not there.
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        self.0.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The socket error that ended the connection.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.0.get("error").and_then(Value::as_str)
    }
}

/// A Python process of the suite. It ends when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    commands: Mutex<ChildStdin>,
    reports: Mutex<Receiver<Value>>,
}

impl Peer {
    /// Port of the echo.
    pub const ECHO: u16 = 7001;
    /// Port of the sink that answers the hash.
    pub const SINK: u16 = 7002;
    /// Port of the source.
    pub const SOURCE: u16 = 7003;
    /// Port of the store: sends back after the end.
    pub const STORE: u16 = 7004;
    /// Port that resets after some bytes.
    pub const RESET: u16 = 7005;

    pub(super) fn start(mut command: Command, spawn: impl FnOnce(Command) -> Child) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut child = spawn(command);
        let (commands, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let peer = Self { child, commands: Mutex::new(commands), reports: Mutex::new(receiver) };
        assert!(peer.report().0.get("ready").is_some(), "the peer did not start");
        peer
    }

    /// Gives a command; answers are read by [`Peer::report`].
    pub fn tell(&self, command: &Value) {
        let mut commands = self.commands.lock().unwrap();
        writeln!(commands, "{command}").expect("the peer is gone");
    }

    /// The next report.
    #[must_use]
    pub fn report(&self) -> Facts {
        Facts(self.reports.lock().unwrap().recv_timeout(PATIENCE).expect("no report from the peer"))
    }

    /// As [`Peer::report`], from a task.
    pub async fn report_async(&self) -> Facts {
        for _ in 0..PATIENCE.as_millis() / 2 {
            let report = self.reports.lock().unwrap().try_recv();
            if let Ok(report) = report {
                return Facts(report);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("no report from the peer within {PATIENCE:?}")
    }

    /// Says what the source sends next and how many subflows it waits for, or after how many bytes the reset comes.
    pub fn ask(&self, size: usize, seed: u64, subflows: usize) {
        self.tell(&serde_json::json!({ "size": size, "seed": seed, "subflows": subflows }));
        let ready = self.report();
        assert!(ready.0.get("ready").is_some(), "a report nobody waited for: {ready:?}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be in the middle of something. Waited for, so that no process outlives the lab.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
