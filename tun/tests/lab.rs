//! Labs and paths on the real kernel. They need root (a user namespace of one's own is enough but
//! for the TUN device); without it they say so loudly, and under CI they fail.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is the report"
)]

#[path = "lab/paths.rs"]
mod paths;
#[path = "lab/proxies.rs"]
mod proxies;
#[path = "lab/segment.rs"]
mod segment;
#[path = "common/skip.rs"]
mod skip;
#[path = "lab/support.rs"]
mod support;
#[path = "lab/topology.rs"]
mod topology;
