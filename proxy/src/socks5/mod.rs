//! SOCKS5 (RFC 1928, RFC 1929): programs name a destination, and are led there over MPTCP.

mod server;
mod wire;

pub use server::{Socks5, hear};
pub use wire::{Command, Destination, Method, Mistake, Reply, Request};
