//! Experiments: a scenario, the points at which it is run, and seeds; the one order of all runs; who does which part
//! of them; one row for each. Nothing here runs anything: files and threads are the caller's.

mod lhs;
mod merge;
mod metrics;
mod plan;
mod read;
mod row;
mod shard;
#[cfg(test)]
mod tests;

pub use merge::{Rows, missing};
pub use metrics::metrics;
pub use plan::{Measure, Plan, Point, Run, Seeds};
pub use read::{Library, Overrides, read, read_seeds};
pub use shard::{Shard, ShardError};
