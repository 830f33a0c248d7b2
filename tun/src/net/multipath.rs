//! What `mpuser multipath` set: a file that every process reads when it starts.

use super::error::{NetError, Result};
use super::state::{StateLock, state_dir};
use crate::stack::Multipath;
use std::collections::BTreeMap;
use std::path::Path;

const FILE: &str = "multipath.json";

/// Remembers a state for an interface; [`Multipath::On`] is what all are by themselves and is forgotten.
///
/// # Errors
/// The state directory cannot be written.
pub fn remember(dev: &str, state: Multipath) -> Result<()> {
    let lock = StateLock::take()?;
    let mut all = read(&lock.dir)?;
    match state {
        Multipath::On => all.remove(dev),
        state => all.insert(dev.to_owned(), state),
    };
    let path = lock.dir.join(FILE);
    let cannot =
        |error: &std::io::Error| NetError::io(format!("cannot write {}", path.display()), error);
    let text = serde_json::to_string(&all).map_err(|error| cannot(&error.into()))?;
    // at once or not at all, whoever reads meanwhile
    let new = path.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).map_err(|e| cannot(&e))
}

/// Every interface that is not simply on.
///
/// # Errors
/// The file cannot be read or understood.
pub fn remembered() -> Result<BTreeMap<String, Multipath>> {
    read(&state_dir()?)
}

fn read(dir: &Path) -> Result<BTreeMap<String, Multipath>> {
    let path = dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(NetError::io(format!("cannot read {}", path.display()), &error)),
    };
    serde_json::from_str(&text).map_err(|error| {
        NetError::new(
            super::error::ErrorKind::Malformed,
            format!("{} cannot be understood", path.display()),
            error.to_string(),
            "remove it: `mpuser multipath dev NAME STATE` makes it anew",
        )
    })
}
