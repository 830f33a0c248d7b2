//! What an endpoint was given and what it sent, written down line by line; and done again exactly.
//!
//! An [`Endpoint`](mpuser_engine::Endpoint) is a function of its settings, its seed and the calls made to it, each with
//! its time. [`Recorded`] is an endpoint whose calls go through a [`Recorder`], if it has one; [`rerun`] makes the same
//! calls to a new one and compares every packet it sends. Such a log is what a report of a bug needs.
//!
//! A log is JSON, one object a line: first [`Header`], then calls in their order, last a digest of all packets sent. It
//! holds keys, and the data of the connections.
#![forbid(unsafe_code)]

mod digest;
mod entry;
mod recorded;
mod recorder;
mod rerun;
mod settings;

pub use entry::{FORMAT, Header};
pub use recorded::Recorded;
pub use recorder::Recorder;
pub use rerun::{Difference, Ended, LogError, Problem, Rerun, is_log, parse, rerun};
