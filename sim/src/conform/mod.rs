//! The catalogue of cases: one hand-made stimulus each, what has to come of it, and what did.
//!
//! A [`Probe`](probe::Probe) plays the other end, packet by packet, against a [`Target`]: our engine
//! in virtual time, or a kernel behind a TUN device. A case notes what it saw as text, so that a run is compared with
//! the expectation and one stack with the other by comparing texts.

pub mod app;
pub mod case;
pub mod cases;
mod checks;
pub mod compare;
pub mod counters;
pub mod data_level;
mod dialogue;
pub mod digest;
pub mod engine;
pub mod packet;
pub mod probe;
pub mod segment;
pub mod target;

pub use case::{Case, Group, all, select};
pub use compare::{Differences, Row, Verdict};
pub use counters::{CounterDifference, Observation};
pub use engine::EngineTarget;
pub use target::{Setup, Target};
