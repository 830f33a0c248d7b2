//! Oracles and helpers shared by the scenarios in `tests/`.

pub mod world;

pub mod interop;
