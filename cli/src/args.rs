//! The command line. Every command has examples; every value is checked while it is parsed.

pub(crate) mod lab;

use crate::operator::args as operator;
use crate::settings::Order;
use crate::units::{parse_duration, parse_rate, parse_size};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
pub(crate) use lab::{Lab, LabDown, LabExec, LabUp};
use mpuser_engine::config::{CongestionAlgorithm, PathManagerKind, Profile, SchedulerSpec};
use mpuser_engine::settings::Settings;
use mpuser_tun::net::{NetError, PathSpec};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  done as asked                       5  --require-mptcp, and it is plain TCP
  1  connection lost, or I/O error       6  a privilege or device is missing
  2  wrong usage                         7  a check failed
  3  refused or unreachable              8  malformed input file
  4  timeout                            70  a bug in mpuser
  130 and 143: ended by SIGINT and SIGTERM";

/// Multipath TCP (RFC 8684) in user space: no kernel support needed at this end.
#[derive(Debug, Parser)]
#[command(name = "mpuser", version, about, after_help = EXIT_CODES, max_term_width = 100)]
#[command(propagate_version = true, subcommand_required = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// Machine-readable results and errors
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more; twice for every event
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// The configuration file; without it mpuser/config.toml in XDG_CONFIG_HOME
    #[arg(long, global = true, value_name = "FILE", env = "MPUSER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set what sysctl would set, `net.mptcp.` left out or not (repeatable)
    #[arg(long, global = true, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect like netcat: stdin to the peer, the peer to stdout
    Connect(Box<Connect>),
    /// Listen like netcat, echo or discard
    Listen(Box<Listen>),
    /// Run a program as it is: its TCP connections become MPTCP connections over all paths
    Run(Box<crate::run::args::Run>),
    /// A local port that leads to a server over all paths: for programs that know nothing of MPTCP
    Forward(Box<crate::proxy::args::Forward>),
    /// A front door: MPTCP clients to plain servers, or programs that speak SOCKS5 to MPTCP
    Proxy(Box<crate::proxy::args::Proxy>),
    /// Measure throughput as iperf3 does, with a column per subflow
    Perf(Box<crate::perf::args::Perf>),
    /// Namespace labs: two routers' worth of paths and a kernel peer on one machine
    #[command(subcommand)]
    Lab(Lab),
    /// Links with delay, loss and middleboxes between TUN devices
    #[command(subcommand)]
    Link(crate::link::args::Link),
    /// Say what this machine lacks, and how to repair it
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor,
    /// Schedulers: which there are, and their parameters
    #[command(visible_alias = "schedulers")]
    Sched(crate::scheduler::Sched),
    /// Connections of running processes, with the key names of `ss -M`
    Ss(operator::Ss),
    /// Counters of running processes, named as in `nstat`; or what goes over each path
    Stats(operator::Stats),
    /// Events of running processes, as `ip mptcp monitor` prints them
    Monitor(operator::Monitor),
    /// Addresses the path manager of a running process may use, as `ip mptcp endpoint`
    Endpoint(operator::Endpoint),
    /// How many subflows there may be, as `ip mptcp limits`
    Limits(operator::Limits),
    /// Open or close a subflow by hand, or make it a backup
    Subflow(operator::Subflow),
    /// Lead a connection through another forwarder, or no longer
    Via(operator::Via),
    /// Let connections use an interface, keep them from it, or make it a backup
    Multipath(operator::MultipathArgs),
    /// Settings of running processes, as they are now
    Settings(operator::SettingsArgs),
    /// Change settings of running processes, as `sysctl -w`
    Set(operator::Set),
    /// Settings: what there is, what they are, who set them
    #[command(subcommand)]
    Config(operator::Config),
    /// Show it: three paths, a kernel peer, one path cut in the middle
    Demo(Demo),
    /// Hold the engine, and this machine's kernel, against the catalogue of cases
    Conform(Conform),
    /// Simulate a scenario in virtual time
    Sim(crate::simulate::args::Sim),
    /// Experiments: a scenario at many points with many seeds, on all cores or many machines
    #[command(subcommand)]
    Exp(crate::exp::args::Exp),
    /// Captures packet by packet: one line each, MPTCP options of both versions field by field
    Decode(crate::inspect::args::Decode),
    /// Captures as connections: subflows, mappings, reinjections, fallbacks; what breaks the RFC
    Inspect(crate::inspect::args::Inspect),
    /// Play one side of a capture against the engine, and say where it does something else
    Replay(crate::replay::Replay),
    /// Packets made by hand, in one expression: shown, written, sent
    Craft(crate::craft::args::Craft),
    /// Is there an MPTCP stack, or a box that mirrors the option?
    Scan(crate::craft::args::Scan),
    /// Scenario scripts: what is sent by hand, and what has to come back
    Script(crate::craft::args::Script),
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  mpuser doctor           one line per check: ok, warn or fail, and the repair
  mpuser doctor --json    the same for scripts; exit code 6 if anything failed";

/// What a connection can be asked for; shared by every command that makes or takes some.
#[derive(Args, Clone, Debug)]
pub(crate) struct Transport {
    /// A path to use (repeatable); without it every usable interface is one
    ///
    /// [NAME=]DEV[,local=ADDR][,gw=ADDR][,backup]
    #[arg(long, value_name = "PATH", value_parser = path_spec)]
    pub(crate) path: Vec<PathSpec>,
    /// How the engine's addresses reach the network
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) nat: Nat,
    /// One packet per read and write of the TUN devices, cut and summed here, though the kernel could do more at once
    #[arg(long)]
    pub(crate) no_offload: bool,
    /// Ask for DSS checksums
    #[arg(long, value_name = "on|off")]
    pub(crate) checksum: Option<Switch>,
    /// Scheduler with its parameters, or a script (`my.rhai`); `mpuser sched` lists them
    #[arg(long, value_name = "NAME[,PARAM=..]", value_parser = crate::scheduler::parse)]
    pub(crate) sched: Option<SchedulerSpec>,
    /// Congestion control of each subflow
    #[arg(long, value_name = "NAME", value_parser = congestion())]
    pub(crate) cc: Option<CongestionAlgorithm>,
    /// Who opens subflows: kernel, fullmesh, ndiffports=N, binder, none
    #[arg(long, value_name = "NAME", value_parser = path_manager)]
    pub(crate) pm: Option<PathManagerKind>,
    /// With `--pm binder`: one more path through each of these gateways
    #[arg(long, value_name = "ADDR,...", value_delimiter = ',')]
    pub(crate) gateway: Vec<IpAddr>,
    /// From the configuration file, the environment and `--set`
    #[arg(skip)]
    pub(crate) settings: Settings,
    /// Endpoints and limits from the configuration file
    #[arg(skip)]
    pub(crate) orders: Vec<Order>,
    /// Data with the SYN (TCP Fast Open, TFO), with a cookie of the server's or without
    ///
    /// The first connection to a server fetches a cookie, the next ones send what stdin has at once. The network may
    /// deliver such data twice.
    #[arg(long, value_name = "cookie|no-cookie", num_args = 0..=1, require_equals = true, default_missing_value = "cookie")]
    pub(crate) fast_open: Option<FastOpenArg>,
    /// Stay on the first subflow
    #[arg(long)]
    pub(crate) no_join: bool,
    /// Fail with exit code 5 rather than run as plain TCP
    #[arg(long)]
    pub(crate) require_mptcp: bool,
    /// Give up after this long without a byte either way
    #[arg(short = 'i', long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_timeout: Option<Duration>,
    /// Write a capture (pcapng) of the engine's packets; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Bytes of each packet to capture
    #[arg(long, value_name = "BYTES", default_value_t = 262_144, requires = "pcap")]
    pub(crate) snaplen: u32,
    /// Write down what the engine is given and what it sends; `mpuser replay FILE` does it again exactly
    ///
    /// For reports of bugs. The log holds the keys and the data of the connections.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Most that --record writes
    #[arg(long, value_name = "SIZE", default_value = "256M", requires = "record", value_parser = parse_size)]
    pub(crate) record_limit: u64,
}

/// Which of stdin and stdout a connection uses.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Stdio {
    /// Ignore what the peer sends
    #[arg(long, conflicts_with = "recv_only")]
    pub(crate) send_only: bool,
    /// Send nothing; stdin is not read
    #[arg(long)]
    pub(crate) recv_only: bool,
}

/// How the engine's addresses reach the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Nat {
    /// Routed where the network knows the way back, else masquerade
    Auto,
    /// Rewrite to the interface's own address
    Masquerade,
    /// Leave addresses alone
    None,
}

/// How a client shows its address with data on the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FastOpenArg {
    /// By a cookie the server gave
    Cookie,
    /// Not at all: for servers that know their clients otherwise
    NoCookie,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser connect 192.168.56.101:7000             talk to a server
  mpuser connect -z --require-mptcp HOST 443     does this server speak MPTCP?
  mpuser connect --path eth0 --path wlan0,backup HOST:7000 < file
  mpuser connect --via 10.0.1.2 --via 10.0.2.2:8000 HOST:7000   two proxies, one connection
  mpuser connect --via socks5://10.0.1.2:1080 --via http://10.0.2.2:3128 HOST:7000
  mpuser connect --convert 10.0.1.2 HOST:80      a server without MPTCP, behind a converter (RFC 8803)
  mpuser connect --pcap - HOST:7000 < file | wireshark -k -i -
  mpuser connect --fast-open HOST:7000 < query   with a cookie from the last time: data on the SYN
  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | mpuser connect --json HOST 80 > page

Stdout carries the peer's bytes and nothing else; events, the summary and errors
go to stderr. The first Ctrl-C closes with DATA_FIN, the second aborts.")]
pub(crate) struct Connect {
    /// HOST:PORT, [IPV6]:PORT or HOST PORT
    #[arg(value_name = "HOST:PORT", required = true, num_args = 1..=2)]
    pub(crate) target: Vec<String>,
    /// Through this forwarder (repeatable): HOST[:PORT], a proxy's URL, or `direct` for none
    ///
    /// HOST[:PORT] passes TCP options on and is set up to lead to the server; the port is the server's without.
    /// socks5://[USER:PASSWORD@]HOST:PORT, http://[USER:PASSWORD@]HOST:PORT (CONNECT) and tcp://HOST:PORT (a port
    /// forward, haproxy, nginx) may end TCP: the subflow is a stream, for which the server does `mpuser listen
    /// --stream PORT`. A proxy is asked for the server's address and port, or for what is behind a slash:
    /// socks5://HOST:PORT/SERVER:PORT. With such URLs alone no privileges are needed.
    ///
    /// The first subflow goes through the first one, the others join through the others, and what breaks is tried
    /// again.
    #[arg(long, value_name = "HOST[:PORT]|URL|direct", value_parser = crate::via::parse)]
    pub(crate) via: Vec<crate::via::Via>,
    /// Through this Transport Converter (RFC 8803): MPTCP up to it, plain TCP from there to the server
    ///
    /// HOST[:PORT]; the port is 5124 without. The wish goes with the first data, on the SYN with --fast-open.
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "via")]
    pub(crate) convert: Option<String>,
    #[command(flatten)]
    pub(crate) stdio: Stdio,
    #[command(flatten)]
    pub(crate) transport: Transport,
    /// Only shake hands, then close
    #[arg(short = 'z', long = "zero")]
    pub(crate) zero: bool,
    /// Give up if there is no connection after this long
    #[arg(short = 'w', long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) connect_timeout: Option<Duration>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser listen 7000                  one client; stdin to it, its bytes to stdout
  mpuser listen -k --echo 7000        give every client its bytes back
  mpuser listen -k --discard 10.83.56.2:7000 --json
  mpuser listen --recv-only 7000 > file
  mpuser listen --stream 9000 7000    behind proxies that end TCP, too

Plain TCP clients are served too, unless --require-mptcp is given.")]
pub(crate) struct Listen {
    /// [ADDR:]PORT; without an address every address of the engine
    #[arg(value_name = "[ADDR:]PORT")]
    pub(crate) address: String,
    /// Also take streams here, for subflows through proxies that end TCP (`connect --via URL`)
    ///
    /// Without an address on every address of this machine; an IPv6 address stands in brackets. It has to be another port than the one above where that is translated.
    #[arg(long, value_name = "[ADDR:]PORT")]
    pub(crate) stream: Option<String>,
    /// Take nothing but streams: no TUN device, no privileges
    #[arg(long, requires = "stream")]
    pub(crate) streams_only: bool,
    /// Send every byte back
    #[arg(long, conflicts_with_all = ["discard", "send_only", "recv_only"])]
    pub(crate) echo: bool,
    /// Read and forget
    #[arg(long, conflicts_with_all = ["send_only", "recv_only"])]
    pub(crate) discard: bool,
    /// Go on listening after a client has left
    #[arg(short, long)]
    pub(crate) keep: bool,
    /// Most clients at once with -k
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_conns: u32,
    #[command(flatten)]
    pub(crate) stdio: Stdio,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  mpuser demo                          64 MiB to a kernel and back, one path cut
  mpuser demo --compare                the same with the kernel's own client beside it
  mpuser demo --net proxies            one network card, two proxies, one of them dies
  mpuser demo --net memory             no privileges: two engines, no device
  mpuser demo --json | jq .stall_ms")]
pub(crate) struct Demo {
    /// How much to send, and get back
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = demo_size)]
    pub(crate) size: u64,
    /// Rate of each path, each way
    #[arg(long, value_name = "RATE", default_value = "100mbit", value_parser = parse_rate)]
    pub(crate) rate: u64,
    /// Leave the lab standing
    #[arg(long)]
    pub(crate) keep: bool,
    /// The capture file
    #[arg(long, value_name = "FILE", default_value = "demo.pcapng")]
    pub(crate) pcap: PathBuf,
    /// What to run on
    #[arg(long, value_name = "NET", default_value = "auto")]
    pub(crate) net: DemoNet,
    /// Congestion control of each subflow
    #[arg(long, value_name = "NAME", value_parser = congestion())]
    pub(crate) cc: Option<CongestionAlgorithm>,
    /// Run the kernel's client through the same lab and cut, too (not with `--net proxies`: it has no way to)
    #[arg(long)]
    pub(crate) compare: bool,
    /// One packet per read and write of the TUN devices, though the kernel could do more at once
    #[arg(long)]
    pub(crate) no_offload: bool,
    /// What the data and the engine's keys are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What the demo runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoNet {
    /// The kernel lab where privileges allow it, else memory
    Auto,
    /// A namespace lab with the kernel as peer
    Kernel,
    /// The same behind two forwarding proxies
    Proxies,
    /// Two engines in this process
    Memory,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  mpuser conform                        every case against the engine; no privileges
  mpuser conform --target kernel        against the kernel, too, and both compared
  mpuser conform --target kernel --profile linux
  mpuser conform --only H,J13 --json
  mpuser conform --list

Exit code 7: a difference that sim/data/expected-differences.txt does not explain.")]
pub(crate) struct Conform {
    /// What to hold against the cases
    #[arg(long, value_name = "TARGET", default_value = "engine")]
    pub(crate) target: ConformTarget,
    /// Groups (H) and cases (J13), separated by commas
    #[arg(long, value_name = "GROUP|CASE", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// The engine's choices where RFC 8684 and Linux part: rfc, linux
    #[arg(long, value_name = "PROFILE", default_value = "rfc", value_parser = profile)]
    pub(crate) profile: Profile,
    /// List the cases
    #[arg(long)]
    pub(crate) list: bool,
    /// Print a table in Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) md: bool,
}

/// What the cases are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConformTarget {
    /// The engine, in virtual time
    Engine,
    /// The engine and this machine's kernel
    Kernel,
}

fn path_manager(text: &str) -> Result<PathManagerKind, String> {
    let known = || {
        let names = PathManagerKind::NAMES.join(", ");
        format!("the path managers are {names}, ndiffports=N (1 to 8), none")
    };
    let name = if text == "none" { "default" } else { text };
    PathManagerKind::from_name(name).ok_or_else(known)
}

pub(crate) fn profile(text: &str) -> Result<Profile, String> {
    let known = || format!("the profiles are {}", Profile::NAMES.join(", "));
    Profile::from_name(text).ok_or_else(known)
}

/// One of the names, with what each stands for in the help.
fn congestion() -> impl TypedValueParser<Value = CongestionAlgorithm> {
    let names = CongestionAlgorithm::all().map(|algorithm| {
        let value = PossibleValue::new(algorithm.name()).help(algorithm.summary());
        if algorithm == CongestionAlgorithm::NewReno { value.alias("newreno") } else { value }
    });
    PossibleValuesParser::new(names)
        .map(|name| CongestionAlgorithm::from_name(&name).unwrap_or_default())
}

pub(crate) fn path_spec(text: &str) -> Result<PathSpec, String> {
    // clap says what failed and on what; the reason is what is missing
    text.parse().map_err(|error: NetError| error.because)
}

fn demo_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        size @ 4_096..=17_179_869_184 => Ok(size),
        _ => Err("the demo moves 4K to 16G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    /// U3: an example for every command that does something.
    #[test]
    fn every_command_has_examples() {
        fn walk(command: &clap::Command) {
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:"), "{} has no examples", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    #[test]
    fn every_congestion_control_is_taken_and_explained() {
        for algorithm in CongestionAlgorithm::all() {
            let words = ["mpuser", "connect", "a:1", "--cc", algorithm.name()];
            let Command::Connect(connect) = Cli::try_parse_from(words).unwrap().command else {
                panic!("connect");
            };
            assert_eq!(connect.transport.cc, Some(algorithm));
        }
        let mut command = Cli::command();
        let connect = command.find_subcommand_mut("connect").unwrap();
        let help = connect.render_long_help().to_string();
        // long lines are broken
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(CongestionAlgorithm::all().all(|cc| help.contains(cc.summary())), "{help}");
    }

    #[test]
    fn conflicting_wishes_are_refused() {
        for words in [
            &["mpuser", "connect"][..],
            &["mpuser", "connect", "a", "1", "2"],
            &["mpuser", "connect", "a:1", "--send-only", "--recv-only"],
            &["mpuser", "connect", "a:1", "--sched", "fastest"],
            &["mpuser", "listen", "1", "--cc", "vegas"],
            &["mpuser", "demo", "--cc", ""],
            &["mpuser", "connect", "a:1", "-w", "0"],
            &["mpuser", "connect", "a:1", "-q", "-v"],
            &["mpuser", "listen", "--echo", "--discard", "1"],
            &["mpuser", "listen", "--max-conns", "0", "1"],
            &["mpuser", "lab", "exec", "client"],
            &["mpuser", "lab", "down", "seed", "--all"],
            &["mpuser", "demo", "--size", "1"],
            &["mpuser"],
        ] {
            assert!(Cli::try_parse_from(words).is_err(), "{words:?}");
        }
    }
}
