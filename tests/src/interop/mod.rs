//! What the interop scenarios share: a lab per file, stacks in it, kernel peers in Python, and tables of results.
//!
//! The scenarios need root, `/dev/net/tun` and Python. Where one of them is missing they count as ignored and say
//! so; under `CI=true` they fail instead.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a panic is the report"
)]

mod data;
mod fixture;
mod harness;
mod kernel;
pub mod matrix;
mod peer;
mod table;

pub use data::{Data, established, exchange, hex, receive, send_all, sha256, upload};
pub use fixture::{ENGINE, Fixture, SERVER, Setup, open_tun};
pub use harness::{Scenario, full, main, median, missing};
pub use kernel::{MUST_STAY_ZERO, Watch, assert_engine_content, kernel_version};
pub use peer::{Facts, Peer, ports};
pub use table::Table;
