//! The replay itself: virtual time, and what is due when.

mod calls;
mod waits;

use crate::acts::{Act, Reading};
use crate::application::Applications;
use crate::choices::Circumstances;
use crate::compare::compare;
use crate::emit::Said;
use crate::peer::{Lane, nonce};
use crate::recording::{Case, Recording, Segment};
use crate::report::Outcome;
use crate::settings::{INTERFACE, Setup};
use crate::translate::{Numbers, options_for};
use crate::{Role, strict};
use bytes::Bytes;
use mpuser_engine::Endpoint;
use mpuser_engine::addr::{ConnectionId, ListenerId, SubflowId};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::MptcpOption;
use mpuser_inspect::packet::{ACK, FIN, RST, SYN, dissect};
use mpuser_inspect::{Content, Frame, Report, Settings, Trace};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;

/// When virtual time begins.
pub(crate) const START: Instant = Instant::from_millis(1_000);
/// So long the other side waits for what its next packet answers; a retransmission timeout fits in it several times.
const PATIENCE: Duration = Duration::from_secs(4);
/// So long is looked for what is still to come behind the last packet.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// So long it waits before it acknowledges what the capture has no acknowledgement for.
const DELAYED_ACK: Duration = Duration::from_millis(40);
/// While it waits, it acknowledges what comes after at most this time.
const MOMENT: Duration = Duration::from_millis(5);
/// More packets than this are a loop.
const MOST_PACKETS: usize = 2_000_000;
/// Raw IP.
const LINKTYPE_RAW: u32 = 101;

/// How to replay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The engine's keys, nonces and ports come from this.
    pub seed: u64,
    /// The engine follows Linux where it and the RFC part.
    pub linux: bool,
    /// Compare packet by packet, too.
    pub strict: bool,
}

/// What a packet of the other side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// The engine's SYN or SYN/ACK on its stream.
    Handshake,
    /// The engine's key.
    Key,
    /// Data up to this relative data sequence number.
    Data(i64),
    /// The engine's octets on the stream up to this relative sequence number.
    Octets(i64),
    /// The engine's FIN, or a RST.
    Fin,
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake => f.write_str("a SYN or SYN/ACK"),
            Self::Key => f.write_str("a key"),
            Self::Data(upto) => write!(f, "data up to DSN {upto}"),
            Self::Octets(upto) => write!(f, "octets up to {upto} of the subflow"),
            Self::Fin => f.write_str("a FIN"),
        }
    }
}

/// A packet of the capture that waited in vain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    pub(crate) packet: u64,
    pub(crate) want: Want,
}

/// A segment of the live run.
pub(crate) struct Live {
    pub(crate) segment: Segment,
    /// The lane it went over.
    pub(crate) lane: usize,
    /// The engine said it.
    pub(crate) own: bool,
    /// The packet of the capture the replay had come to.
    pub(crate) during: u64,
}

/// What a run left.
pub(crate) struct Ran {
    pub(crate) live: Vec<Live>,
    pub(crate) stalls: Vec<Stall>,
    /// What the engine's application has read.
    pub(crate) read: Vec<u8>,
    /// What the trace of the live run has to say.
    pub(crate) report: Report,
    pub(crate) applications: Applications,
    pub(crate) notes: Vec<String>,
    pub(crate) side: usize,
    /// Calls that the engine refused or that were never possible.
    pub(crate) undone: Vec<String>,
    /// What the engine says of itself that must not be.
    pub(crate) invariant: Option<&'static str>,
}

/// Replays one connection of a capture.
#[must_use]
pub fn replay(recording: &Recording, case: &Case, role: Role, options: Options) -> Outcome {
    let setup = Setup::read(recording, case, role, &options);
    let mut run = Run::new(recording, case, role, setup, options.seed);
    run.play(case);
    let ran = run.finish();
    let mut divergences = compare(recording, case, &ran);
    let circumstances = Circumstances::of(recording, case, &ran);
    divergences.iter_mut().for_each(|divergence| circumstances.judge(divergence));
    if options.strict {
        divergences.extend(strict::compare(recording, case, &ran));
    }
    divergences.sort_by_key(|divergence| divergence.after.unwrap_or(u64::MAX));
    Outcome::new(recording, case, role, &ran, divergences)
}

struct Run<'a> {
    recording: &'a Recording,
    setup: Setup,
    endpoint: Endpoint,
    /// The engine's side.
    side: usize,
    now: Instant,
    /// The packet of the capture it has come to.
    current: u64,
    trace: Trace,
    live: Vec<Live>,
    lanes: Vec<Lane>,
    connection: Option<ConnectionId>,
    listener: Option<ListenerId>,
    pending: VecDeque<Act>,
    applications: Applications,
    /// Octets handed to the engine.
    written: usize,
    read: Vec<u8>,
    stalls: Vec<Stall>,
    /// Data of the engine is no longer waited for.
    given_up: bool,
    undone: BTreeSet<String>,
    /// FINs of the engine's side, by stream of the capture: where they end.
    fins: Vec<Option<i64>>,
    /// The engine's key as captured, and the other side's.
    keys: (Option<u64>, Option<u64>),
}

impl<'a> Run<'a> {
    fn new(recording: &'a Recording, case: &Case, role: Role, setup: Setup, seed: u64) -> Self {
        let side = role.side();
        let mut endpoint = setup.build(seed);
        let mut undone = BTreeSet::new();
        let listener = setup.listen.and_then(|local| {
            let outcome = endpoint.listen(setup.connection.clone(), local, 16);
            outcome.map_err(|error| undone.insert(format!("listen on {local}: {error:?}"))).ok()
        });
        let mut fins = vec![None; recording.report.streams.len()];
        let mut lanes = Vec::new();
        for index in &case.streams {
            let Some(stream) = recording.report.streams.get(*index) else { continue };
            let own = stream.side_of(0) == side;
            let [a, b] = stream.ends;
            let (engine, peer) = if own { (a, b) } else { (b, a) };
            lanes.push(Lane { deaf: !own, ..Lane::new(Some(*index), engine, peer, own) });
        }
        for segment in case.segments.iter().filter_map(|at| recording.segments.get(*at)) {
            let stream = recording.report.streams.get(segment.placed.stream);
            let own = stream.is_some_and(|s| s.side_of(segment.placed.from) == side);
            let lane = lanes.iter_mut().find(|l| l.stream == Some(segment.placed.stream));
            let (Some(lane), Some(fin)) = (lane, fins.get_mut(segment.placed.stream)) else {
                continue;
            };
            if own {
                lane.deaf = false;
                if segment.has(FIN) {
                    *fin = Some(segment.placed.seq + i64::from(segment.packet().seq_len()));
                }
                lane.nonces.1 = lane.nonces.1.or(nonce(segment));
            } else {
                lane.dss |= segment.signals().any(|s| matches!(s, MptcpOption::Dss(_)));
                lane.silent &= segment.has(SYN);
            }
        }
        let any = lanes.iter().any(|lane| lane.dss);
        // a stream without any on which nothing was said but the handshake
        lanes
            .iter_mut()
            .for_each(|lane| lane.dss |= any || lane.silent && case.connection.is_some());
        let sides = case.connection.and_then(|index| recording.report.connections.get(index));
        let key = |side: usize| sides.and_then(|c| c.sides.get(side)).and_then(|s| s.key);
        Self {
            recording,
            endpoint,
            side,
            now: START,
            current: 0,
            trace: Trace::new(Settings::default()),
            live: Vec::new(),
            lanes,
            connection: None,
            listener,
            pending: VecDeque::new(),
            applications: Applications::of(recording, case),
            written: 0,
            read: Vec::new(),
            stalls: Vec::new(),
            given_up: false,
            undone,
            fins,
            keys: (key(side), key(1 - side)),
            setup,
        }
    }

    fn play(&mut self, case: &Case) {
        let mut reading = Reading::new(self.recording, case, &self.applications, self.side);
        let mut begin = None;
        // what waited moves everything behind it
        let mut late = Duration::ZERO;
        for place in &case.segments {
            let Some(segment) = self.recording.segments.get(*place) else { continue };
            self.current = segment.number;
            let begin = *begin.get_or_insert(segment.time);
            let since = u64::try_from(segment.time.saturating_sub(begin)).unwrap_or_default();
            let due = START + Duration::from_nanos(since) + late;
            self.advance(due, DELAYED_ACK);
            if self.is_own(segment) {
                self.pending.extend(reading.segment(segment));
                self.pump();
                continue;
            }
            let before = self.now;
            self.wait_for(segment);
            late += self.now.saturating_since(before);
            self.say(segment);
        }
        self.advance(self.now + AFTERWARDS, DELAYED_ACK);
    }

    fn finish(mut self) -> Ran {
        if let Some(listener) = self.listener.take() {
            self.endpoint.unlisten(self.now, listener);
        }
        for act in &self.pending {
            self.undone.insert(format!("{act:?}: never possible"));
        }
        Ran {
            live: self.live,
            stalls: self.stalls,
            read: self.read,
            report: self.trace.finish(),
            applications: self.applications,
            notes: self.setup.notes,
            side: self.side,
            undone: self.undone.into_iter().collect(),
            invariant: self.endpoint.check_invariants().err(),
        }
    }

    fn is_own(&self, segment: &Segment) -> bool {
        let stream = self.recording.report.streams.get(segment.placed.stream);
        stream.is_some_and(|stream| stream.side_of(segment.placed.from) == self.side)
    }

    fn lane_of(&self, segment: &Segment) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.stream == Some(segment.placed.stream))
    }

    /// Lets time pass, and what is due in it happen; the other side acknowledges after `delay` at most.
    fn advance(&mut self, until: Instant, delay: Duration) {
        while self.live.len() < MOST_PACKETS {
            let owed = self.lanes.iter().filter(|lane| lane.owes()).filter_map(|lane| lane.owed);
            let owed = owed.min().map(|since| since + delay);
            let timer = self.endpoint.poll_timeout();
            let Some(at) = Instant::earliest(owed, timer).filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            if owed == Some(at) {
                self.acknowledge();
            } else {
                self.endpoint.handle_timeout(self.now);
                self.pump();
            }
        }
        self.now = self.now.max(until);
    }

    /// The engine's key of this run.
    fn engine_key(&self) -> Option<u64> {
        self.trace.connections().first()?.sides.get(self.side)?.key
    }

    /// The next relative data sequence number the engine has not reached.
    fn engine_data(&self) -> i64 {
        let connection = self.trace.connections().first();
        let side = connection.and_then(|c| c.sides.get(self.side));
        side.map_or(0, |side| {
            let octets = i64::try_from(side.bytes()).unwrap_or(i64::MAX);
            1 + octets + i64::from(side.data_fin().is_some())
        })
    }

    fn numbers(&self, lane: &Lane, data_ack: Option<i64>) -> Numbers {
        Numbers {
            was: self.keys.0,
            is: self.engine_key(),
            peer: self.keys.1,
            nonces: (lane.nonces.1, lane.nonces.0, lane.nonces.2),
            timestamp: lane.timestamps.0,
            data_ack,
            zeros: self.applications.zeros,
        }
    }

    /// The other side says a packet of the capture.
    fn say(&mut self, segment: &Segment) {
        let Some(at) = self.lane_of(segment) else { return };
        let Some(lane) = self.lanes.get_mut(at) else { return };
        lane.nonces.2 = nonce(segment).or(lane.nonces.2);
        let Some(lane) = self.lanes.get(at) else { return };
        let bare = segment.packet().seq_len() == 0 && !segment.has(RST);
        if !lane.bound || lane.deaf || bare && lane.is_over() {
            return;
        }
        // nothing is lost here: it has what the engine has said, and more only where it waited for that in vain
        let data_ack = segment.placed.data_ack.map(|ack| ack.max(self.engine_data()));
        let options = options_for(&segment.options, &self.numbers(lane, data_ack));
        let mut payload = segment.payload.clone();
        payload.resize(segment.payload_len as usize, 0);
        if self.applications.zeros {
            payload.fill(0);
        }
        let said = Said {
            src: lane.peer,
            dst: lane.engine,
            seq: segment.seq,
            ack: if segment.has(ACK) { lane.ack() } else { 0 },
            flags: segment.flags,
            window: segment.window,
            urgent: segment.urgent,
            options: &options,
            payload: &payload,
        };
        let packet = said.emit();
        self.deliver(at, packet);
    }

    /// What came since the last acknowledgement is acknowledged: the engine may cut its data otherwise than the captured
    /// side did, and would wait for ever.
    fn acknowledge(&mut self) {
        for at in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get(at).filter(|lane| lane.owes()) else { continue };
            let mut options = Vec::new();
            if let (Some(engine), Some(own)) = lane.timestamps {
                options.extend_from_slice(&[1, 1, 8, 10]);
                options.extend_from_slice(&own.to_be_bytes());
                options.extend_from_slice(&engine.to_be_bytes());
            }
            if lane.dss {
                // DSS with a Data ACK of eight octets, which is translated as any other
                options.extend_from_slice(&[30, 12, 0x20, 0x03]);
                options.extend_from_slice(&[0; 8]);
                options = options_for(&options, &self.numbers(lane, Some(self.engine_data())));
                if let (Some(place), Some(engine)) = (options.get_mut(8..12), lane.timestamps.0) {
                    place.copy_from_slice(&engine.to_be_bytes());
                }
            }
            let said = Said {
                src: lane.peer,
                dst: lane.engine,
                seq: lane.next,
                ack: lane.ack(),
                flags: ACK,
                window: lane.window,
                urgent: 0,
                options: &options,
                payload: &[],
            };
            let packet = said.emit();
            self.deliver(at, packet);
        }
    }

    fn deliver(&mut self, lane: usize, packet: Bytes) {
        if let Some(segment) = self.record(&packet) {
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.say(&segment);
            }
            self.live.push(Live { segment, lane, own: false, during: self.current });
        }
        self.endpoint.handle_packet(self.now, INTERFACE, packet);
        self.pump();
    }

    fn record(&mut self, packet: &[u8]) -> Option<Segment> {
        let frame = Frame {
            number: self.live.len() as u64 + 1,
            offset: 0,
            time: Some(self.now.as_nanos().cast_signed()),
            link: LINKTYPE_RAW,
            interface: 0,
            wire_len: packet.len(),
            data: packet,
        };
        match dissect(&frame) {
            Content::Tcp(packet) => Some(Segment::new(&packet, &mut self.trace)),
            _ => None,
        }
    }

    /// Calls are made, packets fetched, data read, until the engine has nothing more to say.
    fn pump(&mut self) {
        loop {
            let mut busy = self.calls();
            let mut headers = Vec::new();
            while let Some(transmit) = self.endpoint.poll_transmit(self.now, &mut headers) {
                busy = true;
                let mut packet = headers.clone();
                packet.extend_from_slice(&transmit.payload);
                let subflow = transmit.subflow.map(|(_, subflow)| subflow);
                self.hear(&packet, subflow);
                if self.live.len() >= MOST_PACKETS {
                    return;
                }
            }
            while self.endpoint.poll_event().is_some() {}
            if let (None, Some(listener)) = (self.connection, self.listener) {
                self.connection = self.endpoint.accept(listener);
                busy |= self.connection.is_some();
            }
            busy |= self.read();
            if !busy {
                return;
            }
        }
    }

    fn read(&mut self) -> bool {
        let Some(id) = self.connection else { return false };
        let before = self.read.len();
        while let Ok(piece) = self.endpoint.read_chunk(self.now, id, usize::MAX) {
            if piece.is_empty() {
                break;
            }
            self.read.extend_from_slice(&piece);
        }
        self.read.len() > before
    }

    /// The engine says something.
    fn hear(&mut self, packet: &[u8], subflow: Option<SubflowId>) {
        let Some(segment) = self.record(packet) else { return };
        let opens = segment.packet().is_syn();
        let known = |lane: &Lane| {
            let same = lane.bound && lane.engine == segment.src && lane.peer == segment.dst;
            // the same ports again
            same && (!opens || lane.isn == Some(segment.seq))
        };
        let awaited = |lane: &Lane| {
            !lane.bound && lane.engine.ip() == segment.src.ip() && lane.peer == segment.dst
        };
        // the last one: a four-tuple may come twice in a capture
        let at = self.lanes.iter().rposition(known);
        let at = at.or_else(|| self.lanes.iter().position(awaited).filter(|_| opens));
        let at = at.unwrap_or_else(|| {
            self.lanes.push(Lane::new(None, segment.src, segment.dst, opens));
            self.lanes.len() - 1
        });
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.engine = segment.src;
            lane.bound = true;
            lane.subflow = subflow.or(lane.subflow);
            lane.hear(&segment, self.now);
        }
        self.live.push(Live { segment, lane: at, own: true, during: self.current });
    }
}
