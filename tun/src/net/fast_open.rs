//! Fast Open cookies that servers gave (RFC 7413 4.1.3), for later processes: a process opens its one connection and
//! ends, and would never use a cookie of its own.

use super::error::Result;
use super::memory::Memory;
use mpuser_engine::addr::IpAddr;
use mpuser_engine::tcp::FastOpenCookie;
use serde::{Deserialize, Serialize};

const MEMORY: Memory =
    Memory::new("fast-open.json", 256, "remove it: the next connections fetch cookies anew");

#[derive(Serialize, Deserialize)]
struct Kept {
    cookie: Vec<u8>,
    mss: u16,
}

/// Remembers the cookie of a server, and the MSS that goes with it.
///
/// # Errors
/// The state directory cannot be written.
pub fn remember(server: IpAddr, (cookie, mss): (FastOpenCookie, u16)) -> Result<()> {
    let kept = Kept { cookie: cookie.as_slice().to_vec(), mss };
    MEMORY.remember(&server.to_string(), Some(kept))
}

/// The cookie this server gave.
///
/// # Errors
/// The file cannot be read or understood.
pub fn remembered(server: IpAddr) -> Result<Option<(FastOpenCookie, u16)>> {
    let kept: Option<Kept> = MEMORY.all()?.remove(&server.to_string());
    Ok(kept.and_then(|kept| Some((FastOpenCookie::new(&kept.cookie)?, kept.mss))))
}
