//! The connection: MPTCP over a set of subflows (RFC 8684).
//!
//! `connection` coordinates; every decision stands in a part that can be tested alone: handshakes, mappings, the
//! two data-level queues and their sizes, addresses, closing, schedulers, the options of a segment.

mod arrivals;
mod close;
pub(crate) mod connection;
mod debtor;
pub(crate) mod decorate;
mod fallback;
pub(crate) mod handshake;
mod held;
#[cfg(feature = "internals")]
pub mod internals;
pub(crate) mod lesson;
mod mapping;
pub(crate) mod path_manager;
mod receive_tuning;
mod recv_queue;
mod retry;
pub mod scheduler;
mod send_queue;
mod send_tuning;
mod sent_mappings;
pub(crate) mod subflow;
