//! The TCP of one subflow (RFC 9293). It knows nothing of MPTCP.

pub(crate) mod rtt;
mod segment;

pub use segment::{Flags, Segment, SegmentOptions, SackBlocks, Timestamps};
