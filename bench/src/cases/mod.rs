//! Every case, in the order they are shown.

mod codec;
mod idle;
mod memory;
mod wire;

use crate::case::Case;
pub use idle::resident_of_idle;

/// All of them.
#[must_use]
pub fn all() -> Vec<Case> {
    [memory::CASES, wire::CASES, codec::CASES, idle::CASES].concat()
}
