//! Running the binary.

use std::process::{Command, Output, Stdio};

/// What a run of `mpuser` left.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `mpuser` with `args`, no input, and no terminal.
pub(crate) fn mpuser(args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    let output = command.args(args).stdin(Stdio::null()).output().expect("the binary runs");
    Run::from(output)
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
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
