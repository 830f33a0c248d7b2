//! smoltcp over the hop, plain TCP: with its segmentation offload, or one packet at a time.

use super::kernel::{App, Meter, Transfer, Way};
use super::pattern::{CHUNK, Pattern};
use super::place::{Cpu, Hop, Kind, server};
use mpuser_engine::wire::checksum::Checksum;
use mpuser_tun::device::{Device as _, Tun};
use mpuser_tun::lab::peer::Protocol;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{
    Checksum as Who, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken,
};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::io;
use std::num::NonZeroUsize;

/// Both of its buffers, as large as mpuser's.
const BUFFER: usize = 4 << 20;
/// Octets of the virtio-net header in front of a packet.
const VNET: usize = 10;
/// Longest payload of a super-segment.
const SUPER: usize = 65_000;
const MTU: usize = 1500;
const IP: usize = 20;
const LOCAL_PORT: u16 = 40_000;

/// Moves `bytes` octets over the hop.
///
/// # Errors
/// The connection failed, or the octets are wrong.
pub fn transfer(hop: Hop, way: Way, bytes: u64) -> io::Result<Transfer> {
    let app = App::start(Protocol::Tcp, server(), way, bytes)?;
    let mut end = End::connect(hop)?;
    let before = Cpu::of_thread();
    match way {
        Way::Up => {
            end.send(bytes, &app)?;
            let cpu = Cpu::of_thread().since(before);
            Ok(Transfer { cpu, ..app.join()? })
        }
        Way::Down => {
            let mut meter = Meter::default();
            end.receive(&mut meter, bytes)?;
            let transfer = meter.finish(before);
            app.join()?;
            Ok(transfer)
        }
    }
}

struct End {
    device: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl End {
    fn connect(hop: Hop) -> io::Result<Self> {
        let kind = hop.kind;
        let (tun, local) = hop.single()?;
        let room = vec![0; SUPER + 1000];
        let mut device = Wire { tun, kind, read: room.clone(), written: room };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut device, Instant::now());
        interface.update_ip_addrs(|addresses| {
            // the list has room for one at least
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(local), 24));
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_congestion_control(tcp::CongestionControl::None);
        let remote = (IpAddress::Ipv4(*server().ip()), server().port());
        socket
            .connect(interface.context(), remote, LOCAL_PORT)
            .map_err(|error| io::Error::other(format!("smoltcp: {error:?}")))?;
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        let mut end = Self { device, interface, sockets, handle };
        while !end.turn()?.may_send() {
            end.wait()?;
        }
        Ok(end)
    }

    /// Lets packets in and out.
    fn turn(&mut self) -> io::Result<&mut tcp::Socket<'static>> {
        self.interface.poll(Instant::now(), &mut self.device, &mut self.sockets);
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.handle);
        if socket.state() == tcp::State::Closed {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(socket)
    }

    /// Waits for a packet, or until smoltcp wants to be called.
    fn wait(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let timeout = match self.interface.poll_at(now, &self.sockets) {
            Some(at) if at <= now => return Ok(()),
            Some(at) => (at - now).total_millis().min(100),
            None => 100,
        };
        let timeout = PollTimeout::try_from(timeout + 1).unwrap_or(PollTimeout::MAX);
        poll(&mut [PollFd::new(self.device.tun.fd(), PollFlags::POLLIN)], timeout)?;
        Ok(())
    }

    fn send(&mut self, bytes: u64, app: &App) -> io::Result<()> {
        let pattern = Pattern::default();
        let mut position = 0;
        while !app.is_done() {
            let socket = self.turn()?;
            while position < bytes && socket.can_send() {
                let chunk = pattern.rest_of_chunk(position, bytes - position);
                position += socket.send_slice(chunk).map_err(failed)? as u64;
            }
            self.wait()?;
        }
        Ok(())
    }

    fn receive(&mut self, meter: &mut Meter, bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        while meter.bytes() < bytes {
            let socket = self.turn()?;
            while socket.can_recv() {
                let count = socket.recv_slice(&mut buffer).map_err(failed)?;
                meter.take(buffer.get(..count).unwrap_or_default())?;
            }
            self.wait()?;
        }
        Ok(())
    }
}

fn failed(error: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("smoltcp: {error:?}"))
}

/// smoltcp's view of the device.
struct Wire {
    tun: Tun,
    kind: Kind,
    read: Vec<u8>,
    written: Vec<u8>,
}

struct Arrived<'a>(&'a [u8]);

struct Leaving<'a> {
    tun: &'a Tun,
    kind: Kind,
    buffer: &'a mut [u8],
    /// Payload of each segment, where smoltcp hands over several in one.
    segment: u16,
}

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size.map_or(0, std::num::NonZero::get);
    }

    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let offset = if self.kind == Kind::Offload { VNET } else { 0 };
        let Some(whole) = self.buffer.get_mut(..offset + len) else { return f(&mut vec![0; len]) };
        let (header, packet) = whole.split_at_mut(offset);
        let result = f(packet);
        if self.kind == Kind::Offload {
            header.copy_from_slice(&complete(packet, self.segment).unwrap_or_default());
        }
        // a full queue is a loss like any other
        let _ = nix::unistd::write(self.tun.fd(), whole);
        result
    }
}

/// Puts the sum of the pseudo-header into a TCP packet; the virtio-net header that has the device do the rest.
fn complete(packet: &mut [u8], segment: u16) -> Option<[u8; VNET]> {
    let mut sum = Checksum::new();
    sum.add_bytes(packet.get(12..20)?);
    sum.add_u16(6);
    sum.add_u16((packet.len() - IP) as u16);
    packet.get_mut(IP + 16..IP + 18)?.copy_from_slice(&sum.partial().to_be_bytes());
    let headers = IP + usize::from(packet.get(IP + 12)? >> 4) * 4;
    let several = segment > 0 && packet.len() - headers > usize::from(segment);
    let mut vnet = [0; VNET];
    let words = [headers as u16, if several { segment } else { 0 }, IP as u16, 16];
    let octets =
        [1, u8::from(several)].into_iter().chain(words.into_iter().flat_map(u16::to_le_bytes));
    vnet.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
    Some(vnet)
}

impl Device for Wire {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Leaving<'_>)> {
        let offset = if self.kind == Kind::Offload { VNET } else { 0 };
        let count = loop {
            match nix::unistd::read(self.tun.fd(), &mut self.read) {
                Err(Errno::EINTR) => {}
                outcome => break outcome.ok()?,
            }
        };
        let packet = self.read.get(offset..count)?;
        let (tun, kind, buffer) = (&self.tun, self.kind, &mut self.written[..]);
        Some((Arrived(packet), Leaving { tun, kind, buffer, segment: 0 }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Leaving<'_>> {
        let (tun, kind, buffer) = (&self.tun, self.kind, &mut self.written[..]);
        Some(Leaving { tun, kind, buffer, segment: 0 })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities.medium = Medium::Ip;
        if self.kind == Kind::Offload {
            capabilities.checksum.tcp = Who::None;
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(SUPER);
        }
        capabilities
    }
}
