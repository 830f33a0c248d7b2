//! Running programs inside a namespace.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};

use super::state::namespace;
use super::{PREFIX, SEED};
use crate::net::{ErrorKind, NetError, Netns, Result, enter, named_namespaces};

/// The namespace that `node` means: `client` and `server` of the seed lab, `LAB/client` of another
/// one, or the full name of any namespace.
pub fn namespace_of(node: &str) -> Result<String> {
    let name = match node.split_once('/') {
        Some((lab, role)) => namespace(lab, role),
        None if matches!(node, "client" | "server") => namespace(SEED, node),
        None => node.to_owned(),
    };
    let there = named_namespaces();
    if there.contains(&name) {
        return Ok(name);
    }
    let ours: Vec<&str> =
        there.iter().filter(|n| n.starts_with(PREFIX)).map(String::as_str).collect();
    let because = if ours.is_empty() {
        format!("there is no namespace {name}, and no lab is up")
    } else {
        format!("there is no namespace {name}; there are {}", ours.join(", "))
    };
    Err(NetError::new(
        ErrorKind::NotFound,
        format!("there is no node {node:?}"),
        because,
        "run `mpuser lab up`, then name `client` or `server`",
    ))
}

/// Runs a program in `node` (see [`namespace_of`]) to its end. It has this process' working
/// directory, input, output and environment; `/sys` shows the namespace's interfaces.
pub fn exec<S: AsRef<OsStr>>(node: &str, argv: &[S]) -> Result<ExitStatus> {
    exec_in(&namespace_of(node)?, argv)
}

/// The same for the full name of a namespace.
pub fn exec_in<S: AsRef<OsStr>>(namespace: &str, argv: &[S]) -> Result<ExitStatus> {
    let Some((program, args)) = argv.split_first() else { return Err(nothing_to_run()) };
    let mut command = Command::new(program);
    command.args(args);
    let mut child = spawn(namespace, command)?;
    child.wait().map_err(|e| NetError::io("cannot wait for the program", &e))
}

/// Becomes a program in the namespace: this process is replaced, so that signals, terminal and exit code are the
/// program's own. Comes back only with the reason why it could not be.
pub fn become_in<S: AsRef<OsStr>>(namespace: &str, argv: &[S]) -> NetError {
    let Some((program, args)) = argv.split_first() else { return nothing_to_run() };
    let mut command = Command::new(program);
    command.args(args);
    match prepare(namespace, &mut command) {
        Ok(()) => {
            let error = command.exec();
            cannot_run(namespace, &command, &error)
        }
        Err(error) => error,
    }
}

/// Starts `command` in the namespace.
pub(super) fn spawn(namespace: &str, mut command: Command) -> Result<Child> {
    prepare(namespace, &mut command)?;
    command.spawn().map_err(|e| cannot_run(namespace, &command, &e))
}

/// Makes `command` enter the namespace before it becomes its program.
fn prepare(namespace: &str, command: &mut Command) -> Result<()> {
    let ns = Netns::named(namespace)?;
    let enter_namespace = move || {
        enter(ns.raw_fd())?;
        show_sys();
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes plain system calls only (setns, unshare,
    // mount); it neither allocates nor takes a lock, and the descriptor it uses is its own.
    unsafe { command.pre_exec(enter_namespace) };
    Ok(())
}

fn nothing_to_run() -> NetError {
    NetError::new(
        ErrorKind::Usage,
        "there is nothing to run",
        "the command is empty",
        "for example: mpuser lab exec client -- ip route",
    )
}

fn cannot_run(namespace: &str, command: &Command, e: &io::Error) -> NetError {
    let program = command.get_program().to_string_lossy().into_owned();
    let kind = match e.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Permission,
        _ => ErrorKind::Command,
    };
    NetError::new(
        kind,
        format!("cannot run {program} in {namespace}"),
        e.to_string(),
        "check the program's name; entering a namespace needs CAP_SYS_ADMIN",
    )
}

/// Gives the child a `/sys` of its namespace, as `ip netns exec` does. Without the privilege for
/// it the child sees the old one, which is no reason to fail.
pub(crate) fn show_sys() {
    use std::ptr::null;
    // SAFETY: the strings are constants that end with a zero, the other pointers are null, and
    // the calls change nothing but the mount namespace this child has just made for itself.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) != 0 {
            return;
        }
        // Private first, or the mount would be seen by the whole machine.
        let flags = libc::MS_SLAVE | libc::MS_REC;
        if libc::mount(c"".as_ptr(), c"/".as_ptr(), c"none".as_ptr(), flags, null()) != 0 {
            return;
        }
        let sysfs = c"sysfs".as_ptr();
        libc::mount(c"mpuser".as_ptr(), c"/sys".as_ptr(), sysfs, 0, null());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        let e = namespace_of("none/client").unwrap_err();
        assert_eq!(e.kind, ErrorKind::NotFound);
        assert!(e.because.contains("mpu-none-client"), "{e}");
        assert_eq!(exec_in::<&str>("x", &[]).unwrap_err().kind, ErrorKind::Usage);
    }
}
