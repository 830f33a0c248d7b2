//! The endpoints of `ip mptcp`: addresses of this end, their identifiers, and what they are used for.

use crate::addr::{AddressId, IpAddr};
use crate::config::EndpointFlags;
use crate::error::PmError;
use crate::mptcp::path_manager::{LocalEndpoint, Presence};
use alloc::vec::Vec;

/// An address of this end and what connections use it for (`ip mptcp endpoint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmEndpoint {
    /// The address. It need not be one of the endpoint's now: it may appear later, or stand for one behind a
    /// translator.
    pub address: IpAddr,
    /// Its identifier, 1 to 255; `None` asks for the next free one.
    pub id: Option<AddressId>,
    /// A port to be announced with it; goes with `signal` only.
    pub port: Option<u16>,
    /// What it is used for.
    pub flags: EndpointFlags,
}

/// All of them; there is one, explicit or implicit, for each address of this end.
#[derive(Debug, Default)]
pub(super) struct PmEndpoints {
    list: Vec<LocalEndpoint>,
    last_id: u8,
}

impl PmEndpoints {
    pub(super) fn as_slice(&self) -> &[LocalEndpoint] {
        &self.list
    }

    /// What was configured, or stands in for it.
    pub(super) fn configured(&self) -> Vec<PmEndpoint> {
        let shown = self.list.iter().filter(|e| !e.is_retired());
        shown
            .map(|e| PmEndpoint {
                address: e.address,
                id: Some(e.id),
                port: e.port,
                flags: e.flags,
            })
            .collect()
    }

    /// The endpoint of this identifier.
    pub(super) fn get(&self, id: AddressId) -> Option<&LocalEndpoint> {
        self.list.iter().find(|e| e.id == id)
    }

    /// The endpoint of this address; the one without a port, if there are several.
    pub(super) fn of_address(&self, address: IpAddr) -> Option<&LocalEndpoint> {
        let of_address = |e: &&LocalEndpoint| e.address == address;
        self.list.iter().filter(of_address).min_by_key(|e| e.port.is_some())
    }

    /// The endpoint that announces this address with this port (K42).
    pub(super) fn of_port(&self, address: IpAddr, port: u16) -> Option<&LocalEndpoint> {
        self.list.iter().find(|e| e.address == address && e.port == Some(port))
    }

    /// Adds an endpoint that somebody asked for; one made up before gives way to it. Returns it, and the identifier
    /// of the one it replaced if that differs.
    pub(super) fn add(
        &mut self,
        wanted: &PmEndpoint,
        presence: Presence,
    ) -> Result<(AddressId, Option<AddressId>), PmError> {
        let PmEndpoint { address, id, port, flags } = *wanted;
        if address.is_unspecified() || address.is_multicast() || port == Some(0) {
            return Err(PmError::InvalidAddress);
        }
        check_flags(flags, port)?;
        let stand_in = |e: &LocalEndpoint| e.implicit && e.address == address;
        let same = |e: &&LocalEndpoint| {
            let any_port = e.port.is_some() || port.is_some();
            e.address == address && !e.implicit && (!any_port || e.port == port)
        };
        if self.list.iter().any(|e| same(&e)) {
            return Err(PmError::AddressInUse);
        }
        let replaced = self.list.iter().find(|e| stand_in(e) && port.is_none()).map(|e| e.id);
        let id = match (id, replaced) {
            (Some(AddressId(0)), _) => return Err(PmError::InvalidId),
            (Some(id), _) if Some(id) != replaced && self.get(id).is_some() => {
                return Err(PmError::IdInUse);
            }
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => self.next_id().ok_or(PmError::TooMany)?,
        };
        if let Some(replaced) = replaced {
            self.list.retain(|e| e.id != replaced);
        }
        let implicit = false;
        self.list.push(LocalEndpoint { address, id, port, flags, implicit, presence });
        self.list.sort_by_key(|e| e.id);
        Ok((id, replaced.filter(|old| *old != id)))
    }

    /// An address of this end appeared, or its settings changed: its endpoints are present, or a stand-in is made
    /// that has the `subflow` flag if `active`. True when it was not there before.
    pub(super) fn on_address(&mut self, address: IpAddr, backup: bool, active: bool) -> bool {
        let mut known = false;
        let mut was_present = false;
        for endpoint in self.list.iter_mut().filter(|e| e.address == address) {
            known = true;
            was_present |= endpoint.is_here();
            endpoint.presence = Presence::Here;
            if endpoint.implicit && active {
                endpoint.flags = EndpointFlags { backup, ..SUBFLOW };
            }
        }
        if !known && let Some(id) = self.next_id() {
            let flags = EndpointFlags { backup, subflow: active, ..SUBFLOW };
            let (implicit, port, presence) = (true, None, Presence::Here);
            self.list.push(LocalEndpoint { address, id, port, flags, implicit, presence });
            self.list.sort_by_key(|e| e.id);
        }
        !was_present
    }

    /// An address of this end disappeared; returns the identifiers it had.
    pub(super) fn on_address_gone(&mut self, address: IpAddr) -> Vec<AddressId> {
        let mut ids = Vec::new();
        for endpoint in self.list.iter_mut().filter(|e| e.address == address) {
            endpoint.presence = Presence::Gone;
            ids.push(endpoint.id);
        }
        self.list.retain(|e| e.address != address || !e.implicit);
        ids
    }

    /// Takes an endpoint out.
    pub(super) fn remove(&mut self, id: AddressId) -> Result<LocalEndpoint, PmError> {
        let known = |e: &LocalEndpoint| e.id == id && !e.is_retired();
        let index = self.list.iter().position(known).ok_or(PmError::NotFound)?;
        Ok(self.list.remove(index))
    }

    /// Takes out all that somebody asked for.
    pub(super) fn flush(&mut self) -> Vec<LocalEndpoint> {
        let (gone, kept) = self.list.iter().partition(|e| !e.implicit);
        self.list = kept;
        gone
    }

    /// Changes what an endpoint is used for; returns it as it was.
    pub(super) fn change(
        &mut self,
        id: AddressId,
        flags: EndpointFlags,
    ) -> Result<LocalEndpoint, PmError> {
        let known = |e: &&mut LocalEndpoint| e.id == id && !e.is_retired();
        let endpoint = self.list.iter_mut().find(known).ok_or(PmError::NotFound)?;
        check_flags(flags, endpoint.port)?;
        let before = *endpoint;
        endpoint.flags = flags;
        endpoint.implicit = false;
        Ok(before)
    }

    /// Identifiers run from 1 and are not reused before all others were given out, nor while in use [ADDR-2]; 0 is
    /// what each connection calls the address of its first subflow [JOIN-2].
    fn next_id(&mut self) -> Option<AddressId> {
        for _ in 1..=u8::MAX {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = AddressId(self.last_id);
            if self.get(id).is_none() {
                return Some(id);
            }
        }
        None
    }
}

/// What an address is used for that nobody configured.
const SUBFLOW: EndpointFlags =
    EndpointFlags { signal: false, subflow: true, backup: false, fullmesh: false };

/// The combinations the kernel refuses, too.
const fn check_flags(flags: EndpointFlags, port: Option<u16>) -> Result<(), PmError> {
    if port.is_some() && (!flags.signal || flags.subflow) {
        return Err(PmError::PortWithoutSignal);
    }
    if flags.signal && flags.fullmesh {
        return Err(PmError::SignalWithFullmesh);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
