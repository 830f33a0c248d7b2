//! Listeners: who waits for connections, and the ones that wait to be accepted.

use crate::addr::{ConnectionId, ListenerId, SocketAddr};
use crate::config::ConnectionConfig;
use crate::error::ListenError;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) config: ConnectionConfig,
    local: SocketAddr,
    backlog: usize,
    /// Connections whose handshake is under way.
    pending: usize,
    ready: VecDeque<ConnectionId>,
}

impl Listener {
    /// There is room for another handshake.
    pub(super) fn has_room(&self) -> bool {
        self.pending + self.ready.len() < self.backlog
    }

    /// The address and port listened on.
    pub(super) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Connections that wait to be accepted.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// The most that may wait.
    pub(super) const fn backlog(&self) -> usize {
        self.backlog
    }

    /// There is room for a connection whose handshake is done: a flood of SYNs takes none of it.
    pub(super) fn has_place(&self) -> bool {
        self.ready.len() < self.backlog
    }
}

/// All listeners of an endpoint.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    by_id: BTreeMap<ListenerId, Listener>,
    next: u32,
    /// Handshakes under way, of all listeners.
    half_open: usize,
}

impl Listeners {
    /// The settings of connections to come, of every listener.
    pub(super) fn configs(&mut self) -> impl Iterator<Item = &mut ConnectionConfig> {
        self.by_id.values_mut().map(|listener| &mut listener.config)
    }

    pub(super) fn add(
        &mut self,
        config: ConnectionConfig,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<ListenerId, ListenError> {
        if local.port() == 0 {
            return Err(ListenError::InvalidPort);
        }
        if self.by_id.values().any(|l| l.local == local) {
            return Err(ListenError::AddressInUse);
        }
        let id = ListenerId(self.next);
        self.next += 1;
        let backlog = backlog.max(1);
        let listener = Listener { config, local, backlog, pending: 0, ready: VecDeque::new() };
        self.by_id.insert(id, listener);
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: ListenerId) -> Vec<ConnectionId> {
        self.by_id.remove(&id).map(|l| l.ready.into()).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.by_id.values()
    }

    /// Who listens on `address`: an exact match goes before a wildcard of its family, and that before `[::]`, which
    /// takes both families as on Linux.
    pub(super) fn find(&self, address: SocketAddr) -> Option<(ListenerId, &Listener)> {
        let rank = |listener: &Listener| {
            let local = listener.local;
            let same_family = local.is_ipv4() == address.is_ipv4();
            match () {
                () if local.port() != address.port() => None,
                () if local == address => Some(2),
                () if !local.ip().is_unspecified() => None,
                () if same_family => Some(1),
                () => local.is_ipv6().then_some(0),
            }
        };
        let ranked = self.by_id.iter().filter_map(|(id, l)| Some((rank(l)?, (*id, l))));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, found)| found)
    }

    /// Handshakes under way.
    pub(super) const fn half_open(&self) -> usize {
        self.half_open
    }

    pub(super) fn on_pending(&mut self, id: ListenerId) {
        self.half_open += 1;
        if let Some(listener) = self.by_id.get_mut(&id) {
            listener.pending += 1;
        }
    }

    /// A handshake ended; `ready` names the connection if it succeeded.
    pub(super) fn on_settled(&mut self, id: ListenerId, ready: Option<ConnectionId>) {
        self.half_open = self.half_open.saturating_sub(1);
        if let Some(listener) = self.by_id.get_mut(&id) {
            listener.pending = listener.pending.saturating_sub(1);
            listener.ready.extend(ready);
        }
    }

    pub(super) fn ready(&self, id: ListenerId) -> usize {
        self.by_id.get(&id).map_or(0, |listener| listener.ready.len())
    }

    pub(super) fn accept(&mut self, id: ListenerId) -> Option<ConnectionId> {
        self.by_id.get_mut(&id)?.ready.pop_front()
    }
}

#[cfg(test)]
mod tests;
