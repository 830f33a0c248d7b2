//! The TUN device of a path: with offload where the kernel has it.

use super::{Device, OffloadTun, PlainTun, Received};
use bytes::BytesMut;
use mpuser_engine::time::Instant;
use std::io;
use std::os::fd::BorrowedFd;

/// Whether a device is asked for offload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Yes; without it if the kernel refuses.
    #[default]
    Auto,
    /// No.
    Off,
}

/// A TUN device with or without offload.
#[derive(Debug)]
pub enum Tun {
    /// Super-segments both ways.
    Offload(OffloadTun),
    /// One packet per system call.
    Plain {
        /// The device.
        device: PlainTun,
        /// Why it has no offload, where it was wanted.
        refused: Option<io::Error>,
    },
}

impl Tun {
    /// As [`PlainTun::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(name: &str, offload: Offload) -> io::Result<Self> {
        let refused = match offload {
            Offload::Off => None,
            Offload::Auto => match OffloadTun::open(name) {
                Ok(device) => return Ok(Self::Offload(device)),
                Err(error) => Some(error),
            },
        };
        Ok(Self::Plain { device: PlainTun::open(name)?, refused })
    }

    fn device(&self) -> &dyn Device {
        match self {
            Self::Offload(device) => device,
            Self::Plain { device, .. } => device,
        }
    }
}

impl Device for Tun {
    fn recv(&self, now: Instant, arena: &mut BytesMut) -> io::Result<Received> {
        self.device().recv(now, arena)
    }

    fn send(
        &self,
        now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()> {
        self.device().send(now, headers, payload, segment_size)
    }

    fn name(&self) -> &str {
        self.device().name()
    }

    fn mtu(&self) -> u16 {
        self.device().mtu()
    }

    fn offload(&self) -> bool {
        self.device().offload()
    }

    fn max_payload(&self) -> u32 {
        self.device().max_payload()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.device().fd()
    }
}
