//! Front doors to mpuser: connections of programs that know nothing of Multipath TCP, taken in at one side and passed on
//! at the other.
//!
//! [`relay::relay`] moves bytes between two streams and keeps half closes; a [`dial::Dialler`] opens MPTCP connections over
//! all paths of a machine. Nothing here prints.

pub mod dial;
pub mod relay;
pub mod run;
