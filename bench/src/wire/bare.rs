//! An end without a stack: what a TUN device and the kernel behind it can do at most.
//!
//! It makes the handshake, builds headers, counts sequence numbers, keeps to the peer's window and, for MPTCP, has
//! MP_CAPABLE, mappings and Data ACKs. It makes one copy for the application, and without offload the real checksums both
//! ways. There is no retransmission, no timer, no congestion control, no reordering: on this link nothing is lost.

use super::kernel::{App, Meter, Transfer, Way};
use super::pattern::Pattern;
use super::place::{Cpu, Hop, Kind, server};
use mpuser_engine::crypto::Key;
use mpuser_engine::wire::checksum::Checksum;
use mpuser_tun::device::{Device as _, Tun};
use mpuser_tun::lab::peer::Protocol;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::uio::writev;
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;

/// Octets of the virtio-net header in front of a packet.
const VNET: usize = 10;
const IP: usize = 20;
const TCP: usize = 20;
/// A DSS option with a Data ACK and a mapping, both of 64 bits, and its padding.
const DSS: usize = 28;
/// Segments without timestamps, so that is all there is.
const MSS: usize = 1500 - IP - TCP - DSS;
/// The longest super-segment of whole segments.
const SUPER: usize = (65_535 - IP - TCP - DSS) / MSS * MSS;
/// The own window, in units of 2^14: 4 MiB.
const WINDOW: u16 = 256;
const WINDOW_SCALE: u8 = 14;
/// Octets received before an acknowledgement that nothing else makes due.
const STRETCH: usize = 256 * 1024;
/// Packets sent before the acknowledgements are looked at.
const SENT_BEFORE_LOOK: u32 = 4;
/// Most in flight.
const FLIGHT: u64 = 4 << 20;

const SYN: u8 = 2;
const ACK: u8 = 16;
const RST: u8 = 4;

/// One connection.
pub(super) struct End {
    device: Tun,
    kind: Kind,
    local: Ipv4Addr,
    port: u16,
    sent: u32,
    /// The first number after the SYN.
    first: u32,
    expected: u32,
    window: u64,
    scale: u8,
    local_key: Key,
    remote_key: Key,
    /// The next octet to send, the first one unacknowledged and the next one expected, at data level.
    data_sent: u64,
    data_acked: u64,
    data_expected: u64,
    buffer: Vec<u8>,
}

/// Moves `bytes` octets over the hop.
///
/// # Errors
/// The kernel did something this end knows nothing of, or the octets are wrong.
pub fn transfer(hop: Hop, way: Way, bytes: u64) -> io::Result<Transfer> {
    let app = App::start(Protocol::Mptcp, server(), way, bytes)?;
    let mut end = End::connect(hop)?;
    let before = Cpu::of_thread();
    match way {
        Way::Up => {
            end.send(bytes)?;
            while !app.is_done() {
                end.wait()?;
                while end.receive(|_| Ok(()))?.is_some() {}
            }
            let cpu = Cpu::of_thread().since(before);
            Ok(Transfer { cpu, ..app.join()? })
        }
        Way::Down => {
            let mut meter = Meter::default();
            end.drain(&mut meter, bytes)?;
            let transfer = meter.finish(before);
            app.join()?;
            Ok(transfer)
        }
    }
}

impl End {
    /// Opens a connection to the kernel's application.
    pub(super) fn connect(hop: Hop) -> io::Result<Self> {
        let kind = hop.kind;
        let (device, local) = hop.single()?;
        let (local_key, remote_key) = (Key(0x1122_3344_5566_7788), Key(0));
        let mut end = Self {
            device,
            kind,
            local,
            port: 40_000,
            sent: 1000,
            first: 1001,
            expected: 0,
            window: 0,
            scale: 0,
            local_key,
            remote_key,
            data_sent: 0,
            data_acked: 0,
            data_expected: 0,
            buffer: vec![0; 66_000],
        };
        let [m0, m1] = (MSS as u16).to_be_bytes();
        // MSS, window scale, MP_CAPABLE of version 1 with flag H
        let options = [2, 4, m0, m1, 1, 3, 3, WINDOW_SCALE, 30, 4, 1, 1];
        end.write(SYN, &options, &[], u16::MAX)?;
        while end.expected == 0 {
            end.wait()?;
            while end.receive(|_| Ok(()))?.is_some() {}
        }
        if end.remote_key.0 == 0 {
            return Err(io::Error::other("the kernel answered without MP_CAPABLE"));
        }
        let mut options = vec![30, 20, 1, 1];
        options.extend(end.local_key.0.to_be_bytes());
        options.extend(end.remote_key.0.to_be_bytes());
        end.write(ACK, &options, &[], WINDOW)?;
        Ok(end)
    }

    fn offset(&self) -> usize {
        if self.kind == Kind::Offload { VNET } else { 0 }
    }

    /// Waits for a packet.
    pub(super) fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.device.fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(100_u8))?;
        Ok(())
    }

    /// Sends `bytes` octets of the pattern.
    fn send(&mut self, bytes: u64) -> io::Result<()> {
        let pattern = Pattern::default();
        let longest = if self.kind == Kind::Offload { SUPER } else { MSS };
        let mut staged = vec![0; SUPER];
        let (mut position, mut packets) = (0, 0_u32);
        while position < bytes {
            let flight = self.data_sent.wrapping_sub(self.data_acked);
            let room = usize::try_from(self.window.min(FLIGHT).saturating_sub(flight)).unwrap_or(0);
            // a window below the longest super-segment would wait for ever; whole segments fit
            let fit = if room < longest && flight == 0 {
                (room / MSS * MSS).max(room.min(MSS))
            } else {
                longest
            };
            if fit == 0 || fit > room {
                self.wait()?;
                while self.receive(|_| Ok(()))?.is_some() {}
                continue;
            }
            let chunk = pattern.rest_of_chunk(position, bytes - position);
            let count = chunk.len().min(fit);
            // the application's copy
            let (Some(payload), Some(chunk)) = (staged.get_mut(..count), chunk.get(..count)) else {
                break;
            };
            payload.copy_from_slice(chunk);
            self.send_data(payload)?;
            position += count as u64;
            packets += 1;
            if packets.is_multiple_of(SENT_BEFORE_LOOK) {
                while self.receive(|_| Ok(()))?.is_some() {}
            }
        }
        Ok(())
    }

    /// Sends `payload` in one mapping.
    pub(super) fn send_data(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut dss = [1; DSS];
        let ssn = self.sent.wrapping_sub(self.first).wrapping_add(1);
        let fields = [
            &[30, 26, 0x20, 0x0f][..],
            &self.data_expected.to_be_bytes(),
            &self.data_sent.to_be_bytes(),
            &ssn.to_be_bytes(),
            &(payload.len() as u16).to_be_bytes(),
        ];
        dss.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        self.write(ACK, &dss, payload, WINDOW)?;
        self.sent = self.sent.wrapping_add(payload.len() as u32);
        self.data_sent = self.data_sent.wrapping_add(payload.len() as u64);
        Ok(())
    }

    /// Receives `bytes` octets.
    fn drain(&mut self, meter: &mut Meter, bytes: u64) -> io::Result<()> {
        let mut owed = 0;
        // the application's copy goes here
        let mut copy = vec![0; 66_000];
        while meter.bytes() < bytes {
            let got = self.receive(|payload| {
                let Some(room) = copy.get_mut(..payload.len()) else { return Ok(()) };
                room.copy_from_slice(payload);
                meter.take(room)
            })?;
            owed += got.unwrap_or(0);
            if owed > STRETCH || (got.is_none() && owed > 0) {
                self.acknowledge()?;
                owed = 0;
            } else if got.is_none() {
                self.wait()?;
            }
        }
        self.acknowledge()
    }

    fn acknowledge(&mut self) -> io::Result<()> {
        let mut dss = [30, 12, 0x20, 3, 0, 0, 0, 0, 0, 0, 0, 0];
        dss.iter_mut()
            .skip(4)
            .zip(self.data_expected.to_be_bytes())
            .for_each(|(to, from)| *to = from);
        self.write(ACK, &dss, &[], WINDOW)
    }

    /// Takes in the next packet, handing over its payload: how much that was; `None` when there is no packet.
    pub(super) fn receive(
        &mut self,
        take: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<usize>> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = match nix::unistd::read(self.device.fd(), &mut buffer) {
            Ok(count) => {
                let packet = buffer.get(self.offset()..count).unwrap_or_default();
                self.take_in(packet, take).map(Some)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        };
        self.buffer = buffer;
        outcome
    }

    fn take_in(
        &mut self,
        packet: &[u8],
        take: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<usize> {
        let Some(segment) = Segment::parse(packet).filter(|segment| segment.port == self.port)
        else {
            return Ok(0);
        };
        if segment.flags & RST != 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let syn = segment.flags & SYN != 0;
        if syn {
            self.expected = segment.seq.wrapping_add(1);
            self.sent = segment.ack;
            self.first = segment.ack;
        }
        self.take_options(segment.options, syn);
        self.window = u64::from(segment.window) << if syn { 0 } else { self.scale };
        if segment.payload.is_empty() {
            return Ok(0);
        }
        if segment.seq != self.expected {
            return Err(io::Error::other("a segment out of order on a link that keeps it"));
        }
        if self.kind == Kind::Plain && !segment.is_right(packet) {
            return Err(io::Error::other("a segment with a wrong checksum"));
        }
        let count = segment.payload.len();
        self.expected = self.expected.wrapping_add(count as u32);
        self.data_expected = self.data_expected.wrapping_add(count as u64);
        take(segment.payload)?;
        Ok(count)
    }

    /// Reads what matters of the options: the window's scale, the key, the Data ACK.
    fn take_options(&mut self, mut options: &[u8], syn: bool) {
        while let [kind, rest @ ..] = options {
            let len = match kind {
                0 => return,
                1 => 1,
                _ => usize::from(rest.first().copied().unwrap_or(0)).max(2),
            };
            let Some(option) = options.get(..len) else { return };
            match option {
                [3, 3, scale] if syn => self.scale = *scale,
                [30, 12, 0x01, _, key @ ..] if syn => {
                    let Ok(key) = <[u8; 8]>::try_from(key) else { return };
                    self.remote_key = Key(u64::from_be_bytes(key));
                    // RFC 8684 3.1: the first octet of data is the one after the IDSN
                    let start = |key: Key| key.facts().idsn.0.wrapping_add(1);
                    (self.data_sent, self.data_acked) =
                        (start(self.local_key), start(self.local_key));
                    self.data_expected = start(self.remote_key);
                }
                [30, _, subtype, flags, ack @ ..] if subtype >> 4 == 2 && flags & 1 != 0 => {
                    self.take_data_ack(ack, flags & 2 != 0);
                }
                _ => {}
            }
            options = options.get(len..).unwrap_or_default();
        }
    }

    fn take_data_ack(&mut self, ack: &[u8], long: bool) {
        let acked = if long {
            ack.first_chunk::<8>().map(|ack| u64::from_be_bytes(*ack))
        } else {
            // 32 bits stand for the nearest number that ends in them
            ack.first_chunk::<4>().map(|ack| {
                let ahead = u32::from_be_bytes(*ack).wrapping_sub(self.data_acked as u32);
                self.data_acked.wrapping_add(u64::from(ahead))
            })
        };
        if let Some(acked) = acked
            && acked.wrapping_sub(self.data_acked) <= self.data_sent.wrapping_sub(self.data_acked)
        {
            self.data_acked = acked;
        }
    }

    /// Writes one packet, of several segments where the device cuts them.
    fn write(&self, flags: u8, options: &[u8], payload: &[u8], window: u16) -> io::Result<()> {
        let header = self.header(flags, options, payload, window);
        let skipped = header.get(VNET - self.offset()..).unwrap_or_default();
        writev(self.device.fd().as_fd(), &[IoSlice::new(skipped), IoSlice::new(payload)])?;
        Ok(())
    }

    /// The virtio-net, IP and TCP headers of a packet.
    fn header(&self, flags: u8, options: &[u8], payload: &[u8], window: u16) -> Vec<u8> {
        let tcp_len = TCP + options.len();
        let total = IP + tcp_len + payload.len();
        let mut header = Vec::with_capacity(VNET + IP + tcp_len);
        let gso = if payload.len() > MSS { (1, MSS as u16) } else { (0, 0) };
        // flags, type, length of the headers, size of a segment, where the sum begins and where it goes
        header.extend([1, gso.0]);
        for word in [(IP + tcp_len) as u16, gso.1, IP as u16, 16] {
            header.extend(word.to_le_bytes());
        }
        let mut ip = [0; IP];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        ip[6] = 0x40;
        ip[8..10].copy_from_slice(&[64, 6]);
        ip[12..16].copy_from_slice(&self.local.octets());
        ip[16..20].copy_from_slice(&server().ip().octets());
        let sum = sum_of(&ip).finish();
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        header.extend(ip);
        let at = header.len();
        header.extend(self.port.to_be_bytes());
        header.extend(server().port().to_be_bytes());
        header.extend(self.sent.to_be_bytes());
        header.extend(self.expected.to_be_bytes());
        header.extend([((tcp_len / 4) << 4) as u8, flags]);
        header.extend(window.to_be_bytes());
        header.extend([0; 4]);
        header.extend(options);
        let mut sum = sum_of(&ip[12..20]);
        sum.add_u16(6);
        sum.add_u16((tcp_len + payload.len()) as u16);
        let sum = if self.kind == Kind::Offload {
            // the device does the rest
            sum.partial()
        } else {
            sum.add_bytes(header.get(at..).unwrap_or_default());
            sum.add_bytes(payload);
            sum.finish()
        };
        if let Some(field) = header.get_mut(at + 16..at + 18) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
        header
    }
}

fn sum_of(bytes: &[u8]) -> Checksum {
    let mut sum = Checksum::new();
    sum.add_bytes(bytes);
    sum
}

/// What is read of a TCP segment in IPv4.
struct Segment<'a> {
    port: u16,
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        if packet.first()? != &0x45 || packet.get(9)? != &6 {
            return None;
        }
        let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
        let tcp = packet.get(IP..total)?;
        let word = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        let header = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Self {
            port: word(2)?,
            seq: long(4)?,
            ack: long(8)?,
            flags: *tcp.get(13)?,
            window: word(14)?,
            options: tcp.get(TCP..header)?,
            payload: tcp.get(header..)?,
        })
    }

    /// Whether the checksum is right.
    fn is_right(&self, packet: &[u8]) -> bool {
        let tcp = packet.get(IP..).unwrap_or_default();
        let mut sum = sum_of(packet.get(12..20).unwrap_or_default());
        sum.add_u16(6);
        sum.add_u16(tcp.len() as u16);
        sum.add_bytes(tcp);
        sum.finish() == 0
    }
}
