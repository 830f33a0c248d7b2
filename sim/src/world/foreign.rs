//! smoltcp as an end of a flow: plain TCP that shares no line with the engine's.

use super::engine::{PORT, Place, address};
use super::host::{Host, Told};
use super::packet::{NO_TAG, Packet};
use bytes::Bytes;
use mpuser_engine::config::{CongestionAlgorithm, ConnectionConfig};
use mpuser_engine::time::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{self, CongestionControl, State};
use smoltcp::time::{Duration as ForeignDuration, Instant as ForeignInstant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use std::collections::VecDeque;

/// First port connections come from.
const FIRST_PORT: u16 = 49_152;

/// smoltcp's view of the wire: packets in, packets out.
#[derive(Debug)]
struct Wire {
    incoming: VecDeque<Bytes>,
    outgoing: VecDeque<Vec<u8>>,
    mtu: u16,
    offload: bool,
}

struct Received(Bytes);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: ForeignInstant) -> Option<(Received, Sending<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Received(packet), Sending(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: ForeignInstant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(self.mtu);
        if self.offload {
            capabilities.checksum.tcp = Checksum::None;
        }
        capabilities
    }
}

/// What has been told of a socket.
#[derive(Clone, Copy, Debug)]
struct Known {
    handle: SocketHandle,
    open: bool,
    closed: bool,
}

/// smoltcp's stack.
pub(crate) struct ForeignHost {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    /// Connections by number.
    known: Vec<Known>,
    /// A server's next connection.
    listening: Option<SocketHandle>,
    config: ConnectionConfig,
    place: Place,
    told: VecDeque<Told>,
    /// Sockets may have changed since they were looked at.
    look: bool,
    /// Microseconds: when it was last asked to do what is due.
    polled: u64,
}

fn foreign(now: Instant) -> ForeignInstant {
    ForeignInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

impl ForeignHost {
    pub(crate) fn new(config: ConnectionConfig, place: Place, seed: u64) -> Self {
        let (incoming, outgoing) = (VecDeque::new(), VecDeque::new());
        let mut wire = Wire { incoming, outgoing, mtu: place.mtu, offload: place.offload };
        let mut about = Config::new(HardwareAddress::Ip);
        about.random_seed = seed;
        let mut interface = Interface::new(about, &mut wire, ForeignInstant::ZERO);
        let here = address(place.flow, place.client.then_some(0));
        interface.update_ip_addrs(|list| {
            // there is room for one
            let _ = list.push(IpCidr::new(IpAddress::Ipv4(here), 8));
        });
        let (sockets, known, told) = (SocketSet::new(Vec::new()), Vec::new(), VecDeque::new());
        let (listening, look) = (None, false);
        let mut host = Self {
            wire,
            interface,
            sockets,
            known,
            listening,
            config,
            place,
            told,
            look,
            polled: 0,
        };
        if !host.place.client {
            host.listen();
        }
        host
    }

    fn socket(&self) -> tcp::Socket<'static> {
        let buffer = |len: usize| tcp::SocketBuffer::new(vec![0; len.clamp(4_096, 1 << 28)]);
        let (receive, send) = (self.config.receive_buffer, self.config.send_buffer);
        let mut socket = tcp::Socket::new(buffer(receive), buffer(send));
        socket.set_congestion_control(match self.config.tcp.congestion {
            CongestionAlgorithm::NewReno => CongestionControl::Reno,
            _ => CongestionControl::Cubic,
        });
        socket.set_nagle_enabled(self.config.nagle);
        let delay = u64::try_from(self.config.tcp.delayed_ack.as_micros()).unwrap_or(u64::MAX);
        socket.set_ack_delay((delay > 0).then(|| ForeignDuration::from_micros(delay)));
        socket
    }

    fn listen(&mut self) {
        let mut socket = self.socket();
        // a port, and a socket that does nothing yet
        let _ = socket.listen(PORT);
        self.listening = Some(self.sockets.add(socket));
    }

    fn get(&self, number: usize) -> Option<&tcp::Socket<'static>> {
        self.known.get(number).map(|known| self.sockets.get::<tcp::Socket<'_>>(known.handle))
    }

    fn get_mut(&mut self, number: usize) -> Option<&mut tcp::Socket<'static>> {
        let handle = self.known.get(number)?.handle;
        Some(self.sockets.get_mut::<tcp::Socket<'_>>(handle))
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(foreign(now), &mut self.wire, &mut self.sockets);
        self.look = true;
        self.polled = now.as_micros();
    }

    /// Finds out what has become of the sockets.
    fn look(&mut self) {
        if let Some(handle) = self.listening {
            let socket = self.sockets.get::<tcp::Socket<'_>>(handle);
            if socket.may_send() {
                self.known.push(Known { handle, open: false, closed: false });
                self.listen();
            } else if socket.state() == State::Closed {
                self.sockets.remove(handle);
                self.listen();
            }
        }
        for (number, known) in self.known.iter_mut().enumerate() {
            let socket = self.sockets.get::<tcp::Socket<'_>>(known.handle);
            if !known.open && socket.may_send() {
                known.open = true;
                let end = if self.place.client {
                    socket.local_endpoint()
                } else {
                    socket.remote_endpoint()
                };
                let port = end.map_or(0, |end| end.port);
                self.told.push_back(Told::Open { number, port, mptcp: false });
            }
            if socket.can_recv() {
                self.told.push_back(Told::Readable(number));
            }
            if !known.closed && socket.state() == State::Closed {
                known.closed = true;
                let failed = (!known.open).then(|| "the connection was refused".to_owned());
                self.told.push_back(Told::Closed(number, failed));
            }
        }
    }
}

impl Host for ForeignHost {
    fn connect(&mut self, _now: Instant) -> Result<(), String> {
        let mut socket = self.socket();
        let number = self.known.len();
        let port = FIRST_PORT.saturating_add(number as u16);
        let remote = IpEndpoint::new(IpAddress::Ipv4(address(self.place.flow, None)), PORT);
        let context = self.interface.context();
        socket.connect(context, remote, port).map_err(|error| error.to_string())?;
        let handle = self.sockets.add(socket);
        self.known.push(Known { handle, open: false, closed: false });
        Ok(())
    }

    fn port(&self, number: usize) -> u16 {
        let local = self.get(number).and_then(tcp::Socket::local_endpoint);
        local.map_or(0, |local| local.port)
    }

    fn handle(&mut self, now: Instant, _path: u32, packet: &mut Packet) {
        self.wire.incoming.push_back(packet.to_bytes());
        self.poll(now);
    }

    fn transmit(&mut self, now: Instant, packet: &mut Packet) -> Option<u32> {
        if self.wire.outgoing.is_empty() {
            self.poll(now);
        }
        let bytes = Bytes::from(self.wire.outgoing.pop_front()?);
        let at = |index: usize| bytes.get(index).copied().map_or(0, usize::from);
        let ip = (at(0) & 15) * 4;
        let header = (ip + (at(ip + 12) >> 4) * 4).min(bytes.len());
        packet.headers.clear();
        if at(9) == 6 {
            packet.headers.set(bytes.get(..header).unwrap_or_default());
            packet.payload = bytes.slice(header..);
        } else {
            packet.payload = bytes;
        }
        packet.tag = NO_TAG;
        Some(0)
    }

    fn told(&mut self, _now: Instant) -> Option<Told> {
        if std::mem::take(&mut self.look) {
            self.look();
        }
        self.told.pop_front()
    }

    fn next(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(foreign(now), &self.sockets)?;
        let at = u64::try_from(at.total_micros()).unwrap_or(0);
        // what it did not do when it was asked last it will not do before its clock has moved
        Some(Instant::from_micros(at.max(self.polled + 1)))
    }

    fn on_timer(&mut self, now: Instant) {
        self.poll(now);
    }

    fn room(&self, number: usize) -> usize {
        let room = |socket: &tcp::Socket<'_>| socket.send_capacity() - socket.send_queue();
        self.get(number).filter(|socket| socket.may_send()).map_or(0, room)
    }

    fn write(&mut self, _now: Instant, number: usize, data: Bytes) -> usize {
        let socket = self.get_mut(number);
        socket.and_then(|socket| socket.send_slice(&data).ok()).unwrap_or(0)
    }

    fn read(&mut self, _now: Instant, number: usize) -> Bytes {
        let piece = |bytes: &mut [u8]| (bytes.len(), Bytes::copy_from_slice(bytes));
        let socket = self.get_mut(number).filter(|socket| socket.can_recv());
        socket.and_then(|socket| socket.recv(piece).ok()).unwrap_or_default()
    }

    fn shut(&mut self, _now: Instant, number: usize) {
        if let Some(socket) = self.get_mut(number) {
            socket.close();
        }
    }

    fn abort(&mut self, _now: Instant, number: usize) {
        if let Some(socket) = self.get_mut(number) {
            socket.abort();
        }
    }

    fn connections(&self) -> usize {
        self.known.len()
    }
}
