//! Two ends of QUIC, with the TLS it cannot do without.

use super::{BATCH, BUFFER, CHUNK, Flow, TURN_US, until};
use crate::passing::Passing;
use bytes::{Bytes, BytesMut};
use mpuser_tun::clock;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    ReadError, ServerConfig, StreamId, TransportConfig, VarInt, WriteError,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// UDP payload that fits into 1500 octets of IPv6, as QUIC counts.
const DATAGRAM: u16 = 1_452;
/// Turns a handshake may take.
const MAX_OPENING: usize = 10_000;

struct End {
    endpoint: Endpoint,
    address: SocketAddr,
    connection: Option<(ConnectionHandle, Connection)>,
    incoming: VecDeque<BytesMut>,
}

/// A client, a server, and a stream in one direction.
pub struct Pair {
    now: Instant,
    client: End,
    server: End,
    sender: StreamId,
    receiver: Option<StreamId>,
    passing: Passing,
    chunk: Vec<u8>,
    /// The same octets, to be handed over.
    shared: Bytes,
    buffer: Vec<u8>,
}

fn transport() -> Arc<TransportConfig> {
    let window = VarInt::from_u32(BUFFER as u32);
    let mut config = TransportConfig::default();
    config.initial_mtu(DATAGRAM).mtu_discovery_config(None);
    config.send_window(BUFFER as u64).stream_receive_window(window).receive_window(window);
    Arc::new(config)
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 4_433)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Pair {
    /// A connection with a stream.
    ///
    /// # Errors
    /// It does not come about.
    pub fn open(passing: Passing) -> Result<Self, String> {
        let certified =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(text)?;
        let certificate = certified.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let mut server_config =
            ServerConfig::with_single_cert(vec![certificate.clone()], key.into()).map_err(text)?;
        server_config.transport_config(transport());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).map_err(text)?;
        let mut client_config =
            ClientConfig::with_root_certificates(Arc::new(roots)).map_err(text)?;
        client_config.transport_config(transport());
        let config = || Arc::new(EndpointConfig::default());
        let end = |server: Option<ServerConfig>, host| End {
            endpoint: Endpoint::new(config(), server.map(Arc::new), true, None),
            address: address(host),
            connection: None,
            incoming: VecDeque::new(),
        };
        let (mut client, server) = (end(None, 1), end(Some(server_config), 2));
        let now = clock::to_tokio(clock::now()).ok_or("no time")?.into_std();
        client.connection = Some(
            client
                .endpoint
                .connect(now, client_config, server.address, "localhost")
                .map_err(text)?,
        );
        let chunk: Vec<u8> = (0..CHUNK).map(|octet| (octet * 31 % 251) as u8).collect();
        let shared = Bytes::copy_from_slice(&chunk);
        let (receiver, buffer) = (None, Vec::new());
        let sender = StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0);
        let mut pair =
            Self { now, client, server, sender, receiver, passing, chunk, shared, buffer };
        for _ in 0..MAX_OPENING {
            pair.exchange()?;
            let streams = pair.client.connection.as_mut().map(|(_, c)| c.streams().open(Dir::Uni));
            if let Some(Some(stream)) = streams {
                pair.sender = stream;
                return Ok(pair);
            }
        }
        Err("no stream comes about".to_owned())
    }

    fn exchange(&mut self) -> Result<(), String> {
        let half = Duration::from_micros(TURN_US / 2);
        let Self { now, client, server, buffer, .. } = self;
        client.send(*now, server, buffer);
        *now += half;
        server.receive(*now, client, buffer)?;
        server.send(*now, client, buffer);
        *now += half;
        client.receive(*now, server, buffer)
    }

    fn turn(&mut self) -> Result<u64, String> {
        let Some((_, connection)) = &mut self.client.connection else {
            return Err("closed".to_owned());
        };
        loop {
            let mut stream = connection.send_stream(self.sender);
            let written = match self.passing {
                Passing::Copied => stream.write(&self.chunk).map(drop),
                Passing::Shared => stream.write_chunks(&mut [self.shared.clone()]).map(drop),
            };
            match written {
                Ok(()) => {}
                Err(WriteError::Blocked) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        self.exchange()?;
        let Some((_, connection)) = &mut self.server.connection else { return Ok(0) };
        self.receiver = self.receiver.or_else(|| connection.streams().accept(Dir::Uni));
        let Some(receiver) = self.receiver else { return Ok(0) };
        let mut stream = connection.recv_stream(receiver);
        let mut chunks = stream.read(true).map_err(text)?;
        let mut octets = 0;
        loop {
            match chunks.next(self.chunk.len()) {
                Ok(Some(piece)) => {
                    // an application has its data in memory of its own
                    if self.passing == Passing::Copied
                        && let Some(target) = self.chunk.get_mut(..piece.bytes.len())
                    {
                        target.copy_from_slice(&piece.bytes);
                    }
                    octets += piece.bytes.len() as u64;
                }
                Ok(None) => return Err("the stream has ended".to_owned()),
                Err(ReadError::Blocked) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        // what there is to send goes with the next turn
        let _ = chunks.finalize();
        Ok(octets)
    }
}

impl End {
    fn send(&mut self, now: Instant, to: &mut Self, buffer: &mut Vec<u8>) {
        let Some((_, connection)) = &mut self.connection else { return };
        while to.incoming.len() < BATCH {
            buffer.clear();
            let Some(transmit) = connection.poll_transmit(now, 1, buffer) else { return };
            to.incoming.extend(buffer.get(..transmit.size).map(BytesMut::from));
        }
    }

    fn receive(
        &mut self,
        now: Instant,
        from: &mut Self,
        buffer: &mut Vec<u8>,
    ) -> Result<(), String> {
        while let Some(datagram) = self.incoming.pop_front() {
            buffer.clear();
            let event = self.endpoint.handle(now, from.address, None, None, datagram, buffer);
            match (event, &mut self.connection) {
                (Some(DatagramEvent::ConnectionEvent(_, event)), Some((_, connection))) => {
                    connection.handle_event(event);
                }
                (Some(DatagramEvent::NewConnection(incoming)), known) => {
                    let accepted = self.endpoint.accept(incoming, now, buffer, None);
                    *known = Some(accepted.map_err(|error| error.cause.to_string())?);
                }
                (Some(DatagramEvent::Response(transmit)), _) => {
                    from.incoming.extend(buffer.get(..transmit.size).map(BytesMut::from));
                }
                _ => {}
            }
        }
        let Some((handle, connection)) = &mut self.connection else { return Ok(()) };
        if connection.poll_timeout().is_some_and(|deadline| deadline <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            if let quinn_proto::Event::ConnectionLost { reason } = event {
                return Err(reason.to_string());
            }
        }
        Ok(())
    }
}

impl Flow for Pair {
    fn transfer(&mut self, octets: u64) -> Result<u64, String> {
        until(octets, || self.turn())
    }
}
