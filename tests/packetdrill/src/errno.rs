//! Error numbers: what Linux answers where the engine says in words why not.

use mpuser_engine::error::{ConnectError, ConnectionError, ListenError};

/// A value of `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a system call gives.
pub type Answer<T> = Result<T, Errno>;

impl From<ListenError> for Errno {
    fn from(error: ListenError) -> Self {
        Self(match error {
            ListenError::AddressInUse => libc::EADDRINUSE,
            _ => libc::EINVAL,
        })
    }
}

impl From<ConnectError> for Errno {
    fn from(error: ConnectError) -> Self {
        Self(match error {
            ConnectError::PortsExhausted => libc::EADDRNOTAVAIL,
            ConnectError::TooManyConnections => libc::ENOBUFS,
            _ => libc::ENETUNREACH,
        })
    }
}

/// The error a connection that ended this way leaves in SO_ERROR.
pub(crate) fn of_end(error: ConnectionError) -> Errno {
    Errno(match error {
        ConnectionError::Refused => libc::ECONNREFUSED,
        ConnectionError::Unreachable => libc::EHOSTUNREACH,
        ConnectionError::ConnectTimeout | ConnectionError::Timeout => libc::ETIMEDOUT,
        ConnectionError::Aborted => libc::ECONNABORTED,
        _ => libc::ECONNRESET,
    })
}
