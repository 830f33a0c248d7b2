//! Probes into silence: the persist timer (RFC 9293 3.8.6.1) and keepalive (RFC 9293 3.8.4).

use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// Both probe timers; neither runs while data is in flight, the retransmission timer does their work then. In a stream,
/// where nothing is sent again, keepalive asks then, too.
#[derive(Debug, Default)]
pub(super) struct Probe {
    persist: Option<Instant>,
    /// The persist timer ran out: send a probe, or what the window allows.
    pub(super) persist_due: bool,
    /// Probes since the window was last open: the back-off.
    persist_backoff: u32,
    /// Probes since the peer was last heard of.
    unanswered: u32,
    /// Keepalives since the peer was last heard of, and when the last one was due: it may wait for a stream to take it.
    keepalives: u32,
    last_keepalive: Option<Instant>,
    pub(super) keepalive_due: bool,
    /// What the next keepalive repeats: the octet acknowledged last.
    pub(super) question: Bytes,
}

impl Probe {
    /// The peer lives.
    pub(super) fn on_received(&mut self) {
        self.unanswered = 0;
        self.keepalives = 0;
        self.last_keepalive = None;
        self.keepalive_due = false;
    }

    /// The window opened, or there is nothing left to wait for.
    pub(super) fn stop_persist(&mut self) {
        self.persist = None;
        self.persist_due = false;
        self.persist_backoff = 0;
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Data waits for a window and nothing is in flight whose ACK could tell of one.
    pub(super) fn start_persist(&mut self, now: Instant, rto: Duration) {
        self.persist.get_or_insert(now + rto);
    }

    pub(super) fn on_window_probe_sent(&mut self, now: Instant, rto: Duration, max: Duration) {
        self.persist_due = false;
        self.unanswered = self.unanswered.saturating_add(1);
        self.persist_backoff = self.persist_backoff.saturating_add(1);
        let timeout = rto.saturating_mul(1 << self.persist_backoff.min(16)).min(max);
        self.persist = Some(now + timeout);
    }

    fn on_keepalive_due(&mut self, now: Instant) {
        self.keepalive_due = true;
        self.keepalives = self.keepalives.saturating_add(1);
        self.last_keepalive = Some(now);
    }
}

impl Socket {
    /// Keeps the persist timer running exactly while the peer's window is what holds data back.
    pub(super) fn refresh_persist(&mut self, now: Instant) {
        if self.send.is_blocked_by_window() && !self.send.is_outstanding() {
            self.probe.start_persist(now, self.send.base_rto());
        } else {
            self.probe.stop_persist();
        }
    }

    /// Sends one keepalive now, whatever the configuration: the layer above wants to know whether the peer is there.
    pub fn request_keepalive(&mut self) {
        if matches!(self.state, State::Established | State::CloseWait) {
            self.probe.keepalive_due = true;
        }
    }

    /// As [`Self::request_keepalive`], with the octet that was acknowledged last: Linux answers no more than two segments a
    /// second that have an old number and no data (`tcp_invalid_ratelimit`), but each with data.
    pub(crate) fn request_answer(&mut self, octet: Bytes) {
        self.request_keepalive();
        if !self.is_carried() {
            self.probe.question = octet;
        }
    }

    fn keepalive_deadline(&self) -> Option<Instant> {
        let keepalive = self.params.config.keepalive?;
        let runs = if self.is_carried() {
            self.state.is_synchronized() && self.state != State::TimeWait
        } else {
            matches!(self.state, State::Established | State::CloseWait | State::FinWait2)
                && !self.send.is_outstanding()
                && self.probe.persist.is_none()
        };
        runs.then(|| match self.probe.last_keepalive {
            Some(at) => at + keepalive.interval,
            None => self.last_received_at + keepalive.idle,
        })
    }

    pub(super) fn probe_deadline(&self) -> Option<Instant> {
        let persist = self.probe.persist.filter(|_| !self.probe.persist_due);
        Instant::earliest(persist, self.keepalive_deadline())
    }

    pub(super) fn on_probe_timeout(&mut self, now: Instant) {
        if !self.probe.persist_due && self.probe.persist.is_some_and(|deadline| deadline <= now) {
            if self.probe.unanswered >= self.params.config.max_retransmits {
                self.finish(SocketEnd::Timeout);
                return;
            }
            self.probe.persist_due = true;
        }
        if self.keepalive_deadline().is_some_and(|deadline| deadline <= now) {
            let most = self.params.config.keepalive.map_or(0, |keepalive| keepalive.probes);
            if self.probe.keepalives >= most {
                self.finish(SocketEnd::Timeout);
                return;
            }
            self.probe.on_keepalive_due(now);
        }
    }
}
