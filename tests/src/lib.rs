//! Oracles and helpers shared by the scenarios in `tests/`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "an oracle that finds something wrong ends its test"
)]

pub mod boxed;
pub mod compliance;
pub mod interact;
pub mod interop;
pub mod repository;
pub mod scripted;
pub mod world;
