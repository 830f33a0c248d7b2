//! Proportional rate reduction: how much to send while in fast recovery (RFC 9937, before it RFC 6937).

/// Spreads the reduction of the window over the round trip of recovery, in octets.
///
/// While in fast recovery [`Self::budget`] takes the place of the window: each ACK adds to it, each transmission
/// takes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prr {
    ssthresh: u64,
    recover_fs: u64,
    mss: u64,
    delivered: u64,
    out: u64,
    budget: u64,
}

impl Prr {
    /// Fast recovery begins. `ssthresh` is the window to end with, `recover_fs` the octets in flight when the loss
    /// was detected (what was delivered by that ACK included, what was sacked before it not). One segment may go
    /// at once, even if it was a timer that detected the loss and no ACK follows.
    pub(crate) fn new(ssthresh: u64, recover_fs: u64, mss: u32) -> Self {
        let (recover_fs, mss) = (recover_fs.max(1), u64::from(mss.max(1)));
        Self { ssthresh, recover_fs, mss, delivered: 0, out: 0, budget: mss }
    }

    /// An ACK in fast recovery, the one that began it included. `pipe` is what is in flight after it.
    ///
    /// `una_advanced` and `newly_lost` decide whether the network has room for slow start back to `ssthresh`
    /// (`SafeACK`).
    pub(crate) fn on_ack(
        &mut self,
        newly_delivered: u64,
        pipe: u64,
        newly_lost: u64,
        una_advanced: bool,
    ) {
        self.delivered = self.delivered.saturating_add(newly_delivered);
        self.budget = if pipe > self.ssthresh {
            let share = u128::from(self.delivered) * u128::from(self.ssthresh);
            let share = share.div_ceil(u128::from(self.recover_fs));
            u64::try_from(share).unwrap_or(u64::MAX).saturating_sub(self.out)
        } else {
            let mut limit = self.delivered.saturating_sub(self.out).max(newly_delivered);
            if una_advanced && newly_lost == 0 {
                limit = limit.saturating_add(self.mss);
            }
            (self.ssthresh - pipe).min(limit)
        };
        if self.out == 0 {
            // The first retransmission goes out at once.
            self.budget = self.budget.max(self.mss);
        }
    }

    /// The reordering timer found more lost, in fast recovery already. What is lost is no longer in flight, and makes
    /// room for as much: without it the retransmission would wait for an ACK that may never come.
    pub(crate) fn on_loss(&mut self, newly_lost: u64) {
        self.budget = self.budget.saturating_add(newly_lost);
    }

    /// `bytes` were sent, new or again.
    pub(crate) fn on_sent(&mut self, bytes: u64) {
        self.out = self.out.saturating_add(bytes);
        self.budget = self.budget.saturating_sub(bytes);
    }

    /// Octets that may be sent now.
    pub(crate) const fn budget(&self) -> u64 {
        self.budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One loss in a window of 20 segments; the other 19 are acknowledged one by one.
    #[test]
    fn reduces_in_proportion_to_what_is_delivered() {
        let (mss, flight) = (1000, 20_000);
        let mut prr = Prr::new(14_000, flight, mss);
        let (mut pipe, mut sent) = (flight, 0);
        for ack in 0..19u64 {
            pipe -= if ack == 2 { 2000 } else { 1000 };
            prr.on_ack(1000, pipe, if ack == 2 { 1000 } else { 0 }, false);
            let segments = prr.budget() / 1000;
            prr.on_sent(segments * 1000);
            pipe += segments * 1000;
            sent += segments;
        }
        assert_eq!((sent, pipe), (14, 14_000));
    }

    #[test]
    fn the_first_retransmission_never_waits() {
        let mut prr = Prr::new(10_000, 20_000, 1000);
        assert_eq!(prr.budget(), 1000, "a timer found the loss");
        prr.on_ack(0, 19_000, 1000, false);
        assert_eq!(prr.budget(), 1000, "an ACK did");
        prr.on_sent(1000);
        prr.on_ack(0, 19_000, 0, false);
        assert_eq!(prr.budget(), 0);
        prr.on_loss(1000);
        assert_eq!(prr.budget(), 1000, "a lost retransmission goes out again");
    }

    #[test]
    fn heavy_loss_slow_starts_only_while_acks_are_safe() {
        // 18 of 20 segments lost: 2 are delivered, nothing is in flight.
        let mut prr = Prr::new(10_000, 20_000, 1000);
        prr.on_ack(2000, 0, 18_000, false);
        assert_eq!(prr.budget(), 2000, "packet conservation");
        prr.on_sent(2000);
        prr.on_ack(1000, 1000, 0, true);
        assert_eq!(prr.budget(), 2000, "one more than was delivered");
        prr.on_sent(2000);
        prr.on_ack(1000, 2000, 1000, true);
        assert_eq!(prr.budget(), 1000, "a lost retransmission is not safe");
    }
}
