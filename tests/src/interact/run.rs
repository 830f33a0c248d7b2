//! A setup run: what happens to both ends, and what must hold meanwhile and in the end.

use super::app::{App, STREAM_MAX, Trust};
use super::forge::forge;
use super::setup::{Setup, Step, calm};
use super::state::State;
use super::wire::{PORT, Wire};
use crate::world::{Side, World, local};
use mpuser_engine::addr::{ListenerId, SocketAddr};
use mpuser_engine::config::{EndpointConfig, FastOpen};
use mpuser_engine::settings;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{ConnectionInfo, Event, PmEndpoint};
use std::collections::VecDeque;

/// Events in one moment that are an endless loop.
const STILL_MAX: u32 = 500;
/// Packets without an octet read, an event or a step: nobody gains anything by them.
const IDLE_MAX: u64 = 6_000;
/// Packets of a whole run.
const PACKETS_MAX: u64 = 120_000;
/// How often what takes longer is looked at.
const DEAR: u64 = 50;

/// What cannot be without harm: a connection over them may end with an error.
const HARMLESS: [&str; 8] =
    ["isn", "split", "hold", "normalise", "duplicate", "reorder", "scrub", "ack-unseen"];

/// What a run has shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Moments at which something happened.
    pub events: u64,
    /// Packets sent.
    pub packets: u64,
    /// Octets the applications have read.
    pub octets: u64,
    /// Connections that ended with an error.
    pub failed: u64,
    /// Connections that ended as plain TCP.
    pub plain: u64,
    /// Subflows there have been beside the first ones.
    pub joins: u64,
    /// Virtual time.
    pub ended: Duration,
    /// Of everything that was on the wire.
    pub digest: String,
}

/// What must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// Which promise, and how it is broken.
    pub what: String,
    /// The last packets and events, if they were asked for.
    pub trace: Vec<String>,
}

/// Runs a setup; `trace` keeps what happens in words.
///
/// # Errors
/// The first violation.
pub fn run(setup: &Setup, trace: bool) -> Result<Shown, Violation> {
    let mut run = Run::new(setup);
    run.wire.trace = trace.then(VecDeque::new);
    match run.play() {
        Ok(()) => Ok(run.shown()),
        Err(what) => {
            let trace = run.wire.trace.take().unwrap_or_default().into();
            Err(Violation { at: run.world.now, what, trace })
        }
    }
}

struct Run<'a> {
    setup: &'a Setup,
    world: World,
    wire: Wire,
    state: State,
    apps: Vec<[App; 2]>,
    listeners: Vec<ListenerId>,
    trust: Trust,
    /// Everybody may end with an error: of what stands or happens on the way.
    hurt: bool,
    still: u32,
    shown: Shown,
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup) -> Self {
        let config = EndpointConfig::default();
        let mut world = World::bare(setup.seed, setup.links.clone(), config);
        let now = world.now;
        for side in Side::BOTH {
            for (address, path) in &setup.addresses[side as usize] {
                world.endpoint(side).add_address(now, local(*address, *path));
            }
            world.endpoint(side).set_limits(now, setup.ends[side as usize].limits);
        }
        let app = |number: usize, side: Side| {
            let (one, at) = (&setup.connections[number], side as usize);
            App::new(number, side, one.sizes[at], (one.eager[at], one.prompt[at]))
        };
        let apps = (0..setup.connections.len()).map(|n| Side::BOTH.map(|side| app(n, side)));
        let apps: Vec<[App; 2]> = apps.collect();
        let mut listeners = Vec::new();
        for number in 0..apps.len() {
            let any = SocketAddr::from(([0u16; 8], PORT + number as u16));
            let config = setup.ends[1].config.clone();
            listeners.push(world.server.listen(config, any, 16).expect("nobody else listens"));
        }
        let boxes: Vec<&str> = setup
            .links
            .iter()
            .flat_map(|link| &link.boxes)
            .map(|text| text.split(':').next().unwrap_or_default())
            .collect();
        let keepalive = setup.ends.iter().any(|end| end.config.tcp.keepalive.is_some());
        let hurt = keepalive || !boxes.iter().all(|name| HARMLESS.contains(name));
        let trust = if untrusted(setup) { Trust::None } else { Trust::Strict };
        let (wire, state) = (Wire::default(), State::default());
        let (still, shown) = (0, Shown::default());
        Self { setup, world, wire, state, apps, listeners, trust, hurt, still, shown }
    }

    fn play(&mut self) -> Result<(), String> {
        let setup = self.setup;
        let mut openings: Vec<(Duration, usize)> =
            setup.connections.iter().enumerate().map(|(n, one)| (one.at, n)).collect();
        openings.sort_unstable();
        let mut openings = openings.into_iter().peekable();
        let mut steps = setup.steps.iter().peekable();
        loop {
            let opening = openings.peek().map(|(at, _)| *at);
            let step = steps.peek().map(|(at, _)| *at);
            let Some(next) = opening.into_iter().chain(step).min() else { break };
            self.advance(Instant::ZERO + next, |_| false)?;
            if opening == Some(next) {
                if let Some((_, number)) = openings.next() {
                    self.open(number);
                }
            } else if let Some((_, step)) = steps.next() {
                self.note(&format!("{step:?}"));
                self.apply(step);
            }
            self.wire.idle = 0;
            self.look()?;
        }
        self.advance(Instant::ZERO + setup.calm, |_| false)?;
        self.settle()
    }

    fn note(&mut self, what: &str) {
        let at = self.world.now.as_micros() as f64 / 1e6;
        if let Some(trace) = &mut self.wire.trace {
            trace.push_back(format!("{at:12.6} * {what}"));
        }
    }

    fn open(&mut self, number: usize) {
        let (opening, config) =
            (&self.setup.connections[number], self.setup.ends[0].config.clone());
        let remote = SocketAddr::new(opening.remote, PORT + number as u16);
        let [client, _] = &mut self.apps[number];
        let fast = config.fast_open != FastOpen::Off;
        let early = client.early(if fast { opening.early } else { 0 });
        let made = self.world.client.connect_with_data(
            self.world.now,
            config,
            None,
            remote,
            &early,
        );
        match made {
            Ok((id, taken)) => {
                client.id = Some(id);
                client.written = taken;
            }
            // all its addresses of that family are gone
            Err(_) => self.forsake(number),
        }
    }

    /// A connection that never was.
    fn forsake(&mut self, number: usize) {
        for app in &mut self.apps[number] {
            app.closed = true;
        }
    }

    fn accept(&mut self) {
        let now = self.world.now;
        for number in 0..self.listeners.len() {
            while let Some(id) = self.world.server.accept(self.listeners[number]) {
                let [client, server] = &mut self.apps[number];
                if server.id.is_none() && client.id.is_some() {
                    server.id = Some(id);
                } else {
                    // a box opened it, or an old SYN did
                    self.world.server.close(now, id);
                }
            }
        }
    }

    /// After every event: applications act, and everything cheap is checked.
    fn look(&mut self) -> Result<(), String> {
        for _ in 0..100 {
            self.world.flush_watched(&mut self.wire);
            self.take_events();
            self.accept();
            if !self.act()? {
                break;
            }
        }
        self.check()
    }

    fn take_events(&mut self) {
        let events = std::mem::take(&mut self.world.events);
        for (_, side, id, event) in events {
            self.note(&format!("{side:?} {id:?} {event:?}"));
            match event {
                Event::Fallback(_) => self.wire.on_fallback(side, id),
                Event::Established { mptcp: false, .. } => self.wire.on_fallback(side, id),
                Event::SubflowEstablished { .. } => self.shown.joins += 1,
                _ => {}
            }
            if !matches!(event, Event::Readable | Event::Writable | Event::SubflowStale { .. }) {
                self.wire.idle = 0;
            }
            let apps = self.apps.iter_mut().map(|apps| &mut apps[side as usize]);
            for app in apps.filter(|app| app.id == Some(id)) {
                app.on_event(&event);
            }
        }
    }

    /// Applications do what they do by themselves; true if that changed anything.
    fn act(&mut self) -> Result<bool, String> {
        let mut moved = false;
        for number in 0..self.apps.len() {
            for side in Side::BOTH {
                let app = &mut self.apps[number][side as usize];
                let before = (app.written, app.shut);
                if app.prompt {
                    app.write_out(&mut self.world);
                }
                moved |= before != (app.written, app.shut);
                if app.eager {
                    moved |= self.read(number, side, usize::MAX)?;
                }
            }
        }
        Ok(moved)
    }

    fn read(&mut self, number: usize, side: Side, len: usize) -> Result<bool, String> {
        let [client, server] = &mut self.apps[number];
        let (app, peer) = match side {
            Side::Client => (client, &*server),
            Side::Server => (server, &*client),
        };
        let before = (app.read, app.is_over());
        let result = app.read(&mut self.world, len, peer, self.trust);
        let moved = before != (app.read, app.is_over());
        self.shown.octets += (app.read - before.0) as u64;
        if moved {
            self.wire.idle = 0;
        }
        result.map(|()| moved)
    }

    fn check(&mut self) -> Result<(), String> {
        self.wire.settle();
        if let Some(violation) = self.wire.violation.take()
            && self.trust == Trust::Strict
        {
            return Err(violation);
        }
        if self.wire.idle > IDLE_MAX || self.wire.sent > PACKETS_MAX {
            let (idle, sent) = (self.wire.idle, self.wire.sent);
            return Err(format!("a storm: {idle} packets for nothing, {sent} in all"));
        }
        self.shown.events += 1;
        if self.shown.events.is_multiple_of(DEAR) {
            self.state.check(&self.world, &self.apps, self.setup)?;
        }
        Ok(())
    }

    /// Lets time pass until `done` says so, at most until `end`.
    fn advance(&mut self, end: Instant, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        loop {
            if done(self) {
                return Ok(());
            }
            if self.world.next_event().is_none_or(|at| at > end) {
                break;
            }
            let before = self.world.now;
            self.world.step_watched(&mut self.wire);
            self.still = if self.world.now == before { self.still + 1 } else { 0 };
            if self.still > STILL_MAX {
                return Err("time stands still".to_owned());
            }
            self.look()?;
        }
        self.world.now = end;
        Ok(())
    }

    /// The faults stop: whatever was begun comes to an end, and nothing is left of it.
    fn settle(&mut self) -> Result<(), String> {
        self.note("the faults stop");
        for (path, link) in self.setup.links.iter().enumerate() {
            let now = self.world.now;
            self.world.wires().change(now, path, &calm(link));
        }
        for app in self.apps.iter_mut().flatten() {
            (app.eager, app.prompt) = (true, true);
        }
        self.look()?;
        // a DATA_FIN is given up after eight minutes, data after fifteen
        let hurt = self.hurt || self.apps.iter().flatten().any(|app| app.hurt);
        let patience = Duration::from_secs(if hurt { 1_300 } else { 300 });
        let end = self.world.now + patience;
        self.advance(end, |run| run.apps.iter().flatten().all(App::is_over))?;
        self.judge()?;
        for app in self.apps.iter_mut().flatten() {
            app.close(&mut self.world);
        }
        self.look()?;
        self.advance(self.world.now + Duration::from_secs(1_300), |run| {
            run.world.next_event().is_none()
        })?;
        for side in Side::BOTH {
            let left = self.world.endpoint(side).connection_count();
            if left > 0 {
                return Err(format!("{side:?} never forgets {left} connections"));
            }
        }
        if self.world.next_event().is_some() {
            return Err("a timer was left behind".to_owned());
        }
        Ok(())
    }

    /// Every connection has come to a defined end, at both ends.
    fn judge(&mut self) -> Result<(), String> {
        for apps in &self.apps {
            let hurt = self.hurt || apps.iter().any(|app| app.hurt);
            for (app, peer) in [(&apps[0], &apps[1]), (&apps[1], &apps[0])] {
                let Some(id) = app.id else {
                    let gone = peer.is_over() && (hurt || peer.failed.is_none());
                    if gone {
                        continue;
                    }
                    return Err(format!("liveness: {:?} never heard of it", app.side));
                };
                let endpoint = match app.side {
                    Side::Client => &self.world.client,
                    Side::Server => &self.world.server,
                };
                let info = endpoint.info(id);
                // TCP's half-open connection: the peer gave up, its RST got lost, and there is nothing to send
                // the DATA_FIN has a number, too
                let silent = |i: &ConnectionInfo| i.write_seq.wrapping_sub(i.snd_una) as i64 <= 0;
                let silent = info.as_ref().is_some_and(silent);
                let half_open = hurt && silent && (peer.failed.is_some() || peer.closed);
                let name = format!("connection {}, {:?}", app.connection, app.side);
                if !app.is_over() && !half_open {
                    return Err(format!("liveness: {name} waits for ever: {info:#?}"));
                }
                if let Some(error) = app.failed.filter(|_| !hurt) {
                    return Err(format!("liveness: {name} failed, {error}: {info:#?}"));
                }
                self.shown.failed += u64::from(app.failed.is_some());
                self.shown.plain += u64::from(info.is_some_and(|info| !info.mptcp));
            }
        }
        Ok(())
    }

    fn shown(mut self) -> Shown {
        self.shown.packets = self.wire.sent;
        self.shown.ended = self.world.now.saturating_since(Instant::ZERO);
        self.shown.digest = self.world.wires().digest();
        self.shown
    }
}

/// Something rewrites payload or acknowledges it for others, and the ends have no means to see it.
fn untrusted(setup: &Setup) -> bool {
    let linux = setup.ends.iter().any(|end| end.words.iter().any(|word| word == "profile linux"));
    let boxes = setup.links.iter().any(|link| !link.boxes.is_empty());
    // K24, K30: Linux takes what comes again for new data where options got lost
    setup.has_box(&["alg"]) || linux && boxes
}

impl Run<'_> {
    fn apply(&mut self, step: &Step) {
        let now = self.world.now;
        match step {
            Step::Write(number, side, len) => {
                self.apps[*number][*side as usize].write(&mut self.world, *len);
            }
            Step::Read(number, side, len) => {
                // a violation comes up again at the next look
                if let Err(what) = self.read(*number, *side, *len) {
                    self.wire.violation = Some(what);
                }
            }
            Step::Shutdown(number, side) => {
                self.apps[*number][*side as usize].shutdown(&mut self.world);
            }
            Step::Close(number, side) => {
                self.hurt_one(*number);
                self.apps[*number][*side as usize].close(&mut self.world);
            }
            Step::Abort(number, side) => {
                self.hurt_one(*number);
                if let Some(id) = self.apps[*number][*side as usize].id {
                    self.world.endpoint(*side).abort(now, id);
                }
            }
            Step::Cut(path, forward, backward) => {
                self.bend(*path, |link| {
                    link.forward.up = !forward;
                    link.backward.up = !backward;
                });
            }
            Step::Restore(path) => self.bend(*path, |_| {}),
            Step::Change(path, link) => self.world.wires().change(now, *path, link),
            Step::Rebind(path) => {
                let boxes = self.setup.links.get(*path).map(|link| link.boxes.clone());
                let boxes: Vec<String> = boxes.unwrap_or_default();
                if boxes.iter().any(|name| name.starts_with("nat")) {
                    self.hurt = true;
                    let boxes: Vec<&str> = boxes.iter().map(String::as_str).collect();
                    self.world.set_boxes(*path, &boxes);
                }
            }
            Step::Inject(side, _, forgery, seed) => {
                if let Some((path, packet)) =
                    forge(*forgery, *side, *seed, &self.wire.recent)
                {
                    self.world.inject(*side, path, packet);
                }
            }
            _ => self.apply_management(step),
        }
    }

    /// What an administrator does.
    fn apply_management(&mut self, step: &Step) {
        let now = self.world.now;
        match step {
            Step::OpenSubflow(number, side, from, to) => {
                let own = &self.setup.addresses[*side as usize];
                let other = &self.setup.addresses[side.peer() as usize];
                let (from, to) = (own[from % own.len()].0, other[to % other.len()].0);
                let [client, server] = &self.apps[*number];
                let id = if *side == Side::Client { client.id } else { server.id };
                let remote = match (side, client.id) {
                    (Side::Client, _) | (_, None) => SocketAddr::new(to, PORT + *number as u16),
                    (Side::Server, Some(id)) => {
                        let info = self.world.client.info(id);
                        let first = info.and_then(|info| Some(info.subflows.first()?.tuple.local));
                        SocketAddr::new(to, first.map_or(1, |first| first.port()))
                    }
                };
                if let Some(id) = id {
                    let _ = self.world.endpoint(*side).open_subflow(now, id, from, remote);
                }
            }
            Step::CloseSubflow(number, side, nth) => {
                self.hurt_one(*number);
                self.with_subflow(*number, *side, *nth, |endpoint, id, subflow| {
                    let _ = endpoint.close_subflow(now, id, subflow);
                });
            }
            Step::Backup(number, side, nth, backup) => {
                self.with_subflow(*number, *side, *nth, |endpoint, id, subflow| {
                    let _ = endpoint.set_backup(now, id, subflow, *backup);
                });
            }
            Step::AddAddress(side, n) => {
                let all = &self.setup.addresses[*side as usize];
                let (address, path) = all[n % all.len()];
                self.world.endpoint(*side).add_address(now, local(address, path));
            }
            Step::RemoveAddress(side, n) => {
                self.hurt = true;
                let all = &self.setup.addresses[*side as usize];
                self.world.endpoint(*side).remove_address(now, all[n % all.len()].0);
            }
            Step::AddEndpoint(side, n, flags) => {
                let all = &self.setup.addresses[*side as usize];
                let address = all[n % all.len()].0;
                let endpoint = PmEndpoint { address, id: None, port: None, flags: *flags };
                let _ = self.world.endpoint(*side).add_endpoint(now, endpoint);
            }
            Step::DeleteEndpoint(side, nth) => {
                self.hurt = true;
                let endpoint = self.world.endpoint(*side);
                if let Some(id) = endpoint.endpoints().get(*nth).and_then(|one| one.id) {
                    let _ = endpoint.delete_endpoint(now, id);
                }
            }
            Step::ChangeEndpoint(side, nth, flags) => {
                let endpoint = self.world.endpoint(*side);
                if let Some(id) = endpoint.endpoints().get(*nth).and_then(|one| one.id) {
                    let _ = endpoint.change_endpoint(now, id, *flags);
                }
            }
            Step::Flush(side) => {
                self.hurt = true;
                self.world.endpoint(*side).flush_endpoints(now);
            }
            Step::Limits(side, limits) => self.world.endpoint(*side).set_limits(now, *limits),
            Step::Setting(side, name, value) => {
                let setting = settings::find(name).expect("a setting of the table");
                let done = self.world.endpoint(*side).change_setting(setting, value);
                done.unwrap_or_else(|error| panic!("{error}"));
            }
            _ => {}
        }
    }

    fn hurt_one(&mut self, number: usize) {
        for app in &mut self.apps[number] {
            app.hurt = true;
        }
    }

    fn bend(&mut self, path: usize, how: impl Fn(&mut mpuser_sim::LinkConfig)) {
        let Some(link) = self.setup.links.get(path) else { return };
        let (mut link, now) = (link.clone(), self.world.now);
        how(&mut link);
        self.world.wires().change(now, path, &link);
    }

    fn with_subflow(
        &mut self,
        number: usize,
        side: Side,
        nth: usize,
        act: impl Fn(
            &mut mpuser_engine::Endpoint,
            mpuser_engine::addr::ConnectionId,
            mpuser_engine::addr::SubflowId,
        ),
    ) {
        let Some(id) = self.apps[number][side as usize].id else { return };
        let endpoint = self.world.endpoint(side);
        let subflow = endpoint.info(id).and_then(|info| Some(info.subflows.get(nth)?.id));
        if let Some(subflow) = subflow {
            act(endpoint, id, subflow);
        }
    }
}

const _: () = assert!(STREAM_MAX >= 150_000);
