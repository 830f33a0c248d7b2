//! What the tests share.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use crate::skip::skipped;
use mpuser_tun::lab::{self, Lab, LabOptions};

/// False, after saying so, when this is not root; a panic when that must not happen.
pub(crate) fn require_root(test: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let root =
        status.lines().any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0"));
    if !root {
        skipped(&format!("{test} needs root"));
    }
    root
}

/// False, after saying so, when the TUN device cannot be opened.
pub(crate) fn require_tun(test: &str) -> bool {
    let open = File::options().read(true).write(true).open("/dev/net/tun");
    if let Err(e) = &open {
        skipped(&format!("{test} needs /dev/net/tun: {e}"));
    }
    open.is_ok()
}

/// A lab that is gone when the test ends, however it ends.
pub(crate) struct TestLab(pub(crate) Lab);

impl TestLab {
    /// One lab per test: they run at the same time.
    pub(crate) fn up(test: &str, options: LabOptions) -> Self {
        let name = format!("t{}-{test}", std::process::id());
        Self(lab::up(&LabOptions { name, ..options }).unwrap_or_else(|e| panic!("{e}")))
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        let _ = lab::down(&self.0.state().name);
    }
}

impl std::ops::Deref for TestLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}

/// What a program in a node prints.
pub(crate) fn output(lab: &Lab, node: &str, argv: &[&str]) -> String {
    let argv: Vec<String> = argv.iter().map(|s| (*s).to_owned()).collect();
    lab.in_namespace(node, || {
        let out = std::process::Command::new(&argv[0]).args(&argv[1..]).output().unwrap();
        assert!(out.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

/// Waits for `condition`, at most five seconds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..100 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within 5 s: {what}");
}

/// A file with these bytes, open at its start, already without a name.
pub(crate) fn file_with(bytes: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("mpu-test-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// One test of paths at a time: each plan takes back what dead processes left in any namespace, and a child that another
/// thread is starting holds copies of every lock until its exec.
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
