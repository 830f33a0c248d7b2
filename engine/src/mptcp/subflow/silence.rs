//! How long a subflow with data in flight may be silent before others carry its data: long before its RTO, since that is
//! no risk to them (RFC 8684 3.3.6 [DACK-11]).

use super::{Phase, Subflow};
use crate::time::{Duration, Instant};

/// Least silence that says something by itself; covers a peer's delayed ACK.
const SUSPECT_TAIL: Duration = Duration::from_millis(60);
const SUSPECT_BULK: Duration = Duration::from_millis(30);
/// Least delay of an ACK that is more than the two machines' doing, where other subflows are heard meanwhile.
const JITTER: Duration = Duration::from_millis(2);

/// A silence with data in flight.
struct Silence {
    since: Instant,
    /// The first octets missing at data level are behind it, if the peer was heard elsewhere meanwhile.
    short: Option<Duration>,
    /// It is enough by itself.
    long: Duration,
}

impl Subflow {
    /// What the peer owes. Anything it sends is a sign of life; a hole that takes long to repair is TCP's business.
    fn silence(&self) -> Option<Silence> {
        if self.stale || !matches!(self.phase, Phase::Active | Phase::Closing) {
            return None;
        }
        let (outstanding, heard) = (self.outstanding_since?, self.tcp.last_received_at());
        let since = outstanding.max(heard);
        let (srtt, variation) = (self.tcp.srtt()?, self.tcp.rttvar() * 4);
        let bulk = self.tcp.in_flight() > 2 * u64::from(self.tcp.effective_mss(0));
        let least = if bulk { SUSPECT_BULK } else { SUSPECT_TAIL };
        // While ACKs come one after the other, the oldest octets have been under way for an SRTT when the last one comes,
        // and for two when the next is overdue: RFC 6298's timeout without the floor, which is there for delayed ACKs.
        let streaming = bulk && heard >= outstanding && self.waived != Some(since);
        let short = streaming.then(|| srtt + variation.max(srtt / 4).max(JITTER));
        Some(Silence { since, short, long: (srtt + variation.max(srtt)).max(srtt + least) })
    }

    /// When it has to be asked whether the silence of the peer makes this subflow suspect.
    pub(crate) fn suspect_at(&self) -> Option<Instant> {
        self.silence().map(|Silence { since, short, long }| since + short.unwrap_or(long).min(long))
    }

    /// The silence is long enough to be suspicious whatever else is known.
    pub(crate) fn is_silent_for_long(&self, now: Instant) -> bool {
        self.silence().is_some_and(|silence| silence.since + silence.long <= now)
    }

    /// Since when the peer's answer is overdue: heard of elsewhere after it, the peer is there, and its Data ACK knows of
    /// what should have arrived here.
    pub(crate) fn overdue_since(&self) -> Option<Instant> {
        Some(self.silence()?.since + self.tcp.srtt()?)
    }

    /// The short silence proves nothing: only a long one counts now.
    pub(crate) fn waive(&mut self) {
        self.waived = self.silence().map(|silence| silence.since);
    }

    /// The suspicion has been acted upon, or nothing could be done about it.
    pub(crate) fn postpone_suspicion(&mut self, now: Instant) {
        self.outstanding_since = Some(now);
    }
}
