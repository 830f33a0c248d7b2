//! What happens at a front door: events for whoever wants to say them, and counters.

use crate::relay::{End, Moved};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A client came in, and its far end answered.
    Connected {
        /// Number of the client, from 1.
        client: u64,
        /// Where it comes from.
        peer: SocketAddr,
        /// Where it was led to.
        to: &'a str,
    },
    /// A relayed connection is over.
    Ended {
        /// Number of the client.
        client: u64,
        /// Where it came from.
        peer: SocketAddr,
        /// Where it had been led to.
        to: &'a str,
        /// How it ended.
        end: &'a End,
        /// Bytes passed on.
        moved: &'a Moved,
        /// From the first byte to the last.
        time: Duration,
    },
    /// A client was led nowhere.
    Refused {
        /// Number of the client.
        client: u64,
        /// Where it came from.
        peer: SocketAddr,
        /// Why.
        refusal: &'a Refusal,
    },
    /// There are as many clients as may be: further ones wait.
    Full {
        /// How many.
        clients: usize,
    },
    /// No client could be taken in for now.
    Blocked {
        /// What the operating system says.
        error: &'a io::Error,
    },
    /// A server is up again, or down.
    Server {
        /// Its name.
        server: &'a str,
        /// The reason it is down for; up without.
        down: Option<&'a str>,
    },
    /// A server did not answer, and the next one was tried.
    Passed {
        /// Its name.
        server: &'a str,
        /// Why.
        why: &'a str,
    },
}

/// Takes events. It is called by the tasks that serve clients and must not block for long.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Why a client was led nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {because}")]
pub struct Refusal {
    /// What could not be done.
    pub what: String,
    /// Why; reads on after "because".
    pub because: String,
    /// What to do about it.
    pub help: String,
    /// The client was told in the words of its protocol, so its connection is closed and not reset.
    pub told: bool,
}

impl Refusal {
    /// A refusal the client hears by a reset.
    pub fn new(
        what: impl Into<String>,
        because: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), because: because.into(), help: help.into(), told: false }
    }

    /// The client was told.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.told = true;
        self
    }
}

/// Counters of a front door.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) idle: AtomicU64,
    pub(crate) stopped: AtomicU64,
    pub(crate) up: AtomicU64,
    pub(crate) down: AtomicU64,
    pub(crate) peak: AtomicU64,
}

/// [`Counters`] at one moment. Connections under way are in `connected` only, and so are their bytes nowhere yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Clients that came in.
    pub accepted: u64,
    /// Those whose far end answered.
    pub connected: u64,
    /// Those that were led nowhere.
    pub refused: u64,
    /// Connections that came to their end in both directions.
    pub finished: u64,
    /// Connections of which one side failed.
    pub lost: u64,
    /// Connections ended because nothing moved.
    pub idle: u64,
    /// Connections that were under way when the door was closed.
    pub stopped: u64,
    /// Bytes from clients.
    pub bytes_up: u64,
    /// Bytes to clients.
    pub bytes_down: u64,
    /// Most clients at once.
    pub peak: u64,
}

impl Counters {
    /// What has been counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            accepted: self.accepted.load(Relaxed),
            connected: self.connected.load(Relaxed),
            refused: self.refused.load(Relaxed),
            finished: self.finished.load(Relaxed),
            lost: self.lost.load(Relaxed),
            idle: self.idle.load(Relaxed),
            stopped: self.stopped.load(Relaxed),
            bytes_up: self.up.load(Relaxed),
            bytes_down: self.down.load(Relaxed),
            peak: self.peak.load(Relaxed),
        }
    }

    /// A client came in and makes it this many at once.
    pub(crate) fn came(&self, clients: u64) -> u64 {
        self.peak.fetch_max(clients, Relaxed);
        self.accepted.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn ended(&self, end: &End, moved: &Moved) {
        let which = match end {
            End::Finished => &self.finished,
            End::Idle => &self.idle,
            End::Lost(..) => &self.lost,
            End::Stopped => &self.stopped,
        };
        which.fetch_add(1, Relaxed);
        self.up.fetch_add(moved.up(), Relaxed);
        self.down.fetch_add(moved.down(), Relaxed);
    }
}
