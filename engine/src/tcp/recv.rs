//! The receiving half: order, promises about the window, and what is told about holes.

use super::segment::SackBlocks;
use crate::buffer::Assembler;
use crate::seq::SeqNum;
use crate::window::WindowScale;
use alloc::collections::VecDeque;
use bytes::Bytes;
use core::ops::Range;

/// Holes of a byte stream that are remembered; more disorder than that is left to retransmission.
const MAX_NODES: usize = 1024;

/// Blocks whose recency is remembered: one more than a segment can carry.
const RECENT: usize = 5;

/// What the data of one segment did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Data became readable.
    pub(super) in_order: bool,
    /// The FIN became in order.
    pub(super) fin: bool,
    /// Data or FIN beyond a hole.
    pub(super) out_of_order: bool,
    /// Data that filled (part of) a hole.
    pub(super) filled_hole: bool,
    /// Some of the data had arrived before.
    pub(super) overlap: bool,
    /// All of the data had arrived before.
    pub(super) duplicate: bool,
    /// Data beyond the window, thrown away.
    pub(super) refused: bool,
}

/// The receive sequence space (RFC 9293 3.3.1), in stream offsets.
#[derive(Debug)]
pub(super) struct Recv {
    /// Initial receive sequence number.
    pub(super) irs: SeqNum,
    /// Next octet expected; counts the FIN once it was taken.
    nxt: u64,
    /// Where the peer's stream ends, once a FIN said so.
    fin: Option<u64>,
    /// This end's window scale, as negotiated.
    pub(super) scale: WindowScale,
    /// Furthest right edge the layer above meant to promise.
    granted: u64,
    /// Furthest right edge ever advertised: `granted`, and less than one scale unit more.
    advertised: u64,
    /// The right edge advertised last. With a shared window it may be less than `advertised`.
    told: u64,
    /// Other sockets use up the window, too, and the layer above keeps what was promised.
    shared: bool,
    /// Largest window the layer above ever offered: the buffer size of silly-window avoidance.
    buffer: u64,
    /// Largest window the peer may have sent by.
    widest: u64,
    assembler: Assembler,
    ready: VecDeque<(u64, Bytes)>,
    /// An offset within each of the blocks that changed last, latest first.
    recent: [Option<u64>; RECENT],
    /// A duplicate to be reported once (RFC 2883).
    dsack: Option<Range<u64>>,
    received: u64,
}

impl Recv {
    pub(super) fn new(window: u32) -> Self {
        Self {
            irs: SeqNum(0),
            nxt: 0,
            fin: None,
            scale: WindowScale::ZERO,
            granted: 0,
            advertised: 0,
            told: 0,
            shared: false,
            buffer: u64::from(window),
            widest: 0,
            assembler: Assembler::new(MAX_NODES),
            ready: VecDeque::new(),
            recent: [None; RECENT],
            dsack: None,
            received: 0,
        }
    }

    /// RCV.NXT as a stream offset, FIN counted.
    pub(super) const fn nxt(&self) -> u64 {
        self.nxt
    }

    /// RCV.NXT
    pub(super) fn nxt_seq(&self) -> SeqNum {
        self.seq(self.nxt)
    }

    /// The sequence number of a stream offset.
    pub(super) fn seq(&self, offset: u64) -> SeqNum {
        self.irs + (offset as u32).wrapping_add(1)
    }

    /// The stream offset of a sequence number, the one nearest to RCV.NXT; negative before the first octet.
    pub(super) fn offset(&self, seq: SeqNum) -> i64 {
        (self.nxt as i64).saturating_add(i64::from(seq.since(self.nxt_seq())))
    }

    /// RCV.WND: octets from `nxt` to the furthest edge the peer was ever told.
    pub(super) const fn window(&self) -> u64 {
        self.advertised.saturating_sub(self.nxt)
    }

    /// At most so much can have been in flight towards this end.
    pub(super) const fn widest_window(&self) -> u64 {
        self.widest
    }

    pub(super) fn fin_received(&self) -> bool {
        self.fin.is_some_and(|fin| self.nxt > fin)
    }

    /// Payload octets received in order.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn read(&mut self) -> Option<(u64, Bytes)> {
        self.ready.pop_front()
    }

    /// Data waits beyond a hole.
    pub(super) fn has_holes(&self) -> bool {
        self.assembler.buffered() > 0
    }

    /// There is something a SACK option would say.
    pub(super) fn has_sack(&self) -> bool {
        self.dsack.is_some() || self.has_holes()
    }

    /// A segment before the window: its data arrived before.
    pub(super) fn on_duplicate(&mut self, start: i64, len: usize) {
        let end = start.saturating_add(len as i64).min(self.nxt as i64);
        if let (Ok(from), Ok(to)) = (u64::try_from(start), u64::try_from(end))
            && from < to
        {
            self.dsack = Some(from..to);
        }
    }

    /// Takes the data of an acceptable segment that starts at stream offset `start`.
    pub(super) fn on_data(&mut self, start: i64, payload: &Bytes, fin: bool) -> Arrival {
        let mut arrival = Arrival::default();
        let end = start.saturating_add(payload.len() as i64);
        if fin && end >= 0 {
            self.on_fin(end.unsigned_abs());
        }
        if !payload.is_empty() && end > 0 {
            self.on_payload(start, end, payload, &mut arrival);
        }
        if self.fin == Some(self.nxt) {
            self.nxt += 1;
            arrival.fin = true;
        }
        arrival.out_of_order |= fin && !self.fin_received();
        arrival
    }

    /// `len` octets that come next would be readable at once, all of them.
    pub(super) fn takes_next(&self, len: u64) -> bool {
        let open = self.fin.is_none() && !self.has_holes() && self.ready.is_empty();
        open && len > 0 && len <= self.window()
    }

    /// Takes `len` octets that come next, and that the layer above has already.
    pub(super) const fn take_next(&mut self, len: u64) {
        self.nxt += len;
        self.received += len;
    }

    /// The first FIN within the window counts; a later one that contradicts it is ignored.
    fn on_fin(&mut self, end: u64) {
        // The window gates data, not the FIN: at the edge it would take one octet that needs no buffer.
        let fits = end >= self.nxt && end <= self.advertised;
        let contradicts = self.assembler.end().is_some_and(|last| last > end);
        if self.fin.is_none() && fits && !contradicts {
            self.fin = Some(end);
        }
    }

    fn on_payload(&mut self, start: i64, end: i64, payload: &Bytes, arrival: &mut Arrival) {
        let nxt = self.nxt as i64;
        if start < nxt {
            arrival.overlap = true;
            self.on_duplicate(start, payload.len());
        }
        let edge = self.fin.unwrap_or(u64::MAX).min(self.advertised) as i64;
        let (from, to) = (start.max(nxt), end.min(edge));
        if from >= to {
            arrival.duplicate = end <= nxt;
            arrival.refused = end > nxt;
            return;
        }
        // Both differences lie within the payload: start <= from < to <= end.
        let piece = payload.slice((from - start) as usize..(to - start) as usize);
        let from = from.unsigned_abs();
        if from == self.nxt && !self.has_holes() {
            self.push_ready(piece);
            arrival.in_order = true;
            return;
        }
        self.on_disordered(from, piece, arrival);
    }

    fn on_disordered(&mut self, from: u64, piece: Bytes, arrival: &mut Arrival) {
        let len = piece.len() as u64;
        let fresh = self.assembler.insert(from, piece) as u64;
        if fresh < len && from > self.nxt && self.range_at(from).is_some() {
            arrival.overlap = true;
            arrival.duplicate = fresh == 0;
            if fresh == 0 {
                self.dsack = Some(from..from + len);
            }
        }
        arrival.filled_hole = from == self.nxt;
        arrival.out_of_order = from != self.nxt;
        while let Some(piece) = self.assembler.pop(self.nxt) {
            arrival.in_order = true;
            self.push_ready(piece);
        }
        if from >= self.nxt {
            self.touch(from);
        }
    }

    fn push_ready(&mut self, piece: Bytes) {
        let len = piece.len() as u64;
        self.ready.push_back((self.nxt, piece));
        self.nxt += len;
        self.received += len;
    }

    /// The block around `offset` changed last (RFC 2018 4).
    fn touch(&mut self, offset: u64) {
        let Some(block) = self.range_at(offset) else { return };
        let mut kept = [None; RECENT];
        let older = self.recent.iter().flatten().filter(|at| !block.contains(at));
        for (slot, at) in kept.iter_mut().zip(core::iter::once(&offset).chain(older)) {
            *slot = Some(*at);
        }
        self.recent = kept;
    }

    fn range_at(&self, offset: u64) -> Option<Range<u64>> {
        self.assembler.ranges().find(|range| range.contains(&offset))
    }

    /// Up to `max` SACK blocks: a duplicate first (RFC 2883 4), then the blocks that changed last (RFC 2018 4).
    pub(super) fn sack_blocks(&self, max: usize) -> SackBlocks {
        let mut blocks = SackBlocks::new();
        let mut push = |range: Range<u64>| {
            if blocks.as_slice().len() < max {
                blocks.push(self.seq(range.start), self.seq(range.end));
            }
        };
        if let Some(duplicate) = self.dsack.clone() {
            push(duplicate);
        }
        if !self.has_holes() {
            return blocks;
        }
        for at in self.recent.iter().flatten() {
            if let Some(mut range) = self.range_at(*at) {
                // A FIN that stands right behind the block is here as well.
                range.end += u64::from(self.fin == Some(range.end));
                push(range);
            }
        }
        blocks
    }

    /// The right edge to promise when the layer above offers `window`: it never retreats, and it moves only in steps
    /// worth a segment (receiver silly-window avoidance, RFC 9293 3.8.6.2.2).
    ///
    /// A shared window ends where the layer above says. Were this socket's own edge kept, what came here and is not in
    /// order there would count twice, and a reader that sleeps would be sent more and more.
    fn edge_for(&self, window: u32, mss: u32) -> u64 {
        let wanted = self.nxt + u64::from(window);
        let buffer = self.buffer.max(u64::from(window));
        let step = u64::from(mss).min(buffer / 2).max(1);
        let edge = if wanted >= self.granted + step { wanted } else { self.granted };
        if self.shared { edge.min(wanted) } else { edge }
    }

    /// The window is shared, and the peer knows of so much of it.
    pub(super) fn on_promised(&mut self, window: Option<u32>) {
        self.shared = window.is_some();
        let window = u64::from(window.unwrap_or(0));
        self.granted = self.granted.max(self.nxt + window);
        self.widest = self.widest.max(window);
    }

    /// SEG.WND for an offer of `window` bytes.
    pub(super) fn window_field(&self, window: u32, mss: u32) -> u16 {
        let granted = self.edge_for(window, mss);
        let room = |edge: u64| u32::try_from(edge.saturating_sub(self.nxt)).unwrap_or(u32::MAX);
        let field = self.scale.scale_down(room(granted));
        if self.nxt + u64::from(self.scale.scale_up(field)) >= self.advertised {
            return field;
        }
        // Rounding down would take back what was promised (RFC 7323 2.4). Rounding up is bounded by one unit beyond
        // what was meant, or a peer that sends single octets would keep the window open for ever.
        let edge_of = |field: u16| self.nxt + u64::from(self.scale.scale_up(field));
        let down = self.scale.scale_down(room(self.advertised));
        let exact = edge_of(down) == self.advertised;
        let kept = if exact { down } else { down.saturating_add(1) };
        if edge_of(kept) < granted + (1 << self.scale.shift()) { kept } else { field }
    }

    /// A segment with this offer went out. On a SYN the field is not scaled.
    pub(super) fn on_advertised(&mut self, window: u32, mss: u32, field: u16, syn: bool) {
        self.buffer = self.buffer.max(u64::from(window));
        let bytes = if syn { u32::from(field) } else { self.scale.scale_up(field) };
        self.granted = if syn {
            self.granted.max(self.nxt + u64::from(bytes))
        } else {
            self.edge_for(window, mss)
        };
        self.told = self.nxt + u64::from(bytes);
        self.widest = self.widest.max(u64::from(bytes));
        self.advertised = self.advertised.max(self.told);
    }

    /// A duplicate is reported once (RFC 2883 4).
    pub(super) fn on_sack_sent(&mut self) {
        self.dsack = None;
    }

    /// The window grew so much that the peer should hear of it without delay.
    pub(super) fn wants_window_update(&self, window: u32, mss: u32) -> bool {
        let open = self.told.saturating_sub(self.nxt);
        // A socket without data so far may have been told that others had used the window up.
        let untouched = self.received == 0 && !(self.shared && open == 0);
        if untouched || self.fin.is_some() {
            return false;
        }
        let field = self.window_field(window, mss);
        let edge = self.nxt + u64::from(self.scale.scale_up(field));
        let growth = edge.saturating_sub(self.told);
        let (mss, half) = (u64::from(mss), self.buffer.max(u64::from(window)) / 2);
        if open == 0 {
            // edge_for has kept steps below min(MSS, half the buffer) back
            return growth > 0;
        }
        // A peer whose window is more than half open hears of it with the next acknowledgement soon enough.
        growth >= (2 * mss).min(half).max(1) && edge - self.nxt >= 2 * open
    }

    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        if self.assembler.ranges().next().is_some_and(|first| first.start <= self.nxt) {
            return Err("readable data was left in the assembler");
        }
        if self.nxt > self.advertised + 1 {
            return Err("received beyond the advertised window");
        }
        if self.fin.is_some_and(|fin| self.nxt > fin + 1) {
            return Err("received beyond the FIN");
        }
        Ok(())
    }
}
