//! A flow: two ends, what they carry, and what is measured of it.

use super::agenda::Source;
use super::host::{Host, Told};
use super::meter::Meter;
use super::network::Network;
use super::packet::Packet;
use crate::direction::{Direction, PerDirection};
use crate::metrics::FlowOutcome;
use crate::scenario::FlowGroup;
use crate::traffic::{Desk, Traffic, seconds};
use bytes::Bytes;
use mpuser_engine::time::{Duration, Instant};

/// Most bytes written at once.
const PIECE: usize = 64 << 10;
/// Wait before a subflow that was lost is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// What flows write: octet `n` of a direction is octet `n` of this, again and again. Its length is prime, so that no
/// misplaced piece fits.
const PATTERN_LEN: usize = 65_521;
static PATTERN: [u8; PATTERN_LEN] = pattern();

const fn pattern() -> [u8; PATTERN_LEN] {
    let (mut bytes, mut at, mut state) = ([0; PATTERN_LEN], 0, 0x9e37_79b9_u32);
    while at < PATTERN_LEN {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[at] = (state >> 24) as u8;
        at += 1;
    }
    bytes
}

/// Whether `piece` is what was written at `offset`.
fn is_pattern(mut offset: u64, mut piece: &[u8]) -> bool {
    while !piece.is_empty() {
        let rest = PATTERN.get((offset % PATTERN_LEN as u64) as usize..).unwrap_or_default();
        let (head, tail) = piece.split_at(rest.len().min(piece.len()));
        if rest.get(..head.len()) != Some(head) {
            return false;
        }
        offset += head.len() as u64;
        piece = tail;
    }
    true
}

/// Who wakes a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The end that sends this way.
    End(Direction),
    /// What it carries, and its paths.
    Plan,
}

/// A path of a flow.
#[derive(Clone, Debug)]
pub(crate) struct PathAt {
    pub(crate) route: u32,
    pub(crate) start: Option<Instant>,
    pub(crate) stop: Option<Instant>,
    /// The client has its address.
    pub(crate) up: bool,
}

/// A connection of a flow.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// The server's number for it.
    server: Option<usize>,
    /// The client's end can be used.
    open: bool,
}

/// A flow at work.
pub(crate) struct Flow {
    pub(crate) number: u32,
    pub(crate) group: String,
    pub(crate) instance: u32,
    pub(crate) ends: PerDirection<Box<dyn Host>>,
    pub(crate) sources: PerDirection<Source>,
    pub(crate) plan: Source,
    paths: Vec<PathAt>,
    start: Instant,
    stop: Option<Instant>,
    low_water: usize,
    traffic: Box<dyn Traffic>,
    desk: Desk,
    links: Vec<Link>,
    /// Flow connections by the server's number.
    of_server: Vec<Option<usize>>,
    /// Subflows to be opened again: when, connection, path.
    again: Vec<(Instant, usize, u32)>,
    /// Ends that have to be asked for packets.
    dirty: PerDirection<bool>,
    meter: Meter,
    error: Option<String>,
    mptcp: bool,
    begun: bool,
    /// Nothing more will come of it.
    pub(crate) over: bool,
}

impl Flow {
    pub(crate) fn new(
        (number, group, instance): (u32, &FlowGroup, u32),
        ends: PerDirection<Box<dyn Host>>,
        sources: (PerDirection<Source>, Source),
        paths: Vec<PathAt>,
        start: Instant,
        (traffic, desk): (Box<dyn Traffic>, Desk),
        meter: Meter,
    ) -> Self {
        let connections = desk.pipes.len();
        Self {
            number,
            group: group.name.clone(),
            instance,
            ends,
            sources: sources.0,
            plan: sources.1,
            paths,
            start,
            stop: group.stop.map(|stop| Instant::ZERO + stop),
            low_water: PIECE.min(group.send_buffer.max(group.receive_buffer) / 4).max(1),
            traffic,
            desk,
            links: vec![Link::default(); connections],
            of_server: Vec::new(),
            again: Vec::new(),
            dirty: PerDirection::default(),
            meter,
            error: None,
            mptcp: false,
            begun: false,
            over: false,
        }
    }

    /// When the plan is to be looked at next.
    fn next_plan(&self, now: Instant) -> Option<Instant> {
        if !self.begun {
            return Some(self.start);
        }
        let later = |at: &Option<Instant>| at.filter(|at| *at > now);
        let paths = self.paths.iter().flat_map(|path| [later(&path.start), later(&path.stop)]);
        let again = self.again.iter().map(|(at, ..)| Some(*at));
        let all = paths.chain(again).chain([self.desk.wake, later(&self.stop)]);
        all.flatten().min()
    }

    /// Asks to be woken for the first time.
    pub(crate) fn schedule(&self, net: &mut Network<'_>) {
        net.agenda.want(self.plan, self.next_plan(Instant::ZERO));
    }

    /// A packet has arrived at the end it was for.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        path: u32,
        packet: &mut Packet,
        net: &mut Network<'_>,
    ) {
        let at = packet.direction.reverse();
        self.meter.on_arrival(packet, path);
        self.ends.of_mut(at).handle(now, path, packet);
        *self.dirty.of_mut(at) = true;
        self.settle(now, net);
    }

    /// A part was woken.
    pub(crate) fn on_wake(&mut self, now: Instant, part: Part, net: &mut Network<'_>) {
        match part {
            Part::End(side) => {
                let end = self.ends.of_mut(side);
                if end.next(now).is_some_and(|at| at <= now) {
                    end.on_timer(now);
                    *self.dirty.of_mut(side) = true;
                } else {
                    net.agenda.want(*self.sources.of(side), end.next(now));
                }
            }
            Part::Plan => self.on_plan(now),
        }
        self.settle(now, net);
        if part == Part::Plan {
            net.agenda.want(self.plan, self.next_plan(now));
        }
    }

    fn on_plan(&mut self, now: Instant) {
        if self.over {
            return;
        }
        for (path, at) in self.paths.iter_mut().enumerate() {
            let client = &mut self.ends.forward;
            let there =
                at.start.is_none_or(|start| start <= now) && at.stop.is_none_or(|stop| stop > now);
            match (std::mem::replace(&mut at.up, there), there) {
                (false, true) => client.path_up(now, path as u32),
                (true, false) => client.path_down(now, path as u32),
                _ => {}
            }
        }
        if !self.begun {
            self.begin(now);
        }
        let due = |(at, ..): &mut (Instant, usize, u32)| *at <= now;
        for (_, connection, path) in self.again.extract_if(.., due) {
            self.ends.forward.open_subflows(now, connection, path);
        }
        if self.desk.wake.is_some_and(|at| at <= now) {
            self.desk.wake = None;
            self.traffic.on_wake(now, &mut self.desk);
            self.write_all(now);
        }
        self.dirty = PerDirection { forward: true, backward: true };
        if self.stop.is_some_and(|stop| stop <= now) {
            self.finish(now);
            for (number, link) in self.links.iter().enumerate() {
                self.ends.forward.abort(now, number);
                if let Some(server) = link.server {
                    self.ends.backward.abort(now, server);
                }
            }
        }
    }

    fn begin(&mut self, now: Instant) {
        self.begun = true;
        for _ in 0..self.links.len() {
            if let Err(error) = self.ends.forward.connect(now) {
                self.error = Some(error);
                self.over = true;
            }
        }
    }

    /// Lets everything happen that follows at once from what has happened.
    fn settle(&mut self, now: Instant, net: &mut Network<'_>) {
        while self.dirty.forward || self.dirty.backward {
            for side in Direction::BOTH {
                if std::mem::take(self.dirty.of_mut(side)) {
                    self.serve(now, side, net);
                }
            }
        }
        net.agenda.want(self.plan, self.desk.wake);
    }

    /// One end: what it tells, what can be written, what it sends.
    fn serve(&mut self, now: Instant, side: Direction, net: &mut Network<'_>) {
        while let Some(told) = self.ends.of_mut(side).told(now) {
            self.on_told(now, side, told, net);
        }
        for connection in 0..self.links.len() {
            self.write(now, connection, side);
        }
        loop {
            let mut packet = net.blank();
            let Some(path) = self.ends.of_mut(side).transmit(now, &mut packet) else {
                net.recycle(packet);
                break;
            };
            let Some(at) = self.paths.get(path as usize) else { continue };
            packet.route = at.route;
            packet.direction = side;
            self.meter.on_sent(&mut packet, path);
            net.send(now, packet);
        }
        net.agenda.want(*self.sources.of(side), self.ends.of_mut(side).next(now));
    }

    fn on_told(&mut self, now: Instant, side: Direction, told: Told, net: &mut Network<'_>) {
        match told {
            Told::Open { number, port, mptcp } if side == Direction::Forward => {
                let _ = port;
                self.mptcp = mptcp;
                if let Some(link) = self.links.get_mut(number) {
                    link.open = true;
                }
                self.traffic.on_open(now, number, &mut self.desk);
                self.after_traffic(now);
            }
            Told::Open { number, port, .. } => self.accept(number, port),
            Told::Joinable(number) => {
                for path in 0..self.paths.len() as u32 {
                    self.ends.forward.open_subflows(now, number, path);
                }
            }
            Told::Readable(number) => self.read(now, side, number, net),
            Told::Lost(number, path) if !self.over => {
                self.again.push((now + AGAIN, number, path));
                net.agenda.want(self.plan, Some(now + AGAIN));
            }
            Told::Closed(_, Some(error)) if !self.over => {
                self.error.get_or_insert(error);
                self.finish(now);
            }
            Told::Closed(..) | Told::Lost(..) => {}
        }
    }

    /// Finds the connection a server's new one is the other end of: by port, or the first that has none.
    fn accept(&mut self, server: usize, port: u16) {
        let client = &self.ends.forward;
        let free = |number: &usize| self.links.get(*number).is_some_and(|l| l.server.is_none());
        let numbers = || (0..self.links.len()).filter(free);
        let found = numbers().find(|number| client.port(*number) == port);
        let found = found.or_else(|| numbers().next());
        if self.of_server.len() <= server {
            self.of_server.resize(server + 1, None);
        }
        if let Some(place) = self.of_server.get_mut(server) {
            *place = found;
        }
        if let Some(link) = found.and_then(|number| self.links.get_mut(number)) {
            link.server = Some(server);
        }
    }

    /// The end that sends `side` reads what there is.
    fn read(&mut self, now: Instant, side: Direction, number: usize, net: &mut Network<'_>) {
        let connection = match side {
            Direction::Forward => Some(number),
            Direction::Backward => self.of_server.get(number).copied().flatten(),
        };
        let (Some(connection), way) = (connection, side.reverse()) else { return };
        let mut octets = 0;
        loop {
            let piece = self.ends.of_mut(side).read(now, number);
            let Some(pipe) = self.desk.pipe(connection, way).filter(|_| !piece.is_empty()) else {
                break;
            };
            if cfg!(debug_assertions) && !is_pattern(pipe.delivered, &piece) {
                self.error.get_or_insert_with(|| "other data arrived than was written".to_owned());
            }
            pipe.delivered += piece.len() as u64;
            octets += piece.len() as u64;
        }
        if octets == 0 {
            return;
        }
        net.log.read(now, self.number, connection as u32, way, octets);
        self.meter.on_read(way, octets);
        if !self.over {
            self.traffic.on_read(now, connection, way, &mut self.desk);
            self.after_traffic(now);
        }
    }

    /// What the traffic may have asked for is done.
    fn after_traffic(&mut self, now: Instant) {
        self.write_all(now);
        if self.desk.done && !self.over {
            self.finish(now);
            for (number, link) in self.links.iter().enumerate() {
                self.ends.forward.shut(now, number);
                if let Some(server) = link.server {
                    self.ends.backward.shut(now, server);
                }
            }
            self.dirty = PerDirection { forward: true, backward: true };
        }
    }

    fn write_all(&mut self, now: Instant) {
        for connection in 0..self.links.len() {
            for side in Direction::BOTH {
                self.write(now, connection, side);
            }
        }
    }

    /// Writes what is to be written and has room.
    fn write(&mut self, now: Instant, connection: usize, side: Direction) {
        let Some(link) = self.links.get(connection).copied() else { return };
        let number = match side {
            Direction::Forward => link.open.then_some(connection),
            Direction::Backward => link.server,
        };
        let (Some(number), Some(pipe)) = (number, self.desk.pipe(connection, side)) else { return };
        if self.over || pipe.written == pipe.goal {
            return;
        }
        let end = self.ends.of_mut(side);
        let mut room = end.room(number);
        while pipe.written < pipe.goal {
            let left = usize::try_from(pipe.goal - pipe.written).unwrap_or(usize::MAX);
            // no crumbs: they would become short segments, or copies
            if room < left.min(self.low_water) {
                break;
            }
            let from = (pipe.written % PATTERN_LEN as u64) as usize;
            let len = left.min(room).min(PIECE).min(PATTERN_LEN - from);
            let data = PATTERN.get(from..from + len).unwrap_or_default();
            let taken = end.write(now, number, Bytes::from_static(data));
            if taken == 0 {
                break;
            }
            *self.dirty.of_mut(side) = true;
            pipe.written += taken as u64;
            room -= taken.min(room);
        }
    }

    /// All is done, or nothing more will be.
    fn finish(&mut self, now: Instant) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.traffic.on_end(now, &mut self.desk);
        self.meter.end(now, self.desk.way, &self.ends);
    }

    /// Time to note how things stand; `observer` gets the sending end's subflows.
    pub(crate) fn sample(&mut self, now: Instant, net: &mut Network<'_>) {
        let way = self.desk.way;
        self.meter.sample(&self.ends.of(way.reverse()).receive_stats(), self.over);
        self.fetch_waits();
        if cfg!(debug_assertions) {
            let broken = Direction::BOTH.iter().find_map(|side| self.ends.of(*side).check().err());
            self.error = self.error.take().or(broken.map(str::to_owned));
        }
        let observer = net.log.observer.as_mut().filter(|observer| observer.wants_subflows());
        if let Some(observer) = observer
            && self.begun
            && !self.over
        {
            for (connection, link) in self.links.iter().enumerate() {
                let number = if way == Direction::Forward { Some(connection) } else { link.server };
                let (subflows, _) =
                    number.map(|n| self.ends.of(way).subflows(n)).unwrap_or_default();
                for (_, info) in &subflows {
                    observer.subflow(now, self.number, connection as u32, info);
                }
            }
        }
    }

    /// Takes over how long octets waited.
    pub(crate) fn fetch_waits(&mut self) {
        let receiver = self.ends.of_mut(self.desk.way.reverse());
        self.meter.fetch_waits(receiver.as_mut());
    }

    /// The warm-up is over.
    pub(crate) fn begin_to_measure(&mut self) {
        self.meter.begin_to_measure();
    }

    /// Tells the observer what the engine told.
    pub(crate) fn tell_observer(&mut self, now: Instant, net: &mut Network<'_>) {
        let Some(observer) = net.log.observer.as_mut() else { return };
        let mut events = Vec::new();
        for side in Direction::BOTH {
            self.ends.of_mut(side).take_engine_events(&mut events);
            for (number, event) in events.drain(..) {
                let connection = match side {
                    Direction::Forward => Some(number),
                    Direction::Backward => self.of_server.get(number).copied().flatten(),
                };
                let connection = connection.unwrap_or(number) as u32;
                observer.engine(now, self.number, connection, side, &event);
            }
        }
    }

    /// Everything there is to say of it; the run is over.
    pub(crate) fn outcome(mut self, now: Instant, warm_up: Instant) -> (FlowOutcome, u64) {
        let ended = self.over;
        self.finish(now);
        let way = self.desk.way;
        let pipes = self.desk.pipes.iter().map(|pipes| *pipes.of(way));
        let (written, delivered) =
            pipes.fold((0, 0), |sum, pipe| (sum.0 + pipe.written, sum.1 + pipe.delivered));
        let until = self.meter.ended().unwrap_or(now);
        let from = warm_up.max(self.start);
        let span = until.saturating_since(from).as_secs_f64();
        let data_packets = self.meter.data_packets;
        let measured = now.saturating_since(warm_up).as_secs_f64();
        let mut outcome = self.meter.outcome(measured);
        outcome.group = self.group;
        outcome.instance = self.instance;
        outcome.start = seconds(self.start);
        outcome.end = (ended && self.desk.done).then(|| seconds(until));
        outcome.mptcp = self.mptcp;
        outcome.error = self.error;
        outcome.written_bytes = written;
        outcome.delivered_bytes = delivered;
        outcome.goodput_bps =
            if span > 0.0 { outcome.measured_bytes as f64 * 8.0 / span } else { 0.0 };
        outcome.completions = self.desk.completions;
        outcome.player = self.desk.player;
        (outcome, data_packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_tells_places_apart() {
        let twice = [&PATTERN[..], &PATTERN[..]].concat();
        assert!(is_pattern(0, &twice) && is_pattern(5, &twice[5..70_000]));
        assert!(!is_pattern(1, &twice) && !is_pattern(1_460, &twice[..1_460]));
    }
}
