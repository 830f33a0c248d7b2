//! Bytes of the wire and values of the engine: IPv4, IPv6, TCP, its options, MPTCP's option and ICMP errors.
//!
//! Every parser is a total function: any input gives a value or an [`Error`], nothing panics, nothing allocates.

mod bytes;
pub mod error;
pub mod mptcp;

pub use error::Error;
pub use mptcp::{
    AddAddr, CapableFlags, DataAck, Dss, DssMapping, FastClose, MpCapable, MpFail, MpJoin, MpPrio,
    MpTcpRst, MptcpOption, RawOption, RemoveAddr, WireDataSeq,
};
