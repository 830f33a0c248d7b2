//! The application's side of the endpoint.

use super::{ConnectionInfo, Endpoint, ReceiveStats};
use crate::addr::{ConnectionId, ListenerId, SocketAddr};
use crate::config::{ConnectionConfig, EndpointFlags};
use crate::error::{ListenError, ReadError, WriteError};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use bytes::Bytes;

impl Endpoint {
    /// Listens; an unspecified address means every local address of its family, `[::]` every one
    /// of IPv4, too, for which nobody listens on `0.0.0.0`. At most `backlog` connections
    /// wait for `accept`, handshakes included.
    ///
    /// # Errors
    ///
    /// See [`ListenError`].
    pub fn listen(
        &mut self,
        config: ConnectionConfig,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<ListenerId, ListenError> {
        self.listeners.add(config, local, backlog)
    }

    /// Stops listening; connections not yet accepted are aborted.
    pub fn unlisten(&mut self, now: Instant, listener: ListenerId) {
        let mut orphans = self.listeners.remove(listener);
        let pending = self.connections.iter().filter(|(_, e)| e.listener == Some(listener));
        orphans.extend(pending.map(|(id, _)| *id));
        for id in orphans {
            self.abort(now, id);
            self.close(now, id);
        }
    }

    /// The next established connection of a listener.
    pub fn accept(&mut self, listener: ListenerId) -> Option<ConnectionId> {
        self.listeners.accept(listener)
    }

    /// Changes [`EndpointConfig::blackhole_timeout`](crate::config::EndpointConfig::blackhole_timeout) for failures
    /// to come.
    pub const fn set_blackhole_timeout(&mut self, timeout: Duration) {
        self.config.blackhole_timeout = timeout;
        self.destinations.set_blackhole_timeout(timeout);
    }

    /// How many established connections wait to be accepted.
    #[must_use]
    pub fn acceptable(&self, listener: ListenerId) -> usize {
        self.listeners.ready(listener)
    }

    /// Coalesce small writes of a connection, or no longer (`TCP_NODELAY`).
    pub fn set_nagle(&mut self, id: ConnectionId, nagle: bool) {
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.config.nagle = nagle;
            self.schedule.activate(id);
        }
    }

    /// Reads in-order data; `Ok(0)` is the end of the peer's data (DATA_FIN).
    ///
    /// # Errors
    ///
    /// [`ReadError::WouldBlock`] when nothing is there yet; the others are final.
    pub fn read(
        &mut self,
        now: Instant,
        id: ConnectionId,
        buf: &mut [u8],
    ) -> Result<usize, ReadError> {
        let entry = self.connections.get_mut(&id).ok_or(ReadError::NotFound)?;
        let read = entry.connection.read(buf)?;
        self.after_read(now, id);
        Ok(read)
    }

    /// Reads in-order data without copying, at most `max` bytes; an empty `Bytes` is the end of the peer's data.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_chunk(
        &mut self,
        now: Instant,
        id: ConnectionId,
        max: usize,
    ) -> Result<Bytes, ReadError> {
        let entry = self.connections.get_mut(&id).ok_or(ReadError::NotFound)?;
        let piece = entry.connection.read_chunk(max)?;
        self.after_read(now, id);
        Ok(piece)
    }

    /// Reading opens the window; whether the peer is told is TCP's decision at the next `poll_transmit`.
    fn after_read(&mut self, _now: Instant, id: ConnectionId) {
        self.schedule.activate(id);
    }

    /// Queues data; returns how much was taken.
    ///
    /// # Errors
    ///
    /// [`WriteError::WouldBlock`] when the send queue is full; the others are final.
    pub fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &[u8],
    ) -> Result<usize, WriteError> {
        let entry = self.connections.get_mut(&id).ok_or(WriteError::NotFound)?;
        let taken = entry.connection.write(data)?;
        self.serve(now, id);
        Ok(taken)
    }

    /// [`Self::write`] without copying: as much of `data` as there is room for is kept until it is acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_bytes(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: Bytes,
    ) -> Result<usize, WriteError> {
        let entry = self.connections.get_mut(&id).ok_or(WriteError::NotFound)?;
        let taken = entry.connection.write_bytes(data)?;
        self.serve(now, id);
        Ok(taken)
    }

    /// Octets that [`Self::write`] would take; 0 once the connection is closed and forgotten.
    #[must_use]
    pub fn send_room(&self, id: ConnectionId) -> usize {
        self.connections.get(&id).map_or(0, |entry| entry.connection.send_room())
    }

    /// Ends this direction after everything written (DATA_FIN); reading goes on.
    pub fn shutdown(&mut self, now: Instant, id: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.shutdown();
            self.serve(now, id);
        }
    }

    /// The application is done with the connection: both directions are closed gracefully, then it is forgotten.
    pub fn close(&mut self, now: Instant, id: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.release(now);
            self.serve(now, id);
        }
    }

    /// Ends the connection at once (MP_FASTCLOSE, in the form [`Behaviour::fast_close`] says).
    ///
    /// [`Behaviour::fast_close`]: crate::config::Behaviour::fast_close
    pub fn abort(&mut self, now: Instant, id: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.abort(now);
            self.serve(now, id);
        }
    }

    /// Connections known, handshakes under way and ended ones not yet forgotten among them.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// How data came to a connection; cheap enough to ask often. `None` once it is closed and forgotten.
    #[must_use]
    pub fn receive_stats(&self, id: ConnectionId) -> Option<ReceiveStats> {
        self.connections.get(&id).map(|entry| entry.connection.receive_stats())
    }

    /// Keeps from now on how long octets wait for others before them, for [`Self::take_waits`].
    pub fn keep_waits(&mut self, id: ConnectionId) {
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.keep_waits();
        }
    }

    /// Appends to `out` how long octets waited at the data level for others before them, and how many octets; those that
    /// came in order waited for no time. Only with [`Self::keep_waits`]; what nobody fetches is forgotten in the end.
    pub fn take_waits(&mut self, id: ConnectionId, out: &mut Vec<(Duration, u64)>) {
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.take_waits(out);
        }
    }

    /// A connection's state; `None` once it is closed and forgotten.
    #[must_use]
    pub fn info(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        let mut info = self.connections.get(&id)?.connection.info();
        let count = |wanted: fn(&EndpointFlags) -> bool| {
            let all = self.pm_endpoints.as_slice().iter();
            all.filter(|endpoint| !endpoint.is_retired() && wanted(&endpoint.flags)).count()
        };
        info.add_addr_signal_max = count(|flags| flags.signal);
        info.local_addr_max = count(|flags| flags.subflow || flags.fullmesh);
        Some(info)
    }
}
