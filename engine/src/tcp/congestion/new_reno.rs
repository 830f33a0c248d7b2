//! The standard: slow start, congestion avoidance, halving (RFC 5681, RFC 6582).

use super::{
    AckSample, CongestionControl, CoupledView, initial_window, min_ssthresh, segment_size,
};
use crate::time::{Duration, Instant};

/// RFC 5681 with byte counting (RFC 3465), without a limit per ACK: receivers here acknowledge super-segments.
#[derive(Clone, Debug)]
pub struct NewReno {
    mss: u64,
    cwnd: u64,
    ssthresh: u64,
    /// Octets acknowledged towards the next increase in congestion avoidance.
    acked: u64,
    in_fast_recovery: bool,
    timed_out: bool,
    /// Window and threshold before the last decrease.
    prior: Option<(u64, u64)>,
}

impl NewReno {
    /// The initial window of RFC 6928; `mss` in octets.
    #[must_use]
    pub fn new(mss: u32) -> Self {
        let mss = segment_size(mss);
        Self {
            mss,
            cwnd: initial_window(mss),
            ssthresh: u64::MAX,
            acked: 0,
            in_fast_recovery: false,
            timed_out: false,
            prior: None,
        }
    }

    fn decrease(&mut self, in_flight: u64) {
        self.prior = Some((self.cwnd, self.ssthresh));
        self.ssthresh = (in_flight.min(self.cwnd) / 2).max(min_ssthresh(self.mss));
        self.acked = 0;
    }
}

impl CongestionControl for NewReno {
    fn name(&self) -> &'static str {
        "reno"
    }

    fn window(&self) -> u64 {
        self.cwnd
    }

    fn ssthresh(&self) -> u64 {
        self.ssthresh
    }

    fn on_ack(&mut self, sample: &AckSample, _coupled: &CoupledView<'_>) {
        if sample.newly_acked == 0 {
            return;
        }
        self.timed_out = false;
        if self.in_fast_recovery || !sample.cwnd_limited {
            return;
        }
        let mut acked = sample.newly_delivered;
        if self.cwnd < self.ssthresh {
            let grow = acked.min(self.ssthresh - self.cwnd);
            self.cwnd += grow;
            acked -= grow;
        }
        self.acked += acked;
        if self.acked >= self.cwnd {
            self.acked -= self.cwnd;
            self.cwnd += self.mss;
        }
    }

    fn on_congestion(&mut self, _now: Instant, in_flight: u64) {
        self.decrease(in_flight);
        self.cwnd = self.ssthresh;
        self.in_fast_recovery = true;
    }

    fn on_retransmission_timeout(&mut self, _now: Instant, in_flight: u64) {
        // RFC 5681 3.1: the threshold is kept while the same segment times out again.
        if !self.timed_out {
            self.decrease(in_flight);
        }
        self.timed_out = true;
        self.in_fast_recovery = false;
        self.cwnd = self.mss;
    }

    fn on_recovery_exit(&mut self, _now: Instant) {
        self.in_fast_recovery = false;
    }

    fn undo(&mut self) {
        if let Some((cwnd, ssthresh)) = self.prior.take() {
            self.cwnd = self.cwnd.max(cwnd);
            self.ssthresh = self.ssthresh.max(ssthresh);
        }
        self.in_fast_recovery = false;
        self.timed_out = false;
    }

    fn on_idle_restart(&mut self, idle: Duration, rto: Duration) {
        (self.cwnd, self.ssthresh) =
            super::restart_window(self.cwnd, self.ssthresh, self.mss, idle > rto);
    }

    fn on_handshake_loss(&mut self) {
        self.cwnd = self.mss;
    }

    fn penalise(&mut self, factor: f64) {
        (self.cwnd, self.ssthresh) = super::penalised(self.cwnd, self.ssthresh, self.mss, factor);
    }

    fn set_mss(&mut self, mss: u32) {
        let mss = segment_size(mss);
        self.cwnd = super::rescale(self.cwnd, self.mss, mss);
        self.mss = mss;
    }
}
