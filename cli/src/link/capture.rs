//! What links let through and what they drop, in one capture.

use mpuser_engine::time::Instant;
use mpuser_sim::Direction;
use mpuser_tun::capture::{CaptureInterface, Direction as Seen};
use mpuser_tun::{CaptureWriter, clock};
use std::sync::{Arc, Mutex, PoisonError};

/// A capture that several links write to.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<CaptureWriter>>);

impl Shared {
    pub(super) fn new(writer: CaptureWriter) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    fn with<R>(&self, f: impl FnOnce(&mut CaptureWriter) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The interfaces of one link.
    pub(super) fn link(&self, name: &str) -> Capture {
        let (through, drops) = self.with(|writer| {
            (writer.add_interface(name), writer.add_interface(&format!("drop:{name}")))
        });
        Capture { shared: self.clone(), through, drops }
    }

    /// Completes the file; the first error there was.
    pub(super) fn finish(&self) -> Option<std::io::ErrorKind> {
        self.with(|writer| {
            writer.finish();
            writer.error().map(std::io::Error::kind)
        })
    }
}

/// One link of it.
pub(super) struct Capture {
    shared: Shared,
    through: CaptureInterface,
    drops: CaptureInterface,
}

const fn seen(direction: Direction) -> Seen {
    match direction {
        Direction::Forward => Seen::Outbound,
        Direction::Backward => Seen::Inbound,
    }
}

impl Capture {
    /// Forward packets go out, seen from `--from`.
    pub(super) fn delivered(&self, now: Instant, direction: Direction, packet: &[u8]) {
        let at = clock::to_wall(now);
        self.shared.with(|writer| {
            writer.packet(self.through, at, seen(direction), (packet, &[]), None);
        });
    }

    pub(super) fn dropped(&self, now: Instant, direction: Direction, packet: &[u8], why: &str) {
        let at = clock::to_wall(now);
        self.shared.with(|writer| {
            writer.dropped(self.through);
            writer.lost(self.drops, at, seen(direction), (packet, &[]), why);
        });
    }
}
