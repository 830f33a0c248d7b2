//! How an application and a stack pass octets to each other.

/// Whose memory they are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passing {
    /// Each has its own, as with a socket: `read` and `write`.
    #[default]
    Copied,
    /// The application hands its octets over and takes the others as they came, as far as the stack has calls for that.
    Shared,
}
