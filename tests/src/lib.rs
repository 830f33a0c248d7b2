//! Oracles and helpers shared by the scenarios in `tests/`.

pub mod interop;
pub mod world;
