//! Arguments of `decode` and `inspect`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// Every frame
    #[default]
    All,
    /// TCP segments
    Tcp,
    /// Segments with an MPTCP option
    Mptcp,
}

/// `decode`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser decode demo.pcapng                 one line for each packet; numbers are relative
  mpuser decode --only mptcp *.pcap         only packets with an MPTCP option
  mpuser decode --connection 0 file.pcap    one MPTCP connection, all of its subflows
  mpuser decode --json file.pcap            an object for each packet, options field by field
  tcpdump -w - | mpuser decode -            as it comes

A line begins with packet number, time since the first packet, and CONNECTION.STREAM: the MPTCP connection and the
TCP connection, both counted from 0. `dsn` and `dack` are relative: the first octet of data is 1.")]
pub(crate) struct Decode {
    /// pcap or pcapng files; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Only these TCP connections (repeatable)
    #[arg(long, value_name = "N")]
    pub(crate) stream: Vec<usize>,
    /// Only these MPTCP connections (repeatable)
    #[arg(long, value_name = "N")]
    pub(crate) connection: Vec<usize>,
    /// Show only what is TCP, or has MPTCP options
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub(crate) only: Only,
    /// Keys of connections whose handshake is not in the capture
    #[arg(long, value_name = "FILE")]
    pub(crate) keylog: Option<PathBuf>,
}

/// Which side's octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// Who opened the connection
    #[default]
    Opener,
    /// The other end
    Other,
}

/// `inspect`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser inspect demo.pcapng                    connections and their subflows
  mpuser inspect --check file.pcap              what breaks RFC 8684: packet, requirement, what; exit code 7 if any
  mpuser inspect --merge wifi.pcap lte.pcap     one capture in two files, one for each path
  mpuser inspect --follow 0 file.pcap > data    what the opener of connection 0 sent, in order
  mpuser inspect --plot plots file.pcap         SVGs: DSN ladder, round trips, data by subflow
  mpuser inspect --json file.pcap               everything as one object for each file

A key log has lines `MPTCP_KEYS OPENER OTHER`, the keys of one connection in 16 hex digits each.")]
pub(crate) struct Inspect {
    /// pcap or pcapng files; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Hold the packets against the RFC
    #[arg(long)]
    pub(crate) check: bool,
    /// A line for each subflow and direction, separated by commas
    #[arg(long, conflicts_with_all = ["check", "follow"])]
    pub(crate) csv: bool,
    /// The files are parts of one capture; their packets are put in the order of their times
    #[arg(long)]
    pub(crate) merge: bool,
    /// Write the data of this MPTCP connection to stdout, or to --output
    #[arg(long, value_name = "N", conflicts_with = "check")]
    pub(crate) follow: Option<usize>,
    /// With --follow: whose data
    #[arg(long, value_name = "SIDE", default_value = "opener", requires = "follow")]
    pub(crate) from: From,
    /// With --follow: where to
    #[arg(short, long, value_name = "FILE", requires = "follow")]
    pub(crate) output: Option<PathBuf>,
    /// Draw SVGs into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) plot: Option<PathBuf>,
    /// Keys of connections whose handshake is not in the capture
    #[arg(long, value_name = "FILE")]
    pub(crate) keylog: Option<PathBuf>,
}
