//! What `mpuser multipath` set: a file that every process reads when it starts. Interfaces belong to a network
//! namespace, and so does what is said of them.

use super::error::{ErrorKind, NetError, Result};
use super::netns::NetnsId;
use super::state::{StateLock, state_dir};
use crate::stack::Multipath;
use std::collections::BTreeMap;
use std::path::Path;

const FILE: &str = "multipath.json";

/// States by interface, by namespace.
type All = BTreeMap<String, BTreeMap<String, Multipath>>;

/// Remembers a state for an interface of this namespace; [`Multipath::On`] is what all are by themselves and is
/// forgotten.
///
/// # Errors
/// The state directory cannot be written.
pub fn remember(dev: &str, state: Multipath) -> Result<()> {
    let lock = StateLock::take()?;
    remember_in(&lock.dir, &here()?, dev, state)
}

/// Every interface of this namespace that is not simply on.
///
/// # Errors
/// The file cannot be read or understood.
pub fn remembered() -> Result<BTreeMap<String, Multipath>> {
    Ok(read(&state_dir()?)?.remove(&here()?).unwrap_or_default())
}

/// A name for this namespace that no later one gets, where the kernel has such.
fn here() -> Result<String> {
    let id = NetnsId::current()?;
    Ok(id.cookie.unwrap_or(id.inode).to_string())
}

fn remember_in(dir: &Path, netns: &str, dev: &str, state: Multipath) -> Result<()> {
    let mut all = read(dir)?;
    let ours = all.entry(netns.to_owned()).or_default();
    match state {
        Multipath::On => ours.remove(dev),
        state => ours.insert(dev.to_owned(), state),
    };
    all.retain(|_, devices| !devices.is_empty());
    let path = dir.join(FILE);
    let cannot =
        |error: &std::io::Error| NetError::io(format!("cannot write {}", path.display()), error);
    if all.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot(&error)),
            _ => Ok(()),
        };
    }
    let text = serde_json::to_string(&all).map_err(|error| cannot(&error.into()))?;
    // at once or not at all, whoever reads meanwhile
    let new = path.with_extension("new");
    std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)).map_err(|e| cannot(&e))
}

fn read(dir: &Path) -> Result<All> {
    let path = dir.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(All::new()),
        Err(error) => return Err(NetError::io(format!("cannot read {}", path.display()), &error)),
    };
    serde_json::from_str(&text).map_err(|error| {
        NetError::new(
            ErrorKind::Malformed,
            format!("{} cannot be understood", path.display()),
            error.to_string(),
            "remove it: `mpuser multipath dev NAME STATE` makes it anew",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_remembered_by_namespace_until_they_are_on_again() {
        let dir = std::env::temp_dir().join(format!("mpuser-multipath-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        remember_in(&dir, "1", "eth0", Multipath::Off).unwrap();
        remember_in(&dir, "1", "eth1", Multipath::Backup).unwrap();
        remember_in(&dir, "2", "eth0", Multipath::Backup).unwrap();
        let states = |netns: &str| read(&dir).unwrap().remove(netns).unwrap_or_default();
        assert_eq!(states("1").get("eth0"), Some(&Multipath::Off));
        remember_in(&dir, "1", "eth0", Multipath::On).unwrap();
        assert_eq!(
            states("1").into_iter().collect::<Vec<_>>(),
            [("eth1".to_owned(), Multipath::Backup)]
        );
        assert_eq!(states("2").len(), 1);
        remember_in(&dir, "2", "eth0", Multipath::On).unwrap();
        assert!(!read(&dir).unwrap().contains_key("2"));
        remember_in(&dir, "1", "eth1", Multipath::On).unwrap();
        assert!(!dir.join(FILE).exists(), "nothing is left to remember");
        std::fs::write(dir.join(FILE), "{").unwrap();
        assert_eq!(read(&dir).unwrap_err().kind, ErrorKind::Malformed);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
