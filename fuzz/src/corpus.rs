//! Inputs on disk: the small corpus of the repository, and findings.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// `fuzz/corpus` of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs in a folder, by name; none if there is no such folder.
///
/// # Errors
/// When a file cannot be read.
pub fn read(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // a name that begins with a dot keeps the folder
    let hidden =
        |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
    files.retain(|path| path.is_file() && !hidden(path));
    files.sort();
    files.into_iter().map(|path| fs::read(&path).map(|bytes| (path, bytes))).collect()
}
