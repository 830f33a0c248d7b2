//! What is simulated, as values.

mod check;
mod spec;

pub use spec::{
    Background, Chunks, FlowGroup, LinkChange, LinkSpec, Path, Scenario, Spread, Stack, Traffic,
};
