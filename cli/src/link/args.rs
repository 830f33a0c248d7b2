//! The command line of `mpuser link`.

use clap::{Args, Subcommand};
use mpuser_tun::net::{NetError, TunEnd};

/// Links in user space between two TUN devices.
#[derive(Debug, Subcommand)]
pub(crate) enum Link {
    /// Make links and move packets until SIGINT, SIGTERM or `mpuser link down`
    Up(LinkUp),
    /// Change a link while it runs
    #[command(after_help = "\
Examples:
  mpuser link set wan loss=5% delay=80ms     the rest stays as it is
  mpuser link set wan state=down             cut it; state=up ends that
  mpuser link set wan box=none               take all boxes away")]
    Set(LinkSet),
    /// What links are like and what they have done
    #[command(after_help = "\
Examples:
  mpuser link show
  mpuser link show wan --json | jq .forward.lost")]
    Show(LinkShow),
    /// End a link
    #[command(after_help = "Examples:\n  mpuser link down wan\n  mpuser link down --all")]
    Down(LinkDown),
    /// List the middleboxes there are
    #[command(after_help = "Examples:\n  mpuser link boxes\n  mpuser link boxes --json")]
    Boxes,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser link up --name wan --from wan0@client,10.7.0.1/24 --to wan0@server,10.7.0.2/24 \\
      rate=20mbit delay=10ms loss=1% queue=100p
  mpuser link up --from a0 --to b0@lab delay=30ms fwd.rate=2mbit back.rate=16mbit
  mpuser link up --from a0@x,10.7.0.1/24 --to b0@y,10.7.0.2/24 box=strip-mptcp:syn
  mpuser link up --pcap - wifi-lte.toml | wireshark -k -i -

An END is DEV[@NETNS][,ADDRESS/LENGTH]...; packets from --from to --to go forward.

A WORD is key=value, for both directions or with `fwd.` or `back.` before it for one:
  rate=20mbit          delay=10ms         jitter=2ms[:uniform|normal|pareto]
  loss=1%              loss=ge:1%,20%[,LOSS_IN_BAD[,LOSS_IN_GOOD]]  loss=trace:FILE
  reorder=1%[:BY]      duplicate=1%       corrupt=0.1%
  queue=100p|64k|50ms  aqm=codel[:TARGET,INTERVAL]|red:MIN,MAX,P|near-full|droptail
  mtu=1400[:icmp|drop] trace=FILE (mahimahi)
  state=up|down        down=2s-4s,10s-11s[@20s]
  box=NAME[:ARGUMENTS] (repeatable; `mpuser link boxes`)

A FILE has one table per link:
  [[link]]
  name = \"wifi\"
  from = \"wifi0@client,10.7.0.1/24\"
  to = \"wifi0@server,10.7.0.2/24\"
  set = \"rate=20mbit delay=10ms\"
  box = [\"strip-mptcp:syn\"]
  mtu = 1500
  seed = 1")]
pub(crate) struct LinkUp {
    /// A file with links; words without it
    #[arg(value_name = "FILE|WORD")]
    pub(crate) words: Vec<String>,
    /// What the link is called; without it the device of --from
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The end where packets go in forwards; boxes stand here
    #[arg(long, value_name = "END", value_parser = end, requires = "to")]
    pub(crate) from: Option<TunEnd>,
    /// The other end
    #[arg(long, value_name = "END", value_parser = end, requires = "from")]
    pub(crate) to: Option<TunEnd>,
    /// The devices' MTU
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(576..))]
    pub(crate) mtu: Option<u16>,
    /// Write what comes through, and on `drop:NAME` what does not, into a capture (pcapng); `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<std::path::PathBuf>,
    /// What loss, jitter and the like are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
pub(crate) struct LinkSet {
    /// Which link
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What changes, as in `mpuser link up --help`
    #[arg(value_name = "WORD", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct LinkShow {
    /// Which link; without it all
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct LinkDown {
    /// Which link
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Every link
    #[arg(long)]
    pub(crate) all: bool,
}

fn end(text: &str) -> Result<TunEnd, String> {
    text.parse().map_err(|error: NetError| format!("{}; {}", error.because, error.help))
}
