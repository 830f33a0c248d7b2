//! Which segments are acceptable (RFC 9293 3.10.7.4 steps 1 to 4, RFC 5961, RFC 7323 5).

use super::ack_policy::Urgency;
use super::segment::Segment;
use super::socket::Socket;
use super::state::State;
use crate::time::{Duration, Instant};

/// The first checks' answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// Go on with the ACK field.
    Accept,
    /// A RST at exactly RCV.NXT.
    Reset,
    /// Dropped; an acknowledgement may have been asked for.
    Drop,
}

/// At most so many answers in so long a time (RFC 5961 7). Each connection has its own: one for all would tell
/// strangers about others (CVE-2016-5696).
#[derive(Debug)]
pub(super) struct RateLimit {
    most: u32,
    period: Duration,
    since: Option<Instant>,
    count: u32,
}

impl RateLimit {
    /// For challenge ACKs: one each half second, as Linux.
    pub(super) const fn challenges() -> Self {
        Self { most: 1, period: Duration::from_millis(500), since: None, count: 0 }
    }

    /// For answers to empty segments out of the window: probes may come in a row.
    pub(super) const fn strays() -> Self {
        Self { most: 10, period: Duration::from_secs(5), since: None, count: 0 }
    }

    pub(super) fn allow(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_since(since) >= self.period) {
            self.since = Some(now);
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= self.most
    }
}

impl Socket {
    /// Sequence number, PAWS, RST and SYN of a segment for a synchronized state (or SYN-RECEIVED).
    pub(super) fn check_acceptance(&mut self, now: Instant, seg: &Segment) -> Acceptance {
        let (nxt, start) = (self.recv.nxt() as i64, self.recv.offset(seg.seq));
        let edge = nxt.saturating_add(self.recv.window() as i64);
        if seg.flags.rst {
            return self.check_reset(now, start, nxt, edge);
        }
        if seg.flags.syn {
            // RFC 5961 4.2: whatever its sequence number. A peer that lost its state answers with a RST.
            self.challenge(now);
            return Acceptance::Drop;
        }
        if self.timestamps.is_old(now, seg.options.timestamps) {
            self.on_unacceptable(now, seg);
            return Acceptance::Drop;
        }
        let end = start.saturating_add(i64::from(seg.len()));
        let acceptable = if seg.is_empty() {
            // The right edge itself counts: a peer that filled the window acknowledges from there.
            start >= nxt && start <= edge
        } else {
            // With a closed window the ACK field of a probe at RCV.NXT still counts (RFC 9293 3.10.7.4).
            end > nxt && (start < edge || start == nxt)
        };
        if acceptable {
            return Acceptance::Accept;
        }
        self.on_unacceptable(now, seg);
        // A window that shrank (all subflows share one) makes a peer acknowledge from its edge, although what it had sent
        // beyond was taken. Were the ACK field of that not read, two such ends would tell each other nothing for ever. Linux
        // reads old numbers, too.
        let oldest = nxt.saturating_sub(self.recv.widest_window() as i64);
        let late = seg.is_empty() && start < nxt && start >= oldest;
        if late { Acceptance::Accept } else { Acceptance::Drop }
    }

    /// RFC 5961 3.2: only the exact sequence number resets; one within the window is suspicious.
    fn check_reset(&mut self, now: Instant, start: i64, nxt: i64, edge: i64) -> Acceptance {
        if start == nxt {
            return Acceptance::Reset;
        }
        if start > nxt && start <= edge {
            self.challenge(now);
        }
        Acceptance::Drop
    }

    /// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply".
    fn on_unacceptable(&mut self, now: Instant, seg: &Segment) {
        if seg.is_empty() {
            // Keepalives and probes want an answer, but two ends out of step must not answer each other for ever.
            if self.stray_limit.allow(now) {
                self.ack.demand(Urgency::Pure);
            }
            return;
        }
        self.recv.on_duplicate(self.recv.offset(seg.seq), seg.payload.len());
        self.ack.demand(Urgency::Pure);
        if seg.flags.fin && self.state == State::TimeWait {
            self.enter_time_wait(now);
        }
    }

    /// RFC 5961 5.2 and RFC 9293 3.10.7.4: an ACK of something never sent, or older than any window, is dropped.
    pub(super) fn check_ack(&mut self, now: Instant, offset: i64) -> bool {
        let una = self.send.una() as i64;
        let oldest = una.saturating_sub(self.send.max_window() as i64);
        let valid = offset >= oldest && offset <= self.send.nxt() as i64;
        if !valid {
            self.challenge(now);
        }
        valid
    }

    fn challenge(&mut self, now: Instant) {
        if self.challenge_limit.allow(now) {
            self.ack.challenge();
        }
    }
}
