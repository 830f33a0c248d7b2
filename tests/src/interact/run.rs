//! A setup run: what happens to both ends, and what must hold meanwhile and in the end.

use super::app::{App, STREAM_MAX, Trust};
use super::setup::{Setup, Step, calm};
use super::state::State;
use super::wire::{PORT, Wire};
use crate::world::{Side, World, local};
use mpuser_engine::addr::{ListenerId, SocketAddr};
use mpuser_engine::config::{EndpointConfig, FastOpen};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{ConnectionInfo, Endpoint, Event};
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
    /// Segments that were predicted.
    pub predicted: u64,
    /// Virtual time.
    pub ended: Duration,
    /// Of everything that was on the wire.
    pub digest: String,
    /// The last packets and events, if they were asked for.
    pub trace: Vec<String>,
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

pub(super) struct Run<'a> {
    pub(super) setup: &'a Setup,
    pub(super) world: World,
    pub(super) wire: Wire,
    state: State,
    pub(super) apps: Vec<[App; 2]>,
    listeners: Vec<ListenerId>,
    trust: Trust,
    /// Everybody may end with an error: of what stands or happens on the way.
    pub(super) hurt: bool,
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
            world.endpoint(side).set_header_prediction(setup.predicting);
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
        // Linux takes a piece that comes before its mapping for a fallback (K24)
        let cut = uses_linux(setup) && boxes.contains(&"split");
        let hurt = keepalive || cut || !boxes.iter().all(|name| HARMLESS.contains(name));
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
        let made =
            self.world.client.connect_with_data(self.world.now, config, None, remote, &early);
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

    pub(super) fn read(&mut self, number: usize, side: Side, len: usize) -> Result<bool, String> {
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
        // a DATA_FIN is given up after eight minutes, data after fifteen timeouts of up to two minutes
        let hurt = self.hurt || self.apps.iter().flatten().any(|app| app.hurt);
        let patience = Duration::from_secs(if hurt { 2_500 } else { 300 });
        let end = self.world.now + patience;
        self.advance(end, |run| run.apps.iter().flatten().all(App::is_over))?;
        self.judge()?;
        for app in self.apps.iter_mut().flatten() {
            app.close(&mut self.world);
        }
        self.look()?;
        self.advance(self.world.now + Duration::from_secs(2_500), |run| {
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

    const fn of(&self, side: Side) -> &Endpoint {
        match side {
            Side::Client => &self.world.client,
            Side::Server => &self.world.server,
        }
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
                let info = self.of(app.side).info(id);
                // TCP's half-open connection: the peer gave up, its RST got lost, and there is nothing to send; the
                // DATA_FIN has a number, too
                let silent = |i: &ConnectionInfo| i.write_seq.wrapping_sub(i.snd_una) as i64 <= 0;
                let silent = info.as_ref().is_some_and(silent);
                let other = peer.id.and_then(|id| self.of(peer.side).info(id));
                let half_open = hurt && silent && other.as_ref().is_none_or(|i| i.error.is_some());
                let name = format!("connection {}, {:?}", app.connection, app.side);
                if !app.is_over() && !half_open {
                    return Err(format!("liveness: {name} waits for ever: {info:#?}; {other:#?}"));
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
        self.shown.trace = self.wire.trace.take().unwrap_or_default().into();
        self.shown.ended = self.world.now.saturating_since(Instant::ZERO);
        self.shown.digest = self.world.wires().digest();
        let hits = |side| self.world.endpoint(side).counters().tcp_hp_hits;
        self.shown.predicted = Side::BOTH.map(hits).iter().sum();
        self.shown
    }
}

fn uses_linux(setup: &Setup) -> bool {
    setup.ends.iter().any(|end| end.words.iter().any(|word| word == "profile linux"))
}

/// Something rewrites payload or acknowledges it for others, and the ends have no means to see it.
fn untrusted(setup: &Setup) -> bool {
    let linux = uses_linux(setup);
    let boxes = setup.links.iter().any(|link| !link.boxes.is_empty());
    // a FIN that has lost its options on the way is to the peer the end of the data
    let closes = |step: &Step| {
        matches!(step, Step::CloseSubflow(..) | Step::DeleteEndpoint(..) | Step::Flush(_))
    };
    let strips = setup.has_box(&["strip-mptcp", "coalesce", "split", "splitter", "ack-ahead"]);
    // K24, K30: Linux takes what comes again for new data where options got lost
    setup.has_box(&["alg"])
        || linux && boxes
        || strips && setup.steps.iter().any(|(_, step)| closes(step))
}

const _: () = assert!(STREAM_MAX >= 150_000);
