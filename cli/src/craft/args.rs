//! Arguments of `craft`.

use clap::Args;
use std::path::PathBuf;

/// `craft`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser craft 'IP(dst=\"192.168.56.101\")/TCP(dport=7000,flags=\"S\")/MP_CAPABLE(H=1)'
  mpuser craft --hex 'TCP(flags=\"S\")/MP_JOIN(peer_key=0xca43a3a39b2d6a4c)'    token filled in
  mpuser craft 'TCP(chksum=0xdead)/DSS(dsn=1,len=3)/\"hello\"'                  forced wrong
  mpuser craft --pcap - 'TCP/MP_PRIO' 'TCP/MP_TCPRST(reason=1)' | wireshark -k -i -
  mpuser craft --layers                                                       what there is

Layers are divided by /. A field that is not said is filled in: lengths, checksums, tokens, HMACs, data sequence
numbers. `bad` in its place makes it wrong, `none` leaves it out.")]
pub(crate) struct Craft {
    /// Packets: layers divided by `/`, fields as `name=value`
    #[arg(value_name = "EXPR", required_unless_present = "layers")]
    pub(crate) expressions: Vec<String>,
    /// List layers and their fields
    #[arg(long, conflicts_with = "expressions")]
    pub(crate) layers: bool,
    /// Print octets in hex, with text beside
    #[arg(long, conflicts_with = "pcap")]
    pub(crate) hex: bool,
    /// Write a capture (pcapng); `-` is stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Use checksums of data, as if both ends had agreed on them
    #[arg(long)]
    pub(crate) checksum: bool,
}
