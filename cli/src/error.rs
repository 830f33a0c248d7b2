//! Failures as the user sees them: what failed, why, what to do. Three lines, one exit code.

use mpuser_tun::net::{ErrorKind, NetError};
use serde::Serialize;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

/// What went wrong, as a number that scripts and manuals can refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The command line cannot be understood.
    Usage,
    /// The peer's name is unknown or no path leads to it.
    Unreachable,
    /// The peer refused or reset the connection during the handshake.
    Refused,
    /// Nobody answered, or nothing moved for as long as was asked.
    Timeout,
    /// `--require-mptcp`, and it is plain TCP.
    PlainTcp,
    /// The connection ended before the end of its data.
    Lost,
    /// A privilege or a device is missing.
    Permission,
    /// What was to hold does not.
    Check,
    /// A file is not what it should be.
    Malformed,
    /// A file or stream could not be read or written.
    Io,
    /// A device, route, namespace or lab could not be set up, or is not there.
    Setup,
    /// The address or port to listen on is taken.
    InUse,
    /// A program to be run is not there.
    NoProgram,
    /// A program to be run cannot be.
    NotRunnable,
    /// A bug in this program.
    Internal,
    /// The user ended it: SIGINT.
    Interrupted,
    /// Somebody ended it: SIGTERM.
    Terminated,
}

impl Code {
    /// Every code, for the tests of the table.
    #[cfg(test)]
    pub(crate) const ALL: &'static [Self] = &[
        Self::Usage,
        Self::Unreachable,
        Self::Refused,
        Self::Timeout,
        Self::PlainTcp,
        Self::Lost,
        Self::Permission,
        Self::Check,
        Self::Malformed,
        Self::Io,
        Self::Setup,
        Self::InUse,
        Self::NoProgram,
        Self::NotRunnable,
        Self::Internal,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// Number, word and exit code in one row.
    const fn row(self) -> (u16, &'static str, u8) {
        match self {
            Self::Usage => (1, "usage", 2),
            Self::Unreachable => (2, "unreachable", 3),
            Self::Refused => (3, "refused", 3),
            Self::Timeout => (4, "timeout", 4),
            Self::PlainTcp => (5, "plain_tcp", 5),
            Self::Lost => (6, "lost", 1),
            Self::Permission => (7, "permission", 6),
            Self::Check => (8, "check", 7),
            Self::Malformed => (9, "malformed", 8),
            Self::Io => (10, "io", 1),
            Self::Setup => (11, "setup", 6),
            Self::InUse => (12, "in_use", 3),
            Self::NoProgram => (13, "no_program", 127),
            Self::NotRunnable => (14, "not_runnable", 126),
            Self::Internal => (70, "internal", 70),
            Self::Interrupted => (130, "interrupted", 130),
            Self::Terminated => (143, "terminated", 143),
        }
    }

    /// The word used in JSON.
    pub(crate) const fn kind(self) -> &'static str {
        self.row().1
    }

    /// The process's exit code.
    pub(crate) const fn exit(self) -> u8 {
        self.row().2
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MPU-E{:04}", self.row().0)
    }
}

/// A failure with its cause and its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Which kind.
    pub(crate) code: Code,
    /// What failed; no full stop.
    pub(crate) what: String,
    /// Why; reads on after "because".
    pub(crate) because: String,
    /// What to do about it.
    pub(crate) help: String,
}

#[derive(Serialize)]
struct Body<'a> {
    code: String,
    kind: &'a str,
    message: &'a str,
    because: &'a str,
    hint: &'a str,
    exit: u8,
}

impl Failure {
    /// A failure; line breaks in the texts are folded so that the form stays three lines, and numbers of the
    /// operating system's errors go: they say nothing the words do not.
    pub(crate) fn new(
        code: Code,
        what: impl fmt::Display,
        because: impl fmt::Display,
        help: impl fmt::Display,
    ) -> Self {
        Self {
            code,
            what: one_line(&what.to_string()),
            because: one_line(&strip_number(&because.to_string())),
            help: one_line(&help.to_string()),
        }
    }

    /// A bad command line.
    pub(crate) fn usage(
        what: impl fmt::Display,
        because: impl fmt::Display,
        help: impl fmt::Display,
    ) -> Self {
        Self::new(Code::Usage, what, because, help)
    }

    /// Something that cannot happen.
    pub(crate) fn internal(what: impl fmt::Display, because: impl fmt::Display) -> Self {
        Self::new(Code::Internal, what, because, BUG_HELP)
    }

    /// A file or stream error in words, never as `Os { code: 13 }`.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let (code, help) = match error.kind() {
            Kind::PermissionDenied => {
                (Code::Permission, "run `mpuser doctor`: it names what is missing and the repair")
            }
            Kind::NotFound => (Code::Io, "check the name and that its directory exists"),
            _ => (Code::Io, "check that there is room and that the file can be written"),
        };
        Self::new(code, what, plain_words(error), help)
    }

    /// The three lines.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        // writing to a String cannot fail
        let _ = writeln!(text, "error[{}]: {}", self.code, self.what);
        let _ = writeln!(text, "  because {}", self.because);
        let _ = writeln!(text, "  help: {}", self.help);
        text
    }

    /// The failure as an object.
    pub(crate) fn object(&self) -> serde_json::Value {
        let body = Body {
            code: self.code.to_string(),
            kind: self.code.kind(),
            message: &self.what,
            because: &self.because,
            hint: &self.help,
            exit: self.code.exit(),
        };
        serde_json::json!({ "schema": "mpuser.error/1", "error": body })
    }

    /// Prints the failure to stderr and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let text = match self.code {
            _ if json => format!("{}\n", self.object()),
            // whoever sent the signal knows
            Code::Interrupted | Code::Terminated => String::new(),
            _ => self.render(),
        };
        // nobody is left to be told that stderr is closed
        let _ = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.code.exit())
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        let code = match error.kind {
            ErrorKind::Usage => Code::Usage,
            ErrorKind::NoRoute => Code::Unreachable,
            ErrorKind::Permission | ErrorKind::MissingTool => Code::Permission,
            ErrorKind::Malformed => Code::Malformed,
            _ => Code::Setup,
        };
        Self::new(code, error.message, error.because, error.help)
    }
}

const BUG_HELP: &str =
    "this is a bug in mpuser: please report it with the command line and this message";

/// An I/O error without the `(os error 13)` tail.
pub(crate) fn plain_words(error: &std::io::Error) -> String {
    let text = strip_number(&error.to_string());
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        // "Permission denied" reads on after "because"; "MPTCP ..." stays
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text,
    }
}

/// Without the first `(os error 13)`.
pub(crate) fn strip_number(text: &str) -> String {
    let parts = text.split_once(" (os error ");
    let parts = parts.and_then(|(before, after)| Some((before, after.split_once(')')?.1)));
    parts.map_or_else(|| text.to_owned(), |(before, after)| format!("{before}{after}"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Panics are bugs: say so in the usual form and leave with 70.
pub(crate) fn install_panic_hook(json: bool) {
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
        let failure =
            Failure::internal("mpuser stopped at an internal error", format!("{text}{place}"));
        let _ = failure.report(json);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_whatever_the_texts_contain() {
        let failure = Failure::usage("a\nb", "c\r\n  d", "e\n");
        assert_eq!(failure.render(), "error[MPU-E0001]: a b\n  because c d\n  help: e\n");
        let json = failure.object();
        assert_eq!(json["error"]["code"], "MPU-E0001");
        assert_eq!(json["error"]["kind"], "usage");
        assert_eq!(json["error"]["hint"], "e");
        assert_eq!(json["error"]["exit"], 2);
    }

    #[test]
    fn numbers_and_words_are_unique() {
        for (index, one) in Code::ALL.iter().enumerate() {
            for other in &Code::ALL[index + 1..] {
                assert_ne!(one.to_string(), other.to_string());
                assert_ne!(one.kind(), other.kind());
            }
        }
    }

    #[test]
    fn os_errors_lose_their_number() {
        let error = std::io::Error::from_raw_os_error(13);
        assert_eq!(plain_words(&error), "permission denied");
        assert_eq!(Failure::io("x", &error).code.exit(), 6);
        assert_eq!(plain_words(&std::io::Error::other("MPTCP is off")), "MPTCP is off");
    }
}
