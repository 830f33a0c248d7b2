//! A scenario run in virtual time.
//!
//! Everything that happens has a moment and, among equal moments, an order (`agenda`); every component draws from a
//! generator of its own. So a scenario and a seed make one run, to the byte, wherever and beside whatever it runs.

mod agenda;
mod background;
mod build;
mod engine;
mod flow;
mod foreign;
mod host;
mod log;
mod meter;
mod network;
mod observer;
mod packet;
mod seeds;
mod wires;

pub use observer::{Observer, Packet, What};
pub use wires::Wires;

use crate::direction::{Direction, PerDirection};
use crate::metrics::{LaneOutcome, LinkOutcome, Outcome};
use crate::scenario::{LinkChange, Scenario};
use crate::traffic::seconds;
use agenda::Source;
use background::Load;
use flow::{Flow, Part};
use mpuser_engine::time::Instant;
use network::{Network, NetworkPart};

/// Runs a scenario.
///
/// # Errors
/// The scenario makes no sense: what is wrong where.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Outcome, String> {
    Ok(World::new(scenario, seed, None)?.run())
}

/// Runs a scenario while somebody looks on. The outcome is the same.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    scenario: &Scenario,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Outcome, String> {
    observer.begin(scenario, seed);
    Ok(World::new(scenario, seed, Some(observer))?.run())
}

/// Who stands behind a source of the agenda.
#[derive(Clone, Copy, Debug)]
enum Woken {
    Network(NetworkPart),
    Flow(u32, Part),
    Load(u32),
    /// The next change of a link.
    Change(u32),
    Sample,
    EndOfWarmUp,
}

/// What has come out of one direction of a link before the measured time, and how long its queue was.
#[derive(Clone, Debug, Default)]
struct LaneMeter {
    before: u64,
    queue_max: u64,
    samples: Vec<u32>,
}

/// Everything.
struct World<'a> {
    scenario: &'a Scenario,
    seed: u64,
    net: Network<'a>,
    flows: Vec<Flow>,
    loads: Vec<Load>,
    /// By link: changes to come, the next one last.
    changes: Vec<(Source, Vec<&'a LinkChange>)>,
    lanes: Vec<PerDirection<LaneMeter>>,
    /// By source.
    woken: Vec<Woken>,
    sample: Source,
    end_of_warm_up: Source,
    /// Flows that are not over.
    live: usize,
    events: u64,
}

impl World<'_> {
    fn run(mut self) -> Outcome {
        let end = Instant::ZERO + self.scenario.duration;
        let mut now = Instant::ZERO;
        self.deliver(now);
        while self.live > 0
            && let Some((at, source)) = self.net.agenda.pop(end)
        {
            now = at;
            self.events += 1;
            self.wake(now, source);
            self.deliver(now);
        }
        // with flows left the time went by without anything to happen
        let ended = if self.live > 0 { end } else { now };
        self.outcome(ended)
    }

    fn wake(&mut self, now: Instant, source: Source) {
        let Some(woken) = self.woken.get(source as usize).copied() else { return };
        match woken {
            Woken::Network(NetworkPart::Lane(link, direction)) => {
                self.net.on_lane(now, link, direction);
            }
            Woken::Network(NetworkPart::Chain(chain)) => self.net.on_chain(now, chain),
            Woken::Flow(flow, part) => {
                self.with_flow(now, flow, |flow, net| flow.on_wake(now, part, net))
            }
            Woken::Load(load) => {
                if let Some(load) = self.loads.get_mut(load as usize) {
                    load.on_wake(now, &mut self.net);
                }
            }
            Woken::Change(link) => self.change(now, link),
            Woken::Sample => self.take_sample(now),
            Woken::EndOfWarmUp => self.begin_to_measure(),
        }
    }

    fn with_flow(
        &mut self,
        now: Instant,
        number: u32,
        act: impl FnOnce(&mut Flow, &mut Network<'_>),
    ) {
        let Some(flow) = self.flows.get_mut(number as usize) else { return };
        let over = flow.over;
        act(flow, &mut self.net);
        if self.net.log.observer.is_some() {
            flow.tell_observer(now, &mut self.net);
        }
        self.live -= usize::from(flow.over && !over);
    }

    /// Hands over what has come out of the last link.
    fn deliver(&mut self, now: Instant) {
        while let Some(mut packet) = self.net.arrived.pop_front() {
            let (number, path) = self.net.path_of(packet.route);
            self.net.log.packet(now, What::Arrived, &packet, (number, path));
            match number.checked_sub(self.flows.len() as u32) {
                None => self.with_flow(now, number, |flow, net| {
                    flow.on_packet(now, path, &mut packet, net);
                }),
                Some(load) => {
                    if let Some(load) = self.loads.get_mut(load as usize) {
                        load.delivered += 1;
                    }
                }
            }
            self.net.recycle(packet);
        }
    }

    fn change(&mut self, now: Instant, link: u32) {
        let Some((source, changes)) = self.changes.get_mut(link as usize) else { return };
        while let Some(change) = changes.pop_if(|change| Instant::ZERO + change.at <= now) {
            self.net.change(now, link, &change.config);
        }
        self.net.agenda.want(*source, changes.last().map(|change| Instant::ZERO + change.at));
    }

    fn take_sample(&mut self, now: Instant) {
        for flow in &mut self.flows {
            flow.sample(now, &mut self.net);
        }
        for (link, meters) in self.net.links.iter_mut().zip(&mut self.lanes) {
            for direction in Direction::BOTH {
                let (waiting, _) = link.lanes.of_mut(direction).backlog_at(now);
                let meter = meters.of_mut(direction);
                meter.samples.push(waiting as u32);
                meter.queue_max = meter.queue_max.max(waiting as u64);
            }
        }
        self.net.agenda.want(self.sample, Some(now + self.scenario.sample));
    }

    fn begin_to_measure(&mut self) {
        for flow in &mut self.flows {
            flow.begin_to_measure();
        }
        for (link, meters) in self.net.links.iter().zip(&mut self.lanes) {
            for direction in Direction::BOTH {
                let counters = link.lanes.of(direction).counters;
                meters.of_mut(direction).before = counters.delivered_bytes;
            }
        }
    }

    fn outcome(mut self, ended: Instant) -> Outcome {
        let warm_up = Instant::ZERO + self.scenario.warm_up;
        let measured = ended.saturating_since(warm_up);
        for flow in &mut self.flows {
            flow.fetch_waits();
        }
        let links = self.net.links.iter().zip(&self.lanes).map(|(link, meters)| {
            let lane = |way| lane_outcome(link.lanes.of(way), meters.of(way), (warm_up, ended));
            let [forward, backward] = Direction::BOTH.map(lane);
            LinkOutcome { name: link.name.clone(), forward, backward }
        });
        let links = links.collect();
        let mut flows = Vec::with_capacity(self.flows.len());
        let mut data_packets = 0;
        for flow in self.flows {
            let (outcome, packets) = flow.outcome(ended, warm_up);
            data_packets += packets;
            flows.push(outcome);
        }
        Outcome {
            seed: self.seed,
            digest: self.net.log.digest(),
            ended: seconds(ended),
            measured: measured.as_secs_f64(),
            data_packets,
            events: self.events,
            flows,
            links,
            background: self.loads.into_iter().map(Load::outcome).collect(),
        }
    }
}

fn lane_outcome(
    lane: &crate::link::Lane<Box<packet::Packet>>,
    meter: &LaneMeter,
    (from, to): (Instant, Instant),
) -> LaneOutcome {
    let counters = &lane.counters;
    let since = |at: Instant| at.saturating_since(Instant::ZERO);
    let bytes = counters.delivered_bytes - meter.before.min(counters.delivered_bytes);
    let capacity = lane.config.capacity(since(from), since(to)).filter(|bits| *bits > 0.0);
    LaneOutcome {
        received: counters.received,
        delivered: counters.delivered,
        delivered_bytes: counters.delivered_bytes,
        measured_bytes: bytes,
        utilisation: capacity.map(|bits| bytes as f64 * 8.0 / bits),
        lost: counters.lost,
        queue_full: counters.queue_full,
        managed: counters.managed,
        down: counters.down,
        too_big: counters.too_big,
        duplicated: counters.duplicated,
        inside: lane.inside() as u64,
        queue_max: meter.queue_max,
        queue_samples: meter.samples.clone(),
    }
}

#[cfg(test)]
mod tests;
