//! Address identifiers as a stateful property: whatever endpoints and announcements do, in whatever order, the engine
//! and a naive model of sets agree on what the peer knows (RFC 8684 3.2, 3.4).
//!
//! `MPUSER_SEED=N` repeats one run.

use mpuser_engine::addr::{AddressId, IpAddr};
use mpuser_engine::config::{Behaviour, ConnectionConfig, EndpointFlags};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::{AddAddr, MpJoin, MptcpOption, RemoveAddr};
use mpuser_engine::{PmEndpoint, SubflowInfo};
use mpuser_tests::scripted::*;
use std::collections::{BTreeMap, BTreeSet};

const RUNS: u64 = 200;
const STEPS: u32 = 60;

type Announcement = (IpAddr, Option<u16>);

/// What a peer knows of an end from what that end said: soft state, changed by every option it sends.
#[derive(Debug, Default)]
struct Heard {
    announced: BTreeMap<u8, Announcement>,
    /// Identifiers that were withdrawn and not announced since.
    withdrawn: BTreeSet<u8>,
}

impl Heard {
    /// Takes in what the engine sent; says what is against the rules.
    fn hear(&mut self, packet: &Packet) -> Result<(), String> {
        for signal in packet.signals() {
            match signal {
                MptcpOption::AddAddr(add) if !add.echo => {
                    let what = (add.address, add.port);
                    let known = self.announced.insert(add.id.0, what);
                    if known.is_some_and(|known| known.0 != add.address) {
                        return Err(format!("[ADDR-15]: {add} after {known:?}"));
                    }
                    if add.id.0 == 0 {
                        return Err(format!("[JOIN-2]: {add}"));
                    }
                    self.withdrawn.remove(&add.id.0);
                }
                MptcpOption::RemoveAddr(remove) => {
                    for id in remove.ids() {
                        self.announced.remove(&id.0);
                        self.withdrawn.insert(id.0);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

struct Run {
    script: Script,
    first: Flow,
    /// Subflows that are up, by the peer's view, and when they were heard of last.
    joined: Vec<(Flow, Instant)>,
    rng: Rng,
    /// The model of this end: endpoints that were added and not deleted, by identifier.
    endpoints: BTreeMap<u8, PmEndpoint>,
    /// What the peer was told.
    heard: Heard,
    /// The model of the other end: addresses it announced and did not withdraw.
    remote: BTreeMap<u8, IpAddr>,
    log: Vec<String>,
}

impl Run {
    fn new(seed: u64, server: bool) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let behaviour = Behaviour { probe_before_remove: false, ..Behaviour::rfc() };
        let config =
            ConnectionConfig { behaviour, join_from_local: false, ..ConnectionConfig::default() };
        let (script, first) = if server {
            let mut script = Script::server(config);
            let first = script.serve();
            (script, first)
        } else {
            let mut script = Script::client(config, 2);
            let first = script.connect();
            (script, first)
        };
        Self {
            script,
            first,
            joined: Vec::new(),
            rng: Rng::from_seed(bytes),
            endpoints: BTreeMap::new(),
            heard: Heard::default(),
            remote: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn pick<T: Copy>(&mut self, from: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = from.into_iter().collect();
        let len = u32::try_from(all.len()).ok().filter(|len| *len > 0)?;
        all.get(self.rng.below(len) as usize).copied()
    }

    /// Some random acts of the two ends, and what came of them.
    fn step(&mut self) -> Result<(), String> {
        let acts = 1 + self.rng.below(4);
        (0..acts).try_for_each(|_| self.act())?;
        self.take()?;
        self.check()
    }

    fn act(&mut self) -> Result<(), String> {
        match self.rng.below(9) {
            0 | 1 => self.add_endpoint()?,
            2 => self.delete_endpoint()?,
            3 => self.flush(),
            4 => self.peer_announces(),
            5 => self.peer_withdraws(),
            6 => self.peer_joins()?,
            7 => self.peer_echoes(),
            _ => {
                let wait = Duration::from_millis(u64::from(self.rng.below(3_000)));
                self.log.push(format!("wait {wait:?}"));
                self.script.advance(wait);
            }
        }
        Ok(())
    }

    fn add_endpoint(&mut self) -> Result<(), String> {
        let last = 1 + self.rng.below(6) as u8;
        let address = IpAddr::from([203, 0, 113, last]);
        let wants_id = self.rng.below(2) == 0;
        let id = wants_id.then(|| AddressId(10 + self.rng.below(5) as u8));
        let port = (self.rng.below(4) == 0).then_some(8_000);
        let flags = EndpointFlags { signal: true, ..EndpointFlags::default() };
        let wanted = PmEndpoint { address, id, port, flags };
        let added = self.script.endpoint.add_endpoint(self.script.now, wanted);
        self.log.push(format!("add {wanted:?}: {added:?}"));
        let same = |e: &PmEndpoint| {
            let any_port = e.port.is_some() || port.is_some();
            e.address == address && (!any_port || e.port == port)
        };
        let taken = self.endpoints.values().any(same)
            || id.is_some_and(|id| self.endpoints.contains_key(&id.0));
        match added {
            Ok(_) if taken => Err("an address or identifier was given twice".to_owned()),
            Ok(AddressId(0)) => Err("0 was given out".to_owned()),
            Ok(id) => {
                let known = self.endpoints.insert(id.0, wanted);
                if known.is_some() { Err(format!("{id:?} is in use")) } else { Ok(()) }
            }
            Err(_) if taken => Ok(()),
            Err(error) => Err(format!("refused: {error}")),
        }
    }

    fn delete_endpoint(&mut self) -> Result<(), String> {
        let id = self.pick(self.endpoints.keys().copied().collect::<Vec<_>>()).unwrap_or(200);
        let deleted = self.script.endpoint.delete_endpoint(self.script.now, AddressId(id));
        self.log.push(format!("delete {id}: {deleted:?}"));
        let known = self.endpoints.remove(&id).is_some();
        if known == deleted.is_ok() { Ok(()) } else { Err(format!("delete {id}")) }
    }

    fn flush(&mut self) {
        self.log.push("flush".to_owned());
        self.script.endpoint.flush_endpoints(self.script.now);
        self.endpoints.clear();
    }

    fn peer_announces(&mut self) {
        let id = 1 + self.rng.below(4) as u8;
        let address = peer_address(10 + self.rng.below(4) as u8);
        self.log.push(format!("peer announces {id} {address}"));
        let add = self.script.add_addr(id, address, None);
        let before = self.script.endpoint.counters().add_addr_drop;
        self.script.send(&mut self.first, seg().option(MptcpOption::AddAddr(add)));
        let dropped = self.script.endpoint.counters().add_addr_drop > before;
        // What a live subflow says counts for more: such an announcement is echoed and not kept.
        let held = self
            .script
            .info()
            .subflows
            .iter()
            .any(|s| is_up(s) && s.ids.1.0 == id && s.tuple.remote.ip() != address);
        if !dropped && !held {
            self.remote.entry(id).or_insert(address);
        }
    }

    fn peer_withdraws(&mut self) {
        let id = 1 + self.rng.below(4) as u8;
        self.log.push(format!("peer withdraws {id}"));
        let option = RemoveAddr::from_ids(&[AddressId(id), AddressId(id), AddressId(77)]);
        let Some(option) = option else { return };
        self.script.send(&mut self.first, seg().option(MptcpOption::RemoveAddr(option)));
        self.remote.remove(&id);
    }

    /// [JOIN-4]: refused while a subflow from elsewhere that was heard of just now has the identifier.
    fn peer_joins(&mut self) -> Result<(), String> {
        let id = 1 + self.rng.below(4) as u8;
        let index = 10 + self.rng.below(4) as u8;
        let at_its_end = |s: &SubflowInfo| s.state == "CLOSED";
        let from_there = |s: &SubflowInfo| s.tuple.remote.ip() == peer_address(index);
        if self.script.info().subflows.iter().any(|s| from_there(s) && !at_its_end(s)) {
            return Ok(());
        }
        self.log.push(format!("peer joins as {id} from {}", peer_address(index)));
        let held = self.script.info().subflows.iter().any(|s| {
            let fresh = |(f, at): &(Flow, Instant)| {
                f.tuple == s.tuple && *at + Duration::from_secs(10) > self.script.now
            };
            s.state == "ESTAB" && s.ids.1.0 == id && self.joined.iter().any(fresh)
        });
        let (mut flow, answer) = self.script.join_syn(index, AddressId(id), false);
        if answer.header.flags.rst {
            return if held { Ok(()) } else { Err("refused".to_owned()) };
        }
        let [MptcpOption::Join(MpJoin::SynAck { .. })] = answer.signals()[..] else {
            return Err(format!("{answer:?}"));
        };
        let option = self.script.join_ack(&flow);
        self.script.send(&mut flow, seg().option(option));
        self.joined.push((flow, self.script.now));
        if held { Err(format!("[JOIN-4]: {:?}", self.script.info().subflows)) } else { Ok(()) }
    }

    fn peer_echoes(&mut self) {
        let known: Vec<_> = self.heard.announced.iter().map(|(id, a)| (*id, *a)).collect();
        if let Some((id, (address, port))) = self.pick(known) {
            self.log.push(format!("peer echoes {id}"));
            let id = AddressId(id);
            let echo = AddAddr { echo: true, id, address, port, hmac: None };
            self.script.send(&mut self.first, seg().option(MptcpOption::AddAddr(echo)));
        }
    }

    /// Takes what the engine said: on the first subflow, on joined ones, and its own attempts, which are refused.
    fn take(&mut self) -> Result<(), String> {
        let mut packets = self.script.all(&mut self.first);
        for (flow, _) in &mut self.joined {
            let more = self.script.all(flow);
            if more.iter().any(|p| p.header.flags.fin) {
                self.script.send(flow, seg().fin());
            }
            packets.extend(more);
            packets.extend(self.script.all(flow));
        }
        while let Some((mut flow, _)) = self.script.next_syn() {
            self.script.send(&mut flow, seg().rst());
        }
        packets.sort_by_key(|p| p.at);
        packets.iter().try_for_each(|packet| self.heard.hear(packet))?;
        let up: Vec<_> =
            self.script.info().subflows.iter().filter(|s| is_up(s)).map(|s| s.tuple).collect();
        self.joined.retain(|(f, _)| up.contains(&f.tuple));
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        // What the peer believes is announced either is, or its withdrawal waits to be said.
        let info = self.script.info();
        if info.add_addr_signal > self.endpoints.len() {
            return Err(format!("{} announced of {:?}", info.add_addr_signal, self.endpoints));
        }
        if info.add_addr_accepted != self.remote.len() {
            let (have, want) = (info.add_addr_accepted, &self.remote);
            return Err(format!("{have} addresses of the peer's remembered, not {want:?}"));
        }
        Ok(())
    }

    /// After enough time every word has been said: the peer knows exactly the endpoints there are.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            self.script.advance(Duration::from_secs(1));
            self.take()?;
            self.peer_echoes_all();
        }
        let there: BTreeMap<u8, Announcement> =
            self.endpoints.iter().map(|(id, e)| (*id, (e.address, e.port))).collect();
        if self.heard.announced == there {
            return Ok(());
        }
        Err(format!("the peer knows {:?}, and there are {there:?}", self.heard.announced))
    }

    fn peer_echoes_all(&mut self) {
        for (id, (address, port)) in self.heard.announced.clone() {
            let echo = AddAddr { echo: true, id: AddressId(id), address, port, hmac: None };
            self.script.send(&mut self.first, seg().option(MptcpOption::AddAddr(echo)));
        }
    }
}

fn is_up(subflow: &SubflowInfo) -> bool {
    matches!(subflow.state, "ESTAB" | "SYN-RECV")
}

/// [JOIN-3] [JOIN-4] [ADDR-2] [ADDR-3] [ADDR-15] [ADDR-17] [ADDR-20] [ADDR-21] [ADDR-29]
#[test]
fn engine_and_model_agree_on_identifiers() {
    let one = std::env::var("MPUSER_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = one.map_or(0..RUNS, |seed| seed..seed + 1);
    for seed in seeds {
        for server in [true, false] {
            let mut run = Run::new(seed, server);
            let steps = (0..STEPS).try_for_each(|_| run.step());
            let result = steps.and_then(|()| run.settle());
            assert!(
                result.is_ok(),
                "MPUSER_SEED={seed} server {server}: {result:?} after\n{}",
                run.log.join("\n")
            );
        }
    }
}
