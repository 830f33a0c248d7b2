//! Devices that carry whole IP packets. One trait; the stack knows nothing else.

mod faulty;
mod memory;
mod offload;
mod plain;
mod pool;
pub(crate) mod split;
mod tun;
mod vnet;

pub use crate::driver::register;
pub use faulty::{Faults, Faulty};
pub use memory::{MemoryConfig, MemoryDevice, MemoryLink, memory_pair};
pub use offload::OffloadTun;
pub use plain::PlainTun;
pub use split::{segments, split};
pub use tun::{Offload, Tun};

use bytes::{Bytes, BytesMut};
use mpuser_engine::time::Instant;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Largest IP packet, and so the largest thing any device hands over.
pub const MAX_PACKET: usize = 65_535;

/// What a device received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// One IP packet; from an offload device several segments merged into one, up to [`MAX_PACKET`].
    pub packet: Bytes,
    /// `Some(n)`: merged by the device from segments with `n` bytes of payload.
    pub segment_size: Option<u16>,
    /// The device vouches for the TCP checksum, which may not be filled in.
    pub checksum_verified: bool,
}

impl Received {
    /// A packet as it came over the wire.
    #[must_use]
    pub const fn plain(packet: Bytes) -> Self {
        Self { packet, segment_size: None, checksum_verified: false }
    }
}

/// A non-blocking device for IP packets.
///
/// All methods take `&self`: one task reads while others send. Implementations never block; a device that cannot
/// take a packet at once refuses it, and the refusal is a loss like any other.
pub trait Device: Send + Sync + std::fmt::Debug {
    /// Takes the next packet, using `arena` as memory for it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing has arrived; the descriptor becomes readable when something does.
    fn recv(&self, now: Instant, arena: &mut BytesMut) -> io::Result<Received>;

    /// Sends the packet `headers` followed by `payload`. With `segment_size` it is a super-segment, to be cut into
    /// TCP payloads of that many bytes by the device or, on a device without offload, by [`split`].
    ///
    /// # Errors
    /// The packet (or the rest of the super-segment) was not sent.
    fn send(
        &self,
        now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()>;

    /// The device's name.
    fn name(&self) -> &str;

    /// Largest IP packet it carries, bytes.
    fn mtu(&self) -> u16;

    /// It completes the checksums of TCP packets itself: in what it is given to send, the field holds the sum of the
    /// pseudo-header and nothing else.
    fn offload(&self) -> bool;

    /// Most TCP payload of one super-segment it cuts itself; 0: it should get none. The stack cuts them for a device
    /// without offload.
    fn max_payload(&self) -> u32 {
        0
    }

    /// The descriptor that becomes readable when there is something to receive. Always the same one.
    fn fd(&self) -> BorrowedFd<'_>;

    /// When the device wants to be served ([`Device::handle_timeout`], then [`Device::recv`]) although its
    /// descriptor stays quiet: it holds packets back.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Lets packets held back for sending go that are due.
    fn handle_timeout(&self, _now: Instant) {}
}

/// Memory for received packets is taken in pieces of this size.
const ARENA: usize = 64 * 1024;

/// A packet up to this size gets memory of its own: one that waits in a receive queue must not keep a whole arena.
const SMALL_PACKET: usize = 512;

/// One packet of its two parts, for devices that keep packets.
fn whole(headers: &[u8], payload: &[u8]) -> Bytes {
    let mut packet = BytesMut::with_capacity(headers.len() + payload.len());
    packet.extend_from_slice(headers);
    packet.extend_from_slice(payload);
    packet.freeze()
}

/// Reads one packet of at most `max` bytes from a packet-per-read descriptor into `arena`.
fn read_packet(fd: BorrowedFd<'_>, arena: &mut BytesMut, max: usize) -> io::Result<Bytes> {
    if arena.capacity() < max {
        // Takes the old piece again if every packet in it is gone, a new one of the same size otherwise.
        arena.reserve(max.max(ARENA));
    }
    let room = arena.spare_capacity_mut();
    let length = room.len().min(max);
    // SAFETY: `room` is valid for writes of `length` bytes and exclusively ours for the call; the descriptor is
    // open as long as the borrow lives.
    let read = unsafe { libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), length) };
    let Ok(read) = usize::try_from(read) else { return Err(io::Error::last_os_error()) };
    if read <= SMALL_PACKET {
        // SAFETY: the kernel has written `read` bytes at the start of the spare capacity.
        unsafe { arena.set_len(read) };
        let packet = Bytes::copy_from_slice(arena);
        arena.clear();
        return Ok(packet);
    }
    // SAFETY: as above.
    unsafe { arena.set_len(read) };
    Ok(arena.split().freeze())
}
