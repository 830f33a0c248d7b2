//! A network namespace for one program: without a name, with a loopback device of its own and one TUN device, which is
//! its only way out. It ends with its last process and the device.

use super::error::{ErrorKind, NetError, PRIVILEGE_HELP, Result};
use super::netns::{Netns, enter};
use super::{ip_batch, sysctl};
use crate::device::PlainTun;
use crate::lab::show_sys;
use std::ffi::{CString, OsStr};
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// The device inside.
const DEVICE: &str = "tun0";
/// Packets the kernel may queue for whoever holds the device.
const QUEUE: u32 = 4_096;
/// What programs read to find their name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The namespace; processes in it outlive this value, but not their way out.
#[derive(Debug)]
pub struct Cell {
    netns: Netns,
}

/// An address of the device inside, and whether everything of its family leaves by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix_len: u8,
    /// Everything else of the family is behind the device, too. Without, there is no route to it.
    pub route: bool,
}

impl Cell {
    /// Makes the namespace and its device, with these addresses; `mtu` is the largest packet, bytes.
    ///
    /// # Errors
    /// The privilege is missing (`CAP_SYS_ADMIN`, `CAP_NET_ADMIN`), or a command fails.
    pub fn make(addresses: &[CellAddress], mtu: u16) -> Result<(Self, PlainTun)> {
        let make = || {
            // SAFETY: unshare takes one integer and touches no memory of ours; it affects this thread only.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                let error = io::Error::last_os_error();
                let what = "cannot make a network namespace for the program";
                let kind = ErrorKind::Permission;
                return Err(NetError::new(kind, what, error.to_string(), PRIVILEGE_HELP));
            }
            let device = PlainTun::open(DEVICE)
                .map_err(|e| NetError::io("cannot make a TUN device for the program", &e))?;
            // Or the device would carry the kernel's router solicitations.
            sysctl::write_if_there(&format!("net/ipv6/conf/{DEVICE}/addr_gen_mode"), "1")?;
            // Anybody may ping: it goes no further than the device.
            sysctl::write_if_there("net/ipv4/ping_group_range", "0 2147483647")?;
            ip_batch(&[], &lines(addresses, mtu))?;
            Ok((Self { netns: Netns::current()? }, device))
        };
        // a thread of its own: the caller stays where it is
        std::thread::scope(|scope| match scope.spawn(make).join() {
            Ok(made) => made,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A program that will run inside, with this process' directory, input and output. When the thread that starts it
    /// ends, the kernel kills it. `resolv_conf` is what it finds as `/etc/resolv.conf`; the file itself can go once the
    /// program runs.
    ///
    /// # Errors
    /// The name of a file cannot be handed to the kernel.
    pub fn command<S: AsRef<OsStr>>(
        &self,
        program: &OsStr,
        args: &[S],
        resolv_conf: Option<&Path>,
    ) -> Result<Command> {
        let c_string = |path: &Path| {
            CString::new(path.as_os_str().as_bytes())
                .map_err(|e| NetError::io(format!("cannot use {}", path.display()), &e.into()))
        };
        let target = c_string(Path::new(RESOLV_CONF))?;
        let resolv_conf = resolv_conf.map(c_string).transpose()?;
        let netns = Netns::duplicate(&self.netns)?;
        let parent = std::process::id();
        let mut command = Command::new(program);
        command.args(args);
        let inside = move || {
            die_with(parent)?;
            enter(netns.raw_fd())?;
            // a mount namespace of its own comes with it
            show_sys();
            resolv_conf.as_ref().map_or(Ok(()), |source| bind(source, &target))
        };
        // SAFETY: between fork and exec the closure makes plain system calls only (prctl, getppid, setns, unshare,
        // mount); it neither allocates nor takes a lock, and what it uses was made before.
        unsafe { command.pre_exec(inside) };
        Ok(command)
    }
}

fn lines(addresses: &[CellAddress], mtu: u16) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link set {DEVICE} mtu {mtu} txqueuelen {QUEUE} multicast off up"),
    ];
    for CellAddress { address, prefix_len, route } in addresses {
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        lines.push(format!("address add {address}/{prefix_len} dev {DEVICE}{nodad}"));
        if *route {
            let any = if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            lines.push(format!("route add {any} dev {DEVICE} src {address}"));
        }
    }
    lines
}

/// Sends a signal to a process.
///
/// # Errors
/// There is no such process any more.
pub fn send_signal(pid: u32, number: i32) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let pid = libc::pid_t::try_from(pid).map_err(|_| gone())?;
    // SAFETY: kill takes two integers; a positive number means one process.
    if pid > 0 && unsafe { libc::kill(pid, number) } == 0 { Ok(()) } else { Err(gone()) }
}

/// The kernel kills this process when the thread that made it ends.
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: prctl and getppid take and give integers.
    let (set, now) =
        unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    // it may have ended before
    if u32::try_from(now) == Ok(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Shows one file in the place of another.
fn bind(source: &CString, target: &CString) -> io::Result<()> {
    use std::ptr::null;
    // SAFETY: both strings end with a zero and outlive the call, the other pointers are null.
    let bound =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), null(), libc::MS_BIND, null()) };
    if bound == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_ip() {
        let four = CellAddress { address: [198, 18, 0, 2].into(), prefix_len: 30, route: true };
        let six =
            CellAddress { address: "fd00::2".parse().unwrap(), prefix_len: 126, route: false };
        assert_eq!(
            lines(&[four, six], 9_000),
            [
                "link set lo up",
                "link set tun0 mtu 9000 txqueuelen 4096 multicast off up",
                "address add 198.18.0.2/30 dev tun0",
                "route add 0.0.0.0/0 dev tun0 src 198.18.0.2",
                "address add fd00::2/126 dev tun0 nodad",
            ]
        );
    }
}
