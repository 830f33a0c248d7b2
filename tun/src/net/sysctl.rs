//! Reading and writing `/proc/sys/net`. The namespace is the calling thread's.

use super::error::{NetError, Result};

fn path(key: &str) -> String {
    format!("/proc/sys/{key}")
}

/// The value of `net/...`, trimmed; `None` if this kernel has no such key.
pub(crate) fn read(key: &str) -> Option<String> {
    std::fs::read_to_string(path(key)).ok().map(|v| v.trim().to_owned())
}

/// Sets `net/...`.
pub(crate) fn write(key: &str, value: &str) -> Result<()> {
    std::fs::write(path(key), value)
        .map_err(|e| NetError::io(format!("cannot set {} to {value}", key.replace('/', ".")), &e))
}

/// Sets `net/...` if the kernel has it.
pub(crate) fn write_if_there(key: &str, value: &str) -> Result<()> {
    if read(key).is_some() { write(key, value) } else { Ok(()) }
}
