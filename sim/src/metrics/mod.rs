//! What is measured in a run.

mod histogram;
mod outcome;

pub use histogram::Histogram;
pub use outcome::{
    BackgroundOutcome, Completion, FlowOutcome, LaneOutcome, LinkOutcome, Outcome, PlayerOutcome,
    SubflowOutcome,
};
