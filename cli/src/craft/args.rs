//! Arguments of `craft`, `scan` and `script`.

use crate::args::{path_spec, profile};
use crate::units::parse_duration;
use clap::Args;
use mpuser_engine::config::Profile;
use mpuser_tun::net::PathSpec;
use std::path::PathBuf;
use std::time::Duration;

/// `craft`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser craft 'IP(dst=\"192.168.56.101\")/TCP(dport=7000,flags=\"S\")/MP_CAPABLE(H=1)'
  mpuser craft --hex 'TCP(flags=\"S\")/MP_JOIN(peer_key=0xca43a3a39b2d6a4c)'    token filled in
  mpuser craft 'TCP(chksum=0xdead)/DSS(dsn=1,len=3)/\"hello\"'                  forced wrong
  mpuser craft --pcap - 'TCP/MP_PRIO' 'TCP/MP_TCPRST(reason=1)' | wireshark -k -i -
  mpuser craft --send 'IP(dst=\"192.168.56.101\")/TCP(dport=7000,flags=\"S\")/MP_CAPABLE'  and the answers
  mpuser craft --repl                                                         line by line, with sessions
  mpuser craft --layers                                                       what there is

Layers are divided by /. A field that is not said is filled in: lengths, checksums, tokens, HMACs, data sequence
numbers. `bad` in its place makes it wrong, `none` leaves it out.")]
pub(crate) struct Craft {
    /// Packets: layers divided by `/`, fields as `name=value`
    #[arg(value_name = "EXPR", required_unless_present_any = ["layers", "repl"])]
    pub(crate) expressions: Vec<String>,
    /// List layers and their fields
    #[arg(long, conflicts_with = "expressions")]
    pub(crate) layers: bool,
    /// Read lines: packets by name, and sessions that do handshake, join, data and close
    ///
    /// With history and completion on a terminal; `help` says what there is.
    #[arg(long, conflicts_with_all = ["expressions", "layers", "hex", "send"])]
    pub(crate) repl: bool,
    /// Print octets in hex, with text beside
    #[arg(long, conflicts_with = "pcap")]
    pub(crate) hex: bool,
    /// Write a capture (pcapng); `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Send them, one after the other on one connection, and show the answers
    ///
    /// Numbers and keys of both ends are kept: what is not said follows from what came before.
    #[arg(long, conflicts_with_all = ["hex", "layers"])]
    pub(crate) send: bool,
    /// How long to wait for answers to each packet
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration, requires = "send")]
    pub(crate) timeout: Duration,
    /// A path to use (repeatable): [NAME=]DEV[,local=ADDR][,gw=ADDR]
    #[arg(long, value_name = "PATH", value_parser = path_spec)]
    pub(crate) path: Vec<PathSpec>,
    /// Use checksums of data, as if both ends had agreed on them
    #[arg(long)]
    pub(crate) checksum: bool,
}

/// `scan`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser scan 192.168.56.101 -p 7000          one port
  mpuser scan HOST -p 80,443,7000 --json      an object for each port
  mpuser scan HOST -p 443 --pcap scan.pcapng  with all packets

An MP_CAPABLE in the answer proves nothing: boxes send back options they do not know. So a join and a DATA_FIN have to
be answered with what only the holder of our key can know. A port gets up to five SYNs and no data; every connection is
ended with a RST.")]
pub(crate) struct Scan {
    /// Name or address
    #[arg(value_name = "HOST")]
    pub(crate) host: String,
    /// Ports, divided by commas
    #[arg(short, long, value_name = "PORT", value_delimiter = ',', required = true)]
    pub(crate) port: Vec<u16>,
    /// How long an answer to a SYN may take; three are sent
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// A path to use: [NAME=]DEV[,local=ADDR][,gw=ADDR]
    #[arg(long, value_name = "PATH", value_parser = path_spec)]
    pub(crate) path: Vec<PathSpec>,
    /// Write a capture (pcapng); `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}

/// `script`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser script join.mps                                  against the engine, in virtual time
  mpuser script join.mps --target kernel                  against this machine's kernel, in a namespace of its own
  mpuser script join.mps --target 192.168.56.101:7000     against a host, over TUN devices
  mpuser script *.mps --json

A step on a line: send, expect, await, silence, wait, flow, let, check, link, app. docs/script.md is the manual.
Exit code 7: something else came than was expected; the difference is shown field by field.")]
pub(crate) struct Script {
    /// Scripts; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The stack under test: engine, kernel, or HOST:PORT
    #[arg(long, value_name = "TARGET", default_value = "engine")]
    pub(crate) target: String,
    /// The engine's choices where RFC 8684 and Linux part: rfc, linux
    #[arg(long, value_name = "PROFILE", default_value = "rfc", value_parser = profile)]
    pub(crate) profile: Profile,
    /// A path to use (repeatable): [NAME=]DEV[,local=ADDR][,gw=ADDR]
    #[arg(long, value_name = "PATH", value_parser = path_spec)]
    pub(crate) path: Vec<PathSpec>,
    /// Write a capture (pcapng) of all packets; `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}
