//! Cookies that Transport Converters gave (RFC 8803 6.2.7), for later processes.

use super::error::Result;
use super::memory::Memory;
use std::net::SocketAddr;

const MEMORY: Memory =
    Memory::new("convert.json", 256, "remove it: the next connections fetch cookies anew");

/// Remembers the cookie of a converter, or forgets it.
///
/// # Errors
/// The state directory cannot be written.
pub fn remember(converter: SocketAddr, cookie: Option<&[u8]>) -> Result<()> {
    MEMORY.remember(&converter.to_string(), cookie.map(<[u8]>::to_vec))
}

/// The cookie this converter gave.
///
/// # Errors
/// The file cannot be read or understood.
pub fn remembered(converter: SocketAddr) -> Result<Option<Vec<u8>>> {
    Ok(MEMORY.all()?.remove(&converter.to_string()))
}
