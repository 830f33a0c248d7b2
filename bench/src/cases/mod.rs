//! Every case, in the order they are shown.

mod memory;

use crate::case::Case;

/// All of them.
#[must_use]
pub fn all() -> Vec<Case> {
    [memory::CASES].concat()
}
