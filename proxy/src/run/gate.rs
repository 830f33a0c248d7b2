//! The device of a program, between the stack, which gets TCP, and whoever serves the rest.

use bytes::{Bytes, BytesMut};
use mpuser_engine::time::Instant;
use mpuser_tun::device::{Device, PlainTun, Received};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Packets other than TCP that may wait; more are lost, as on any network.
const WAITING: usize = 256;
/// The protocol number of TCP.
const TCP: u8 = 6;

/// Packets other than TCP.
pub(super) type Others = mpsc::Receiver<Bytes>;

/// A device that lets TCP through to the stack and puts the rest aside.
#[derive(Debug)]
pub(super) struct Gate {
    device: Arc<PlainTun>,
    others: mpsc::Sender<Bytes>,
}

impl Gate {
    /// A gate in front of `device`, and what it puts aside.
    #[must_use]
    pub(super) fn new(device: Arc<PlainTun>) -> (Self, Others) {
        let (others, aside) = mpsc::channel(WAITING);
        (Self { device, others }, aside)
    }
}

impl Device for Gate {
    fn recv(&self, now: Instant, arena: &mut BytesMut) -> io::Result<Received> {
        loop {
            let received = self.device.recv(now, arena)?;
            if is_tcp(&received.packet) {
                return Ok(received);
            }
            // nobody takes any more: lost
            let _ = self.others.try_send(received.packet);
        }
    }

    fn send(
        &self,
        now: Instant,
        headers: &[u8],
        payload: &[u8],
        segment_size: Option<u16>,
    ) -> io::Result<()> {
        self.device.send(now, headers, payload, segment_size)
    }

    fn name(&self) -> &str {
        self.device.name()
    }

    fn mtu(&self) -> u16 {
        self.device.mtu()
    }

    fn offload(&self) -> bool {
        self.device.offload()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.device.fd()
    }
}

/// TCP without anything between it and the IP header; a program's kernel puts nothing there.
fn is_tcp(packet: &[u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => packet.get(9) == Some(&TCP),
        Some(6) => packet.get(6) == Some(&TCP),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_tcp;

    #[test]
    fn tcp_is_told_from_the_rest() {
        let mut four = [0_u8; 40];
        four[0] = 0x45;
        assert!(!is_tcp(&four));
        four[9] = 6;
        assert!(is_tcp(&four));
        let mut six = [0_u8; 60];
        six[0] = 0x60;
        six[6] = 17;
        assert!(!is_tcp(&six));
        six[6] = 6;
        assert!(is_tcp(&six));
        assert!(!is_tcp(&[]) && !is_tcp(&[0x45]) && !is_tcp(&[0x50; 20]));
    }
}
