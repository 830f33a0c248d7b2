//! A world from a scenario.

use super::agenda::Agenda;
use super::background::Load;
use super::engine::{EngineHost, LocalPath, Place};
use super::flow::{Flow, Part, PathAt};
use super::foreign::ForeignHost;
use super::host::Host;
use super::log::Log;
use super::meter::Meter;
use super::network::Network;
use super::observer::Observer;
use super::{LaneMeter, Woken, World, seeds};
use crate::direction::{Direction, PerDirection};
use crate::random::unit;
use crate::scenario::{FlowGroup, LinkChange, Scenario, Stack};
use crate::traffic::{self, Desk};
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::time::Instant;

impl<'a> World<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        seed: u64,
        observer: Option<&'a mut dyn Observer>,
    ) -> Result<Self, String> {
        scenario.check()?;
        let mut net = Network::new(Agenda::default(), Log::new(observer));
        for (name, link) in &scenario.links {
            let seed = seeds::number(seed, &format!("link/{name}"));
            net.add_link(name, link.config.clone(), seed);
        }
        let (sample, end_of_warm_up) = (net.agenda.source(), net.agenda.source());
        let mut world = World {
            scenario,
            seed,
            flows: Vec::new(),
            loads: Vec::new(),
            changes: Vec::new(),
            lanes: scenario
                .links
                .iter()
                .map(|_| PerDirection::from_fn(|_| LaneMeter::default()))
                .collect(),
            woken: Vec::new(),
            sample,
            end_of_warm_up,
            live: 0,
            events: 0,
            net,
        };
        for group in &scenario.flows {
            for instance in 0..group.count {
                world.add_flow(group, instance)?;
            }
        }
        world.add_loads()?;
        for link in scenario.links.values() {
            let mut changes: Vec<&LinkChange> = link.changes.iter().collect();
            changes.reverse();
            let source = world.net.agenda.source();
            world.changes.push((source, changes));
        }
        world.live = world.flows.len();
        world.name_sources();
        world.schedule();
        Ok(world)
    }

    /// Numbers of the links of a path.
    fn links(&self, names: &[String]) -> Vec<u32> {
        let number = |name: &String| {
            self.scenario.links.keys().position(|known| known == name).map(|at| at as u32)
        };
        names.iter().filter_map(number).collect()
    }

    fn add_flow(&mut self, group: &'a FlowGroup, instance: u32) -> Result<(), String> {
        let number = self.flows.len() as u32;
        let name = format!("flow/{}/{instance}", group.name);
        let mut paths = Vec::with_capacity(group.paths.len());
        for (index, path) in group.paths.iter().enumerate() {
            let links = self.links(&path.links);
            let seed = seeds::number(self.seed, &format!("{name}/boxes/{index}"));
            let route = self.net.add_route((number, index as u32), &links, seed)?;
            let at = |time| Instant::ZERO + time;
            let (start, stop) = (path.start.map(at), path.stop.map(at));
            paths.push(PathAt { route, start, stop, up: start.is_none() });
        }
        let mut rng = seeds::rng(self.seed, &name);
        let jitter = group.start_jitter.mul_f64(unit(&mut rng));
        let start = Instant::ZERO + group.start + jitter;
        let offload = !paths.iter().any(|path| self.net.has_boxes(path.route));
        let mut hosts = Vec::new();
        for side in Direction::BOTH {
            let seed = seeds::bytes(self.seed, &format!("{name}/{side}"));
            hosts.push(self.host(group, number, side, (offload, seed))?);
        }
        let [Some(backward), Some(forward)] = [hosts.pop(), hosts.pop()] else {
            return Err("a flow has two ends".to_owned());
        };
        let ends = PerDirection { forward, backward };
        let sources = PerDirection::from_fn(|_| self.net.agenda.source());
        let plan = self.net.agenda.source();
        let connections = traffic::connections(&group.traffic);
        let desk = Desk::new(connections, group.direction, start, rng);
        self.flows.push(Flow::new(
            (number, group, instance),
            ends,
            (sources, plan),
            paths,
            start,
            (traffic::build(&group.traffic), desk),
            Meter::new(group.direction),
        ));
        Ok(())
    }

    /// One end of a flow; `side` is the direction in which it sends.
    fn host(
        &self,
        group: &FlowGroup,
        flow: u32,
        side: Direction,
        (offload, seed): (bool, [u8; 32]),
    ) -> Result<Box<dyn Host>, String> {
        let client = side == Direction::Forward;
        let stack = if client { group.stack } else { group.peer.unwrap_or(group.stack) };
        let config = ConnectionConfig { mptcp: stack == Stack::Mptcp, ..group.connection() };
        let local = |path: &crate::scenario::Path| LocalPath {
            backup: path.backup,
            subflows: path.subflows,
            up: path.start.is_none(),
        };
        let paths = group.paths.iter().map(local).collect();
        let place = Place { flow, client, paths, mtu: group.mtu, offload };
        if stack == Stack::Smoltcp {
            let seed = seeds::number(self.seed, &format!("{}/{flow}/{side}", group.name));
            return Ok(Box::new(ForeignHost::new(config, place, seed)));
        }
        let mut host = EngineHost::new(config, place, seed)?;
        if self.net.log.observer.is_some() {
            host.keep_events();
        }
        Ok(Box::new(host))
    }

    fn add_loads(&mut self) -> Result<(), String> {
        let scenario = self.scenario;
        for load in &scenario.background {
            let links = self.links(std::slice::from_ref(&load.link));
            for instance in 0..load.count {
                let number = (self.flows.len() + self.loads.len()) as u32;
                let route = self.net.add_route((number, 0), &links, self.seed)?;
                let rng = seeds::rng(self.seed, &format!("background/{}/{instance}", load.name));
                let source = self.net.agenda.source();
                self.loads.push(Load::new(load.clone(), route, source, rng));
            }
        }
        Ok(())
    }

    /// Who stands behind which source.
    fn name_sources(&mut self) {
        let mut all = vec![(self.sample, Woken::Sample), (self.end_of_warm_up, Woken::EndOfWarmUp)];
        let network = self.net.sources();
        all.extend(network.into_iter().map(|(source, part)| (source, Woken::Network(part))));
        for flow in &self.flows {
            all.push((flow.plan, Woken::Flow(flow.number, Part::Plan)));
            for side in Direction::BOTH {
                all.push((*flow.sources.of(side), Woken::Flow(flow.number, Part::End(side))));
            }
        }
        let loads = self.loads.iter().enumerate();
        all.extend(loads.map(|(number, load)| (load.source, Woken::Load(number as u32))));
        let changes = self.changes.iter().enumerate();
        all.extend(changes.map(|(link, (source, _))| (*source, Woken::Change(link as u32))));
        all.sort_unstable_by_key(|(source, _)| *source);
        self.woken = all.into_iter().map(|(_, woken)| woken).collect();
    }

    /// What is to happen whatever else happens.
    fn schedule(&mut self) {
        let agenda = &mut self.net.agenda;
        for (source, changes) in &self.changes {
            agenda.want(*source, changes.last().map(|change| Instant::ZERO + change.at));
        }
        agenda.want(self.end_of_warm_up, Some(Instant::ZERO + self.scenario.warm_up));
        if !self.scenario.sample.is_zero() {
            agenda.want(self.sample, Some(Instant::ZERO + self.scenario.sample));
        }
        for flow in &self.flows {
            flow.schedule(&mut self.net);
        }
        for load in &mut self.loads {
            load.schedule(&mut self.net);
        }
    }
}
