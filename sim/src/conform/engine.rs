//! Our engine as the stack under test, in virtual time.

use super::target::{AppError, PORT, Setup, Target, stack_address};
use bytes::Bytes;
use mpuser_engine::addr::{AddressId, ConnectionId, InterfaceId, ListenerId, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, EndpointFlags, Limits, Profile};
use mpuser_engine::error::{ConnectError, ConnectionError, ReadError, WriteError};
use mpuser_engine::time::Instant;
use mpuser_engine::{Endpoint, LocalAddress, PmEndpoint};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

/// When the engine's clock starts: not at zero, where a forgotten addition would not show.
const START: Instant = Instant::from_millis(1_000);
/// The identifier of the endpoint with the second address.
const SECOND: AddressId = AddressId(1);
/// Connections a listener holds ready.
const BACKLOG: usize = 128;
const ANY_V4: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
const ANY_V6: SocketAddrV6 = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0);
/// The MTU of its devices.
const MTU: u16 = 1_500;

/// An endpoint with an application in virtual time.
#[derive(Debug)]
pub struct EngineTarget {
    endpoint: Endpoint,
    config: ConnectionConfig,
    now: Instant,
    listeners: Vec<ListenerId>,
    connection: Option<ConnectionId>,
    emitted: VecDeque<Vec<u8>>,
}

impl EngineTarget {
    /// An endpoint configured as `setup` says, from a fixed seed.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self::with_profile(setup, Profile::default())
    }

    /// The same with the choices of a profile where RFC 8684 and Linux part.
    #[must_use]
    pub fn with_profile(setup: &Setup, profile: Profile) -> Self {
        Self::with_config(setup, ConnectionConfig::of(profile))
    }

    /// The same with these settings of connections, where `setup` says nothing else.
    #[must_use]
    pub fn with_config(setup: &Setup, config: ConnectionConfig) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let blackhole_timeout = seconds(setup.blackhole_timeout);
        let whole = EndpointConfig { blackhole_timeout, ..EndpointConfig::default() };
        let mut endpoint = Endpoint::new(whole, [42; 32]);
        // Before its address, which would get an identifier of its own.
        configure_paths(&mut endpoint, setup);
        for index in 0..setup.addresses {
            let families = if setup.ipv6 { &[false, true][..] } else { &[false] };
            for ipv6 in families {
                let address = stack_address(index, *ipv6);
                let (interface, backup) = (InterfaceId(u16::from(index)), false);
                let checksum_offload = false;
                let local = LocalAddress {
                    address,
                    interface,
                    mtu: MTU,
                    backup,
                    checksum_offload,
                    max_payload: 0,
                };
                endpoint.add_address(Instant::ZERO, local);
            }
        }
        let config = ConnectionConfig {
            checksum: setup.checksum,
            join_from_local: false,
            server_joins: true,
            close_timeout: seconds(setup.close_timeout),
            add_addr_timeout: seconds(setup.add_addr_timeout),
            allow_join_initial_addr_port: !setup.deny_join_initial,
            receive_buffer: setup.receive_buffer as usize,
            ..config
        };
        let any: &[SocketAddr] = match (setup.client, setup.ipv6) {
            (true, _) => &[],
            (false, false) => &[SocketAddr::V4(ANY_V4)],
            (false, true) => &[SocketAddr::V4(ANY_V4), SocketAddr::V6(ANY_V6)],
        };
        let listen = |any: &SocketAddr| endpoint.listen(config.clone(), *any, BACKLOG).ok();
        let listeners = any.iter().filter_map(listen).collect();
        let (now, connection, emitted) = (START, None, VecDeque::new());
        Self { endpoint, config, now, listeners, connection, emitted }
    }

    /// Takes over what the endpoint emits, and forgets what it says.
    fn pump(&mut self) {
        let mut headers = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit(self.now, &mut headers) {
            self.emitted.push_back([headers.as_slice(), &transmit.payload].concat());
        }
        while self.endpoint.poll_event().is_some() {}
    }

    /// What the endpoint's own check of itself says.
    ///
    /// # Errors
    /// Which invariant does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        self.endpoint.check_invariants()
    }

    fn with<T>(
        &mut self,
        call: impl FnOnce(&mut Endpoint, Instant, ConnectionId) -> T,
    ) -> Option<T> {
        let outcome = self.connection.map(|id| call(&mut self.endpoint, self.now, id));
        self.pump();
        outcome
    }
}

/// Limits, and the endpoint with the second address.
fn configure_paths(endpoint: &mut Endpoint, setup: &Setup) {
    let (subflows, add_addr_accepted) = (setup.subflows.into(), setup.add_addr_accepted.into());
    endpoint.set_limits(Instant::ZERO, Limits { subflows, add_addr_accepted });
    if setup.signal || setup.subflow {
        let (signal, subflow) = (setup.signal, setup.subflow);
        let flags = EndpointFlags { signal, subflow, ..EndpointFlags::default() };
        let (address, id, port) = (stack_address(1, false), Some(SECOND), setup.signal_port);
        // The address and its identifier are free: nothing else has been configured.
        let _id = endpoint.add_endpoint(Instant::ZERO, PmEndpoint { address, id, port, flags });
    }
}

const fn app_error(error: ConnectionError) -> AppError {
    match error {
        ConnectionError::Refused => AppError::Refused,
        ConnectionError::Unreachable => AppError::Unreachable,
        ConnectionError::ConnectTimeout | ConnectionError::Timeout => AppError::TimedOut,
        _ => AppError::Reset,
    }
}

impl Target for EngineTarget {
    fn now(&self) -> Duration {
        self.now.saturating_since(START)
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn inject(&mut self, packet: &[u8]) {
        let packet = Bytes::copy_from_slice(packet);
        self.endpoint.handle_packet(self.now, InterfaceId(0), packet);
        self.pump();
    }

    fn next_packet(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let end = self.now + limit;
        loop {
            self.pump();
            if let Some(packet) = self.emitted.pop_front() {
                return Some(packet);
            }
            let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) else {
                self.now = end;
                return None;
            };
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
        }
    }

    fn connect(&mut self, remote: SocketAddr) -> Result<(), AppError> {
        let connected = self.endpoint.connect(self.now, self.config.clone(), None, remote);
        self.pump();
        self.connection = Some(connected.map_err(|error| match error {
            ConnectError::NoLocalAddress => AppError::Unreachable,
            _ => AppError::Other,
        })?);
        Ok(())
    }

    fn accept(&mut self) -> bool {
        let accepted = self.listeners.iter().find_map(|listener| self.endpoint.accept(*listener));
        self.pump();
        self.connection = accepted.or(self.connection);
        accepted.is_some()
    }

    fn read(&mut self, limit: usize) -> Result<Vec<u8>, AppError> {
        let read = self.with(|endpoint, now, id| endpoint.read_chunk(now, id, limit));
        match read.ok_or(AppError::NotConnected)? {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(ReadError::WouldBlock) => Err(AppError::WouldBlock),
            Err(ReadError::Closed(error)) => Err(app_error(error)),
            Err(ReadError::NotFound) => Err(AppError::NotConnected),
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<usize, AppError> {
        let written = self.with(|endpoint, now, id| endpoint.write(now, id, data));
        written.ok_or(AppError::NotConnected)?.map_err(|error| match error {
            WriteError::WouldBlock => AppError::WouldBlock,
            WriteError::Shutdown => AppError::Pipe,
            WriteError::Closed(error) => app_error(error),
            WriteError::NotFound => AppError::NotConnected,
        })
    }

    fn shutdown(&mut self) {
        self.with(|endpoint, now, id| endpoint.shutdown(now, id));
    }

    fn close(&mut self) {
        self.with(|endpoint, now, id| endpoint.close(now, id));
    }

    fn abort(&mut self) {
        self.with(|endpoint, now, id| endpoint.abort(now, id));
    }

    fn delete_endpoint(&mut self) -> Result<(), String> {
        let done = self.endpoint.delete_endpoint(self.now, SECOND);
        self.pump();
        done.map_err(|error| error.to_string())
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let known = |name: &str| {
            name.strip_prefix("MPTcpExt").or_else(|| name.strip_prefix("TcpExt")).map(str::to_owned)
        };
        let all = self.endpoint.counters().iter();
        all.filter(|(_, value)| *value > 0).filter_map(|(n, v)| Some((known(n)?, v))).collect()
    }
}
