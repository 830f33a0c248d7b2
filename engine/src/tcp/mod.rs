//! The TCP of one subflow (RFC 9293). It knows nothing of MPTCP.
//!
//! In: [`Socket::on_segment`] takes a checked [`Segment`] and answers with a [`Disposition`]. Out:
//! [`Socket::plan`] says what would be sent next, the layer above adds its options, and [`Socket::commit`] says
//! that it went out. Everything inside works in 64-bit stream offsets (0 is the first octet after the SYN and its data);
//! sequence numbers exist at the edges only.

mod acceptance;
mod ack;
mod ack_policy;
mod arrival;
mod carrier;
mod chunks;
mod close;
pub mod congestion;
mod fast_open;
mod handshake;
mod info;
mod output;
mod pacing;
mod plan;
mod prediction;
mod probe;
pub(crate) mod prr;
pub(crate) mod rack;
pub(crate) mod rate;
mod receiver_rtt;
pub(crate) mod recovery;
mod recv;
pub(crate) mod rtt;
pub(crate) mod scoreboard;
mod segment;
mod send;
mod socket;
mod state;
mod timers;
mod timestamps;
pub(crate) mod tlp;
pub(crate) mod undo;

pub use carrier::{CARRIER_CREDIT, CARRIER_KEEPALIVE, CARRIER_SEGMENT};
pub use fast_open::FastOpenCookie;
pub use plan::{Disposition, PlanKind, SegmentPlan, SendLimits};
pub use segment::{Flags, SackBlocks, Segment, SegmentOptions, Timestamps};
pub use socket::{OpenParams, Socket};
pub use state::{SocketEnd, State};

#[cfg(test)]
mod tests;
