//! What is simulated, as values.

mod check;
mod parse;
mod spec;

pub use parse::{Assignments, Param, Wishes};
pub use spec::{
    Background, Chunks, FlowGroup, LinkChange, LinkSpec, Path, Scenario, Spread, Stack, Traffic,
};
