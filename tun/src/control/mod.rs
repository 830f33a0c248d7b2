//! The control socket: a running process answers questions and takes orders.
//!
//! [`ControlServer`] listens on a Unix socket of its own in a directory of the user's own; [`processes`] finds all of
//! them, and [`ControlClient`] talks to one. Requests and replies are JSON, one object a line ([`Request`],
//! [`Reply`]): any number of replies to a request, then `done` or `error`.
//!
//! A client can neither fill memory nor stop others from being served: lines, clients, and the time a client may
//! keep silent or not read are bounded.

mod answer;
mod client;
mod directory;
mod feed;
mod pm;
mod protocol;
mod report;
mod server;
mod settings;

pub use client::{ControlClient, Process, Replies, processes};
pub use directory::control_dir;
pub use protocol::{Refusal, Reply, Request, SubflowOrder};
pub use report::{
    CounterReport, EndpointReport, EventReport, PathReport, SettingReport, SocketReport,
    SubflowReport,
};
pub use server::ControlServer;

pub(crate) use feed::Feed;
pub(crate) use pm::command as ip_mptcp;

/// Longest line of a request or a reply, bytes, its end included.
pub const MAX_LINE: usize = 64 * 1024;
/// Most clients at once; further ones are told so and closed.
pub const MAX_CLIENTS: usize = 16;
