//! What went wrong, as one error type, and its place among `std::io` error kinds.

use mpuser_engine::error::{ConnectError, ConnectionError, ListenError, PmError, SubflowError};
use std::io::{self, ErrorKind};

/// Why an operation on a stack, stream or listener failed. Reaches the caller as the source of an
/// [`std::io::Error`] whose kind is the one tokio's TCP types would give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection attempt could not be made.
    #[error("cannot connect: {0}")]
    Connect(#[source] ConnectError),
    /// The listener could not be made.
    #[error("cannot listen: {0}")]
    Listen(#[source] ListenError),
    /// The subflow could not be opened or closed.
    #[error("cannot change subflows: {0}")]
    Subflow(#[source] SubflowError),
    /// The endpoint could not be added, changed or deleted.
    #[error("cannot change endpoints: {0}")]
    Pm(#[source] PmError),
    /// The connection ended.
    #[error("{0}")]
    Connection(#[source] ConnectionError),
    /// The connection attempt took longer than its time limit.
    #[error("no connection within the time limit")]
    ConnectTimeout,
    /// This end has closed its direction already.
    #[error("this end has closed its direction")]
    WriteShutdown,
    /// The connection is gone.
    #[error("the connection is closed")]
    NotConnected,
    /// The stack was shut down, or its runtime ended.
    #[error("the stack is shut down")]
    StackDown,
    /// Connections were still open when the time limit of a shutdown ran out; they were aborted.
    #[error("{0} connection(s) still open at the time limit were aborted")]
    ShutdownTimeout(usize),
    /// A stack needs at least one path.
    #[error("a stack needs at least one path")]
    NoPath,
    /// A stack has to be built inside a tokio runtime with I/O and time enabled.
    #[error("a stack has to be built inside a tokio runtime")]
    NoRuntime,
    /// A device name the kernel would cut or refuse.
    #[error("`{0}` is no device name: 1 to 15 bytes, no `/`, no white space")]
    DeviceName(String),
    /// The TUN device could not be opened.
    #[error("cannot open the TUN device `{name}`: {hint}")]
    OpenDevice {
        /// Its name.
        name: String,
        /// What is the matter, and what may help.
        hint: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The kind tokio's TCP types give for the same failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect(error) => match error {
                ConnectError::NoLocalAddress | ConnectError::PortsExhausted => {
                    ErrorKind::AddrNotAvailable
                }
                ConnectError::InvalidRemote => ErrorKind::InvalidInput,
                ConnectError::TooManyConnections => ErrorKind::QuotaExceeded,
                _ => ErrorKind::Other,
            },
            Self::Listen(error) => match error {
                ListenError::AddressInUse => ErrorKind::AddrInUse,
                ListenError::InvalidPort => ErrorKind::InvalidInput,
                _ => ErrorKind::Other,
            },
            Self::Subflow(error) => match error {
                SubflowError::NotFound => ErrorKind::NotFound,
                SubflowError::NotJoinable => ErrorKind::Unsupported,
                SubflowError::LimitReached => ErrorKind::QuotaExceeded,
                SubflowError::NoLocalAddress => ErrorKind::AddrNotAvailable,
                SubflowError::MixedFamilies => ErrorKind::InvalidInput,
                SubflowError::AlreadyOpen => ErrorKind::AlreadyExists,
                _ => ErrorKind::Other,
            },
            Self::Pm(error) => match error {
                PmError::NotFound => ErrorKind::NotFound,
                PmError::IdInUse | PmError::AddressInUse => ErrorKind::AlreadyExists,
                PmError::TooMany => ErrorKind::QuotaExceeded,
                _ => ErrorKind::InvalidInput,
            },
            Self::Connection(error) => match error {
                ConnectionError::Refused => ErrorKind::ConnectionRefused,
                ConnectionError::Unreachable => ErrorKind::HostUnreachable,
                ConnectionError::ConnectTimeout | ConnectionError::Timeout => ErrorKind::TimedOut,
                ConnectionError::Reset | ConnectionError::FastClosed => ErrorKind::ConnectionReset,
                ConnectionError::Aborted | ConnectionError::Protocol => {
                    ErrorKind::ConnectionAborted
                }
                _ => ErrorKind::Other,
            },
            Self::ConnectTimeout | Self::ShutdownTimeout(_) => ErrorKind::TimedOut,
            Self::WriteShutdown => ErrorKind::BrokenPipe,
            Self::NotConnected | Self::StackDown => ErrorKind::NotConnected,
            Self::NoPath | Self::DeviceName(_) => ErrorKind::InvalidInput,
            Self::NoRuntime => ErrorKind::Unsupported,
            Self::OpenDevice { source, .. } => source.kind(),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<ListenError> for Error {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

impl From<SubflowError> for Error {
    fn from(error: SubflowError) -> Self {
        Self::Subflow(error)
    }
}

impl From<PmError> for Error {
    fn from(error: PmError) -> Self {
        Self::Pm(error)
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn kinds_are_tokios_and_the_source_is_ours() {
        let error = io::Error::from(Error::from(ConnectionError::Refused));
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let ours = error.get_ref().and_then(|e| e.downcast_ref::<Error>()).unwrap();
        assert!(matches!(ours, Error::Connection(ConnectionError::Refused)));
        assert!(ours.source().unwrap().downcast_ref::<ConnectionError>().is_some());
        assert_eq!(error.to_string(), "connection refused by the peer");

        for (given, kind) in [
            (Error::from(ConnectionError::Timeout), ErrorKind::TimedOut),
            (Error::from(ConnectionError::FastClosed), ErrorKind::ConnectionReset),
            (Error::from(ListenError::AddressInUse), ErrorKind::AddrInUse),
            (Error::from(ConnectError::NoLocalAddress), ErrorKind::AddrNotAvailable),
            (Error::WriteShutdown, ErrorKind::BrokenPipe),
        ] {
            assert_eq!(io::Error::from(given).kind(), kind);
        }
    }
}
