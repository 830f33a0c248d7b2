//! Addresses, endpoints, limits and subflows at the application's or the administrator's wish.

use super::{Endpoint, LocalAddress, PmEndpoint};
use crate::addr::{AddressId, ConnectionId, IpAddr, SocketAddr, SubflowId};
use crate::config::{EndpointFlags, Limits, Via};
use crate::counters::Counters;
use crate::error::{PmError, SubflowError};
use crate::mptcp::connection::Connection;
use crate::mptcp::path_manager::{LocalEndpoint, Presence};
use crate::time::Instant;
use alloc::vec::Vec;

impl Endpoint {
    /// Adds an address (or changes its settings); connections may open subflows from it. Returns the identifier of
    /// its endpoint: one with the flags `subflow` and `implicit` is made unless there is an explicit one, or 0 where
    /// none is wanted ([`EndpointConfig::implicit_endpoints`](crate::config::EndpointConfig::implicit_endpoints)).
    pub fn add_address(&mut self, now: Instant, address: LocalAddress) -> AddressId {
        self.addresses.add(address);
        let known = self.pm_endpoints.of_address(address.address).is_some();
        if !known && !self.config.implicit_endpoints {
            return AddressId(0);
        }
        let active = !self.carriers.has(address.interface);
        let appeared = self.pm_endpoints.on_address(address.address, address.backup, active);
        self.each_connection(now, |connection, _| {
            if appeared {
                connection.paths.on_local_added(address.address);
            }
        });
        self.pm_endpoints.of_address(address.address).map_or(AddressId(0), |e| e.id)
    }

    /// Removes an address that nothing can be sent from any more: its subflows end, and peers are told (REMOVE_ADDR)
    /// on other subflows. Its explicit endpoints stay, for the case that it comes back.
    pub fn remove_address(&mut self, now: Instant, address: IpAddr) {
        self.addresses.remove(address);
        self.demux.close_lanes();
        let ids = self.pm_endpoints.on_address_gone(address);
        self.each_connection(now, |connection, counters| {
            connection.on_local_removed(now, address, &ids, counters);
        });
    }

    /// The addresses added.
    #[must_use]
    pub fn addresses(&self) -> &[LocalAddress] {
        self.addresses.as_slice()
    }

    /// Adds an endpoint (`ip mptcp endpoint add`); living connections announce it or open subflows from it. One that
    /// stands in for an address nobody configured gives way to it.
    ///
    /// # Errors
    ///
    /// See [`PmError`].
    pub fn add_endpoint(
        &mut self,
        now: Instant,
        endpoint: PmEndpoint,
    ) -> Result<AddressId, PmError> {
        let here = self.addresses.get(endpoint.address).is_some();
        let presence = if here { Presence::Here } else { Presence::Elsewhere };
        let before = self.pm_endpoints.of_address(endpoint.address).copied();
        let (id, replaced) = self.pm_endpoints.add(&endpoint, presence)?;
        self.each_connection(now, |connection, counters| {
            // The address of the first subflow is 0 under any number.
            let renamed =
                replaced.is_some() && connection.first_local_address() != endpoint.address;
            if let Some(before) = before.filter(|_| renamed) {
                connection.on_endpoints_deleted(now, &[before], counters);
            }
            connection.paths.on_local_added(endpoint.address);
        });
        Ok(id)
    }

    /// Deletes an endpoint (`ip mptcp endpoint delete id`): peers are told (REMOVE_ADDR) and its subflows closed.
    ///
    /// # Errors
    ///
    /// [`PmError::NotFound`].
    pub fn delete_endpoint(&mut self, now: Instant, id: AddressId) -> Result<(), PmError> {
        let endpoint = self.pm_endpoints.remove(id)?;
        self.retire(&endpoint);
        self.each_connection(now, |connection, counters| {
            connection.on_endpoints_deleted(now, &[endpoint], counters);
        });
        Ok(())
    }

    /// Deletes the address of the first subflow, identifier 0, of every connection that started from `address`
    /// (`ip mptcp endpoint delete id 0 ADDRESS`).
    pub fn delete_initial_address(&mut self, now: Instant, address: IpAddr) {
        self.each_connection(now, |connection, counters| {
            if connection.first_local_address() == address {
                connection.on_initial_address_deleted(now, counters);
            }
        });
    }

    /// Deletes all endpoints that were added (`ip mptcp endpoint flush`), in one REMOVE_ADDR.
    pub fn flush_endpoints(&mut self, now: Instant) {
        let removed = self.pm_endpoints.flush();
        removed.iter().for_each(|endpoint| self.retire(endpoint));
        self.each_connection(now, |connection, counters| {
            connection.on_endpoints_deleted(now, &removed, counters);
        });
    }

    /// Changes what an endpoint is used for (`ip mptcp endpoint change id`): `backup` tells the peer with MP_PRIO on
    /// its subflows, `signal` announces it or withdraws the announcement, `subflow` and `fullmesh` open subflows.
    ///
    /// # Errors
    ///
    /// See [`PmError`].
    pub fn change_endpoint(
        &mut self,
        now: Instant,
        id: AddressId,
        flags: EndpointFlags,
    ) -> Result<(), PmError> {
        let before = self.pm_endpoints.change(id, flags)?;
        self.each_connection(now, |connection, _| connection.on_endpoint_changed(&before, flags));
        Ok(())
    }

    /// Every endpoint, by identifier; those made for addresses nobody configured have `implicit`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<PmEndpoint> {
        self.pm_endpoints.configured()
    }

    /// Sets the limits of all connections; subflows beyond them stay.
    pub fn set_limits(&mut self, now: Instant, limits: Limits) {
        self.limits = limits;
        self.each_connection(now, |connection, _| {
            connection.limits = limits;
            connection.paths.touch();
        });
    }

    /// The limits of all connections.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Opens a subflow by hand, from one of this end's addresses to any address, in either role.
    ///
    /// # Errors
    ///
    /// See [`SubflowError`]. Whether the peer takes it is told by events.
    pub fn open_subflow(
        &mut self,
        now: Instant,
        id: ConnectionId,
        local: IpAddr,
        remote: SocketAddr,
    ) -> Result<SubflowId, SubflowError> {
        let entry = self.connections.get(&id).ok_or(SubflowError::NotFound)?;
        if !entry.connection.is_mptcp() || !entry.connection.confirmed {
            return Err(SubflowError::NotJoinable);
        }
        if !entry.connection.is_joinable() {
            return Err(SubflowError::LimitReached);
        }
        let subflow = self.join(now, id, local, remote, None)?;
        self.serve(now, id);
        Ok(subflow)
    }

    /// Closes a subflow by hand; what it carries goes on over the others.
    ///
    /// # Errors
    ///
    /// [`SubflowError::NotFound`], [`SubflowError::PlainTcp`].
    pub fn close_subflow(
        &mut self,
        now: Instant,
        id: ConnectionId,
        subflow: SubflowId,
    ) -> Result<(), SubflowError> {
        let entry = self.connections.get_mut(&id).ok_or(SubflowError::NotFound)?;
        entry.connection.remove_subflow(subflow)?;
        self.serve(now, id);
        Ok(())
    }

    /// One more forwarder for this connection ([`ConnectionConfig::vias`](crate::config::ConnectionConfig::vias)): a
    /// subflow goes through it as soon as there can be one.
    ///
    /// # Errors
    ///
    /// [`SubflowError::NotFound`], [`SubflowError::PlainTcp`], [`SubflowError::AlreadyOpen`] when it is one already,
    /// [`SubflowError::LimitReached`].
    pub fn add_via(
        &mut self,
        now: Instant,
        id: ConnectionId,
        via: Via,
    ) -> Result<(), SubflowError> {
        let entry = self.connections.get_mut(&id).ok_or(SubflowError::NotFound)?;
        entry.connection.add_via(via)?;
        self.serve(now, id);
        Ok(())
    }

    /// The subflow through that forwarder is to come from the address `local`, where it is or as soon as it is: another
    /// is opened, and the old one closes once it is there.
    ///
    /// # Errors
    ///
    /// [`SubflowError::NotFound`] when there is no such connection or it is none of its forwarders,
    /// [`SubflowError::PlainTcp`].
    pub fn relocate_via(
        &mut self,
        now: Instant,
        id: ConnectionId,
        remote: SocketAddr,
        local: IpAddr,
    ) -> Result<(), SubflowError> {
        let entry = self.connections.get_mut(&id).ok_or(SubflowError::NotFound)?;
        entry.connection.relocate_via(remote, local)?;
        self.serve(now, id);
        Ok(())
    }

    /// This connection no longer goes through that forwarder: its subflow closes.
    ///
    /// # Errors
    ///
    /// [`SubflowError::NotFound`] when there is no such connection or it is none of its forwarders,
    /// [`SubflowError::PlainTcp`].
    pub fn remove_via(
        &mut self,
        now: Instant,
        id: ConnectionId,
        remote: SocketAddr,
    ) -> Result<(), SubflowError> {
        let entry = self.connections.get_mut(&id).ok_or(SubflowError::NotFound)?;
        entry.connection.remove_via(remote)?;
        self.serve(now, id);
        Ok(())
    }

    /// The forwarders of this connection, in the order in which they are tried.
    #[must_use]
    pub fn vias(&self, id: ConnectionId) -> Vec<Via> {
        self.connections.get(&id).map(|e| e.connection.paths.vias().collect()).unwrap_or_default()
    }

    /// Makes a subflow a backup or a regular one, and tells the peer (MP_PRIO, RFC 8684 3.3.8).
    ///
    /// # Errors
    ///
    /// [`SubflowError::NotFound`].
    pub fn set_backup(
        &mut self,
        now: Instant,
        id: ConnectionId,
        subflow: SubflowId,
        backup: bool,
    ) -> Result<(), SubflowError> {
        let entry = self.connections.get_mut(&id).ok_or(SubflowError::NotFound)?;
        entry.connection.set_backup(subflow, backup)?;
        self.serve(now, id);
        Ok(())
    }

    /// The address keeps an identifier, for subflows opened by hand or by peers.
    fn retire(&mut self, endpoint: &LocalEndpoint) {
        if endpoint.is_here() && self.pm_endpoints.of_address(endpoint.address).is_none() {
            self.pm_endpoints.on_address(endpoint.address, endpoint.flags.backup, false);
        }
    }

    fn each_connection(
        &mut self,
        now: Instant,
        mut act: impl FnMut(&mut Connection, &mut Counters),
    ) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            if let Some(entry) = self.connections.get_mut(&id) {
                act(&mut entry.connection, &mut self.counters);
            }
            self.serve(now, id);
        }
    }
}
