//! Network namespaces: which one a thread is in, and running code in another one.

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{ErrorKind, NetError, Result};

/// Where `ip netns` keeps the named namespaces.
pub(crate) const NETNS_DIR: &str = "/run/netns";

/// `SO_NETNS_COOKIE` (Linux 5.14): a number no other namespace of this boot ever gets.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// The identity of a network namespace.
///
/// The inode number alone is not enough: the kernel reuses it after the namespace is gone. The
/// cookie is never reused.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct NetnsId {
    /// The inode of `/proc/self/ns/net`.
    pub inode: u64,
    /// The namespace cookie, if the kernel has one.
    pub cookie: Option<u64>,
}

impl PartialEq for NetnsId {
    fn eq(&self, other: &Self) -> bool {
        match (self.cookie, other.cookie) {
            (Some(a), Some(b)) => a == b,
            _ => self.inode == other.inode,
        }
    }
}

impl NetnsId {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self> {
        Netns::current()?.id()
    }
}

/// An open network namespace; it lives as long as this handle.
#[derive(Debug)]
pub struct Netns {
    file: File,
}

impl Netns {
    /// The namespace of the calling thread (not of the process: the two may differ).
    pub fn current() -> Result<Self> {
        Self::open_path("/proc/thread-self/ns/net".as_ref())
    }

    /// The namespace that `ip netns add NAME` made.
    pub fn named(name: &str) -> Result<Self> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(NetError::new(
                ErrorKind::Usage,
                format!("{name:?} is not the name of a namespace"),
                "a name has no slash and does not begin with a dot",
                "list them with `ip netns list`",
            ));
        }
        Self::open_path(&Path::new(NETNS_DIR).join(name)).map_err(|e| match e.kind {
            ErrorKind::File => NetError::new(
                ErrorKind::NotFound,
                format!("there is no network namespace {name}"),
                e.because,
                "list them with `ip netns list`; `mpuser lab up` makes those of the lab",
            ),
            _ => e,
        })
    }

    /// The namespace that a file of `/run/netns` or `/proc` stands for.
    pub(crate) fn open_path(path: &Path) -> Result<Self> {
        let cannot = |e| NetError::io(format!("cannot open {}", path.display()), &e);
        let file = File::open(path).map_err(cannot)?;
        Ok(Self { file })
    }

    /// Another handle on the same namespace.
    pub(crate) fn duplicate(other: &Self) -> Result<Self> {
        let file = other.file.try_clone();
        let file = file.map_err(|e| NetError::io("cannot keep a network namespace open", &e))?;
        Ok(Self { file })
    }

    /// Its identity.
    pub fn id(&self) -> Result<NetnsId> {
        let meta = self
            .file
            .metadata()
            .map_err(|e| NetError::io("cannot read the inode of a network namespace", &e))?;
        let inode = meta.ino();
        let here = Self::current()?;
        let same = here.file.metadata().is_ok_and(|m| m.ino() == inode);
        // The cookie is read from a socket made inside; without the privilege to enter, the inode
        // has to do.
        let cookie = if same { cookie() } else { self.run_on_thread(cookie).ok().flatten() };
        Ok(NetnsId { inode, cookie })
    }

    /// The file descriptor, for `setns`.
    pub(crate) fn raw_fd(&self) -> libc::c_int {
        self.file.as_raw_fd()
    }

    /// Runs `f` in this namespace: directly if the thread is in it, else on a thread of its own.
    pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> Result<R> {
        let inode = |f: &File| f.metadata().map(|m| m.ino()).ok();
        let here = Self::current()?;
        if inode(&here.file).is_some() && inode(&here.file) == inode(&self.file) {
            return Ok(f());
        }
        self.run_on_thread(f)
    }

    /// Runs `f` on a new thread that has entered this namespace. Threads started by `f` are in it,
    /// too, and so are sockets and TUN devices they make; those stay there for good.
    fn run_on_thread<R: Send>(&self, f: impl FnOnce() -> R + Send) -> Result<R> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter(self.raw_fd()).map_err(|e| {
                    NetError::new(
                        ErrorKind::Permission,
                        "cannot enter the network namespace",
                        e.to_string(),
                        super::error::PRIVILEGE_HELP,
                    )
                })?;
                Ok(f())
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

/// Moves the calling thread into the namespace of `fd`. Async-signal-safe: one system call.
pub(crate) fn enter(fd: libc::c_int) -> io::Result<()> {
    // SAFETY: setns takes two integers and touches no memory of ours; a bad fd is an error code.
    match unsafe { libc::setns(fd, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The cookie of the calling thread's namespace.
fn cookie() -> Option<u64> {
    // SAFETY: socket takes three integers; the result is checked before it is owned.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return None;
    }
    // SAFETY: fd is a socket this function just opened and nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut value = 0u64;
    let mut len = libc::socklen_t::try_from(mem::size_of::<u64>()).ok()?;
    // SAFETY: value and len outlive the call and len holds the size of value.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut value).cast(),
            &raw mut len,
        )
    };
    (done == 0).then_some(value)
}

/// The namespaces `ip netns` knows, sorted by name.
pub(crate) fn named_namespaces() -> Vec<String> {
    let Ok(dir) = std::fs::read_dir(NETNS_DIR) else { return Vec::new() };
    let mut names: Vec<String> =
        dir.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_namespace_is_itself() {
        let a = NetnsId::current().unwrap();
        assert_eq!(a, NetnsId::current().unwrap());
        assert_eq!(Netns::current().unwrap().run(|| 7).unwrap(), 7);
    }

    #[test]
    fn a_reused_inode_is_another_namespace() {
        let a = NetnsId { inode: 5, cookie: Some(1) };
        assert_ne!(a, NetnsId { inode: 5, cookie: Some(2) });
        assert_eq!(a, NetnsId { inode: 5, cookie: None });
        assert_ne!(a, NetnsId { inode: 6, cookie: None });
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "../x", "a/b", ".hidden"] {
            assert_eq!(Netns::named(name).unwrap_err().kind, ErrorKind::Usage, "{name}");
        }
        assert_eq!(Netns::named("mpu-none").unwrap_err().kind, ErrorKind::NotFound);
    }
}
