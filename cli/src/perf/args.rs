//! The arguments of `mpuser perf`: iperf3's letters.

use crate::args::Transport;
use crate::units::{parse_duration, parse_size};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// iperf3's port: people know it from their firewalls.
pub(super) const PORT: u16 = 5201;
/// Most connections of one client.
const MOST_STREAMS: i64 = 128;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser perf -s                              the server, on every path
  mpuser perf -s --kernel                     the same on this kernel's own MPTCP
  mpuser perf -c 192.168.56.101               ten seconds up, a column per subflow
  mpuser perf -c HOST -R -t 30 -P 2           thirty seconds down, two connections
  mpuser perf -c HOST -n 100M -J              100 MiB, and the figures as JSON
  mpuser perf -c HOST --pm none --at 2s add=eth2:192.168.57.101 --at 5s del=0 --at 7s backup=1
  mpuser perf -c HOST -i 0.1 --svg perf.svg   a picture of each subflow's rate over time
  mpuser perf --suite results --capture       the standard set, in a lab of its own (root)

Letters and units are iperf3's: MBytes are 1024 * 1024 bytes, Mbits/sec 1000 * 1000 bits a second.
Both ends are `mpuser perf`; iperf3 itself runs over MPTCP by `mpuser run -- iperf3 ...`.")]
// -i is the interval here, and what else belongs to netcat has no meaning
#[command(mut_arg("idle_timeout", |arg| arg.short(None).long("stall-timeout").help("Give up after this long without a byte")))]
#[command(group = clap::ArgGroup::new("end").required(true).args(["server", "client", "suite"]))]
pub(crate) struct Perf {
    /// Wait for clients
    #[arg(short = 's', long)]
    pub(super) server: bool,
    /// Measure the way to a server
    #[arg(short = 'c', long, value_name = "HOST")]
    pub(super) client: Option<String>,
    /// Run the standard set in a lab, and leave table, picture and JSON in this directory
    #[arg(long, value_name = "DIR")]
    pub(super) suite: Option<PathBuf>,
    /// With --suite: a capture of every run, too
    #[arg(long, conflicts_with_all = ["server", "client"])]
    pub(super) capture: bool,
    /// With --suite: seconds of each run
    #[arg(long, value_name = "TIME", conflicts_with_all = ["server", "client"], value_parser = parse_duration)]
    pub(super) each: Option<Duration>,
    /// With --suite: only runs whose name contains this (repeatable)
    #[arg(long, value_name = "WORD", conflicts_with_all = ["server", "client"])]
    pub(super) only: Vec<String>,
    /// The server's port
    #[arg(short, long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
    /// Use this kernel's MPTCP sockets instead of our stack
    #[arg(long, conflicts_with_all = ["suite", "at", "pcap", "record"])]
    pub(super) kernel: bool,
    /// The server's address to listen on
    #[arg(short = 'B', long, value_name = "ADDR", conflicts_with_all = ["client"])]
    pub(super) bind: Option<std::net::IpAddr>,
    /// End after one client
    #[arg(short = '1', long, conflicts_with_all = ["client"])]
    pub(super) one_off: bool,
    /// How long to send [default: 10]
    #[arg(short, long, value_name = "TIME", conflicts_with = "bytes", value_parser = parse_duration)]
    pub(super) time: Option<Duration>,
    /// How much to send, in each direction of each connection
    #[arg(short = 'n', long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) bytes: Option<u64>,
    /// Time between two lines; 0 is none
    #[arg(short, long, value_name = "TIME", default_value = "1", value_parser = pause)]
    pub(super) interval: Duration,
    /// How much is written at a time
    #[arg(short, long, value_name = "SIZE", default_value = "128K", value_parser = block_length)]
    pub(super) length: u32,
    /// Connections at once
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_STREAMS))]
    pub(super) parallel: u32,
    /// The server sends
    #[arg(short = 'R', long, conflicts_with = "bidir")]
    pub(super) reverse: bool,
    /// Both send at once
    #[arg(long)]
    pub(super) bidir: bool,
    /// Whoever sends hands its octets over to mpuser in place of copying them (no difference for a kernel's sockets)
    #[arg(short = 'Z', long)]
    pub(super) zerocopy: bool,
    /// As --json
    #[arg(short = 'J')]
    #[arg(id = "j")]
    pub(super) json: bool,
    /// At a time after the start: add=LOCAL:REMOTE[:PORT], del=N, backup=N, nobackup=N (repeatable)
    ///
    /// LOCAL is a path's name or an engine's address; N is the number of a subflow, as in the columns. IPv6 addresses
    /// stand in brackets.
    #[arg(long, num_args = 2, value_names = ["TIME", "ORDER"], conflicts_with_all = ["server", "suite"])]
    pub(super) at: Vec<String>,
    /// Leave a picture of each subflow's rate over time in this file, with what --at did; a point is an interval (-i)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "suite"])]
    pub(super) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

fn pause(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { parse_duration(text) }
}

fn block_length(text: &str) -> Result<u32, String> {
    let most = super::wire::MAX_BLOCK;
    let length = parse_size(text)?;
    let fits = u32::try_from(length).ok().filter(|length| (1..=most).contains(length));
    fits.ok_or_else(|| "a block is 1 byte to 1M".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Command};
    use clap::Parser as _;
    use std::time::Duration;

    fn perf(words: &[&str]) -> Result<super::Perf, clap::Error> {
        let words = [&["mpuser", "perf"], words].concat();
        match Cli::try_parse_from(words)?.command {
            Command::Perf(perf) => Ok(*perf),
            _ => unreachable!("perf was said"),
        }
    }

    #[test]
    fn the_letters_are_those_of_iperf3() {
        let words = "-c host -p 99 -t 3 -i 0.5 -P 2 -R -l 8K -Z -J --at 2s del=1 --at 3 add=a:b";
        let perf = perf(&words.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!((perf.port, perf.parallel, perf.length), (99, 2, 8_192));
        assert_eq!(perf.interval, Duration::from_millis(500));
        assert!(
            perf.reverse && perf.json && perf.zerocopy && perf.transport.idle_timeout.is_none()
        );
        assert_eq!(perf.at, ["2s", "del=1", "3", "add=a:b"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for words in [
            "",
            "-s -c host",
            "-c host -R --bidir",
            "-c host -t 1 -n 1M",
            "-c host -l 0",
            "-c host -l 2M",
            "-c host -P 0",
            "-c host -p 0",
            "-c host --at 2s",
            "-s --at 2s del=1",
            "-c host --kernel --at 2s del=1",
            "-c host -1",
            "--suite x -c host",
            "-c host --capture",
        ] {
            let words: Vec<&str> = words.split_whitespace().collect();
            assert!(perf(&words).is_err(), "{words:?}");
        }
    }
}
