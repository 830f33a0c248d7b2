//! Running the binary.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests: a panic is the verdict")]
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod doors;
pub(crate) mod lab;
pub(crate) mod proxies;
pub(crate) mod real_proxies;

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

/// What a run of `mpuser` left.
pub(crate) struct Run {
    pub(crate) pid: u32,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stderr: String,
}

/// Octets that differ from place to place.
pub(crate) fn data(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..size / 8).flat_map(|_| next()).collect()
}

/// Runs `mpuser` with `args`, no input, and no terminal.
pub(crate) fn mpuser(args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    command.args(args);
    run(command, b"")
}

/// Runs a command with this input.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Run {
    pipes(&mut command);
    finish(command.spawn().expect("the binary runs"), input)
}

/// Gives a command pipes for its three streams.
pub(crate) fn pipes(command: &mut Command) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// Feeds a child, ends its input, and waits for its end.
pub(crate) fn finish(mut child: Child, input: &[u8]) -> Run {
    let pid = child.id();
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || {
        // a child that ends early does not read everything
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the child ends");
    feeding.join().expect("the feeder ends");
    Run {
        pid,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        bytes: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Run {
    /// The three-line form and nothing else on stderr, nothing on stdout, and this exit code.
    pub(crate) fn assert_error(&self, exit: i32) {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(self.code, Some(exit), "{}", self.stderr);
        assert_eq!(lines.len(), 3, "{}", self.stderr);
        assert!(lines[0].starts_with("error[MPU-E"), "{}", self.stderr);
        assert!(lines[1].starts_with("  because ") && lines[1].len() > 12, "{}", self.stderr);
        assert!(lines[2].starts_with("  help: ") && lines[2].len() > 10, "{}", self.stderr);
        // U10: words, not numbers of the operating system
        assert!(
            !self.stderr.contains("os error") && !self.stderr.contains("Os {"),
            "{}",
            self.stderr
        );
        assert_eq!(self.stdout, "");
    }
}

/// False, after saying so, where this machine does not allow a lab; a panic when that must not happen.
pub(crate) fn lab_allowed(test: &str) -> bool {
    let doctor = mpuser(&["doctor"]);
    if doctor.code == Some(0) {
        return true;
    }
    // Not by `eprintln`: the harness swallows that when the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {}", doctor.stdout.replace('\n', "; "));
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped under CI: {test}");
    false
}
