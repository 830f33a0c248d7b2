//! What a handshake taught about its destination; the endpoint remembers it for the next connection.

/// One thing learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// SYNs with MP_CAPABLE got nowhere, one without did [HEU-8].
    Blackhole,
    /// MP_CAPABLE was answered.
    Reached,
}
