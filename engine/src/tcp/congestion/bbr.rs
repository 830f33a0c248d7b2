//! BBR version 1 (draft-cardwell-iccrg-bbr-congestion-control-00, the `bbr` of Linux): a model of the path, bottleneck
//! bandwidth and round-trip propagation time, decides about rate and window; loss does not.
//!
//! Not from the draft, but in Linux, and not here: the estimate of aggregated ACKs and the detection of policers.

use super::filter::{MinFilter, RoundMax};
use super::{
    AckSample, CongestionControl, CongestionEvent, CoupledView, RateSample, initial_window,
    segment_size,
};
use crate::config::CongestionAlgorithm;
use crate::tcp::pacing::quantum;
use crate::time::{Duration, Instant};

/// 2 / ln 2: the least gain that doubles the rate in each round (draft 4.3.2.1).
const HIGH_GAIN: f64 = 2.885;
/// Window over BDP in PROBE_BW: room for delayed and merged ACKs.
const CWND_GAIN: f64 = 2.0;
/// Pacing gains of PROBE_BW: up, down, and six rounds of cruising.
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
/// A pipe is full when three rounds bring less than a quarter more.
const FULL_GROWTH: f64 = 1.25;
const FULL_ROUNDS: u32 = 3;
/// Least window: enough for a pipe with delayed ACKs, segments.
const MIN_PIPE: u64 = 4;
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// Pace a little below the estimate, or the queue never drains.
const MARGIN: f64 = 0.99;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// BBR v1.
#[derive(Clone, Debug)]
pub(super) struct Bbr {
    mss: u64,
    cwnd: u64,
    state: State,
    pacing_gain: f64,
    cwnd_gain: f64,
    /// Octets a second, over the last ten rounds.
    bandwidth: RoundMax,
    round_trip: MinFilter,
    /// Octets a second; 0 before the first measurement.
    rate: u64,
    /// The round ends when something sent after this much was delivered is delivered.
    next_round: u64,
    round_start: bool,
    full_bandwidth: u64,
    full_rounds: u32,
    filled: bool,
    cycle: usize,
    cycle_start: Instant,
    probe_rtt_done: Option<Instant>,
    probe_rtt_round: bool,
    /// Window before recovery or PROBE_RTT.
    prior_cwnd: u64,
    recovering: bool,
    /// In the first round of recovery what leaves is what arrives.
    conservation: bool,
    /// Octets delivered in all.
    delivered: u64,
    /// Nothing was in flight for want of data: the next sample of the RTT is no reason for PROBE_RTT.
    idle_restart: bool,
}

impl Bbr {
    /// The initial window of RFC 6928; `mss` in octets.
    pub(super) fn new(mss: u32) -> Self {
        let mss = segment_size(mss);
        Self {
            mss,
            cwnd: initial_window(mss),
            state: State::Startup,
            pacing_gain: HIGH_GAIN,
            cwnd_gain: HIGH_GAIN,
            bandwidth: RoundMax::default(),
            round_trip: MinFilter::default(),
            rate: 0,
            next_round: 0,
            round_start: false,
            full_bandwidth: 0,
            full_rounds: 0,
            filled: false,
            cycle: 0,
            cycle_start: Instant::ZERO,
            probe_rtt_done: None,
            probe_rtt_round: false,
            prior_cwnd: 0,
            recovering: false,
            conservation: false,
            delivered: 0,
            idle_restart: false,
        }
    }

    /// `gain` times the bandwidth-delay product, and room for what is being assembled at both ends (draft 4.2.3.2).
    fn inflight(&self, gain: f64) -> u64 {
        let Some(rtt) = self.round_trip.get() else { return initial_window(self.mss) };
        let bdp = self.bandwidth.get() as f64 * rtt.as_secs_f64();
        (gain * bdp) as u64 + 3 * quantum(self.rate, self.mss)
    }

    fn enter(&mut self, now: Instant, state: State) {
        self.state = state;
        (self.pacing_gain, self.cwnd_gain) = match state {
            State::Startup => (HIGH_GAIN, HIGH_GAIN),
            State::Drain => (1.0 / HIGH_GAIN, HIGH_GAIN),
            State::ProbeRtt => (1.0, 1.0),
            State::ProbeBw => {
                // Any phase but the one that drains, so that flows that begin together do not probe together.
                let offset = usize::try_from(now.as_micros() % 7).unwrap_or(0);
                self.cycle = CYCLE.len() - 1 - offset;
                (1.0, CWND_GAIN)
            }
        };
        if state == State::ProbeBw {
            self.next_phase(now);
        }
    }

    fn next_phase(&mut self, now: Instant) {
        self.cycle = (self.cycle + 1) % CYCLE.len();
        self.cycle_start = now;
        self.pacing_gain = CYCLE.get(self.cycle).copied().unwrap_or(1.0);
    }

    fn update_bandwidth(&mut self, rate: &RateSample) {
        if self.round_start {
            self.bandwidth.next_round();
        }
        // Over less than the shortest RTT ACKs were merged: that is no rate.
        let plausible = self.round_trip.get().is_none_or(|least| rate.interval >= least);
        if let Some(measured) = rate.per_second().filter(|_| plausible)
            && (!rate.app_limited || measured >= self.bandwidth.get())
        {
            self.bandwidth.add(measured);
        }
    }

    fn update_round(&mut self, rate: Option<&RateSample>) {
        self.round_start = rate.is_some_and(|rate| rate.prior_delivered >= self.next_round);
        if self.round_start {
            self.next_round = self.delivered;
            self.conservation = false;
        }
    }

    fn check_cycle(&mut self, sample: &AckSample) {
        if self.state != State::ProbeBw {
            return;
        }
        let rtt = self.round_trip.get().unwrap_or_default();
        let full_length = sample.now.saturating_since(self.cycle_start) > rtt;
        let over = if self.pacing_gain > 1.0 {
            let loaded = sample.in_flight_before >= self.inflight(self.pacing_gain);
            full_length && (sample.newly_lost > 0 || loaded)
        } else if self.pacing_gain < 1.0 {
            full_length || sample.in_flight_before <= self.inflight(1.0)
        } else {
            full_length
        };
        if over {
            self.next_phase(sample.now);
        }
    }

    fn check_full_pipe(&mut self, app_limited: bool) {
        if self.filled || !self.round_start || app_limited {
            return;
        }
        let bandwidth = self.bandwidth.get();
        if bandwidth as f64 >= self.full_bandwidth as f64 * FULL_GROWTH {
            self.full_bandwidth = bandwidth;
            self.full_rounds = 0;
            return;
        }
        self.full_rounds += 1;
        self.filled = self.full_rounds >= FULL_ROUNDS;
    }

    fn check_drain(&mut self, sample: &AckSample) {
        if self.state == State::Startup && self.filled {
            self.enter(sample.now, State::Drain);
        }
        if self.state == State::Drain && sample.in_flight <= self.inflight(1.0) {
            self.enter(sample.now, State::ProbeBw);
        }
    }

    fn check_probe_rtt(&mut self, sample: &AckSample, expired: bool) {
        if self.state != State::ProbeRtt && expired && !self.idle_restart {
            self.save_cwnd();
            self.enter(sample.now, State::ProbeRtt);
            self.probe_rtt_done = None;
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(sample);
        }
        self.idle_restart = false;
    }

    fn handle_probe_rtt(&mut self, sample: &AckSample) {
        let Some(done) = self.probe_rtt_done else {
            if sample.in_flight <= MIN_PIPE * self.mss {
                self.probe_rtt_done = Some(sample.now + PROBE_RTT_DURATION);
                self.probe_rtt_round = false;
                self.next_round = self.delivered;
            }
            return;
        };
        self.probe_rtt_round |= self.round_start;
        if self.probe_rtt_round && sample.now > done {
            self.round_trip.renew(sample.now);
            self.cwnd = self.cwnd.max(self.prior_cwnd);
            let next = if self.filled { State::ProbeBw } else { State::Startup };
            self.enter(sample.now, next);
        }
    }

    fn set_rate(&mut self) {
        let rate = (self.pacing_gain * self.bandwidth.get() as f64 * MARGIN) as u64;
        if self.filled || rate > self.rate {
            self.rate = rate;
        }
    }

    /// Window and rate before anything is measured follow from the handshake's RTT.
    fn first_rate(&self, srtt: Option<Duration>) -> u64 {
        let rtt = srtt.filter(|rtt| !rtt.is_zero()).unwrap_or(Duration::from_millis(1));
        (HIGH_GAIN * self.cwnd as f64 / rtt.as_secs_f64()) as u64
    }

    fn set_cwnd(&mut self, sample: &AckSample) {
        let acked = sample.newly_delivered;
        if sample.newly_lost > 0 && self.recovering {
            self.cwnd = self.cwnd.saturating_sub(sample.newly_lost).max(self.mss);
        }
        if self.conservation {
            self.cwnd = self.cwnd.max(sample.in_flight.saturating_add(acked));
        } else {
            let target = self.inflight(self.cwnd_gain);
            if self.filled {
                self.cwnd = self.cwnd.saturating_add(acked).min(target);
            } else if self.cwnd < target || self.delivered < initial_window(self.mss) {
                self.cwnd = self.cwnd.saturating_add(acked);
            }
            self.cwnd = self.cwnd.max(MIN_PIPE * self.mss);
        }
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(MIN_PIPE * self.mss);
        }
    }

    fn save_cwnd(&mut self) {
        let whole = !self.recovering && self.state != State::ProbeRtt;
        self.prior_cwnd = if whole { self.cwnd } else { self.prior_cwnd.max(self.cwnd) };
    }
}

impl CongestionControl for Bbr {
    fn name(&self) -> &'static str {
        CongestionAlgorithm::Bbr.name()
    }

    fn window(&self) -> u64 {
        self.cwnd
    }

    /// Without meaning to BBR; as in Linux the largest there is.
    fn ssthresh(&self) -> u64 {
        u64::MAX
    }

    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<u64> {
        Some(if self.rate > 0 { self.rate } else { self.first_rate(srtt) })
    }

    fn rules_recovery(&self) -> bool {
        true
    }

    fn limits_itself(&self) -> bool {
        self.state == State::ProbeRtt
    }

    fn on_ack(&mut self, sample: &AckSample, _coupled: &CoupledView<'_>) {
        self.delivered = sample.rate.map_or(self.delivered, |rate| rate.total);
        if self.rate == 0 {
            // What was the rate so far stays until the pipe is filled: one ACK that was held up says little of the path.
            self.rate = self.first_rate(sample.min_rtt.or(sample.srtt));
        }
        self.update_round(sample.rate.as_ref());
        if let Some(rate) = &sample.rate {
            self.update_bandwidth(rate);
        }
        self.check_cycle(sample);
        self.check_full_pipe(sample.rate.is_none_or(|rate| rate.app_limited));
        self.check_drain(sample);
        let expired = self.round_trip.add(sample.now, sample.rtt_latest);
        self.check_probe_rtt(sample, expired);
        self.set_rate();
        self.set_cwnd(sample);
    }

    fn on_congestion(&mut self, event: &CongestionEvent, _coupled: &CoupledView<'_>) {
        self.save_cwnd();
        self.recovering = true;
        self.conservation = true;
        self.next_round = self.delivered;
        self.cwnd = event.pipe.saturating_add(self.mss);
    }

    fn on_retransmission_timeout(&mut self, _event: &CongestionEvent, _coupled: &CoupledView<'_>) {
        self.save_cwnd();
        self.recovering = true;
        self.conservation = false;
        self.full_bandwidth = 0;
        self.cwnd = self.mss;
    }

    fn on_recovery_exit(&mut self, _now: Instant) {
        if self.recovering {
            self.cwnd = self.cwnd.max(self.prior_cwnd);
        }
        self.recovering = false;
        self.conservation = false;
    }

    fn undo(&mut self) {
        self.full_bandwidth = 0;
        self.full_rounds = 0;
        self.on_recovery_exit(Instant::ZERO);
    }

    fn on_idle_restart(&mut self, _idle: Duration, _rto: Duration) {
        // The model stays; pacing keeps the window from leaving at once (draft 4.4).
        self.idle_restart = true;
        if self.state == State::ProbeBw {
            self.rate = (self.bandwidth.get() as f64 * MARGIN) as u64;
        }
    }

    fn on_handshake_loss(&mut self) {
        self.cwnd = self.mss;
    }

    fn set_mss(&mut self, mss: u32) {
        let mss = segment_size(mss);
        self.cwnd = super::rescale(self.cwnd, self.mss, mss);
        self.mss = mss;
    }
}
