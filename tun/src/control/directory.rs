//! Where control sockets are.

use crate::net::{ErrorKind, NetError, Result, state_dir};
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The end of a socket's name; before it stands the process's number.
const SUFFIX: &str = ".sock";

/// The user's own directory of control sockets, made if it is not there: `control` in [`state_dir`], mode 0700.
///
/// # Errors
/// It cannot be made, or it is somebody else's or open to others.
pub fn control_dir() -> Result<PathBuf> {
    let parent = state_dir()?;
    let dir = parent.join("control");
    let made = DirBuilder::new().mode(0o700).create(&dir);
    let there = dir.symlink_metadata().map_err(|error| {
        let cause = made.as_ref().err().unwrap_or(&error);
        NetError::io(format!("cannot make the directory {}", dir.display()), cause)
    })?;
    // state_dir is the user's own, so this can only be another one's by the user's own doing
    let owner = parent.symlink_metadata().map(|parent| parent.uid()).unwrap_or(u32::MAX);
    if !there.is_dir() || there.uid() != owner || there.permissions().mode() & 0o077 != 0 {
        return Err(NetError::new(
            ErrorKind::Permission,
            format!("{} cannot be used", dir.display()),
            "it is not a directory, belongs to another user, or others may enter it",
            format!("remove it, or: chmod 0700 {}", dir.display()),
        ));
    }
    Ok(dir)
}

/// The name of the `number`th socket of a process.
pub(super) fn socket_name(pid: u32, number: u32) -> String {
    match number {
        0 => format!("{pid}{SUFFIX}"),
        number => format!("{pid}-{number}{SUFFIX}"),
    }
}

/// The process a socket's name stands for.
fn owner(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    name.split('-').next()?.parse().ok()
}

/// Every socket that somebody answers on, with its process, connected; those of dead processes are removed.
///
/// A socket gets its name when it is listened on already, so one that refuses is dead for good.
pub(super) fn alive(dir: &Path) -> Vec<(u32, PathBuf, UnixStream)> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(pid) = owner(&path) else { continue };
        match UnixStream::connect(&path) {
            Ok(stream) => found.push((pid, path, stream)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                // somebody else may have removed it by now
                let _ = std::fs::remove_file(&path);
            }
            Err(_) => {}
        }
    }
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    found
}
