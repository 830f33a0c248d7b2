//! What a handshake taught about its destination; the endpoint remembers it for the next connection.

use crate::tcp::FastOpenCookie;

/// One thing learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// SYNs with MP_CAPABLE got nowhere, one without did [HEU-8].
    Blackhole,
    /// MP_CAPABLE was answered.
    Reached,
    /// The server gave a Fast Open cookie; segments to it hold so many octets (RFC 7413 4.1.3).
    Cookie { cookie: FastOpenCookie, mss: u16 },
    /// A SYN with data was not answered.
    FastOpenFailed,
}
