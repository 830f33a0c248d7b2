//! Was the last recovery needless? Then what it took from the window can be given back.

use crate::time::Instant;
use core::ops::Range;

/// The retransmissions of one recovery, and the evidence against them.
#[derive(Clone, Debug)]
pub(crate) struct Undo {
    /// una and nxt when it began.
    range: Range<u64>,
    first_retransmit_at: Option<Instant>,
    retransmitted: u64,
    duplicate: u64,
    /// The first ACK after the first retransmission was seen.
    eifel_done: bool,
}

impl Undo {
    /// A recovery of `una..nxt` begins.
    pub(crate) const fn new(una: u64, nxt: u64) -> Self {
        let range = una..nxt;
        Self { range, first_retransmit_at: None, retransmitted: 0, duplicate: 0, eifel_done: false }
    }

    /// The recovery is complete when this much is acknowledged.
    pub(crate) const fn recover(&self) -> u64 {
        self.range.end
    }

    /// `len` octets were retransmitted.
    pub(crate) fn on_retransmit(&mut self, now: Instant, len: u64) {
        self.first_retransmit_at.get_or_insert(now);
        self.retransmitted = self.retransmitted.saturating_add(len);
    }

    /// An ACK of new data. True if it answers what was sent before the first retransmission (Eifel, RFC 3522 3.2),
    /// or completes the recovery although nothing was retransmitted.
    pub(crate) fn on_progress(&mut self, echo: Option<Instant>, complete: bool) -> bool {
        let Some(retransmitted_at) = self.first_retransmit_at else { return complete };
        let first = !core::mem::replace(&mut self.eifel_done, true);
        first && echo.is_some_and(|echo| echo < retransmitted_at)
    }

    /// The peer got `dsack` twice. True once that goes for all that was retransmitted.
    pub(crate) fn on_dsack(&mut self, dsack: &Range<u64>) -> bool {
        if dsack.start < self.range.start || self.range.end < dsack.end || self.retransmitted == 0 {
            return false;
        }
        self.duplicate = self.duplicate.saturating_add(dsack.end.saturating_sub(dsack.start));
        self.duplicate >= self.retransmitted
    }
}
