//! The error of everything that drives the operating system's network: what failed, why, and
//! what to do about it.

use std::fmt;
use std::io;

/// What a [`NetError`] is about. Callers match on this; people read the three lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Privilege is missing: CAP_NET_ADMIN, CAP_SYS_ADMIN, or the mode of a file.
    Permission,
    /// A program this crate drives (`ip`, `tc`, `nft`) is not installed.
    MissingTool,
    /// A program ran and refused.
    Command,
    /// A file of ours or of `/proc` could not be read or written.
    File,
    /// What the caller (in the end: the person) wrote makes no sense.
    Usage,
    /// There is no usable way to the destination.
    NoRoute,
    /// No lab, node, or namespace of this name.
    NotFound,
    /// No index, prefix or name is free.
    Exhausted,
    /// A socket of a kernel peer failed.
    Socket,
    /// A file or the output of a program could not be understood.
    Malformed,
}

impl ErrorKind {
    /// The stable code, `MPU-E02xx`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Permission => "MPU-E0201",
            Self::MissingTool => "MPU-E0202",
            Self::Command => "MPU-E0203",
            Self::File => "MPU-E0204",
            Self::Usage => "MPU-E0205",
            Self::NoRoute => "MPU-E0206",
            Self::NotFound => "MPU-E0207",
            Self::Exhausted => "MPU-E0208",
            Self::Socket => "MPU-E0209",
            Self::Malformed => "MPU-E0210",
        }
    }
}

/// An error in three lines: what failed, why, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NetError {
    /// What it is about.
    pub kind: ErrorKind,
    /// What failed, without a full stop.
    pub message: String,
    /// Why, in the words of the kernel or of the program where there are any.
    pub because: String,
    /// What to do, with a command to type where there is one.
    pub help: String,
}

/// The result of this crate's work on the operating system.
pub type Result<T> = std::result::Result<T, NetError>;

impl NetError {
    /// An error of `kind` in its three lines.
    pub fn new(
        kind: ErrorKind,
        message: impl Into<String>,
        because: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { kind, message: message.into(), because: because.into(), help: help.into() }
    }

    /// What and why, in one line.
    pub fn in_a_line(&self) -> String {
        format!("{}: {}", self.message, self.because)
    }

    /// `message` failed with the error `e` of the operating system.
    pub fn io(message: impl Into<String>, e: &io::Error) -> Self {
        let (kind, help) = match e.kind() {
            io::ErrorKind::PermissionDenied => (ErrorKind::Permission, PRIVILEGE_HELP),
            _ => (ErrorKind::File, "run `mpuser doctor` to see what the machine lacks"),
        };
        Self::new(kind, message, e.to_string(), help)
    }

    /// The stable code, `MPU-E02xx`.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code(), self.message)?;
        writeln!(f, "  because {}", self.because)?;
        write!(f, "  help: {}", self.help)
    }
}

/// How to get the privilege for namespaces, routes and TUN devices.
pub(crate) const PRIVILEGE_HELP: &str = "run it with sudo, or inside a user namespace of your own: \
     unshare -Urnm sh -c 'mount -t tmpfs none /run && exec \"$0\" \"$@\"' mpuser ...";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines() {
        let e =
            NetError::new(ErrorKind::NoRoute, "no way to 10.0.0.1", "no default route", "add one");
        assert_eq!(
            e.to_string(),
            "error[MPU-E0206]: no way to 10.0.0.1\n  because no default route\n  help: add one"
        );
        let e = NetError::io("cannot read x", &io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(e.kind, ErrorKind::Permission);
    }
}
