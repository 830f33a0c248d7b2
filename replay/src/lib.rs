//! One side of a capture played against the engine in virtual time, and what came out differently.
//!
//! [`Recording`] is a capture taken apart into [`Case`]s, one for each connection. [`replay`] plays one of them: the
//! packets of the other side are said again with keys, nonces, tokens, HMACs, sequence numbers and timestamps that fit
//! the engine's, the application's calls are read off what the engine's side did, and both dialogues are compared by
//! what they mean. The network in between loses nothing: whatever was captured arrives.
#![forbid(unsafe_code)]

mod acts;
mod application;
mod choices;
mod compare;
mod emit;
mod golden;
mod peer;
mod recording;
mod report;
mod run;
mod settings;
mod steps;
mod strict;
mod translate;

pub use compare::{Class, Divergence, Field};
pub use golden::{GoldenDifference, compare_golden};
pub use recording::{Case, LoadError, Recording, Unfit};
pub use report::Outcome;
pub use run::{Options, replay};

use std::fmt;

/// Which side of the capture the engine plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who opened the connection.
    Client,
    /// The other end.
    Server,
}

impl Role {
    /// The engine's side of the connection: 0 opened it.
    const fn side(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}
