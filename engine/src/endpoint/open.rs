//! Connections and subflows are made here, in all four ways: active and passive, first and joined.

use super::input::Stranger;
use super::{Endpoint, Entry, LocalAddress};
use crate::addr::{
    AddressId, ConnectionId, FourTuple, IpAddr, ListenerId, SocketAddr, SourceRoute, SubflowId,
};
use crate::config::ConnectionConfig;
use crate::crypto::{Key, Nonce};
use crate::error::{ConnectError, FallbackReason, SubflowError};
use crate::mptcp::connection::Connection;
use crate::mptcp::handshake;
use crate::mptcp::subflow::{Egress, Join, Subflow};
use crate::tcp::{OpenParams, Socket};
use crate::time::Instant;
use crate::window::WindowScale;
use crate::wire::source_route;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Draws of a key before its connection goes without MPTCP [INI-9] [INI-11].
const KEY_DRAWS: usize = 4;
/// Draws of a port before the whole range is walked.
const PORT_DRAWS: usize = 64;

impl Endpoint {
    /// Opens a connection. The first subflow leaves from `local` if given, else from the first address added of
    /// the remote's family.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`]. What the peer answers is told by events.
    pub fn connect(
        &mut self,
        now: Instant,
        config: ConnectionConfig,
        local: Option<IpAddr>,
        remote: SocketAddr,
    ) -> Result<ConnectionId, ConnectError> {
        self.connect_with_data(now, config, local, remote, &[]).map(|(id, _)| id)
    }

    /// As [`Self::connect`], and writes `data`, of which as much as possible goes with the SYN where the configuration
    /// says so (RFC 7413). What is written before the SYN is fetched with [`Self::poll_transmit`] counts as well.
    /// Returns how much of `data` was taken.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_with_data(
        &mut self,
        now: Instant,
        config: ConnectionConfig,
        local: Option<IpAddr>,
        remote: SocketAddr,
        data: &[u8],
    ) -> Result<(ConnectionId, usize), ConnectError> {
        if remote.port() == 0 || remote.ip().is_unspecified() || remote.ip().is_multicast() {
            return Err(ConnectError::InvalidRemote);
        }
        if self.connections.len() >= self.config.max_connections {
            return Err(ConnectError::TooManyConnections);
        }
        let by_via = || config.vias.iter().find(|via| via.remote == remote).and_then(|v| v.local);
        let local = match local.or_else(by_via) {
            Some(address) => self.addresses.get(address),
            None => self.addresses.first_for(remote.ip(), |l| !self.carriers.has(l.interface)),
        };
        let local = local
            .filter(|l| l.address.is_ipv4() == remote.is_ipv4())
            .ok_or(ConnectError::NoLocalAddress)?;
        let tuple =
            self.free_tuple(local.address, remote, None).ok_or(ConnectError::PortsExhausted)?;
        let (key, unique) = self.draw_key();
        let id = self.next_id();
        let mut connection = Box::new(Connection::new(id, config, true, key, tuple));
        if !unique {
            self.counters.mp_fallback_token_init += 1;
            connection.set_offer(Err(FallbackReason::NoUniqueToken));
        } else if connection.has_token() && self.destinations.is_blackholed(now, remote.ip()) {
            self.counters.mp_capable_syn_tx_disabled += 1;
            connection.set_offer(Err(FallbackReason::Blackhole));
        }
        let params = self.open_params(now, &connection.config, &local, &tuple);
        let own_mss = params.mss;
        let socket = Socket::connect(now, params);
        let taken = connection.write(data).unwrap_or(0);
        self.add_first(connection, &local, tuple, socket, None);
        self.offer_fast_open(now, id, remote.ip(), own_mss);
        self.serve(now, id);
        Ok((id, taken))
    }

    /// A SYN for a listener; false when nobody listens there.
    pub(super) fn accept_connection(&mut self, now: Instant, stranger: &Stranger<'_>) -> bool {
        let tuple = stranger.tuple;
        let Some((listener_id, listener)) = self.listeners.find(tuple.local) else { return false };
        if !listener.has_place() || self.connections.len() >= self.config.max_connections {
            // Dropped, not refused: the client tries again, as with the kernel.
            self.counters.listen_drops += 1;
            return true;
        }
        let config = listener.config.clone();
        if !listener.has_room() || self.listeners.half_open() >= self.config.max_half_open {
            self.answer_and_forget(now, stranger, &config);
            return true;
        }
        self.open_passive(now, stranger, config, Some(listener_id));
        true
    }

    /// Makes a connection of a SYN.
    pub(super) fn open_passive(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        config: ConnectionConfig,
        listener: Option<ListenerId>,
    ) -> ConnectionId {
        let Stranger { local, tuple, segment, options } = *stranger;
        let mut offer = handshake::on_syn(&options.signals, config.behaviour.other_algorithms);
        self.counters.mp_capable_syn_rx += u64::from(offer.is_ok());
        let (key, unique) = self.draw_key();
        if offer.is_ok() && !unique {
            // [INI-11]
            self.counters.mp_fallback_token_init += 1;
            offer = Err(FallbackReason::NoUniqueToken);
        }
        let id = self.next_id();
        let mut connection = Box::new(Connection::new(id, config, false, key, tuple));
        connection.set_offer(offer);
        let params = self.open_params(now, &connection.config, local, &tuple);
        let mut socket = Socket::accept(now, params, segment);
        let client = tuple.remote.ip();
        let config = &connection.config;
        let early = self.judge_fast_open(now, config, client, segment, options, &mut socket);
        if let Some(listener) = listener {
            self.listeners.on_pending(listener);
        }
        self.add_first(connection, local, tuple, socket, listener);
        if early {
            self.take_syn_data(id, segment);
        }
        self.serve(now, id);
        id
    }

    pub(super) fn add_first(
        &mut self,
        mut connection: Box<Connection>,
        local: &LocalAddress,
        tuple: FourTuple,
        socket: Socket,
        listener: Option<ListenerId>,
    ) {
        let id = connection.id;
        connection.limits = self.limits;
        let subflow = connection.next_subflow_id();
        let ids = (AddressId(0), AddressId(0));
        connection.subflows.push(Subflow::new(subflow, tuple, egress(local), ids, None, socket));
        self.demux.insert(tuple, (id, subflow));
        if connection.has_token() {
            self.tokens.insert(connection.own.token, id);
        }
        self.connections.insert(
            id,
            Entry {
                connection,
                listener,
                has_events: false,
                lingers: false,
                counted: false,
                unasked: 0,
            },
        );
    }

    /// Lets a connection announce addresses, and opens the subflows its path manager asks for.
    pub(super) fn manage_paths(&mut self, now: Instant, id: ConnectionId) {
        while let Some(entry) = self.connections.get_mut(&id)
            && let Some((local, remote)) = entry.connection.next_retry(now)
        {
            let _ = self.join(now, id, local, remote, None);
        }
        let Some(entry) = self.connections.get_mut(&id) else { return };
        if !entry.connection.wants_paths(now) {
            return;
        }
        let locals = self.pm_endpoints.as_slice();
        entry.connection.announce(now, locals, &mut self.counters);
        while let Some(entry) = self.connections.get_mut(&id)
            && let Some(target) = entry.connection.next_join(now, self.pm_endpoints.as_slice())
        {
            // A target that cannot be opened was named once and will not come again.
            if target.route.is_some() || !entry.connection.is_barred(target.local, target.remote) {
                let _ = self.join(now, id, target.local, target.remote, target.route);
            }
        }
    }

    /// Opens one more subflow of a connection.
    pub(super) fn join(
        &mut self,
        now: Instant,
        id: ConnectionId,
        local: IpAddr,
        remote: SocketAddr,
        route: Option<SourceRoute>,
    ) -> Result<SubflowId, SubflowError> {
        let Some(local) = self.addresses.get(local) else {
            self.counters.mp_join_syn_tx_bind_err += 1;
            return Err(SubflowError::NoLocalAddress);
        };
        if local.address.is_ipv4() != remote.is_ipv4() {
            self.counters.mp_join_syn_tx_connect_err += 1;
            return Err(SubflowError::MixedFamilies);
        }
        let entry = self.connections.get(&id).ok_or(SubflowError::NotFound)?;
        let port = entry.connection.first_local_port();
        let config = entry.connection.config.clone();
        // [HEU-1] [HEU-3]: the first subflow's port again, where it is free.
        let tuple =
            self.free_tuple(local.address, remote, Some(port)).ok_or(SubflowError::AlreadyOpen)?;
        let mut params = self.open_params(now, &config, &local, &tuple);
        if let Some(route) = &route {
            params.mss = params.mss.saturating_sub(source_route::option_len(route) as u16);
        }
        let own_nonce = Nonce::random(&mut self.rng);
        let (local_id, backup) = self.local_id(id, &local, None);
        let entry = self.connections.get_mut(&id).ok_or(SubflowError::NotFound)?;
        let connection = &mut entry.connection;
        let taken = |id| self.pm_endpoints.get(id).is_some();
        let local_id = connection.id_towards(remote, local_id, taken);
        let ids = (local_id, connection.paths.remote_id(remote.ip()));
        let state = Join { own_nonce, peer_nonce: None };
        let socket = Socket::connect(now, params);
        let egress = Egress { route, ..egress(&local) };
        let backup = (backup, false);
        let subflow = connection.add_join(tuple, egress, ids, state, backup, socket);
        self.demux.insert(tuple, (id, subflow));
        self.schedule.activate(id);
        Ok(subflow)
    }

    /// The identifier a connection uses for a local address: that of its endpoint, or 0 for that of its first
    /// subflow [JOIN-2] [JOIN-3]; and whether its subflows are backups. `port` is the one a peer joined. An address
    /// without an endpoint gets an identifier now, as in Linux: 0 is another address [JOIN-4].
    pub(super) fn local_id(
        &mut self,
        id: ConnectionId,
        local: &LocalAddress,
        port: Option<u16>,
    ) -> (AddressId, bool) {
        let announced = port.and_then(|port| self.pm_endpoints.of_port(local.address, port));
        if let Some(endpoint) = announced {
            return (endpoint.id, endpoint.flags.backup);
        }
        let entry = self.connections.get(&id);
        let is_first = entry.is_some_and(|e| e.connection.first_local_address() == local.address);
        if !is_first && self.pm_endpoints.of_address(local.address).is_none() {
            self.pm_endpoints.on_address(local.address, local.backup, false);
        }
        let endpoint = self.pm_endpoints.of_address(local.address);
        let own = endpoint.map_or(AddressId(0), |endpoint| endpoint.id);
        let backup = endpoint.map_or(local.backup, |endpoint| endpoint.flags.backup);
        (if is_first { AddressId(0) } else { own }, backup)
    }

    pub(super) fn next_id(&mut self) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        id
    }

    /// A key whose token is not in use [INI-8] [INI-9]; false when none was found.
    pub(super) fn draw_key(&mut self) -> (Key, bool) {
        let mut key = Key::random(&mut self.rng);
        for _ in 1..KEY_DRAWS {
            if !self.tokens.contains_key(&key.facts().token) {
                return (key, true);
            }
            key = Key::random(&mut self.rng);
        }
        let unique = !self.tokens.contains_key(&key.facts().token);
        (key, unique)
    }

    /// A four-tuple not in use, with `preferred` as local port if that one is free.
    fn free_tuple(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        preferred: Option<u16>,
    ) -> Option<FourTuple> {
        let (low, high) = self.config.ephemeral_ports;
        let span = u32::from(high.saturating_sub(low)) + 1;
        let random: Vec<u16> =
            (0..PORT_DRAWS).map(|_| low.saturating_add(self.rng.below(span) as u16)).collect();
        let on = |address, port| FourTuple { local: SocketAddr::new(address, port), remote };
        let free = |tuple: &FourTuple| {
            let announced = self.pm_endpoints.of_port(tuple.local.ip(), tuple.local.port());
            let used = announced.is_some() || self.demux.contains(tuple);
            !used && self.listeners.find(tuple.local).is_none()
        };
        // [HEU-4]: joins will want the first subflow's port on the other addresses.
        let everywhere = |port| {
            let mut all = self.addresses.as_slice().iter();
            preferred.is_some() || all.all(|l| free(&on(l.address, port)))
        };
        let mut drawn = preferred.into_iter().chain(random);
        let port = drawn.find(|port| free(&on(local, *port)) && everywhere(*port));
        port.or_else(|| (low..=high).find(|port| free(&on(local, *port))))
            .map(|port| on(local, port))
    }

    pub(super) fn open_params(
        &self,
        now: Instant,
        config: &ConnectionConfig,
        local: &LocalAddress,
        tuple: &FourTuple,
    ) -> OpenParams {
        let headers = if local.address.is_ipv4() { 40 } else { 60 };
        OpenParams {
            iss: self.secrets.isn(now, tuple),
            config: config.tcp.clone(),
            mss: local.mtu.saturating_sub(headers).max(64),
            receive_window: u32::try_from(config.first_receive_buffer()).unwrap_or(u32::MAX),
            window_scale: WindowScale::for_buffer(config.receive_buffer),
            timestamp_offset: self.secrets.timestamp_offset(tuple),
            carried: self.carriers.has(local.interface),
        }
    }
}

pub(super) const fn egress(local: &LocalAddress) -> Egress {
    let LocalAddress { interface, checksum_offload, max_payload, .. } = *local;
    Egress { interface, checksum_offload, max_payload, route: None }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
