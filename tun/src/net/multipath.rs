//! What `mpuser multipath` set: a file that every process reads when it starts.

use super::error::Result;
use super::memory::Memory;
use crate::stack::Multipath;
use std::collections::BTreeMap;

const MEMORY: Memory = Memory::new(
    "multipath.json",
    1_024,
    "remove it: `mpuser multipath dev NAME STATE` makes it anew",
);

/// Remembers a state for an interface of this namespace; [`Multipath::On`] is what all are by themselves and is
/// forgotten.
///
/// # Errors
/// The state directory cannot be written.
pub fn remember(dev: &str, state: Multipath) -> Result<()> {
    MEMORY.remember(dev, (state != Multipath::On).then_some(state))
}

/// Every interface of this namespace that is not simply on.
///
/// # Errors
/// The file cannot be read or understood.
pub fn remembered() -> Result<BTreeMap<String, Multipath>> {
    MEMORY.all()
}
