//! `struct sockaddr`, in and out.

use super::{give, octets};
use crate::errno::{Answer, Errno};
use libc::{sockaddr, socklen_t};
use mpuser_engine::addr::SocketAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address; `None` is `AF_UNSPEC`.
///
/// # Safety
///
/// `from` is null or points to `len` readable octets.
pub(super) unsafe fn read(from: *const sockaddr, len: socklen_t) -> Answer<Option<SocketAddr>> {
    // SAFETY: the same contract.
    let raw = unsafe { octets(from.cast(), len as usize) }?;
    parse(&raw)
}

fn parse(raw: &[u8]) -> Answer<Option<SocketAddr>> {
    let invalid = Errno(libc::EINVAL);
    let family = raw.get(..2).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
    let port = raw.get(2..4).and_then(|two| two.try_into().ok()).map(u16::from_be_bytes);
    match family.map(i32::from) {
        Some(libc::AF_UNSPEC) => Ok(None),
        Some(libc::AF_INET) => {
            let ip = raw.get(4..8).and_then(|four| <[u8; 4]>::try_from(four).ok());
            let ip = Ipv4Addr::from(ip.ok_or(invalid)?);
            Ok(Some(SocketAddr::from((ip, port.ok_or(invalid)?))))
        }
        Some(libc::AF_INET6) => {
            let ip = raw.get(8..24).and_then(|all| <[u8; 16]>::try_from(all).ok());
            let ip = Ipv6Addr::from(ip.ok_or(invalid)?);
            Ok(Some(SocketAddr::from((ip, port.ok_or(invalid)?))))
        }
        Some(_) => Err(Errno(libc::EAFNOSUPPORT)),
        None => Err(invalid),
    }
}

fn build(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut raw = u16::try_from(family).unwrap_or(0).to_ne_bytes().to_vec();
    raw.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            raw.extend(v4.ip().octets());
            raw.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            raw.extend(v6.flowinfo().to_be_bytes());
            raw.extend(v6.ip().octets());
            raw.extend(v6.scope_id().to_ne_bytes());
        }
    }
    raw
}

/// Gives an address to the caller, cut to the room there is; `len` becomes its full length.
///
/// # Safety
///
/// `len` is null or points to a readable and writable length, and `to` is null or points to as many writable octets.
pub(super) unsafe fn write(to: *mut sockaddr, len: *mut socklen_t, address: SocketAddr) {
    if to.is_null() || len.is_null() {
        return;
    }
    let raw = build(address);
    // SAFETY: not null, valid by contract.
    let room = unsafe { *len } as usize;
    // SAFETY: not null, and by contract at least `room` octets may be written.
    let _ = unsafe { give(to.cast(), raw.get(..room).unwrap_or(&raw)) };
    // SAFETY: as above.
    unsafe { *len = socklen_t::try_from(raw.len()).unwrap_or(0) };
}

#[cfg(test)]
mod tests {
    use super::{build, parse};

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["192.0.2.1:8080", "[2001:db8::1]:443", "[::ffff:192.0.2.1]:1"] {
            let address = text.parse().unwrap();
            assert_eq!(parse(&build(address)), Ok(Some(address)));
        }
        assert!(parse(&[2, 0, 0]).is_err(), "cut short");
        assert_eq!(parse(&[0, 0]), Ok(None));
    }
}
