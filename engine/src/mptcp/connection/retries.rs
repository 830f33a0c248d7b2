//! Paths the peer reset, and whether they are tried again (RFC 8684 3.6).

use super::Connection;
use crate::addr::{IpAddr, SocketAddr};
use crate::error::PeerReset;
use crate::time::Instant;

impl Connection {
    /// The peer's RST of the subflow at `index` says why [RST-2] [RST-3]. Who opened the connection opens subflows,
    /// so the other end only remembers it for its events.
    pub(super) fn on_peer_reset(&mut self, now: Instant, index: usize, reset: PeerReset) {
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        subflow.peer_reset = Some(reset);
        let (local, remote) = (subflow.tuple.local.ip(), subflow.tuple.remote);
        if self.client && !self.finished {
            self.retries.on_reset(now, local, remote, reset);
        }
    }

    /// The peer wants no subflow from `local` to `remote` now.
    pub(crate) fn is_barred(&self, local: IpAddr, remote: SocketAddr) -> bool {
        self.retries.is_barred(local, remote)
    }

    /// A path whose trouble should have passed.
    pub(crate) fn next_retry(&mut self, now: Instant) -> Option<(IpAddr, SocketAddr)> {
        let due = self.retries.take_due(now);
        due.filter(|_| self.is_joinable() && !self.close.is_complete())
    }
}
