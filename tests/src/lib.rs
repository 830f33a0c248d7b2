//! Oracles and helpers shared by the scenarios in `tests/`.

pub mod scripted;
pub mod world;
