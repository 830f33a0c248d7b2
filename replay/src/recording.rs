//! A capture in memory, taken apart into connections.

use mpuser_engine::wire::MptcpOption;
use mpuser_inspect::option::{Signal, options};
use mpuser_inspect::packet::{ChecksumState, dissect};
use mpuser_inspect::read::ReadError;
use mpuser_inspect::trace::{Placed, Role as StreamRole};
use mpuser_inspect::{Content, Packet, Reader, Report, Settings, Trace};
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;

/// A capture with more octets of TCP than this is not replayed: it is held in memory.
const MOST_OCTETS: usize = 256 << 20;

/// Why a capture was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is too large.
    #[error("more than {} MiB of TCP segments, which are held in memory for a replay", MOST_OCTETS >> 20)]
    TooLarge,
}

/// A TCP segment, kept.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u16,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) options_len: usize,
    pub(crate) payload: Vec<u8>,
    pub(crate) payload_len: u32,
    pub(crate) placed: Placed,
    /// Which octets of the connection it carries: first octet in the segment, how many, relative DSN.
    pub(crate) mapped: Vec<(i64, i64, i64)>,
}

impl Segment {
    pub(crate) fn new(packet: &Packet<'_>, trace: &mut Trace) -> Self {
        let placed = trace.push(packet);
        let mapped = trace.mapped(&placed, packet.payload_len);
        let mapped = mapped.into_iter().map(|(from, len, dsn)| (from - placed.seq, len, dsn));
        Self {
            number: packet.number,
            time: packet.time.unwrap_or_default(),
            src: packet.src,
            dst: packet.dst,
            seq: packet.seq,
            ack: packet.ack,
            flags: packet.flags,
            window: packet.window,
            urgent: packet.urgent,
            options: packet.options.to_vec(),
            options_len: packet.options_len,
            payload: packet.payload.to_vec(),
            payload_len: packet.payload_len,
            placed,
            mapped: mapped.collect(),
        }
    }

    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet {
            number: self.number,
            time: Some(self.time),
            src: self.src,
            dst: self.dst,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: self.urgent,
            checksum: ChecksumState::Good,
            options_at: 0,
            options: &self.options,
            options_len: self.options_len,
            payload: &self.payload,
            payload_len: self.payload_len,
        }
    }

    /// All of `flags` are set.
    pub(crate) const fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// The MPTCP options of version 1.
    pub(crate) fn signals(&self) -> impl Iterator<Item = MptcpOption> {
        options(&self.options, self.options_len).filter_map(|raw| match raw.signal() {
            Some(Signal::V1(option)) => Some(option),
            _ => None,
        })
    }

    /// A TCP option of this kind, kind and length included.
    pub(crate) fn option(&self, kind: u8) -> Option<&[u8]> {
        let found = options(&self.options, self.options_len).find(|raw| raw.kind == kind);
        found.filter(|raw| raw.fault.is_none()).map(|raw| raw.bytes)
    }
}

/// Why a connection cannot be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its beginning is not in the capture.
    NoBeginning,
    /// Version 0, which the engine does not speak.
    VersionZero,
    /// Headers were cut off.
    OptionsCut,
    /// Nobody answered the SYN.
    NoAnswer,
    /// Joins of a connection whose keys are not in the capture.
    UnknownConnection,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBeginning => "its beginning is not in the capture",
            Self::VersionZero => "MPTCP version 0, which the engine does not speak",
            Self::OptionsCut => "TCP options were not captured whole",
            Self::NoAnswer => "the SYN was not answered",
            Self::UnknownConnection => "joins of a connection whose keys are not in the capture",
        })
    }
}

/// One connection of a capture.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number: that of the MPTCP connection, or none for plain TCP.
    pub connection: Option<usize>,
    /// Its TCP connections, as `inspect` counts them; the first one opened it.
    pub streams: Vec<usize>,
    /// Why it cannot be replayed, if so.
    pub unfit: Option<Unfit>,
    /// Places of its segments.
    pub(crate) segments: Vec<usize>,
}

/// A capture, loaded.
pub struct Recording {
    pub(crate) segments: Vec<Segment>,
    pub(crate) report: Report,
    cases: Vec<Case>,
}

impl Recording {
    /// Reads a capture to its end.
    ///
    /// # Errors
    /// The file is damaged or too large.
    pub fn load(source: impl Read) -> Result<Self, LoadError> {
        let mut reader = Reader::new(source);
        let mut trace = Trace::new(Settings::default());
        let mut segments = Vec::new();
        let mut octets = 0;
        while let Some(frame) = reader.next_frame()? {
            if let Content::Tcp(packet) = dissect(&frame) {
                octets += packet.payload.len() + packet.options.len() + size_of::<Segment>();
                if octets > MOST_OCTETS {
                    return Err(LoadError::TooLarge);
                }
                segments.push(Segment::new(&packet, &mut trace));
            }
        }
        let report = trace.finish();
        let cases = cases(&segments, &report);
        Ok(Self { segments, report, cases })
    }

    /// A capture from memory, as [`Self::load`].
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        Self::load(bytes)
    }

    /// The connections, in the order of their first segments.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }
}

fn cases(segments: &[Segment], report: &Report) -> Vec<Case> {
    let mut found: Vec<Case> = Vec::new();
    let mut case_of = vec![None; report.streams.len()];
    for stream in &report.streams {
        let known = stream.connection.and_then(|wanted| {
            found.iter().position(|case: &Case| case.connection == Some(wanted))
        });
        let case = known.unwrap_or_else(|| {
            found.push(Case {
                connection: stream.connection,
                streams: Vec::new(),
                unfit: None,
                segments: Vec::new(),
            });
            found.len() - 1
        });
        if let (Some(slot), Some(case_of)) = (found.get_mut(case), case_of.get_mut(stream.index)) {
            slot.streams.push(stream.index);
            *case_of = Some(case);
        }
    }
    for (place, segment) in segments.iter().enumerate() {
        let case = case_of.get(segment.placed.stream).copied().flatten();
        if let Some(case) = case.and_then(|case| found.get_mut(case)) {
            case.segments.push(place);
        }
    }
    for case in &mut found {
        case.unfit = unfit(case, segments, report);
    }
    found
}

fn unfit(case: &Case, segments: &[Segment], report: &Report) -> Option<Unfit> {
    let connection = case.connection.and_then(|index| report.connections.get(index));
    if connection.is_some_and(|c| c.version == Some(0)) {
        return Some(Unfit::VersionZero);
    }
    let first = case.streams.first().and_then(|index| report.streams.get(*index))?;
    if first.role == StreamRole::Joined {
        return Some(Unfit::UnknownConnection);
    }
    if first.role == StreamRole::Midstream || !first.has_syn {
        return Some(Unfit::NoBeginning);
    }
    if !first.has_syn_ack {
        return Some(if first.halves.iter().all(|half| half.packets > 0) && !first.reset {
            Unfit::NoBeginning
        } else {
            Unfit::NoAnswer
        });
    }
    let mut own = case.segments.iter().filter_map(|place| segments.get(*place));
    own.any(|segment| segment.options.len() < segment.options_len).then_some(Unfit::OptionsCut)
}
