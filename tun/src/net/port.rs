//! Paths without a stack on them: whole IP packets, by hand.

use super::{Egress, PathOptions, PathPlan, PathSet, Result};
use crate::clock;
use crate::device::{Device as _, PlainTun};
use bytes::BytesMut;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

/// Memory for received packets.
const ARENA: usize = 64 * 1024;

/// Paths towards a destination, each with an address that is nobody's but the caller's: the kernel does not answer in
/// its place.
#[derive(Debug)]
pub struct PacketPort {
    // declared first: devices close before routes and addresses go
    devices: Vec<PlainTun>,
    set: PathSet,
    arena: BytesMut,
}

impl PacketPort {
    /// Sets up a path for each of these ways; `open` opens its device.
    ///
    /// # Errors
    /// A privilege is missing, or the kernel refuses.
    pub fn open(
        ways: &[Egress],
        options: &PathOptions,
        open: impl FnMut(&PathPlan) -> Result<PlainTun>,
    ) -> Result<Self> {
        let (set, devices) = PathSet::setup(ways, options, open)?;
        Ok(Self { devices, set, arena: BytesMut::with_capacity(ARENA) })
    }

    /// Our address on each path.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.set.paths().iter().map(|plan| plan.engine).collect()
    }

    /// Sends a packet by the path its source address belongs to; one from nobody's address by the first.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let source = source(packet);
        let own = self.set.paths().iter().position(|plan| Some(plan.engine) == source);
        match self.devices.get(own.unwrap_or(0)) {
            Some(device) => device.send(clock::now(), packet, &[], None),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The next packet on any path; `None` if there is none for as long as `limit`.
    ///
    /// # Errors
    /// A device is gone.
    pub fn receive(&mut self, limit: Duration) -> io::Result<Option<Vec<u8>>> {
        let end = clock::now() + limit;
        loop {
            for device in &self.devices {
                match device.recv(clock::now(), &mut self.arena) {
                    Ok(received) => return Ok(Some(received.packet.to_vec())),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            let left = end.saturating_since(clock::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.wait(left);
        }
    }

    /// Waits until there is something to read, or for `limit`.
    fn wait(&self, limit: Duration) {
        let mut all: Vec<libc::pollfd> = self
            .devices
            .iter()
            .map(|device| libc::pollfd {
                fd: device.fd().as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        // rounded up: a timeout of zero would be a busy loop
        let limit = libc::c_int::try_from(limit.as_millis() + 1).unwrap_or(libc::c_int::MAX);
        // SAFETY: `all` is as long as is said and outlives the call; a failure looks like a timeout.
        unsafe { libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, limit) };
    }

    /// Takes the paths back.
    ///
    /// # Errors
    /// Something could not be taken back; the next process tries again.
    pub fn close(mut self) -> Result<()> {
        self.devices.clear();
        self.set.undo()
    }
}

/// The source address in an IP header.
fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => packet.get(12..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        6 => packet.get(8..)?.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_where_they_are() {
        let mut v4 = [0; 20];
        v4[0] = 0x45;
        v4[12..16].copy_from_slice(&[10, 0, 0, 1]);
        assert_eq!(source(&v4), Some([10, 0, 0, 1].into()));
        assert_eq!(source(&v4[..15]), None);
        let mut v6 = [0; 40];
        v6[0] = 0x60;
        v6[23] = 1;
        assert_eq!(source(&v6), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(source(&[]), None);
    }
}
