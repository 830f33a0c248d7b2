//! Bytes of the wire and values of the engine: IPv4, IPv6, TCP, its options, MPTCP's option and ICMP errors.
//!
//! Every parser is a total function: any input gives a value or an [`Error`], nothing panics, nothing allocates.

mod beginning;
mod bytes;
pub mod checksum;
pub mod error;
pub mod frame;
pub mod icmp;
pub mod ip;
mod ipv4;
mod ipv6;
pub mod mptcp;
mod option_buffer;
mod pretty;
#[cfg(test)]
pub(crate) mod samples;
pub mod segmentation;
pub mod source_route;
pub mod tcp;
pub mod tcp_option;
mod tcp_options;

pub(crate) use beginning::{Beginning, Behind};
pub use checksum::{Checksum, dss_checksum, dss_checksum_valid};
pub use error::Error;
pub use icmp::{IcmpError, IcmpKind};
pub use ip::IpHeader;
pub use mptcp::{
    AddAddr, CapableFlags, DataAck, Dss, DssMapping, FastClose, MpCapable, MpFail, MpJoin, MpPrio,
    MpTcpRst, MptcpOption, RawOption, RemoveAddr, WireDataSeq,
};
pub use option_buffer::OptionBuffer;
pub use pretty::pretty;
pub use segmentation::Segments;
pub use tcp::{ChecksumMode, HeaderLengths, TcpHeader};
pub use tcp_option::{FastOpenCookie, TcpOption, TcpOptionIter};
pub use tcp_options::{OptionBytes, SignalList, TcpOptions};
