//! Two sockets of smoltcp on one interface that hears what it says.

use super::{BATCH, BUFFER, CHUNK, Flow, MTU, TURN_US, until};
use crate::passing::Passing;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

const PORT: u16 = 80;

/// Memory that comes back, so that nobody pays for the allocator.
type Spare = Rc<RefCell<Vec<Vec<u8>>>>;

/// A queue of packets.
#[derive(Debug, Default)]
struct Wire {
    packets: VecDeque<Vec<u8>>,
    spare: Spare,
}

struct Incoming {
    packet: Vec<u8>,
    spare: Spare,
}

struct Outgoing<'a>(&'a mut Wire);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.packet);
        self.spare.borrow_mut().push(self.packet);
        result
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = self.0.spare.borrow_mut().pop().unwrap_or_default();
        packet.resize(len, 0);
        let result = f(&mut packet);
        self.0.packets.push_back(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = MTU.into();
        capabilities.medium = Medium::Ip;
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let packet = self.packets.pop_front()?;
        Some((Incoming { packet, spare: Rc::clone(&self.spare) }, Outgoing(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        (self.packets.len() < BATCH).then_some(Outgoing(self))
    }
}

/// Both sockets, with what is between them.
pub struct Pair {
    now: Instant,
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    sender: SocketHandle,
    receiver: SocketHandle,
    passing: Passing,
    chunk: Vec<u8>,
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    // nothing is lost here; what it costs to compute a window, it need not pay
    socket.set_congestion_control(CongestionControl::None);
    socket
}

impl Pair {
    /// A connection that is about to be established.
    ///
    /// # Errors
    /// It cannot be.
    pub fn open(passing: Passing) -> Result<Self, String> {
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        let address = IpAddress::v4(127, 0, 0, 1);
        interface.update_ip_addrs(|all| {
            // holds at least one
            let _ = all.push(IpCidr::new(address, 8));
        });
        let mut server = socket();
        server.listen(PORT).map_err(|error| format!("{error:?}"))?;
        let mut sockets = SocketSet::new(Vec::new());
        let (receiver, sender) = (sockets.add(server), sockets.add(socket()));
        sockets
            .get_mut::<Socket<'_>>(sender)
            .connect(interface.context(), (address, PORT), 40_000)
            .map_err(|error| format!("{error:?}"))?;
        let chunk = (0..CHUNK).map(|octet| (octet * 31 % 251) as u8).collect();
        Ok(Self { now: Instant::ZERO, wire, interface, sockets, sender, receiver, passing, chunk })
    }

    fn turn(&mut self) -> Result<u64, String> {
        self.now += Duration::from_micros(TURN_US);
        let Self { now, wire, interface, sockets, chunk, .. } = self;
        interface.poll(*now, wire, sockets);
        let mut octets = 0;
        let receiver = sockets.get_mut::<Socket<'_>>(self.receiver);
        while receiver.can_recv() {
            let read = match self.passing {
                Passing::Copied => receiver.recv_slice(chunk),
                Passing::Shared => receiver.recv(|there| (there.len(), there.len())),
            };
            octets += read.map_err(|error| format!("{error:?}"))? as u64;
        }
        let sender = sockets.get_mut::<Socket<'_>>(self.sender);
        // without a copy only for who computes what is to be sent on the spot
        while sender.can_send() {
            sender.send_slice(chunk).map_err(|error| format!("{error:?}"))?;
        }
        Ok(octets)
    }
}

impl Flow for Pair {
    fn transfer(&mut self, octets: u64) -> Result<u64, String> {
        until(octets, || self.turn())
    }
}
