//! Front doors to mpuser: connections of programs that know nothing of Multipath TCP, taken in at one side and passed on
//! at the other.
//!
//! [`relay::relay`] moves bytes between two streams and keeps half closes; a [`dial::Dialler`] opens MPTCP connections over
//! all paths of a machine. A [`door`] takes clients in and has a guide lead them on: to one of a [`pool`] of servers
//! ([`balanced`]), or to a fixed destination ([`forward`]). Nothing here prints: a [`report::Observer`] hears what happens.

pub mod balanced;
pub mod convert;
pub mod dial;
pub mod door;
pub mod forward;
pub mod greeting;
pub mod health;
pub mod itself;
pub mod pool;
pub mod relay;
pub mod report;
pub mod run;
pub mod socks5;
pub mod strict;
#[cfg(test)]
mod testing;
