//! The directory for what outlives a process: journals and the labs' state.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use super::error::{ErrorKind, NetError, Result};

/// The effective user. Inside a user namespace of one's own it is 0, too.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// `/run/mpuser` for root, else a directory of the user's own; made if it is not there.
pub fn state_dir() -> Result<PathBuf> {
    // SAFETY: geteuid takes nothing and cannot fail.
    let uid = unsafe { libc::geteuid() };
    let (dir, mode) = if uid == 0 {
        (PathBuf::from("/run/mpuser"), 0o755)
    } else if let Some(run) = std::env::var_os("XDG_RUNTIME_DIR").filter(|d| !d.is_empty()) {
        (PathBuf::from(run).join("mpuser"), 0o700)
    } else {
        (std::env::temp_dir().join(format!("mpuser-{uid}")), 0o700)
    };
    let made = DirBuilder::new().mode(mode).create(&dir);
    // Root of a user namespace does not own the machine's /run.
    let help = if uid == 0 {
        "inside a user namespace first run: mount -t tmpfs none /run".to_owned()
    } else {
        format!("remove it, or set XDG_RUNTIME_DIR to a directory of your own (uid {uid})")
    };
    let there = dir.symlink_metadata().map_err(|e| {
        let cause = made.as_ref().err().unwrap_or(&e);
        let error = NetError::io(format!("cannot make the directory {}", dir.display()), cause);
        NetError { help: help.clone(), ..error }
    })?;
    // In a world-writable parent somebody else could have put it there first.
    if !there.is_dir() || there.uid() != uid {
        return Err(NetError::new(
            ErrorKind::Permission,
            format!("{} cannot be used", dir.display()),
            "it is not a directory, or it belongs to another user",
            help,
        ));
    }
    Ok(dir)
}

/// One process at a time looks for free names, changes what is shared, or cleans up.
///
/// The kernel drops the lock when the holder dies, so a crash never leaves it taken.
#[derive(Debug)]
pub(crate) struct StateLock {
    pub(crate) dir: PathBuf,
    _file: File,
}

impl StateLock {
    pub(crate) fn take() -> Result<Self> {
        Self::of(state_dir()?)
    }

    pub(super) fn of(dir: PathBuf) -> Result<Self> {
        let path = dir.join("lock");
        let cannot =
            |e: &std::io::Error| NetError::io(format!("cannot lock {}", path.display()), e);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|e| cannot(&e))?;
        file.lock().map_err(|e| cannot(&e))?;
        Ok(Self { dir, _file: file })
    }
}
