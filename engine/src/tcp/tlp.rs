//! Tail loss probe (RFC 8985 7): a segment sent early, so that a lost tail is found by its ACK, not by the RTO.

use crate::time::Duration;
use core::ops::Range;

/// Allowance for a delayed ACK when a single segment is in flight (RFC 8985 7.2 `TLP.max_ack_delay`).
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);
/// Timeout before the first RTT sample.
const INITIAL_PTO: Duration = Duration::from_secs(1);

/// The state RFC 8985 calls `TLP.*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TailLossProbing {
    /// The timer ran out; the next transmission is the probe.
    requested: bool,
    /// nxt after the probe, and whether it was a retransmission; until its fate is known.
    probe: Option<(u64, bool)>,
}

impl TailLossProbing {
    /// How long to wait for an ACK before probing.
    pub(crate) fn timeout(srtt: Option<Duration>, one_segment: bool) -> Duration {
        match srtt {
            None => INITIAL_PTO,
            Some(srtt) if one_segment => srtt * 2 + MAX_ACK_DELAY,
            Some(srtt) => srtt * 2,
        }
    }

    /// No probe is under way: one may be scheduled.
    pub(crate) const fn is_idle(&self) -> bool {
        !self.requested && self.probe.is_none()
    }

    /// The timer ran out.
    pub(crate) const fn request(&mut self) {
        self.requested = true;
    }

    /// Something was sent; `nxt` is the end of the stream after it. True if it was the probe.
    pub(crate) fn on_transmit(&mut self, nxt: u64, retransmission: bool) -> bool {
        let probe = core::mem::take(&mut self.requested);
        if probe {
            self.probe = Some((nxt, retransmission));
        }
        probe
    }

    /// Recovery makes the probe moot.
    pub(crate) fn cancel(&mut self) {
        *self = Self::default();
    }

    /// The D-SACK reports the probe: the original had arrived, only its ACK was late.
    pub(crate) fn explains(&self, dsack: &Range<u64>) -> bool {
        self.probe.is_some_and(|(end, retransmission)| retransmission && dsack.end == end)
    }

    /// An ACK (RFC 8985 7.4), with `progress` if it acknowledges something new. True if the probe repaired a loss that
    /// nobody else will report.
    pub(crate) fn on_ack(
        &mut self,
        una: u64,
        progress: bool,
        dsack: Option<&Range<u64>>,
        plain_duplicate: bool,
    ) -> bool {
        // Asked for and not sent before such an ACK came: the next one is scheduled anew. Without progress the probe is
        // still to be sent; forgotten here, it would be no probe, and one after the other would put off the RTO for ever.
        self.requested &= !progress;
        let Some((end, retransmission)) = self.probe.filter(|&(end, _)| una >= end) else {
            return false;
        };
        let harmless =
            !retransmission || dsack.is_some_and(|d| self.explains(d)) || plain_duplicate;
        if harmless || una > end {
            self.probe = None;
        }
        !harmless && una > end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A duplicate ACK comes between the timer and the probe: what is sent is the probe all the same, and no further one is
    /// scheduled. (Two ends that met in this way sent each other their tails for ever, and no RTO came.)
    #[test]
    fn an_ack_without_progress_does_not_forget_the_probe() {
        for progress in [false, true] {
            let mut tlp = TailLossProbing::default();
            tlp.request();
            assert!(!tlp.on_ack(5, progress, None, true));
            assert_eq!(tlp.on_transmit(10, true), !progress);
            assert_eq!(tlp.is_idle(), progress);
        }
    }
}
