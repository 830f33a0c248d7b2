//! What is measured of a flow.

use super::host::Host;
use super::packet::{NO_TAG, Packet};
use crate::direction::{Direction, PerDirection};
use crate::metrics::{FlowOutcome, Histogram, SubflowOutcome};
use mpuser_engine::ReceiveStats;
use mpuser_engine::time::{Duration, Instant};

/// Bytes counted over the run, the measured time, and one sample.
#[derive(Clone, Debug, Default)]
struct Count {
    total: u64,
    before: u64,
    sampled: u64,
    samples: Vec<u64>,
}

impl Count {
    fn sample(&mut self, to: usize) {
        // one that began later has nothing before
        self.samples.resize(to.max(self.samples.len()), 0);
        self.samples.push(self.total - self.sampled);
        self.sampled = self.total;
    }
}

/// A subflow, by the sender's number for it.
#[derive(Clone, Debug)]
struct SubflowCount {
    tag: u32,
    path: u32,
    count: Count,
}

/// Keeps account of one flow's main direction.
#[derive(Debug)]
pub(crate) struct Meter {
    way: Direction,
    read: Count,
    subflows: Vec<SubflowCount>,
    samples: usize,
    ofo_samples: Vec<u64>,
    waits: Vec<(Duration, u64)>,
    ofo_delay: Histogram,
    ended: Option<Instant>,
    at_end: FlowOutcome,
    pub(crate) data_packets: u64,
}

impl Meter {
    pub(crate) fn new(way: Direction) -> Self {
        Self {
            way,
            read: Count::default(),
            subflows: Vec::new(),
            samples: 0,
            ofo_samples: Vec::new(),
            waits: Vec::new(),
            ofo_delay: Histogram::default(),
            ended: None,
            at_end: FlowOutcome::default(),
            data_packets: 0,
        }
    }

    /// A packet leaves.
    pub(crate) fn on_sent(&mut self, packet: &mut Packet, path: u32) {
        if packet.payload.is_empty() {
            return;
        }
        self.data_packets += 1;
        if packet.direction == self.way {
            self.subflow(packet.tag, path);
        }
    }

    fn subflow(&mut self, tag: u32, path: u32) -> Option<&mut SubflowCount> {
        let known = |s: &SubflowCount| if tag == NO_TAG { s.path == path } else { s.tag == tag };
        let at = self.subflows.iter().position(known).unwrap_or_else(|| {
            self.subflows.push(SubflowCount { tag, path, count: Count::default() });
            self.subflows.len() - 1
        });
        self.subflows.get_mut(at)
    }

    /// A packet arrives.
    pub(crate) fn on_arrival(&mut self, packet: &Packet, path: u32) {
        let octets = packet.data_len() as u64;
        if packet.direction == self.way
            && octets > 0
            && let Some(subflow) = self.subflow(packet.tag, path)
        {
            subflow.count.total += octets;
        }
    }

    /// The application has read.
    pub(crate) const fn on_read(&mut self, way: Direction, octets: u64) {
        if way as u8 == self.way as u8 {
            self.read.total += octets;
        }
    }

    pub(crate) fn begin_to_measure(&mut self) {
        self.read.before = self.read.total;
        for subflow in &mut self.subflows {
            subflow.count.before = subflow.count.total;
        }
    }

    pub(crate) fn sample(&mut self, stats: &ReceiveStats, over: bool) {
        self.read.sample(self.samples);
        for subflow in &mut self.subflows {
            subflow.count.sample(self.samples);
        }
        self.ofo_samples.push(if over { 0 } else { stats.out_of_order });
        self.samples += 1;
    }

    /// Takes over how long octets waited.
    pub(crate) fn fetch_waits(&mut self, receiver: &mut dyn Host) {
        receiver.take_waits(&mut self.waits);
        for (wait, octets) in self.waits.drain(..) {
            self.ofo_delay.add(wait, octets);
        }
    }

    /// The flow is over: what the ends know is noted while they know it.
    pub(crate) fn end(&mut self, now: Instant, way: Direction, ends: &PerDirection<Box<dyn Host>>) {
        self.ended = Some(now);
        let out = &mut self.at_end;
        let stats = ends.of(way.reverse()).receive_stats();
        out.ofo_max = stats.out_of_order_max;
        out.hol_blocked_bytes = stats.blocked;
        out.duplicate_bytes = stats.duplicate;
        for side in Direction::BOTH {
            for number in 0..ends.of(side).connections() {
                let (subflows, reinjected) = ends.of(side).subflows(number);
                out.idle_resets += subflows.iter().map(|(_, s)| s.idle_resets).sum::<u64>();
                if side != way {
                    continue;
                }
                out.reinjected_bytes += reinjected;
                for (path, info) in subflows {
                    let tag = (number as u32) << 16 | info.id.0 & 0xffff;
                    let counted = self.subflows.iter().find(|s| s.tag == tag);
                    out.subflows.push(SubflowOutcome {
                        connection: number as u32,
                        path: counted.map_or(path, |s| s.path),
                        backup: info.backup,
                        sent_bytes: info.bytes_sent,
                        retransmitted_bytes: info.bytes_retrans,
                        srtt: info.srtt.as_secs_f64(),
                        cwnd: info.cwnd,
                        idle_resets: info.idle_resets,
                        tag,
                        ..SubflowOutcome::default()
                    });
                }
            }
        }
    }

    pub(crate) const fn ended(&self) -> Option<Instant> {
        self.ended
    }

    /// The account; rates are means over `measured` seconds.
    pub(crate) fn outcome(self, measured: f64) -> FlowOutcome {
        let mut out = self.at_end;
        out.measured_bytes = self.read.total - self.read.before;
        out.goodput_samples = self.read.samples;
        out.ofo_samples = self.ofo_samples;
        out.ofo_delay = self.ofo_delay;
        for counted in self.subflows {
            let known = |s: &SubflowOutcome| {
                if counted.tag == NO_TAG { s.path == counted.path } else { s.tag == counted.tag }
            };
            let at = out.subflows.iter().position(known).unwrap_or_else(|| {
                let (path, tag) = (counted.path, counted.tag);
                out.subflows.push(SubflowOutcome { path, tag, ..SubflowOutcome::default() });
                out.subflows.len() - 1
            });
            if let Some(subflow) = out.subflows.get_mut(at) {
                let Count { total, before, samples, .. } = counted.count;
                subflow.received_bytes = total;
                subflow.measured_bytes = total - before;
                subflow.throughput_bps =
                    if measured > 0.0 { (total - before) as f64 * 8.0 / measured } else { 0.0 };
                subflow.samples = samples;
            }
        }
        out
    }
}
