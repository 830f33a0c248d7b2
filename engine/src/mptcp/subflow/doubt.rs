//! The peer withdrew this subflow's address. Whether the path is dead is asked before it is believed: anybody who can
//! spoof a segment could withdraw an address (RFC 8684 3.4.2 [ADDR-23]).

use super::Subflow;
use crate::tcp::Disposition;
use crate::time::Instant;

/// Keepalives sent before the path counts as dead.
const PROBES: u32 = 3;

/// A path that is being probed. It gets no new data meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    probes: u32,
    due: Instant,
}

impl Subflow {
    /// Starts probing.
    pub(crate) fn doubt(&mut self, now: Instant) {
        self.doubt = Some(Doubt { probes: 0, due: now });
        self.probe_again(now);
    }

    /// When the answer to a probe is overdue.
    pub(crate) fn doubt_at(&self) -> Option<Instant> {
        Some(self.doubt?.due)
    }

    /// Sends the next probe; false when there have been enough.
    pub(crate) fn probe_again(&mut self, now: Instant) -> bool {
        let rto = self.tcp.rto();
        let Some(doubt) = &mut self.doubt else { return true };
        if doubt.probes >= PROBES {
            return false;
        }
        doubt.due = now + rto * (1 << doubt.probes);
        doubt.probes += 1;
        self.tcp.request_keepalive();
        true
    }

    /// A segment arrived: the path lives and is kept [ADDR-24], unless the segment is its end.
    pub(crate) fn on_heard(&mut self, disposition: &Disposition) {
        if !disposition.acceptable {
            return;
        }
        self.resume_signals();
        if self.doubt.take().is_some() {
            self.address_removed = disposition.peer_fin || disposition.reset;
        }
    }
}
