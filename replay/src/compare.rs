//! The captured side and the engine, step by step.

use crate::application::pieces;
use crate::recording::{Case, Recording};
use crate::run::{Ran, Want};
use crate::steps::{Step, Steps, What};
use mpuser_engine::crypto::Key;
use std::collections::BTreeMap;
use std::fmt;

/// What a divergence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Left to a stack by the RFC: both are right.
    Choice,
    /// Something the capture, or playing it, brings with it.
    Capture,
    /// Wrong, or not explained.
    Failure,
}

impl Class {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Choice => "choice",
            Self::Capture => "capture",
            Self::Failure => "FAILURE",
        }
    }
}

/// A field with two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is called.
    pub name: String,
    /// In the capture.
    pub capture: String,
    /// In what the engine sent.
    pub engine: String,
}

impl Field {
    pub(crate) fn new(name: &str, capture: impl fmt::Display, engine: impl fmt::Display) -> Self {
        Self { name: name.to_owned(), capture: capture.to_string(), engine: engine.to_string() }
    }
}

/// Where the engine did something else than the side it plays.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The capture's packet; of what only the engine did, none.
    pub packet: Option<u64>,
    /// The capture's packet the replay had come to; of what concerns the whole, none.
    pub after: Option<u64>,
    /// The engine's packet, counted in the live run.
    pub engine_packet: Option<u64>,
    /// What it is about.
    pub step: String,
    /// What differs.
    pub fields: Vec<Field>,
    /// What it is.
    pub class: Class,
    /// Why, as far as it is known.
    pub reason: String,
    pub(crate) kind: Kind,
}

/// What a divergence is about, for those who explain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The step is there, with other fields.
    Field(What),
    /// Only the capture has it.
    Missing(What),
    /// Only the engine did it.
    Extra(What),
    /// It was said another number of times.
    Times(What),
    /// A packet of the other side waited in vain.
    Stall(Want),
    /// How much of the data came.
    Data,
    /// Data with other contents.
    Contents,
    /// Which subflow carried how much.
    Share,
    /// What the application read.
    Read,
    /// What was acknowledged at data level.
    DataAck,
    /// DSS checksums are there or not.
    Checksum,
    /// The engine's packets break a rule of the RFC.
    Rule,
    /// A call was refused, or an invariant does not hold.
    Engine,
    /// Another packet at the same place.
    Packet,
}

impl Divergence {
    pub(crate) fn new(kind: Kind, step: impl fmt::Display, fields: Vec<Field>) -> Self {
        Self {
            packet: None,
            after: None,
            engine_packet: None,
            step: step.to_string(),
            fields,
            class: Class::Failure,
            reason: String::new(),
            kind,
        }
    }

    const fn at(mut self, packet: Option<u64>, engine_packet: Option<u64>) -> Self {
        self.packet = packet;
        self.after = packet;
        self.engine_packet = engine_packet;
        self
    }
}

/// The steps of the captured side.
pub(crate) fn captured_steps(recording: &Recording, case: &Case, side: usize) -> Steps {
    let mut steps = Steps::default();
    let key = case.connection.and_then(|index| recording.report.connections.get(index));
    let peer = key.and_then(|c| c.sides.get(1 - side)).and_then(|side| side.key);
    for segment in case.segments.iter().filter_map(|at| recording.segments.get(*at)) {
        let stream = recording.report.streams.get(segment.placed.stream);
        if stream.is_none_or(|stream| stream.side_of(segment.placed.from) != side) {
            continue;
        }
        let Some(local) = case.streams.iter().position(|s| *s == segment.placed.stream) else {
            continue;
        };
        steps.add(segment, local, |seq| relative(peer, seq));
    }
    steps
}

/// The engine's steps.
pub(crate) fn engine_steps(ran: &Ran) -> Steps {
    let mut steps = Steps::default();
    let connection = ran.report.connections.first();
    let peer = connection.and_then(|c| c.sides.get(1 - ran.side)).and_then(|side| side.key);
    for live in ran.live.iter().filter(|live| live.own) {
        steps.add(&live.segment, live.lane, |seq| relative(peer, seq));
    }
    steps
}

fn relative(key: Option<u64>, seq: u64) -> Option<i64> {
    Some(seq.wrapping_sub(Key(key?).facts().idsn.0).cast_signed())
}

/// Everything that differs.
pub(crate) fn compare(recording: &Recording, case: &Case, ran: &Ran) -> Vec<Divergence> {
    let (captured, engine) = (captured_steps(recording, case, ran.side), engine_steps(ran));
    let mut found = Vec::new();
    for (what, step) in &captured.0 {
        match engine.0.get(what) {
            Some(live) => found.extend(step_differs(*what, step, live)),
            None => found.push(
                Divergence::new(Kind::Missing(*what), what, step_fields(step, true))
                    .at(Some(step.packet), None),
            ),
        }
    }
    for (what, step) in engine.0.iter().filter(|(what, _)| !captured.0.contains_key(what)) {
        found.push(
            Divergence::new(Kind::Extra(*what), what, step_fields(step, false))
                .at(None, Some(step.packet)),
        );
    }
    for stall in &ran.stalls {
        let waited = Field::new("wait", format!("answers {}", stall.want), "not sent in time");
        let step = format!("packet {} of the other side", stall.packet);
        found.push(
            Divergence::new(Kind::Stall(stall.want), step, vec![waited])
                .at(Some(stall.packet), None),
        );
    }
    data(recording, case, ran, &mut found);
    data_ack(recording, case, ran, &mut found);
    rules(ran, &mut found);
    for divergence in found.iter_mut().filter(|divergence| divergence.after.is_none()) {
        let number = divergence.engine_packet.and_then(|n| usize::try_from(n).ok());
        let live = number.and_then(|n| ran.live.get(n.checked_sub(1)?));
        divergence.after = live.map(|live| live.during);
    }
    found
}

fn step_differs(what: What, captured: &Step, live: &Step) -> Vec<Divergence> {
    let mut found = Vec::new();
    let places = (Some(captured.packet), Some(live.packet));
    let names: Vec<&str> = captured.fields.iter().map(|(name, _)| *name).collect();
    let value = |step: &Step, wanted: &str| {
        let field = step.fields.iter().find(|(name, _)| *name == wanted);
        field.map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
    };
    let more = live.fields.iter().map(|(name, _)| *name).filter(|name| !names.contains(name));
    for name in names.iter().copied().chain(more) {
        let (was, is) = (value(captured, name), value(live, name));
        if was != is {
            let field = vec![Field::new(name, was, is)];
            found.push(Divergence::new(Kind::Field(what), what, field).at(places.0, places.1));
        }
    }
    if captured.times != live.times {
        let field = vec![Field::new("times", captured.times, live.times)];
        found.push(Divergence::new(Kind::Times(what), what, field).at(places.0, places.1));
    }
    found
}

fn step_fields(step: &Step, captured: bool) -> Vec<Field> {
    let text: Vec<String> = step.fields.iter().map(|(name, v)| format!("{name} {v}")).collect();
    let text = if text.is_empty() { "said".to_owned() } else { text.join(", ") };
    let (was, is) = if captured { (text, "-".to_owned()) } else { ("-".to_owned(), text) };
    vec![Field::new("step", was, is)]
}

/// Octets the engine's side sent, and by which subflow.
fn data(recording: &Recording, case: &Case, ran: &Ran, found: &mut Vec<Divergence>) {
    let first = case.streams.first().copied().unwrap_or_default();
    let Some(written) = ran.applications.written.get(ran.side) else { return };
    let ahead = if ran.side == 0 { ran.applications.syn_data } else { 0 };
    let mut sent = crate::application::Written::new();
    let mut share: BTreeMap<usize, u64> = BTreeMap::new();
    for live in ran.live.iter().filter(|live| live.own) {
        let before = sent.len();
        // the first stream of the replay is the first of the connection
        sent.add(&live.segment, 0, ahead);
        let all = pieces(&live.segment, 0, ahead);
        let new: u64 = all.iter().map(|p| (p.position + p.len as u64).saturating_sub(before)).sum();
        *share.entry(live.lane).or_default() += new.min(live.segment.payload_len.into());
    }
    if sent.len() != written.len() {
        let field = vec![Field::new("octets", written.len(), sent.len())];
        found.push(Divergence::new(Kind::Data, "data", field));
    }
    if let Some(at) = written.first_difference(&sent.bytes) {
        let octet = |bytes: &[u8]| bytes.get(at).map_or_else(String::new, |b| format!("{b:#04x}"));
        let name = format!("octet {}", at + 1);
        let field = vec![Field::new(&name, octet(&written.bytes), octet(&sent.bytes))];
        found.push(Divergence::new(Kind::Contents, "data", field));
    }
    let mut was: BTreeMap<usize, u64> = BTreeMap::new();
    for segment in case.segments.iter().filter_map(|at| recording.segments.get(*at)) {
        let stream = recording.report.streams.get(segment.placed.stream);
        if stream.is_some_and(|s| s.side_of(segment.placed.from) == ran.side) {
            let local = case.streams.iter().position(|s| *s == segment.placed.stream);
            let carried = pieces(segment, first, ahead).iter().map(|p| p.len as u64).sum::<u64>();
            *was.entry(local.unwrap_or_default()).or_default() += carried;
        }
    }
    let text = |share: &BTreeMap<usize, u64>| {
        let some = share.iter().filter(|(_, octets)| **octets > 0);
        some.map(|(lane, octets)| format!("{lane}: {octets}")).collect::<Vec<_>>().join(", ")
    };
    if text(&was) != text(&share) {
        let field = vec![Field::new("octets by subflow", text(&was), text(&share))];
        found.push(Divergence::new(Kind::Share, "data", field));
    }
}

/// What came to the engine's application, and what the engine acknowledged.
fn data_ack(recording: &Recording, case: &Case, ran: &Ran, found: &mut Vec<Divergence>) {
    let Some(theirs) = ran.applications.written.get(1 - ran.side) else { return };
    let read = ran.read.len() as u64;
    if read != theirs.len() {
        let field = vec![Field::new("octets", theirs.len(), read)];
        found.push(Divergence::new(Kind::Read, "data read by the application", field));
    }
    if let Some(at) = theirs.first_difference(&ran.read) {
        let octet = |bytes: &[u8]| bytes.get(at).map_or_else(String::new, |b| format!("{b:#04x}"));
        let name = format!("octet {}", at + 1);
        let field = vec![Field::new(&name, octet(&theirs.bytes), octet(&ran.read))];
        found.push(Divergence::new(Kind::Contents, "data read by the application", field));
    }
    let before = case.connection.and_then(|index| recording.report.connections.get(index));
    let (Some(before), Some(after)) = (before, ran.report.connections.first()) else { return };
    let acked = |c: &mpuser_inspect::trace::Connection| {
        c.sides.get(1 - ran.side).map_or(0, mpuser_inspect::trace::Side::data_acked)
    };
    if acked(before) != acked(after) {
        let field = vec![Field::new("highest", acked(before), acked(after))];
        found.push(Divergence::new(Kind::DataAck, "Data ACK", field));
    }
    if before.checksum() != after.checksum() {
        let word = |on: Option<bool>| match on {
            Some(true) => "on",
            Some(false) => "off",
            None => "unknown",
        };
        let field = vec![Field::new("agreed", word(before.checksum()), word(after.checksum()))];
        found.push(Divergence::new(Kind::Checksum, "DSS checksums", field));
    }
}

/// The RFC's rules, held against the engine's packets.
fn rules(ran: &Ran, found: &mut Vec<Divergence>) {
    for finding in &ran.report.findings {
        let at = usize::try_from(finding.packet).ok().and_then(|number| number.checked_sub(1));
        if !at.and_then(|at| ran.live.get(at)).is_some_and(|live| live.own) {
            continue;
        }
        let field = vec![Field::new(&finding.ids.join(" "), "-", &finding.what)];
        found.push(Divergence::new(Kind::Rule, "RFC 8684", field).at(None, Some(finding.packet)));
    }
    let calls = ran.undone.iter().map(String::as_str).chain(ran.invariant);
    for what in calls {
        let field = vec![Field::new("call", "-", what)];
        found.push(Divergence::new(Kind::Engine, "the engine", field));
    }
}
