//! What the applications wrote, as far as a capture shows it.

use crate::recording::{Case, Recording, Segment};
use mpuser_engine::buffer::RangeSet;
use mpuser_inspect::packet::SYN;
use std::collections::BTreeMap;

/// A capture with more octets of data in one direction is not put together.
const MOST_OCTETS: u64 = 256 << 20;
/// So many holes are kept apart.
const MOST_RANGES: usize = 4096;

/// Where the octets of a segment stand in what its side wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// First octet in the segment.
    pub(crate) at: usize,
    /// How many.
    pub(crate) len: usize,
    /// First octet in the stream of the application, from 0.
    pub(crate) position: u64,
}

/// Where the octets of `segment` stand. `first` is the stream that opened the connection; `syn_data` octets went with
/// its SYN and stand before what is mapped (RFC 8684 B).
pub(crate) fn pieces(segment: &Segment, first: usize, syn_data: u64) -> Vec<Piece> {
    let len = segment.payload_len as usize;
    if len == 0 {
        return Vec::new();
    }
    if segment.has(SYN) {
        return vec![Piece { at: 0, len, position: 0 }];
    }
    if segment.mapped.is_empty() && segment.placed.stream == first {
        // plain TCP: the subflow is the connection
        let position = u64::try_from(segment.placed.seq - 1);
        return position.map(|position| vec![Piece { at: 0, len, position }]).unwrap_or_default();
    }
    let mut all = Vec::new();
    for (at, len, dsn) in &segment.mapped {
        let (at, len) = (usize::try_from(*at), usize::try_from(*len));
        let position = u64::try_from(dsn - 1).map(|position| position + syn_data);
        if let (Ok(at), Ok(len), Ok(position)) = (at, len, position) {
            all.push(Piece { at, len, position });
        }
    }
    all
}

/// What one side wrote.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    /// What was captured of it.
    known: RangeSet,
}

impl Written {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), known: RangeSet::new(MOST_RANGES) }
    }

    pub(crate) fn add(&mut self, segment: &Segment, first: usize, syn_data: u64) {
        for piece in pieces(segment, first, syn_data) {
            let end = piece.position + piece.len as u64;
            if end > MOST_OCTETS {
                continue;
            }
            if self.bytes.len() < end as usize {
                self.bytes.resize(end as usize, 0);
            }
            let from = segment.payload.get(piece.at..).unwrap_or_default();
            let from = from.get(..piece.len).unwrap_or(from);
            let start = piece.position as usize;
            if let Some(place) = self.bytes.get_mut(start..start + from.len()) {
                place.copy_from_slice(from);
            }
            self.known.insert(piece.position..end);
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Every octet was captured.
    pub(crate) fn is_whole(&self) -> bool {
        self.known.covered() == self.len()
    }

    /// The first place where `other` has another octet than this.
    pub(crate) fn first_difference(&self, other: &[u8]) -> Option<usize> {
        let same = self.bytes.iter().zip(other).position(|(a, b)| a != b);
        same.filter(|at| self.known.contains(*at as u64))
    }
}

/// What both sides wrote, and whether data was cut off the segments.
pub(crate) struct Applications {
    /// By side: 0 opened the connection.
    pub(crate) written: [Written; 2],
    /// Octets that went with the SYN and were taken.
    pub(crate) syn_data: u64,
    /// Zeros stand for all data, since parts of it were not captured.
    pub(crate) zeros: bool,
}

impl Applications {
    pub(crate) fn of(recording: &Recording, case: &Case) -> Self {
        let segments = || case.segments.iter().filter_map(|at| recording.segments.get(*at));
        let first = case.streams.first().copied().unwrap_or_default();
        let syn_data = taken_with_syn(segments(), first);
        let zeros = segments().any(|s| s.payload.len() < s.payload_len as usize);
        let mut written = [Written::new(), Written::new()];
        let opener: BTreeMap<usize, usize> =
            recording.report.streams.iter().map(|s| (s.index, s.side_of(0))).collect();
        for segment in segments() {
            let opened = opener.get(&segment.placed.stream).copied().unwrap_or_default();
            let side = if segment.placed.from == 0 { opened } else { 1 - opened };
            let ahead = if side == 0 { syn_data } else { 0 };
            // what the SYN carried and nobody took comes again
            if segment.has(SYN) && syn_data == 0 {
                continue;
            }
            if let Some(written) = written.get_mut(side) {
                written.add(segment, first, ahead);
            }
        }
        if zeros {
            written.iter_mut().for_each(|side| side.bytes.fill(0));
        }
        Self { written, syn_data, zeros }
    }
}

fn taken_with_syn<'a>(segments: impl Iterator<Item = &'a Segment>, first: usize) -> u64 {
    let mut carried = 0;
    for segment in segments.filter(|segment| segment.placed.stream == first) {
        if segment.packet().is_syn() {
            carried = i64::from(segment.payload_len);
        } else if segment.packet().is_syn_ack() {
            return (segment.placed.ack - 1).clamp(0, carried).unsigned_abs();
        }
    }
    0
}
