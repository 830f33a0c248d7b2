//! Two endpoints of ours.

use super::{BATCH, BUFFER, CHUNK, Flow, MTU, TURN_US, until};
use crate::passing::Passing;
use bytes::{Bytes, BytesMut};
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, Ipv4Addr, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::error::{ReadError, WriteError};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::{Segments, segmentation};
use mpuser_engine::{Endpoint, LocalAddress};
use std::collections::VecDeque;

const PORT: u16 = 80;
/// Memory of packets is taken from blocks of this size.
const BLOCK: usize = 64 << 10;
/// Turns a handshake, joins included, may take.
const MAX_OPENING: usize = 100_000;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// MPTCP, or plain TCP.
    pub mptcp: bool,
    /// Subflows, each between addresses of its own.
    pub subflows: u8,
    /// Connections that do nothing beside the one that does.
    pub idle: usize,
    /// DSS checksums, too.
    pub dss_checksum: bool,
    /// IP packets are at most this long.
    pub mtu: u16,
    /// How both applications have their octets.
    pub passing: Passing,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mptcp: true,
            subflows: 1,
            idle: 0,
            dss_checksum: false,
            mtu: MTU,
            passing: Passing::Copied,
        }
    }
}

/// Memory for packets that comes back once the last of a block's packets is gone.
#[derive(Debug, Default)]
struct Arena {
    current: BytesMut,
    used: VecDeque<BytesMut>,
    /// There is a block: nothing can be reclaimed of the first, empty one.
    begun: bool,
}

impl Arena {
    /// The next packet, with how much payload it has.
    fn packet(&mut self, segments: &mut Segments<'_>, len: usize) -> Option<(Bytes, usize)> {
        if self.current.capacity() < len {
            let full = std::mem::take(&mut self.current);
            if self.begun {
                self.used.push_back(full);
            }
            self.begun = true;
            let oldest_is_free =
                self.used.front_mut().is_some_and(|block| block.try_reclaim(BLOCK));
            let block = if oldest_is_free { self.used.pop_front() } else { None };
            self.current = block.unwrap_or_else(|| BytesMut::with_capacity(BLOCK));
        }
        let payload = segments.next_onto(&mut self.current)?;
        Some((self.current.split().freeze(), payload))
    }
}

/// An end and what is on its way to it.
#[derive(Debug)]
struct End {
    endpoint: Endpoint,
    incoming: VecDeque<(InterfaceId, Bytes)>,
}

/// A client, a server, and the link between them.
#[derive(Debug)]
pub struct Pair {
    now: Instant,
    client: End,
    server: End,
    arena: Arena,
    headers: Vec<u8>,
    /// The busy connection at either end.
    sender: ConnectionId,
    receiver: ConnectionId,
    passing: Passing,
    chunk: Vec<u8>,
    /// The same octets, to be handed over.
    shared: Bytes,
    /// Packets with data.
    data_packets: u64,
}

fn address(host: u8, subflow: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, subflow, host))
}

fn end(host: u8, options: &Options) -> End {
    let config = EndpointConfig {
        max_connections: 1 << 20,
        max_half_open: 1 << 20,
        ..EndpointConfig::default()
    };
    let mut endpoint = Endpoint::new(config, [host; 32]);
    for subflow in 0..options.subflows {
        let local = LocalAddress {
            address: address(host, subflow),
            interface: InterfaceId(subflow.into()),
            mtu: options.mtu,
            backup: false,
            // they are cut and completed in `send`
            checksum_offload: true,
            max_payload: segmentation::MAX_PAYLOAD,
        };
        endpoint.add_address(Instant::ZERO, local);
    }
    End { endpoint, incoming: VecDeque::new() }
}

fn config(options: &Options) -> ConnectionConfig {
    ConnectionConfig {
        mptcp: options.mptcp,
        checksum: options.dss_checksum,
        send_buffer: BUFFER,
        receive_buffer: BUFFER,
        ..ConnectionConfig::default()
    }
}

impl Pair {
    /// Connections that are established, with all their subflows.
    ///
    /// # Errors
    /// They do not come about.
    pub fn open(options: &Options) -> Result<Self, String> {
        let mut client = end(1, options);
        let mut server = end(2, options);
        let at = SocketAddr::new(address(2, 0), PORT);
        let backlog = options.idle + 16;
        let listener = server
            .endpoint
            .listen(config(options), at, backlog)
            .map_err(|error| error.to_string())?;
        let chunk: Vec<u8> = (0..CHUNK).map(|octet| (octet * 31 % 251) as u8).collect();
        let mut pair = Self {
            now: Instant::ZERO,
            sender: connect(&mut client, Instant::ZERO, options, at)?,
            client,
            server,
            arena: Arena::default(),
            headers: Vec::with_capacity(256),
            receiver: ConnectionId(u64::MAX),
            passing: options.passing,
            shared: Bytes::copy_from_slice(&chunk),
            chunk,
            data_packets: 0,
        };
        pair.receiver = pair.accept(listener)?;
        for _ in 0..options.idle {
            let sender = connect(&mut pair.client, pair.now, options, at)?;
            let receiver = pair.accept(listener)?;
            pair.greet(sender, receiver)?;
        }
        for _ in 0..MAX_OPENING {
            if pair.subflows() == usize::from(options.subflows) {
                return Ok(pair);
            }
            pair.turn()?;
        }
        Err(format!("{} subflows of {}", pair.subflows(), options.subflows))
    }

    fn accept(
        &mut self,
        listener: mpuser_engine::addr::ListenerId,
    ) -> Result<ConnectionId, String> {
        for _ in 0..MAX_OPENING {
            self.exchange();
            if let Some(id) = self.server.endpoint.accept(listener) {
                return Ok(id);
            }
        }
        Err("no connection is established".to_owned())
    }

    /// 1 KiB, so that a connection is idle rather than fresh.
    fn greet(&mut self, sender: ConnectionId, receiver: ConnectionId) -> Result<(), String> {
        let (mut greeting, mut heard) = ([7; 1_024], 0);
        let written = self.client.endpoint.write(self.now, sender, &greeting);
        written.map_err(|error| error.to_string())?;
        for _ in 0..MAX_OPENING {
            self.exchange();
            if let Ok(count) = self.server.endpoint.read(self.now, receiver, &mut greeting) {
                heard += count;
            }
            if heard == greeting.len() {
                // the last acknowledgement, which may be delayed
                self.now += Duration::from_millis(50);
                self.exchange();
                self.exchange();
                return Ok(());
            }
        }
        Err("an idle connection has not had its data".to_owned())
    }

    /// Subflows of the busy connection that are established.
    fn subflows(&self) -> usize {
        let info = self.client.endpoint.info(self.sender);
        let all = info.map(|info| info.subflows).unwrap_or_default();
        all.iter().filter(|subflow| subflow.state == "ESTAB").count()
    }

    /// Packets with data so far.
    #[must_use]
    pub const fn data_packets(&self) -> u64 {
        self.data_packets
    }

    /// Packets that went the short way so far, by header prediction.
    #[must_use]
    pub fn predicted(&self) -> u64 {
        self.server.endpoint.counters().tcp_hp_hits
    }

    /// Both ends once: writing, sending, receiving, reading. Returns the octets read.
    fn turn(&mut self) -> Result<u64, String> {
        loop {
            match self.write() {
                Ok(_) => {}
                Err(WriteError::WouldBlock) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        self.exchange();
        let mut octets = 0;
        loop {
            match self.read() {
                Ok(0) => return Err("the stream has ended".to_owned()),
                Ok(count) => octets += count as u64,
                Err(ReadError::WouldBlock) => return Ok(octets),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn write(&mut self) -> Result<usize, WriteError> {
        let endpoint = &mut self.client.endpoint;
        match self.passing {
            Passing::Copied => endpoint.write(self.now, self.sender, &self.chunk),
            Passing::Shared => endpoint.write_bytes(self.now, self.sender, self.shared.clone()),
        }
    }

    fn read(&mut self) -> Result<usize, ReadError> {
        let endpoint = &mut self.server.endpoint;
        match self.passing {
            Passing::Copied => endpoint.read(self.now, self.receiver, &mut self.chunk),
            Passing::Shared => {
                endpoint.read_chunk(self.now, self.receiver, CHUNK).map(|piece| piece.len())
            }
        }
    }

    /// A batch of packets there, and what answers them back.
    fn exchange(&mut self) {
        let half = Duration::from_micros(TURN_US / 2);
        let Self { now, client, server, arena, headers, .. } = self;
        self.data_packets += send(*now, client, server, arena, headers);
        *now += half;
        receive(*now, server);
        self.data_packets += send(*now, server, client, arena, headers);
        *now += half;
        receive(*now, client);
    }
}

fn connect(
    client: &mut End,
    now: Instant,
    options: &Options,
    at: SocketAddr,
) -> Result<ConnectionId, String> {
    let connected = client.endpoint.connect(now, config(options), None, at);
    connected.map_err(|error| error.to_string())
}

/// What an end wants to send, up to a batch. Returns how many of the packets have data.
fn send(
    now: Instant,
    from: &mut End,
    to: &mut End,
    arena: &mut Arena,
    headers: &mut Vec<u8>,
) -> u64 {
    let mut with_data = 0;
    while to.incoming.len() < BATCH
        && let Some(transmit) = from.endpoint.poll_transmit(now, headers)
    {
        let segments = Segments::new(headers, &transmit.payload, transmit.segment_size);
        let Some(mut segments) = segments else { continue };
        let most =
            headers.len() + transmit.segment_size.map_or(transmit.payload.len(), usize::from);
        // What a device would do: headers and payload behind each other.
        while let Some((packet, payload)) = arena.packet(&mut segments, most) {
            with_data += u64::from(payload > 0);
            to.incoming.push_back((transmit.interface, packet));
        }
    }
    with_data
}

fn receive(now: Instant, end: &mut End) {
    while let Some((interface, packet)) = end.incoming.pop_front() {
        end.endpoint.handle_packet(now, interface, packet);
    }
    if end.endpoint.poll_timeout().is_some_and(|deadline| deadline <= now) {
        end.endpoint.handle_timeout(now);
    }
    while end.endpoint.poll_event().is_some() {}
}

impl Flow for Pair {
    fn transfer(&mut self, octets: u64) -> Result<u64, String> {
        until(octets, || self.turn())
    }
}
