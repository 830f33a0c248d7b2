//! A sender with all its parts over a path that loses, delays and reorders: it must always get everything across.

use super::*;
use crate::buffer::RangeSet;
use crate::config::CongestionAlgorithm;
use crate::tcp::congestion::{self, AckSample, CongestionControl, CongestionEvent, CoupledView};
use crate::tcp::prr::Prr;
use proptest::prelude::*;
use std::boxed::Box;
use std::vec::Vec;

const MSS: u64 = 1000;

/// What the path does with the packets, one after the other, over and over.
#[derive(Clone, Debug)]
struct Plan {
    sack: bool,
    timestamps: bool,
    algorithm: CongestionAlgorithm,
    octets: u64,
    /// Segments handed out as one super-segment at most; the path cuts them.
    burst: u64,
    /// Data: lost, or this many milliseconds under way.
    data: Vec<Option<u64>>,
    /// ACKs likewise.
    acks: Vec<Option<u64>>,
}

/// The receiver: what it has, and what it reports.
struct Receiver {
    got: RangeSet,
    recent: Vec<Range<u64>>,
    /// Timestamp to echo (RFC 7323 4.3).
    ts_recent: Instant,
}

#[derive(Clone, Debug)]
struct Ack {
    una: u64,
    sacks: Vec<Range<u64>>,
    echo: Instant,
}

impl Receiver {
    fn una(&self) -> u64 {
        self.got.first().filter(|first| first.start == 0).map_or(0, |first| first.end)
    }

    fn receive(&mut self, range: Range<u64>, sent_at: Instant) -> Ack {
        let duplicate = self.got.contains_range(&range);
        if range.start <= self.una() {
            self.ts_recent = self.ts_recent.max(sent_at);
        }
        assert!(self.got.insert(range.clone()));
        let una = self.una();
        let mut sacks = Vec::new();
        if duplicate {
            sacks.push(range.clone());
        }
        let block = self.got.iter().find(|r| r.contains(&range.start) && r.start > una);
        self.recent.retain(|r| block.as_ref().is_none_or(|b| r.end <= b.start || b.end <= r.start));
        self.recent.retain(|r| r.start > una);
        self.recent.extend(block);
        sacks.extend(self.recent.iter().rev().take(3).cloned());
        Ack { una, sacks, echo: self.ts_recent }
    }
}

struct Sim {
    plan: Plan,
    now: Instant,
    loss: LossRecovery,
    rtt: RttEstimator,
    cc: Box<dyn CongestionControl>,
    prr: Option<Prr>,
    receiver: Receiver,
    packets: Vec<(Instant, Range<u64>, Instant)>,
    acks: Vec<(Instant, Ack)>,
    sent: (usize, usize),
    retransmitted: u64,
}

impl Sim {
    fn new(plan: Plan) -> Self {
        Self {
            now: Instant::from_millis(1),
            loss: LossRecovery::new(MSS as u32, plan.sack, false),
            rtt: RttEstimator::new(Duration::from_millis(200), Duration::from_secs(120)),
            cc: congestion::new(plan.algorithm, MSS as u32),
            prr: None,
            receiver: Receiver {
                got: RangeSet::new(10_000),
                recent: Vec::new(),
                ts_recent: Instant::ZERO,
            },
            packets: Vec::new(),
            acks: Vec::new(),
            sent: (0, 0),
            retransmitted: 0,
            plan,
        }
    }

    fn transmit(&mut self, range: Range<u64>, retransmission: bool) {
        assert!(!range.is_empty() && range.end - range.start <= self.plan.burst * MSS);
        self.loss.on_transmit(self.now, range.clone(), retransmission);
        let len = range.end - range.start;
        self.retransmitted += if retransmission { len } else { 0 };
        if let Some(prr) = &mut self.prr {
            prr.on_sent(len);
        }
        let mut start = range.start;
        while start < range.end {
            let piece = start..(start + MSS).min(range.end);
            start = piece.end;
            let fate = self.plan.data[self.sent.0 % self.plan.data.len()];
            self.sent.0 += 1;
            if let Some(delay) = fate {
                self.packets.push((self.now + Duration::from_millis(delay), piece, self.now));
            }
        }
    }

    fn new_data(&self, max_len: u64) -> Option<Range<u64>> {
        let nxt = self.loss.nxt();
        (nxt < self.plan.octets).then(|| nxt..(nxt + max_len).min(self.plan.octets))
    }

    fn send_all(&mut self) {
        loop {
            let room = match &self.prr {
                Some(prr) => prr.budget(),
                None => self.cc.window().saturating_sub(self.loss.pipe()),
            };
            if room < MSS {
                break;
            }
            let max_len = (room / MSS).min(self.plan.burst) * MSS;
            let lost = self.loss.next_lost(max_len);
            let retransmission = lost.is_some();
            let Some(range) = lost.or_else(|| self.new_data(max_len)) else { break };
            self.transmit(range, retransmission);
        }
        let can_send_new = self.new_data(MSS).is_some();
        self.loss.rearm(self.now, &self.rtt, can_send_new);
    }

    fn on_ack(&mut self, ack: &Ack) {
        let before = self.loss.una();
        if ack.una < before {
            return;
        }
        let in_flight = self.loss.pipe();
        let event = self.event();
        if self.plan.timestamps {
            self.loss.on_timestamp_echo(ack.echo);
        }
        let duplicate = ack.una == before && self.loss.bytes_outstanding() > 0;
        let out = self.loss.on_ack(self.now, ack.una, &ack.sacks, &self.rtt, duplicate);
        assert_eq!(out.newly_acked, ack.una - before);
        if let Some(sample) = out.rtt_sample {
            assert!(sample >= Duration::from_millis(2), "the path is never that fast: {sample:?}");
            self.rtt.on_sample(sample);
        }
        if out.spurious {
            self.cc.undo();
            self.rtt.reset_backoff();
        }
        if out.exit_recovery {
            self.cc.on_recovery_exit(self.now);
        }
        if out.tail_loss_repaired {
            self.cc.on_congestion(&event, &CoupledView::NONE);
            self.cc.on_recovery_exit(self.now);
        }
        if out.enter_recovery {
            self.cc.on_congestion(&event, &CoupledView::NONE);
            self.prr = Some(Prr::new(self.cc.ssthresh(), in_flight, MSS as u32));
        }
        if !self.loss.in_fast_recovery() {
            self.prr = None;
        }
        if let Some(prr) = &mut self.prr {
            prr.on_ack(out.newly_delivered, self.loss.pipe(), out.newly_lost, out.newly_acked > 0);
        }
        let sample = AckSample {
            now: self.now,
            newly_acked: out.newly_acked,
            newly_delivered: out.newly_delivered,
            newly_lost: out.newly_lost,
            in_flight: self.loss.pipe(),
            in_flight_before: in_flight,
            srtt: self.rtt.srtt(),
            min_rtt: self.rtt.min_rtt(),
            rtt_latest: out.rtt_sample,
            cwnd_limited: in_flight + MSS >= self.cc.window(),
            in_recovery: self.loss.in_recovery(),
            rate: out.rate,
        };
        self.cc.on_ack(&sample, &CoupledView::NONE);
    }

    fn event(&self) -> CongestionEvent {
        let flight = self.loss.bytes_outstanding();
        CongestionEvent { now: self.now, flight, pipe: self.loss.pipe(), srtt: self.rtt.srtt() }
    }

    fn on_timeout(&mut self, timer: LossTimer) {
        let in_flight = self.loss.pipe();
        let event = self.event();
        let out = self.loss.on_timeout(self.now, timer, &mut self.rtt);
        if out.retransmission_timeout {
            self.cc.on_retransmission_timeout(&event, &CoupledView::NONE);
            self.prr = None;
        }
        if out.enter_recovery {
            self.cc.on_congestion(&event, &CoupledView::NONE);
            self.prr = Some(Prr::new(self.cc.ssthresh(), in_flight, MSS as u32));
        } else if let Some(prr) = &mut self.prr {
            prr.on_loss(out.newly_lost);
        }
        if let Some(probe) = out.probe {
            let fresh = self.new_data(MSS).filter(|_| probe.new_data);
            let retransmission = fresh.is_none();
            self.transmit(fresh.unwrap_or(probe.last_segment), retransmission);
        }
    }

    fn check(&self) {
        let loss = &self.loss;
        assert!(loss.pipe() <= loss.bytes_outstanding());
        assert!(loss.sacked_bytes() + loss.lost_bytes() <= loss.bytes_outstanding());
        assert!(loss.una() <= self.receiver.una(), "acknowledged what was not received");
        assert!(loss.bytes_outstanding() == 0 || loss.poll_timeout().is_some(), "no timer runs");
        for entry in loss.board.entries().filter(|e| e.state == State::Sacked) {
            assert!(self.receiver.got.contains_range(&entry.range));
        }
    }

    /// Runs until everything is acknowledged; returns the time it took.
    fn run(&mut self) -> Duration {
        let start = self.now;
        for _ in 0..100_000 {
            self.send_all();
            self.check();
            if self.loss.una() == self.plan.octets {
                return self.now.saturating_since(start);
            }
            let packet = self.packets.iter().map(|p| p.0).min();
            let ack = self.acks.iter().map(|a| a.0).min();
            let timer = self.loss.poll_timeout().unwrap();
            let network = Instant::earliest(packet, ack);
            if network.is_none_or(|at| timer.0 < at) {
                self.now = self.now.max(timer.0);
                self.on_timeout(timer.1);
            } else if packet == network {
                let index = self.packets.iter().position(|p| Some(p.0) == packet).unwrap();
                let (at, range, sent_at) = self.packets.remove(index);
                self.now = at;
                let ack = self.receiver.receive(range, sent_at);
                let fate = self.plan.acks[self.sent.1 % self.plan.acks.len()];
                self.sent.1 += 1;
                self.acks.extend(fate.map(|delay| (at + Duration::from_millis(delay), ack)));
            } else {
                let index = self.acks.iter().position(|a| Some(a.0) == ack).unwrap();
                let (at, ack) = self.acks.remove(index);
                self.now = at;
                self.on_ack(&ack);
            }
        }
        panic!("no progress: {:?}", self.loss);
    }
}

fn clean(sack: bool) -> Plan {
    let algorithm = CongestionAlgorithm::Cubic;
    Plan {
        sack,
        timestamps: false,
        algorithm,
        octets: 300_500,
        burst: 1,
        data: std::vec![Some(20)],
        acks: std::vec![Some(20)],
    }
}

#[test]
fn a_clean_path_needs_no_retransmission() {
    for sack in [true, false] {
        let mut sim = Sim::new(clean(sack));
        let time = sim.run();
        assert_eq!(sim.retransmitted, 0);
        // 10 + 20 + 40 + 80 + 160: five round trips.
        assert_eq!(time, Duration::from_millis(200));
    }
}

#[test]
fn one_loss_costs_one_retransmission_and_no_timeout() {
    for sack in [true, false] {
        let mut plan = clean(sack);
        plan.data = std::vec![Some(20); 1000];
        plan.data[25] = None;
        let mut sim = Sim::new(plan);
        let time = sim.run();
        assert_eq!(sim.retransmitted, MSS, "sack {sack}");
        assert!(time < Duration::from_millis(600), "{time:?}");
        assert_eq!(sim.rtt.backoff_count(), 0);
    }
}

#[test]
fn mild_reordering_costs_nothing_once_it_was_seen() {
    let mut plan = clean(true);
    plan.octets = 2_000_000;
    plan.data = std::vec![Some(20), Some(20), Some(24), Some(20), Some(20), Some(20), Some(20)];
    let mut sim = Sim::new(plan);
    sim.run();
    assert!(sim.retransmitted <= 20 * MSS, "{}", sim.retransmitted);
}

fn plans() -> impl Strategy<Value = Plan> {
    let delay = |loss: u32| {
        prop_oneof![
            loss => Just(None),
            8 => Just(Some(10)),
            2 => (1u64..30).prop_map(Some),
            1 => (1u64..400).prop_map(Some),
        ]
    };
    let algorithm =
        prop_oneof![Just(CongestionAlgorithm::NewReno), Just(CongestionAlgorithm::Cubic)];
    // At least one packet of each plan gets through.
    let fates = move |max| {
        prop::collection::vec(delay(3), 1..max).prop_map(|mut v| {
            v.push(Some(10));
            v
        })
    };
    (any::<bool>(), any::<bool>(), algorithm, 1u64..120_000, 1u64..20, fates(60), fates(20))
        .prop_map(|(sack, timestamps, algorithm, octets, burst, data, acks)| Plan {
            sack,
            timestamps,
            algorithm,
            octets,
            burst,
            data,
            acks,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn everything_arrives_whatever_the_path_does(plan in plans()) {
        let mut sim = Sim::new(plan);
        sim.run();
        prop_assert_eq!(sim.receiver.una(), sim.plan.octets);
        prop_assert_eq!(sim.loss.pipe(), 0);
    }
}
