//! The interop matrix: every combination of role, families, checksum, size and condition, each a connection between
//! the engine and the kernel with the same bytes in both directions.

mod cell;
mod outcome;
mod run;
mod transfer;

pub use cell::{Cell, Condition, Families, Role};
pub use outcome::{Moved, Outcome, table};
pub use run::Benches;
