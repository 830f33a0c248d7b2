//! The front door. SKELETON: signatures are final, bodies follow.

mod info;

use crate::addr::{AddressId, ConnectionId, InterfaceId, IpAddr, ListenerId, SocketAddr, SubflowId};
use crate::config::{ConnectionConfig, EndpointConfig};
use crate::counters::Counters;
use crate::error::{ConnectError, ListenError, ReadError, SubflowError, WriteError};
use crate::event::Event;
use crate::time::Instant;
use alloc::vec::Vec;
use bytes::Bytes;
pub use info::{ConnectionInfo, SubflowInfo};

/// An address of this end and the device it lives behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The device packets from it leave by.
    pub interface: InterfaceId,
    /// Largest IP packet of that device, bytes.
    pub mtu: u16,
    /// Ask the peer to use subflows from here as backup only.
    pub backup: bool,
    /// The device completes TCP checksums on send.
    pub checksum_offload: bool,
}

/// A packet to be sent: headers stand in the buffer given to `poll_transmit`, the payload follows them.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Where it leaves.
    pub interface: InterfaceId,
    /// TCP payload; empty for a pure ACK.
    pub payload: Bytes,
    /// `Some(n)`: a super-segment to be cut into payloads of `n` bytes.
    pub segment_size: Option<u16>,
    /// The connection and subflow it belongs to; `None` for a stateless reply.
    pub subflow: Option<(ConnectionId, SubflowId)>,
}

/// All connections over a set of local addresses.
#[derive(Debug)]
pub struct Endpoint {}

impl Endpoint {
    /// An endpoint without addresses; `seed` feeds every key, nonce, port and secret.
    #[must_use]
    pub fn new(_config: EndpointConfig, _seed: [u8; 32]) -> Self { unimplemented!() }
    /// Adds an address (or changes its settings); connections may open subflows from it.
    pub fn add_address(&mut self, _now: Instant, _address: LocalAddress) -> AddressId { unimplemented!() }
    /// Removes an address; its subflows are closed and peers told.
    pub fn remove_address(&mut self, _now: Instant, _address: IpAddr) { unimplemented!() }
    /// Opens a connection. The first subflow leaves from `local` if given, else from the first address added
    /// of the remote's family.
    pub fn connect(&mut self, _now: Instant, _config: ConnectionConfig, _local: Option<IpAddr>, _remote: SocketAddr) -> Result<ConnectionId, ConnectError> { unimplemented!() }
    /// Listens; an unspecified address means every local address. At most `backlog` connections wait for `accept`.
    pub fn listen(&mut self, _config: ConnectionConfig, _local: SocketAddr, _backlog: usize) -> Result<ListenerId, ListenError> { unimplemented!() }
    /// Stops listening; connections not yet accepted are aborted.
    pub fn unlisten(&mut self, _now: Instant, _listener: ListenerId) { unimplemented!() }
    /// The next established connection of a listener.
    pub fn accept(&mut self, _listener: ListenerId) -> Option<ConnectionId> { unimplemented!() }
    /// Takes in one IP packet.
    pub fn handle_packet(&mut self, _now: Instant, _interface: InterfaceId, _packet: Bytes) { unimplemented!() }
    /// Lets timers that are due fire.
    pub fn handle_timeout(&mut self, _now: Instant) { unimplemented!() }
    /// The next packet to send: writes IP and TCP headers into `headers` (cleared first).
    pub fn poll_transmit(&mut self, _now: Instant, _headers: &mut Vec<u8>) -> Option<Transmit> { unimplemented!() }
    /// When `handle_timeout` wants to be called.
    pub fn poll_timeout(&mut self) -> Option<Instant> { unimplemented!() }
    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<(ConnectionId, Event)> { unimplemented!() }
    /// Reads in-order data; `Ok(0)` is the end of the peer's data (DATA_FIN).
    pub fn read(&mut self, _now: Instant, _id: ConnectionId, _buf: &mut [u8]) -> Result<usize, ReadError> { unimplemented!() }
    /// Reads in-order data without copying, at most `max` bytes; an empty `Bytes` is the end of the peer's data.
    pub fn read_chunk(&mut self, _now: Instant, _id: ConnectionId, _max: usize) -> Result<Bytes, ReadError> { unimplemented!() }
    /// Queues data; returns how much was taken.
    pub fn write(&mut self, _now: Instant, _id: ConnectionId, _data: &[u8]) -> Result<usize, WriteError> { unimplemented!() }
    /// Ends this direction after everything written (DATA_FIN); reading goes on.
    pub fn shutdown(&mut self, _now: Instant, _id: ConnectionId) { unimplemented!() }
    /// The application is done with the connection: close both directions gracefully, then forget it.
    pub fn close(&mut self, _now: Instant, _id: ConnectionId) { unimplemented!() }
    /// Ends the connection at once (RST with MP_FASTCLOSE).
    pub fn abort(&mut self, _now: Instant, _id: ConnectionId) { unimplemented!() }
    /// Opens a subflow by hand.
    pub fn add_subflow(&mut self, _now: Instant, _id: ConnectionId, _local: IpAddr, _remote: SocketAddr) -> Result<SubflowId, SubflowError> { unimplemented!() }
    /// Closes a subflow by hand.
    pub fn remove_subflow(&mut self, _now: Instant, _id: ConnectionId, _subflow: SubflowId) -> Result<(), SubflowError> { unimplemented!() }
    /// A connection's state; `None` once it is closed and forgotten.
    #[must_use]
    pub fn info(&self, _id: ConnectionId) -> Option<ConnectionInfo> { unimplemented!() }
    /// What was counted since the endpoint was made.
    #[must_use]
    pub fn counters(&self) -> &Counters { unimplemented!() }
    /// The addresses added.
    pub fn addresses(&self) -> &[LocalAddress] { unimplemented!() }
}
