//! `--pcap` and `--qlog`: one run written down while it runs. Looking on changes nothing of it.

use super::args::Traces;
use crate::error::{Code, Failure};
use crate::exp::campaign::Done;
use mpuser_engine::time::Instant;
use mpuser_engine::{Event, SubflowInfo};
use mpuser_sim::Direction;
use mpuser_sim::experiment::Plan;
use mpuser_sim::scenario::Scenario;
use mpuser_sim::trace::{Capture, EventStream};
use mpuser_sim::world::{self, Observer, Packet, What};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Bytes of each packet that go into a capture: all.
const SNAPLEN: usize = 65_535;

/// Whoever was asked to look on.
struct Both {
    capture: Option<Capture>,
    events: Option<EventStream<BufWriter<File>>>,
}

impl Both {
    fn each(&mut self, mut tell: impl FnMut(&mut dyn Observer)) {
        if let Some(capture) = &mut self.capture {
            tell(capture);
        }
        if let Some(events) = &mut self.events {
            tell(events);
        }
    }
}

impl Observer for Both {
    fn begin(&mut self, scenario: &Scenario, seed: u64) {
        self.each(|observer| observer.begin(scenario, seed));
    }

    fn packet(&mut self, now: Instant, what: What, packet: &Packet<'_>) {
        self.each(|observer| observer.packet(now, what, packet));
    }

    fn read(&mut self, now: Instant, flow: u32, connection: u32, way: Direction, octets: u64) {
        self.each(|observer| observer.read(now, flow, connection, way, octets));
    }

    fn engine(&mut self, now: Instant, flow: u32, connection: u32, side: Direction, event: &Event) {
        self.each(|observer| observer.engine(now, flow, connection, side, event));
    }

    fn subflow(&mut self, now: Instant, flow: u32, connection: u32, info: &SubflowInfo) {
        self.each(|observer| observer.subflow(now, flow, connection, info));
    }

    fn wants_subflows(&self) -> bool {
        self.capture.as_ref().is_some_and(Observer::wants_subflows)
            || self.events.as_ref().is_some_and(Observer::wants_subflows)
    }
}

/// Does the plan's only run and writes what was asked for.
pub(super) fn run(plan: &Plan, traces: &Traces) -> Result<Done, Failure> {
    let create = |path: &Path| {
        let file = File::create(path).map(BufWriter::new);
        file.map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
    };
    let capture = traces.pcap.as_deref().map(create).transpose()?;
    let events = traces.qlog.as_deref().map(create).transpose()?;
    let none = || Failure::internal("a plan has no run", &plan.name);
    let run = plan.run(0).ok_or_else(none)?;
    let failed = |because: String| {
        let what = format!("{} cannot be simulated", plan.name);
        Failure::new(Code::Malformed, what, because, "change the scenario, or what was set")
    };
    let scenario = plan.scenario(0).map_err(|mistake| failed(mistake.to_string()))?;
    let mut both = Both {
        capture: capture.map(|file| Capture::new(file, SNAPLEN)),
        events: events.map(EventStream::new),
    };
    let outcome = world::run_with(&scenario, run.seed, &mut both).map_err(failed)?;
    let unwritten = |path: &Option<std::path::PathBuf>, error: &std::io::Error| {
        let path = path.as_deref().unwrap_or(Path::new("")).display().to_string();
        Failure::io(format!("cannot write {path}"), error)
    };
    if let Some(capture) = both.capture {
        capture.finish().map_err(|error| unwritten(&traces.pcap, &error))?;
    }
    if let Some(events) = both.events {
        events.finish().map_err(|error| unwritten(&traces.qlog, &error))?;
    }
    Ok(Done { run, scenario, outcome })
}
