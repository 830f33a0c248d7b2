//! The path manager for programs: endpoints and limits of a running stack.

use super::Stack;
use crate::error::Error;
use mpuser_engine::PmEndpoint;
use mpuser_engine::addr::AddressId;
use mpuser_engine::config::{EndpointFlags, Limits};
use std::io;

impl Stack {
    /// Adds an endpoint (`ip mptcp endpoint add`); living connections announce it or open subflows from it.
    ///
    /// # Errors
    /// [`Error::Pm`] as source says why not.
    pub fn add_endpoint(&self, endpoint: PmEndpoint) -> io::Result<AddressId> {
        let added = self.handle.with(|inner, now| inner.endpoint.add_endpoint(now, endpoint));
        Ok(added.map_err(Error::from)?)
    }

    /// Deletes an endpoint: peers are told (REMOVE_ADDR) and its subflows closed.
    ///
    /// # Errors
    /// [`Error::Pm`] as source says why not.
    pub fn delete_endpoint(&self, id: AddressId) -> io::Result<()> {
        let deleted = self.handle.with(|inner, now| inner.endpoint.delete_endpoint(now, id));
        Ok(deleted.map_err(Error::from)?)
    }

    /// Changes what an endpoint is used for; `backup` is told to peers (MP_PRIO).
    ///
    /// # Errors
    /// [`Error::Pm`] as source says why not.
    pub fn change_endpoint(&self, id: AddressId, flags: EndpointFlags) -> io::Result<()> {
        let changed = self.handle.with(|inner, now| inner.endpoint.change_endpoint(now, id, flags));
        Ok(changed.map_err(Error::from)?)
    }

    /// Every endpoint, by identifier; addresses nobody made one for have one with `subflow`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<PmEndpoint> {
        self.handle.with(|inner, _| inner.endpoint.endpoints())
    }

    /// Sets the limits of all connections (`ip mptcp limits set`).
    pub fn set_limits(&self, limits: Limits) {
        self.handle.with(|inner, now| inner.endpoint.set_limits(now, limits));
    }

    /// The limits of all connections.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.handle.with(|inner, _| inner.endpoint.limits())
    }
}
