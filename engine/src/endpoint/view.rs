//! What an operator looks at: which connections and listeners there are.

use super::Endpoint;
use crate::addr::{ConnectionId, SocketAddr};
use crate::crypto::Token;

impl Endpoint {
    /// Every connection, from the oldest to the youngest, those that are closing included.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.connections.keys().copied()
    }

    /// The connection this end calls by `token` (RFC 8684 3.1 [INI-25]).
    #[must_use]
    pub fn connection_by_token(&self, token: u32) -> Option<ConnectionId> {
        self.tokens.get(&Token(token)).copied()
    }

    /// Every address and port listened on, with the connections that wait for `accept` and the most that may.
    pub fn listeners(&self) -> impl Iterator<Item = (SocketAddr, usize, usize)> + '_ {
        self.listeners
            .iter()
            .map(|listener| (listener.local(), listener.waiting(), listener.backlog()))
    }
}
