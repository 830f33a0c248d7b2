//! Arguments of `mpuser lab`.

use super::parse_rate;
use clap::{Args, Subcommand};
use mpuser_tun::lab;
use std::ffi::OsString;

#[derive(Debug, Subcommand)]
pub(crate) enum Lab {
    /// Build a lab; building it again changes nothing
    #[command(after_help = "\
Examples:
  mpuser lab up seed                   client and server over three networks
  mpuser lab up seed --rate 100mbit    each path limited
  mpuser lab up proxies                one network card, two forwarding proxies, one server
  mpuser lab up vm --kernel 6.1        the server is a virtual machine with a kernel of Debian's
  mpuser lab exec server -- mpuser listen -k --echo 7000
  mpuser lab exec client -- mpuser connect 192.168.56.101:7000")]
    Up(LabUp),
    /// Run a command in a node; directory, stdin, stdout and exit code are the command's own
    #[command(after_help = "\
Examples:
  mpuser lab exec server -- ss -Mtni
  mpuser lab exec client -- mpuser connect 192.168.56.101:7000 < file")]
    Exec(LabExec),
    /// Remove a lab
    #[command(after_help = "\
Examples:
  mpuser lab down          the lab `seed`
  mpuser lab down --all    everything a lab has ever left behind, also after a crash")]
    Down(LabDown),
    /// List labs
    #[command(after_help = "Examples:\n  mpuser lab list --json")]
    List,
    /// The first process of the virtual machine of `mpuser lab up vm`
    #[command(
        hide = true,
        after_help = "Examples:\n  mpuser lab up vm    boots the machine that runs it"
    )]
    Guest(LabGuest),
}

#[derive(Args, Debug)]
pub(crate) struct LabUp {
    /// Which lab: `seed`, `proxies` or `vm`
    #[arg(value_name = "NAME", default_value = "seed")]
    pub(crate) name: String,
    /// Limit each path, each way
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
    /// The server announces no further addresses
    #[arg(long)]
    pub(crate) no_signal: bool,
    /// IPv6 addresses on the paths as well
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// How many proxies (lab `proxies`)
    #[arg(long, value_name = "N", conflicts_with_all = ["no_signal", "ipv6"],
        value_parser = clap::value_parser!(u8).range(1..=i64::from(lab::proxies::MAX_PROXIES)))]
    pub(crate) proxies: Option<u8>,
    #[command(flatten)]
    pub(crate) guest: Guest,
}

/// The server of the lab `vm`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Guest {
    /// Its kernel (lab `vm`): a series as Debian has it, 6.1 by default, or a directory
    #[arg(long, value_name = "SERIES", conflicts_with_all = ["proxies", "rate", "ipv6"])]
    pub(crate) kernel: Option<String>,
    /// Its memory in MiB (lab `vm`)
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(256..=65_536))]
    pub(crate) memory: Option<u32>,
    /// Its processors (lab `vm`)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) cpus: Option<u8>,
    /// KVM runs it; it is emulated otherwise (lab `vm`)
    #[arg(long)]
    pub(crate) kvm: bool,
}

impl Guest {
    /// Nothing is said of it.
    pub(crate) fn is_plain(&self) -> bool {
        self.kernel.is_none() && self.memory.is_none() && self.cpus.is_none() && !self.kvm
    }
}

#[derive(Args, Debug)]
pub(crate) struct LabGuest {
    /// Announce no further addresses
    #[arg(long)]
    pub(crate) no_signal: bool,
}

#[derive(Args, Debug)]
pub(crate) struct LabExec {
    /// Which node: `client` or `server`, in the lab `proxies` also `p1`, `p2` ...
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Which lab
    #[arg(long, value_name = "NAME", default_value = "seed")]
    pub(crate) lab: String,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct LabDown {
    /// Which lab
    #[arg(value_name = "NAME", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Every lab, and whatever a crash left
    #[arg(long)]
    pub(crate) all: bool,
}
