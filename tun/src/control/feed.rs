//! Events of all connections, for whoever watches a stack as a whole.

use super::report::EventReport;
use crate::clock;
use mpuser_engine::addr::SocketAddr;
use mpuser_engine::time::Instant;
use mpuser_engine::{ConnectionInfo, Event};
use tokio::sync::broadcast;

/// Events kept for a watcher that is behind; it is told how many it missed beyond.
const KEPT: usize = 1024;

/// Hands events to any number of watchers, and costs nothing while there is none.
#[derive(Debug)]
pub(crate) struct Feed(broadcast::Sender<EventReport>);

impl Default for Feed {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Feed {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<EventReport> {
        self.0.subscribe()
    }

    fn watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// An event of the connection that `info` describes.
    pub(crate) fn tell(
        &self,
        now: Instant,
        event: &Event,
        info: impl FnOnce() -> Option<ConnectionInfo>,
    ) {
        if !self.watched() || matches!(event, Event::Readable | Event::Writable) {
            return;
        }
        let Some(info) = info() else { return };
        for report in EventReport::of(clock::to_wall(now), event, &info) {
            // nobody left to read it is no failure
            let _ = self.0.send(report);
        }
    }

    /// A listener was made, or is gone.
    pub(crate) fn listener(&self, now: Instant, created: bool, local: SocketAddr) {
        if self.watched() {
            let _ = self.0.send(EventReport::listener(clock::to_wall(now), created, local));
        }
    }
}
