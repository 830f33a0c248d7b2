//! Loss detection by time (RFC 8985 6): what was sent well before something that has arrived is lost.

use super::rtt::RttEstimator;
use super::scoreboard::{Scoreboard, Transmission, Verdict};
use crate::time::{Duration, Instant};

/// Segments above a hole that mean loss while no reordering was ever seen (RFC 6675 DupThresh).
const DUP_THRESH: u64 = 3;
/// Recoveries without D-SACK until a widened reordering window shrinks back (RFC 8985 6.2).
const REO_WND_PERSIST: u32 = 16;
/// The window is capped by the RTT anyway; this caps the counter.
const MAX_REO_WND_MULT: u32 = 255;

/// The state RFC 8985 calls `RACK.*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rack {
    /// The most recently sent octets known to have arrived: their place in the order of transmissions, and their end.
    newest: Option<(u64, u64)>,
    rtt: Duration,
    /// Highest offset acknowledged in any way.
    fack: u64,
    reordering_seen: bool,
    reo_wnd_mult: u32,
    reo_wnd_persist: u32,
    /// D-SACKs before this offset is acknowledged belong to one round.
    dsack_round: Option<u64>,
}

impl Rack {
    /// A range was delivered for the first time (RFC 8985 6.2 step 2). `fack` is [`Self::fack`] before this ACK;
    /// `echo` the latest time at which the segment this ACK answers can have been sent, if it covers `piece`.
    pub(crate) fn on_delivered(
        &mut self,
        now: Instant,
        piece: &Transmission,
        fack: u64,
        echo: Option<Instant>,
        min_rtt: Option<Duration>,
    ) {
        // Step 3: a hole filled by what was sent once is reordering, not loss.
        if piece.range.end > self.fack {
            self.fack = piece.range.end;
        } else if piece.range.end < fack && !piece.retransmitted {
            self.reordering_seen = true;
        }
        let rtt = now.saturating_since(piece.sent_at);
        // The original arrived, not the retransmission: its send time would be the wrong one.
        let original = echo.is_some_and(|echo| echo < piece.sent_at)
            || min_rtt.is_some_and(|min_rtt| rtt < min_rtt);
        if piece.retransmitted && original {
            return;
        }
        self.rtt = rtt;
        let candidate = (piece.order, piece.range.end);
        if self.newest.is_none_or(|newest| candidate > newest) {
            self.newest = Some(candidate);
        }
    }

    /// Highest offset acknowledged in any way.
    pub(crate) const fn fack(&self) -> u64 {
        self.fack
    }

    /// Some segment overtook another on this path.
    #[cfg(test)]
    pub(crate) const fn reordering_seen(&self) -> bool {
        self.reordering_seen
    }

    #[cfg(test)]
    pub(crate) const fn reo_wnd_mult(&self) -> u32 {
        self.reo_wnd_mult
    }

    /// A D-SACK says that a retransmission was needless: wait longer, once per round trip.
    pub(crate) fn on_dsack(&mut self, una: u64, nxt: u64) {
        if self.dsack_round.is_none_or(|round| una >= round) {
            self.dsack_round = Some(nxt);
            self.reo_wnd_mult = (self.reo_wnd_mult + 1).min(MAX_REO_WND_MULT);
            self.reo_wnd_persist = REO_WND_PERSIST;
        }
    }

    /// A recovery is over; after enough of them without D-SACK the window goes back to its smallest.
    pub(crate) fn on_recovery_exit(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_mult = 0;
        }
    }

    /// How long a segment may be overtaken before it counts as lost (RFC 8985 6.2 step 4).
    fn reo_wnd(&self, in_recovery: bool, sacked_segments: u64, rtt: &RttEstimator) -> Duration {
        if !self.reordering_seen && (in_recovery || sacked_segments >= DUP_THRESH) {
            return Duration::ZERO;
        }
        let min_rtt = rtt.min_rtt().unwrap_or_default();
        // `reo_wnd_mult` counts from 0 here, from 1 in the RFC.
        (min_rtt / 4 * (self.reo_wnd_mult + 1)).min(rtt.srtt().unwrap_or_default())
    }

    /// Marks what is lost (RFC 8985 6.2 step 5). Returns the octets, and when to look again.
    pub(crate) fn detect_loss(
        &self,
        now: Instant,
        board: &mut Scoreboard,
        in_recovery: bool,
        rtt: &RttEstimator,
    ) -> (u64, Option<Instant>) {
        let Some(newest) = self.newest else { return (0, None) };
        let patience = self.rtt + self.reo_wnd(in_recovery, board.sacked_segments(), rtt);
        let mut look_again = None;
        let newly_lost = board.mark_lost(|entry| {
            if newest <= (entry.order, entry.range.end) {
                return Verdict::TooLate;
            }
            let deadline = entry.sent_at + patience;
            if deadline <= now {
                return Verdict::Lost;
            }
            look_again = look_again.max(Some(deadline));
            Verdict::Keep
        });
        (newly_lost, look_again)
    }
}
