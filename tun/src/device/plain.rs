//! The plain TUN device: one packet per system call, through the `tun-tap` crate.
//!
//! `tun-tap` opens `/dev/net/tun` itself and asks for fixed flags, so the virtio-net header is not to be had with it:
//! that is [`OffloadTun`](super::OffloadTun).

use super::offload::set_features;
use super::{Device, MAX_PACKET, Received, read_packet, segments};
use crate::error::Error;
use bytes::BytesMut;
use mpuser_engine::time::Instant;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use tun_tap::{Iface, Mode};

/// The MTU of a device that does not tell.
const DEFAULT_MTU: u16 = 1500;
/// `IFNAMSIZ` less the terminating zero.
const MAX_NAME: usize = libc::IFNAMSIZ - 1;

/// A TUN device without offload. Needs `CAP_NET_ADMIN`, or a persistent device made for this user before.
#[derive(Debug)]
pub struct PlainTun {
    file: File,
    interface: Interface,
}

impl PlainTun {
    /// Creates the device, or attaches to it if it exists, is persistent and nobody else has it. `%d` in the name
    /// becomes a free number. The interface is neither brought up nor given an address.
    ///
    /// # Errors
    /// [`Error::DeviceName`], or [`Error::OpenDevice`] with the reason.
    pub fn open(name: &str) -> io::Result<Self> {
        check_name(name)?;
        let open = || -> io::Result<Iface> {
            let iface = Iface::without_packet_info(name, Mode::Tun)?;
            iface.set_non_blocking()?;
            Ok(iface)
        };
        let iface = open().map_err(|source| open_error(name, source))?;
        let name = iface.name().to_owned();
        // SAFETY: the descriptor is open, and `into_raw_fd` gives up its ownership.
        let file = unsafe { File::from_raw_fd(iface.into_raw_fd()) };
        // A persistent device may still be told to merge, by a process that died.
        let _ = set_features(file.as_fd(), 0);
        Ok(Self { file, interface: Interface::new(name) })
    }

    /// Attaches to a persistent device that must exist already (`ip tuntap add NAME mode tun`).
    ///
    /// # Errors
    /// As [`PlainTun::open`], and `NotFound` if there is no such device.
    pub fn attach(name: &str) -> io::Result<Self> {
        if let Err(source) = interface_mtu(name) {
            return Err(open_error(name, source));
        }
        Self::open(name)
    }
}

impl Device for PlainTun {
    fn recv(&self, _now: Instant, arena: &mut BytesMut) -> io::Result<Received> {
        let max = usize::from(self.interface.last_mtu());
        read_packet(self.file.as_fd(), arena, max).map(Received::plain)
    }

    fn send(
        &self,
        _now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()> {
        let write = |headers: &[u8], payload: &[u8]| {
            // One writev is one packet; the kernel takes all of it or nothing.
            (&self.file).write_vectored(&[IoSlice::new(headers), IoSlice::new(payload)]).map(drop)
        };
        segments(headers, payload, segment_size, write)
    }

    fn name(&self) -> &str {
        &self.interface.name
    }

    fn mtu(&self) -> u16 {
        self.interface.mtu()
    }

    fn offload(&self) -> bool {
        false
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The kernel's rule; `tun-tap` would cut a longer name silently.
pub(super) fn check_name(name: &str) -> io::Result<()> {
    let unusable = |c: char| c == '/' || c == '\0' || c.is_whitespace();
    if name.is_empty() || name.len() > MAX_NAME || name.contains(unusable) {
        return Err(Error::DeviceName(name.to_owned()).into());
    }
    Ok(())
}

pub(super) fn open_error(name: &str, source: io::Error) -> io::Error {
    let hint = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "permission denied; it takes CAP_NET_ADMIN, or a persistent device that belongs to this user"
        }
        Some(libc::EBUSY) => "another program has it open",
        Some(libc::EINVAL) => "an interface of that name exists and is no TUN device of this kind",
        Some(libc::ENOENT | libc::ENXIO) => "there is no /dev/net/tun; is the tun module loaded?",
        Some(libc::ENODEV) => "there is no such device",
        _ => "the kernel refused",
    };
    Error::OpenDevice { name: name.to_owned(), hint, source }.into()
}

/// The interface of a device.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    /// As last seen: the interface may be in a namespace this thread has left.
    mtu: AtomicU16,
}

impl Interface {
    pub(super) fn new(name: String) -> Self {
        let mtu = AtomicU16::new(interface_mtu(&name).unwrap_or(DEFAULT_MTU));
        Self { name, mtu }
    }

    pub(super) fn mtu(&self) -> u16 {
        if let Ok(mtu) = interface_mtu(&self.name) {
            self.mtu.store(mtu, Ordering::Relaxed);
        }
        self.last_mtu()
    }

    fn last_mtu(&self) -> u16 {
        self.mtu.load(Ordering::Relaxed)
    }
}

/// A request about an interface; its name is zero-terminated.
pub(super) fn request_for(name: &str) -> libc::ifreq {
    // SAFETY: all-zero bytes are a valid ifreq: it holds integers and unions of them.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(MAX_NAME).zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request
}

/// MTU of an interface in this thread's network namespace.
fn interface_mtu(name: &str) -> io::Result<u16> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    let mut request = request_for(name);
    // SAFETY: SIOCGIFMTU reads the name (zero-terminated, as its last byte was left alone) and writes one integer
    // into the request, which outlives the call.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: SIOCGIFMTU has set this member of the union.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(u16::try_from(mtu).unwrap_or(MAX_PACKET as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_kernel_would_cut_are_refused() {
        for name in ["", "sixteen-bytes-xx", "a/b", "a b", "a\0b"] {
            let error = PlainTun::open(name).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn the_mtu_of_the_loopback_device_is_known() {
        // Present in every namespace, up or not; 65 536 does not fit and is capped.
        assert_eq!(interface_mtu("lo").unwrap(), u16::MAX);
        assert!(interface_mtu("no-such-device").is_err());
        assert!(PlainTun::attach("no-such-dev").is_err());
    }
}
