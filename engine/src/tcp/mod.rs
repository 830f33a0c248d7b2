//! The TCP of one subflow (RFC 9293). It knows nothing of MPTCP.

pub mod congestion;
pub(crate) mod prr;
pub(crate) mod rack;
pub(crate) mod rate;
pub(crate) mod recovery;
pub(crate) mod rtt;
pub(crate) mod scoreboard;
mod segment;
pub(crate) mod tlp;
pub(crate) mod undo;

pub use segment::{Flags, SackBlocks, Segment, SegmentOptions, Timestamps};
