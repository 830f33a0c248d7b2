//! The operator's part of the command line.

use crate::units::parse_duration;
use clap::{Args, Subcommand};
use mpuser_tun::Multipath;
use std::path::PathBuf;
use std::time::Duration;

/// Whom to look at.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Which {
    /// Only this process
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
}

/// Whom to give an order to.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    /// This process; without it the only one that runs
    #[arg(long, value_name = "PID", conflicts_with = "all")]
    pub(crate) pid: Option<u32>,
    /// Every process of this user
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser ss                            connections of every running mpuser, subflows indented
  mpuser ss -i state established       with the keys of `ss -Mi` and `ss -ti`
  mpuser ss dst 192.168.56.101:7000
  mpuser ss token e4f8bc6a --json
  mpuser ss -i -w                      again every second

FILTER is any of, all have to hold:
  state NAME | connected | listening | all
  src ADDR[/LEN][:PORT]   dst ADDR[/LEN][:PORT]   sport = :PORT   dport = :PORT
  token HEX")]
pub(crate) struct Ss {
    /// Listeners only
    #[arg(short, long)]
    pub(crate) listening: bool,
    /// Listeners and connections, and subflows that are closed
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Data level, windows, congestion: the keys of `ss -Mi` and `ss -ti`
    #[arg(short, long)]
    pub(crate) info: bool,
    /// The process a socket belongs to
    #[arg(short, long)]
    pub(crate) processes: bool,
    /// Again and again, every second or TIME
    #[arg(short, long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s", value_parser = parse_duration)]
    pub(crate) watch: Option<Duration>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Which connections; see below
    #[arg(value_name = "FILTER")]
    pub(crate) filter: Vec<String>,
    /// Numbers and MPTCP sockets are all there is: for those who type `ss -Mni`
    #[arg(short = 'M', hide = true)]
    pub(crate) mptcp: bool,
    /// As -M
    #[arg(short = 'n', hide = true)]
    pub(crate) numeric: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser stats                         counters that are not zero, names as in nstat
  mpuser stats -z 'MPTcpExtMPJoin*'    these, zero or not
  mpuser stats --diff-kernel           beside the kernel's of this namespace
  mpuser stats --diff-kernel --netns mpu-seed-server
  mpuser stats -t 1                    bytes per second over each path, every second
  mpuser stats --json | jq '.counters.MPTcpExtMPJoinSynTx'")]
pub(crate) struct Stats {
    /// Counters that are zero, too
    #[arg(short, long)]
    pub(crate) zeros: bool,
    /// Absolute values, as they always are: for those who type `nstat -az`
    #[arg(short, hide = true)]
    pub(crate) absolute: bool,
    /// No history is kept: for those who type `nstat -s`
    #[arg(short, hide = true)]
    pub(crate) shadow: bool,
    /// The kernel's MPTcpExt counters beside ours
    #[arg(long)]
    pub(crate) diff_kernel: bool,
    /// The network namespace of those counters
    #[arg(long, value_name = "NAME", requires = "diff_kernel")]
    pub(crate) netns: Option<String>,
    /// Instead: bytes per second over each path, every TIME (a number is seconds)
    #[arg(short = 't', long, value_name = "TIME", value_parser = parse_duration, conflicts_with_all = ["diff_kernel", "zeros"])]
    pub(crate) interval: Option<Duration>,
    /// With -t: end after this many lines
    #[arg(short, long, value_name = "N", requires = "interval")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Names, with `*` for anything
    #[arg(value_name = "PATTERN", conflicts_with = "interval")]
    pub(crate) patterns: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser monitor              events of every mpuser process, as `ip mptcp monitor` prints them
  mpuser monitor -t --pid 12  with the time, of one process
  mpuser monitor --json       one object per line")]
pub(crate) struct Monitor {
    /// The time before each event (UTC)
    #[arg(short, long)]
    pub(crate) timestamp: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser endpoint show
  mpuser endpoint add 10.83.1.2 dev wlan0 id 3 subflow backup
  mpuser endpoint add 10.83.1.2 port 8000 signal
  mpuser endpoint change id 3 nobackup
  mpuser endpoint delete id 3
  mpuser endpoint flush

The grammar is that of `ip mptcp endpoint`:
  add ADDRESS [dev NAME] [id ID] [port NR] [signal] [subflow] [backup] [fullmesh]
  delete id ID [ADDRESS]
  change [id ID] [ADDRESS] [port NR] [backup|nobackup] [fullmesh|nofullmesh]
  show [id ID]
  flush")]
pub(crate) struct Endpoint {
    #[command(flatten)]
    pub(crate) target: Target,
    /// add, delete, change, show or flush, and what belongs to it
    #[arg(value_name = "COMMAND")]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser limits show
  mpuser limits set subflows 2 add_addr_accepted 2")]
pub(crate) struct Limits {
    #[command(flatten)]
    pub(crate) target: Target,
    /// `show`, or `set [subflows N] [add_addr_accepted N]`
    #[arg(value_name = "COMMAND")]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser settings                       of every running mpuser, as sysctl prints them
  mpuser settings close_timeout --json")]
pub(crate) struct SettingsArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only these
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser set close_timeout=30
  mpuser set net.mptcp.path_manager=fullmesh stale_loss_cnt=2 --all

What was agreed in a handshake, or is built into a connection when it starts, changes for
later connections; add_addr_timeout, close_timeout and stale_loss_cnt for those there are, too.")]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What `sysctl -w` takes, `net.mptcp.` left out or not
    #[arg(value_name = "NAME=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser subflow e4f8bc6a open 10.83.1.2 192.168.57.101:7000
  mpuser subflow e4f8bc6a backup 2
  mpuser subflow e4f8bc6a nobackup 2
  mpuser subflow e4f8bc6a close 2

`mpuser ss` shows the tokens and the numbers of subflows.")]
pub(crate) struct Subflow {
    /// The connection: this end's token
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    /// `open LOCAL REMOTE:PORT`, `close NUMBER`, `backup NUMBER` or `nobackup NUMBER`
    #[arg(value_name = "COMMAND", required = true, num_args = 2..=3)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser via e4f8bc6a add 10.0.3.2:7000
  mpuser via e4f8bc6a add 10.0.3.2:7000 from 10.83.1.2
  mpuser via e4f8bc6a del 10.0.1.2:7000
  mpuser via e4f8bc6a add socks5://10.0.4.2:1080

`mpuser ss` shows the tokens. See `mpuser connect --help` for what a forwarder is.")]
pub(crate) struct Via {
    /// The connection: this end's token
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    /// `add HOST:PORT [from LOCAL]`, `add URL`, `del HOST:PORT` or `del URL`
    #[arg(value_name = "COMMAND", required = true, num_args = 2..=4)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser multipath dev wlan0 off       its subflows end, peers are told, none is opened
  mpuser multipath dev wlan0 backup    used while nothing else is left
  mpuser multipath dev wlan0 on
  mpuser multipath                     what was set

As `ip link set dev DEV multipath on|off|backup` of the v0.9x kernels. Running processes obey at
once; later ones do as well, for it is written to the state file.")]
pub(crate) struct MultipathArgs {
    /// `dev NAME on|off|backup`
    #[arg(value_name = "dev NAME STATE", num_args = 0..=3)]
    pub(crate) words: Vec<String>,
    /// This process only, and nothing is remembered
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Every setting: value, default, who set it; with -v what it is for
    #[command(after_help = "\
Examples:
  mpuser config show
  mpuser config show -v                       with what each is for, its variable and its old name
  mpuser config show --set checksum_enabled=1 --json")]
    Show,
    /// Check a configuration file; exit code 8 if it is wrong
    #[command(after_help = "Examples:\n  mpuser config check\n  mpuser config check my.toml")]
    Check {
        /// Which; without it the one that is used
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Where the configuration file is, or would be
    #[command(after_help = "Examples:\n  $EDITOR $(mpuser config path)")]
    Path,
}

/// `dev NAME STATE` taken apart.
pub(crate) fn parse_multipath(words: &[String]) -> Result<Option<(&str, Multipath)>, String> {
    match words {
        [] => Ok(None),
        [dev, name, state] if dev == "dev" => Ok(Some((name, state.parse()?))),
        _ => Err("it is written `dev NAME on|off|backup`".to_owned()),
    }
}
