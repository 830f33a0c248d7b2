//! A TUN device with a virtio-net header: it takes and gives super-segments, and completes checksums.

use super::pool::Pool;
use super::vnet::{self, VnetHeader};
use super::{Device, MAX_PACKET, Received, plain};
use bytes::BytesMut;
use mpuser_engine::time::Instant;
use mpuser_engine::wire::segmentation;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

/// What the kernel may leave to us, that is, what it merges or does not complete.
const FEATURES: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
/// The same for UDP, which Linux knows since 6.2, both families or none. This stack has no use for UDP; what somebody
/// sends it in bulk costs one read in place of dozens.
const WITH_UDP: libc::c_uint = FEATURES | libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// A TUN device that cuts super-segments and completes checksums in the kernel, or leaves that to hardware behind it.
/// Needs what [`PlainTun`](super::PlainTun) needs.
#[derive(Debug)]
pub struct OffloadTun {
    file: File,
    interface: plain::Interface,
    pool: Arc<Pool>,
}

impl OffloadTun {
    /// As [`PlainTun::open`](super::PlainTun::open).
    ///
    /// # Errors
    /// As there, and what the kernel says if it knows no offload.
    pub fn open(name: &str) -> io::Result<Self> {
        plain::check_name(name)?;
        let (file, name) = open(name).map_err(|source| plain::open_error(name, source))?;
        Ok(Self { file, interface: plain::Interface::new(name), pool: Pool::new(MAX_PACKET) })
    }
}

impl Drop for OffloadTun {
    fn drop(&mut self) {
        // Who opens a persistent device next may not know what to do with super-segments.
        let _ = set_features(self.file.as_fd(), 0);
    }
}

fn open(name: &str) -> io::Result<(File, String)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let mut request = plain::request_for(name);
    // The three flags fit.
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    request.ifr_ifru.ifru_flags = flags;
    // SAFETY: TUNSETIFF reads the zero-terminated name and the flags and writes the name; the request outlives the call.
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    let name = request.ifr_name.iter().map(|c| c.to_ne_bytes()[0]).take_while(|c| *c != 0);
    let name = String::from_utf8_lossy(&name.collect::<Vec<u8>>()).into_owned();
    set(file.as_fd(), libc::TUNSETVNETHDRSZ, vnet::HEADER_LEN as libc::c_int)?;
    set(file.as_fd(), libc::TUNSETVNETLE, 1)?;
    set_features(file.as_fd(), WITH_UDP).or_else(|_| set_features(file.as_fd(), FEATURES))?;
    Ok((file, name))
}

fn set(fd: BorrowedFd<'_>, what: libc::Ioctl, value: libc::c_int) -> io::Result<()> {
    // SAFETY: both requests this is called with read one integer.
    let outcome = unsafe { libc::ioctl(fd.as_raw_fd(), what, &raw const value) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Says what the reader of a TUN device can do.
pub(super) fn set_features(fd: BorrowedFd<'_>, features: libc::c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    let outcome =
        unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Device for OffloadTun {
    fn recv(&self, _now: Instant, _arena: &mut BytesMut) -> io::Result<Received> {
        let mut header = [0; vnet::HEADER_LEN];
        let mut buffer = self.pool.take();
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(&mut buffer)];
        let read = match (&self.file).read_vectored(&mut parts) {
            Ok(read) => read,
            Err(error) => {
                self.pool.put(buffer);
                return Err(error);
            }
        };
        let header = VnetHeader::parse(header);
        Ok(Received {
            packet: self.pool.lend(buffer, read.saturating_sub(vnet::HEADER_LEN)),
            segment_size: header.segment_size(),
            checksum_verified: header.is_verified(),
        })
    }

    fn send(
        &self,
        _now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()> {
        let header = VnetHeader::of(headers, payload.len(), segment_size).emit();
        let parts = [IoSlice::new(&header), IoSlice::new(headers), IoSlice::new(payload)];
        // One writev is one packet; the kernel takes all of it or nothing.
        (&self.file).write_vectored(&parts).map(drop)
    }

    fn name(&self) -> &str {
        &self.interface.name
    }

    fn mtu(&self) -> u16 {
        self.interface.mtu()
    }

    fn offload(&self) -> bool {
        true
    }

    fn max_payload(&self) -> u32 {
        segmentation::MAX_PAYLOAD
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
