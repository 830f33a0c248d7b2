//! Where a live case runs: a network namespace of its own with TUN devices, threads on cores of their own.

use mpuser_tun::device::{Device as _, Offload, Tun};
use nix::errno::Errno;
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

/// The core of the stack under test.
pub const STACK_CORE: usize = 0;
/// The core of the kernel's application.
pub const KERNEL_CORE: usize = 1;

/// Where the kernel's application listens.
const PORT: u16 = 5001;
/// Packets a device keeps for its reader: a window of 4 MiB in packets of 1500 octets, several times.
const QUEUE: usize = 20_000;

/// What the device of a hop can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Super-segments and checksums left to the kernel.
    Offload,
    /// One packet of 1500 octets per system call.
    Plain,
}

/// A kernel on one side, TUN devices on the other: whoever holds them plays the host behind.
#[derive(Debug)]
pub struct Hop {
    /// What the devices can do.
    pub kind: Kind,
    /// The devices, each with the address of the host behind it.
    pub devices: Vec<(Tun, Ipv4Addr)>,
}

impl Hop {
    /// The only device of a hop with one, and the address behind it.
    ///
    /// # Errors
    /// There is none.
    pub fn single(self) -> io::Result<(Tun, Ipv4Addr)> {
        self.devices.into_iter().next().ok_or_else(|| io::Error::other("a hop without a device"))
    }
}

/// The kernel's address on the hop's link.
#[must_use]
pub const fn kernel_address(link: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, link, 1)
}

/// Where the kernel's application listens.
#[must_use]
pub const fn server() -> SocketAddrV4 {
    SocketAddrV4::new(kernel_address(0), PORT)
}

/// Runs `case` with a hop of `links` devices, on a thread of its own that stands on [`STACK_CORE`] and in a fresh
/// namespace. The namespace goes with the last of its threads, sockets and devices.
///
/// # Errors
/// The privilege is missing, a command failed, or what the case says.
pub fn on_hop<R: Send>(
    kind: Kind,
    links: u8,
    case: impl FnOnce(Hop) -> io::Result<R> + Send,
) -> io::Result<R> {
    isolated(|| {
        let devices = (0..links).map(|link| open(kind, link)).collect::<io::Result<_>>()?;
        case(Hop { kind, devices })
    })
}

/// Runs `work` in a fresh namespace on a thread on [`STACK_CORE`].
fn isolated<R: Send>(work: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    let enter = || {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| {
            io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("cannot make a network namespace ({error}): run as root"),
            )
        })?;
        pin(STACK_CORE)?;
        ip("link set lo up")?;
        set("net/mptcp/enabled", "1")?;
        for key in ["all", "default"] {
            // answers leave by the device of the address they go to, wherever the question came in
            set(&format!("net/ipv4/conf/{key}/rp_filter"), "0")?;
        }
        work()
    };
    std::thread::scope(|scope| match scope.spawn(enter).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn open(kind: Kind, link: u8) -> io::Result<(Tun, Ipv4Addr)> {
    let name = format!("hop{link}");
    let wish = if kind == Kind::Offload { Offload::Auto } else { Offload::Off };
    let device = Tun::open(&name, wish)?;
    if device.offload() != (kind == Kind::Offload) {
        return Err(io::Error::other("this kernel's TUN devices have no offload"));
    }
    // nobody speaks IPv6 here; a kernel without it has no such file
    let _ = set(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
    ip(&format!("address add {}/24 dev {name}", kernel_address(link)))?;
    ip(&format!("link set {name} mtu 1500 txqueuelen {QUEUE} up"))?;
    Ok((device, Ipv4Addr::new(10, 99, link, 2)))
}

/// Runs `ip` with these words in the namespace of the calling thread.
///
/// # Errors
/// What it says.
pub fn ip(words: &str) -> io::Result<()> {
    let run = Command::new("ip").args(words.split_whitespace()).output()?;
    if run.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&run.stderr);
    Err(io::Error::other(format!("ip {words}: {}", said.trim())))
}

/// Sets a sysctl of the calling thread's namespace.
///
/// # Errors
/// What the kernel says.
pub fn set(key: &str, value: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/{key}"), value)
        .map_err(|error| io::Error::new(error.kind(), format!("{key} = {value}: {error}")))
}

/// Keeps the calling thread on a core; on a machine with fewer it stays where it is.
///
/// # Errors
/// What the kernel says.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    match sched_setaffinity(Pid::from_raw(0), &set) {
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the kernel for it.
    pub system: Duration,
}

impl Cpu {
    /// What the calling thread has used so far.
    #[must_use]
    pub fn of_thread() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Self::default() };
        let time = |value: nix::sys::time::TimeVal| {
            Duration::from_micros(u64::try_from(value.num_microseconds()).unwrap_or(0))
        };
        Self { user: time(usage.user_time()), system: time(usage.system_time()) }
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    /// Both together.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}
