//! What processes leave for later ones: files of words by network namespace, since names of interfaces and addresses
//! of peers mean something within one only.

use super::error::{ErrorKind, NetError, Result};
use super::netns::NetnsId;
use super::state::{StateLock, state_dir};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of values by name, by namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    file: &'static str,
    /// Most names of a namespace; the first of the others go.
    limit: usize,
    /// What to do with a file that cannot be understood.
    help: &'static str,
}

type All<T> = BTreeMap<String, BTreeMap<String, T>>;

impl Memory {
    pub(super) const fn new(file: &'static str, limit: usize, help: &'static str) -> Self {
        Self { file, limit, help }
    }

    /// Remembers a value of this namespace, or forgets it.
    pub(super) fn remember<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        value: Option<T>,
    ) -> Result<()> {
        let lock = StateLock::take()?;
        self.remember_in(&lock.dir, &here()?, name, value)
    }

    /// Everything of this namespace.
    pub(super) fn all<T: DeserializeOwned>(&self) -> Result<BTreeMap<String, T>> {
        Ok(self.read(&state_dir()?)?.remove(&here()?).unwrap_or_default())
    }

    pub(super) fn remember_in<T: Serialize + DeserializeOwned>(
        &self,
        dir: &Path,
        netns: &str,
        name: &str,
        value: Option<T>,
    ) -> Result<()> {
        let mut all = self.read(dir)?;
        let ours = all.entry(netns.to_owned()).or_default();
        ours.remove(name);
        if let Some(value) = value {
            while ours.len() >= self.limit {
                ours.pop_first();
            }
            ours.insert(name.to_owned(), value);
        }
        all.retain(|_, names| !names.is_empty());
        let path = self.path(dir);
        let cannot = |error: &std::io::Error| {
            NetError::io(format!("cannot write {}", path.display()), error)
        };
        if all.is_empty() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot(&error)),
                _ => Ok(()),
            };
        }
        let text = serde_json::to_string(&all).map_err(|error| cannot(&error.into()))?;
        // at once or not at all, whoever reads meanwhile
        let new = path.with_extension("new");
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
        written.map_err(|error| cannot(&error))
    }

    pub(super) fn read<T: DeserializeOwned>(&self, dir: &Path) -> Result<All<T>> {
        let path = self.path(dir);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(All::new()),
            Err(error) => {
                return Err(NetError::io(format!("cannot read {}", path.display()), &error));
            }
        };
        serde_json::from_str(&text).map_err(|error| {
            let what = format!("{} cannot be understood", path.display());
            NetError::new(ErrorKind::Malformed, what, error.to_string(), self.help)
        })
    }

    fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.file)
    }
}

/// A name for this namespace that no later one gets, where the kernel has such.
fn here() -> Result<String> {
    let id = NetnsId::current()?;
    Ok(id.cookie.unwrap_or(id.inode).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_remembered_by_namespace() {
        let dir = std::env::temp_dir().join(format!("mpuser-memory-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let memory = Memory::new("memory.json", 2, "remove it");
        let set = |netns, name, value| memory.remember_in::<u8>(&dir, netns, name, value).unwrap();
        set("1", "a", Some(1));
        set("1", "b", Some(2));
        set("2", "a", Some(3));
        set("1", "b", Some(4));
        let all = memory.read::<u8>(&dir).unwrap();
        assert_eq!((all["1"]["a"], all["1"]["b"], all["2"]["a"]), (1, 4, 3));
        set("1", "c", Some(5));
        assert_eq!(memory.read::<u8>(&dir).unwrap()["1"].len(), 2, "bounded");
        set("2", "a", None);
        assert!(!memory.read::<u8>(&dir).unwrap().contains_key("2"));
        set("1", "b", None);
        set("1", "c", None);
        assert!(!dir.join("memory.json").exists(), "it goes with its last entry");
        std::fs::write(dir.join("memory.json"), "{").unwrap();
        assert_eq!(memory.read::<u8>(&dir).unwrap_err().kind, ErrorKind::Malformed);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
