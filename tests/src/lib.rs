//! Oracles and helpers shared by the scenarios in `tests/`.
