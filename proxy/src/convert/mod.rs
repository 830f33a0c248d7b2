//! The 0-RTT TCP Convert Protocol (RFC 8803): a client says to a Transport Converter, in the first bytes of its
//! connection and so on the SYN if it may, where it wants to be led; the converter says whether it got there, and from then
//! on both pass bytes on. So a server without MPTCP is reached over MPTCP as far as the converter.

mod client;
mod cookie;
mod request;
mod server;
mod wire;

pub use client::{Refused, answer, ask};
pub use cookie::Cookies;
pub use server::{Converter, Dial, Kernel};
pub use wire::{Connect, ErrorCode, Message, Mistake, TcpOption, Tlv, TooLong};

/// The port the IANA has assigned.
pub const PORT: u16 = 5_124;
