//! Arguments of `mpuser proxy` and `mpuser forward`.

use super::url::{Listen, parse_listen, parse_local};
use crate::args::Transport;
use crate::units::parse_duration;
use clap::{Args, ValueEnum};
use mpuser_proxy::pool::Balance;
use mpuser_tun::net::{NetError, Prefix};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser forward 8080 192.168.56.101:80                  curl http://127.0.0.1:8080/ goes over all paths
  mpuser forward 10.0.0.1:8080 HOST:80 --max-conns 50    for other machines, too
  mpuser forward 2222 HOST:22 --require-mptcp --json

Who cannot be reached is a reset for the program. The first Ctrl-C ends it.")]
pub(crate) struct Forward {
    /// [ADDR:]PORT to listen on; without an address 127.0.0.1
    #[arg(value_name = "LOCALPORT", value_parser = parse_local)]
    pub(crate) local: SocketAddr,
    /// HOST:PORT or [IPV6]:PORT; of a name, each address is tried
    #[arg(value_name = "HOST:PORT")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) door: Door,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser proxy --listen mptcp://:7000 --to 10.0.0.1:80,10.0.0.2:80 --balance least
  mpuser proxy --listen mptcp://192.168.56.101:80 --to 127.0.0.1:8080 --max-conns 500
  mpuser proxy --listen socks5://127.0.0.1:1080
  mpuser proxy --listen socks5://127.0.0.1:1080 --user me:secret --json
  mpuser proxy --convert --allow 10.0.0.0/8,192.168.0.0/16 --cookies

mptcp:// takes MPTCP and plain TCP clients in and speaks plain TCP to the servers. socks5:// takes programs
in and speaks MPTCP to whatever they name. One line tells of each connection; the first Ctrl-C ends it.")]
pub(crate) struct Proxy {
    /// Where clients come in: mptcp://[ADDR]:PORT or socks5://[ADDR]:PORT; with --convert mptcp://:5124
    #[arg(long, value_name = "URL", value_parser = parse_listen, required_unless_present = "convert")]
    pub(crate) listen: Option<Listen>,
    /// Be a Transport Converter (RFC 8803): clients of mptcp:// say themselves which plain server they want
    #[arg(long, conflicts_with = "to")]
    pub(crate) convert: bool,
    /// Networks a converter leads to; anywhere without
    #[arg(long, value_name = "NET,...", value_delimiter = ',', requires = "convert", value_parser = network)]
    pub(crate) allow: Vec<Prefix>,
    /// Lead only clients on that show a cookie this converter gave to their address
    #[arg(long, requires = "convert")]
    pub(crate) cookies: bool,
    /// Plain servers behind mptcp://; of a name, each address is tried
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub(crate) to: Vec<String>,
    /// Which server a client gets
    #[arg(long, value_name = "HOW", default_value = "roundrobin", requires = "to")]
    pub(crate) balance: BalanceArg,
    /// From one health check of a server (a TCP connection) to the next; `off` for none
    #[arg(long, value_name = "TIME|off", default_value = "2s", requires = "to", value_parser = check_every)]
    pub(crate) check_every: Every,
    /// Failures in a row, of checks or of clients, after which a server is down; one success brings it back
    #[arg(long, value_name = "N", default_value_t = 3, requires = "to", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) check_fall: u32,
    /// Let in only who says this (repeatable): SOCKS5 user and password
    #[arg(long, value_name = "NAME:PASSWORD", env = "MPUSER_PROXY_USER", hide_env_values = true, value_parser = user)]
    pub(crate) user: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) door: Door,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// What every front door takes.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Door {
    /// Most clients at once; further ones wait
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) max_conns: u32,
    /// How long each address of a server may take to answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) dial_timeout: Duration,
}

/// Which server a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BalanceArg {
    /// One after the other
    Roundrobin,
    /// The one with the fewest connections
    Least,
}

impl From<BalanceArg> for Balance {
    fn from(arg: BalanceArg) -> Self {
        match arg {
            BalanceArg::Roundrobin => Self::RoundRobin,
            BalanceArg::Least => Self::LeastConnections,
        }
    }
}

/// How often; `None` is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Every(pub(crate) Option<Duration>);

fn check_every(text: &str) -> Result<Every, String> {
    match text {
        "off" => Ok(Every(None)),
        text => parse_duration(text).map(|time| Every(Some(time))),
    }
}

fn network(text: &str) -> Result<Prefix, String> {
    // clap says what failed and on what; the reason is what is missing
    text.parse().map_err(|error: NetError| error.because)
}

fn user(text: &str) -> Result<(String, String), String> {
    let both = text.split_once(':').filter(|(name, password)| {
        // as much as the protocol can carry
        (1..=255).contains(&name.len()) && (1..=255).contains(&password.len())
    });
    let (name, password) = both.ok_or("write NAME:PASSWORD, each of 1 to 255 bytes")?;
    Ok((name.to_owned(), password.to_owned()))
}
