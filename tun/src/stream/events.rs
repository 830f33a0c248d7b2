//! What happens to a connection, as something to wait on.

use super::Io;
use crate::stack::{Handle, SharedLog};
use mpuser_engine::Event;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::time::Instant;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The events of one connection. It never slows the connection down: a reader far behind misses the oldest events,
/// and [`Events::lagged`] tells how many.
///
/// [`Event::Readable`] and [`Event::Writable`] are not among them; that is what reading and writing are for.
#[derive(Debug)]
pub struct Events {
    handle: Arc<Handle>,
    id: ConnectionId,
    log: SharedLog,
    cursor: u64,
    lagged: u64,
}

impl Events {
    pub(super) fn new(io: &Io) -> Self {
        let log = io.handle.with(|inner, _| inner.conns.get(&io.id).map(|conn| conn.log.clone()));
        Self {
            handle: Arc::clone(&io.handle),
            id: io.id,
            log: log.unwrap_or_default(),
            cursor: 0,
            lagged: 0,
        }
    }

    /// The next event; `None` when the connection is over and all were read. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        self.recv_timed().await.map(|(_, event)| event)
    }

    /// As [`Events::recv`], with the time it happened (see [`clock`](crate::clock)).
    pub async fn recv_timed(&mut self) -> Option<(Instant, Event)> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event if there is one now.
    pub fn try_recv(&mut self) -> Option<(Instant, Event)> {
        let (missed, at, event) = self.log.lock().next(&mut self.cursor)?;
        self.lagged += missed;
        Some((at, event))
    }

    /// As [`Events::recv_timed`], to be polled.
    pub fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<(Instant, Event)>> {
        if let Some(found) = self.try_recv() {
            return Poll::Ready(Some(found));
        }
        let handle = Arc::clone(&self.handle);
        handle.with(|inner, _| {
            // Again under the lock: an event in between would wake nobody.
            if let Some(found) = self.try_recv() {
                return Poll::Ready(Some(found));
            }
            match inner.conns.get_mut(&self.id) {
                Some(conn) if !conn.is_closed() && !inner.stopped => {
                    conn.watchers.add(cx, &mut inner.deferred);
                    Poll::Pending
                }
                _ => Poll::Ready(None),
            }
        })
    }

    /// How many events were missed because this reader was too far behind.
    #[must_use]
    pub const fn lagged(&self) -> u64 {
        self.lagged
    }
}
