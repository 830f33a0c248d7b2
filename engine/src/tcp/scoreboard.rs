//! What is in flight: every transmitted range, once, with what became of it.
//!
//! Entries are ranges of octets, not packets. A super-segment is one entry and is cut only where an
//! acknowledgement or a retransmission cuts it; selectively acknowledged neighbours melt into one.

use super::rate::Snapshot;
use crate::time::Instant;
use alloc::collections::VecDeque;
use core::ops::Range;

/// SACK blocks no longer cut entries beyond this many: a peer that acknowledges every other octet cannot make the
/// log grow without bound. A block that would have to cut is not recorded, which costs a retransmission at most.
const MAX_ENTRIES: usize = 16_384;

/// What became of a transmitted range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Neither acknowledged nor thought lost.
    InFlight,
    /// Thought lost, and not retransmitted since.
    Lost,
    /// Selectively acknowledged.
    Sacked,
}

/// A range of the stream that was sent, and last sent as one.
#[derive(Clone, Debug)]
pub(crate) struct Transmission {
    /// Octets, never empty.
    pub(crate) range: Range<u64>,
    /// When it was last sent.
    pub(crate) sent_at: Instant,
    /// How many transmissions came before that one. Drivers stamp a batch with one time, so time alone does not
    /// tell an original from a retransmission sent right after it.
    pub(crate) order: u64,
    /// It was sent more than once: what acknowledges it is ambiguous (Karn).
    pub(crate) retransmitted: bool,
    /// What became of it.
    pub(crate) state: State,
    /// Delivery so far, at the time it was last sent.
    pub(crate) snapshot: Snapshot,
    /// If sacked: how many segments the receiver probably saw.
    segments: u64,
}

impl Transmission {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// The verdict of a loss detector about one entry in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is lost.
    Lost,
    /// It may still be on its way.
    Keep,
    /// It was sent too late to tell; so were all after it, unless they were touched since.
    TooLate,
}

/// The log of transmissions. It covers una..nxt without gaps.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    log: VecDeque<Transmission>,
    una: u64,
    nxt: u64,
    mss: u64,
    sacked: u64,
    sacked_segments: u64,
    lost: u64,
    /// No entry below is lost.
    lost_from: u64,
    /// Entries from here on were sent once, in order, and nothing happened to them since.
    untouched_from: u64,
    transmissions: u64,
}

impl Scoreboard {
    /// Nothing sent. `mss` in octets.
    pub(crate) fn new(mss: u32) -> Self {
        Self {
            log: VecDeque::new(),
            una: 0,
            nxt: 0,
            mss: u64::from(mss.max(1)),
            sacked: 0,
            sacked_segments: 0,
            lost: 0,
            lost_from: 0,
            untouched_from: 0,
            transmissions: 0,
        }
    }

    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.mss = u64::from(mss.max(1));
    }

    pub(crate) const fn mss(&self) -> u64 {
        self.mss
    }

    /// First octet not acknowledged.
    pub(crate) const fn una(&self) -> u64 {
        self.una
    }

    /// First octet never sent.
    pub(crate) const fn nxt(&self) -> u64 {
        self.nxt
    }

    /// Octets sent and not acknowledged cumulatively.
    pub(crate) const fn outstanding(&self) -> u64 {
        self.nxt - self.una
    }

    /// Octets above una the peer reports to have.
    pub(crate) const fn sacked(&self) -> u64 {
        self.sacked
    }

    /// About how many segments those octets came in.
    pub(crate) const fn sacked_segments(&self) -> u64 {
        self.sacked_segments
    }

    /// Octets thought lost and not retransmitted since.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Octets neither acknowledged in any way nor lost.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.outstanding() - self.sacked - self.lost
    }

    /// The log, ascending.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Transmission> {
        self.log.iter()
    }

    /// New data were sent. Octets already sent are skipped, a gap is closed: the log stays contiguous.
    pub(crate) fn push(&mut self, now: Instant, end: u64, snapshot: Snapshot) {
        if end <= self.nxt {
            return;
        }
        let range = self.nxt..end;
        self.transmissions += 1;
        let order = self.transmissions;
        self.nxt = end;
        if self.log.len() >= MAX_ENTRIES
            && let Some(last) = self.log.back_mut()
            && last.state == State::InFlight
        {
            last.range.end = end;
            (last.sent_at, last.order) = (now, order);
            return;
        }
        let (state, retransmitted) = (State::InFlight, false);
        self.log.push_back(Transmission {
            range,
            sent_at: now,
            order,
            retransmitted,
            state,
            snapshot,
            segments: 0,
        });
    }

    /// `range` was sent again. What the peer has selectively acknowledged of it stays so.
    pub(crate) fn retransmit(&mut self, now: Instant, range: &Range<u64>, snapshot: Snapshot) {
        self.transmissions += 1;
        let first_lost = self.next_lost(1).map_or(u64::MAX, |lost| lost.start);
        let mut index = self.position(range.start);
        while let Some(entry) = self.log.get(index).filter(|entry| entry.range.start < range.end) {
            if entry.state == State::Sacked {
                index += 1;
                continue;
            }
            if entry.range.start < range.start {
                self.split(index, range.start);
                index += 1;
            }
            self.split(index, range.end);
            let Some(entry) = self.log.get_mut(index) else { break };
            if entry.state == State::Lost {
                self.lost -= entry.len();
            }
            entry.state = State::InFlight;
            entry.retransmitted = true;
            (entry.sent_at, entry.order) = (now, self.transmissions);
            entry.snapshot = snapshot;
            self.untouched_from = self.untouched_from.max(entry.range.end);
            index += 1;
        }
        if first_lost >= range.start {
            self.lost_from = self.lost_from.max(range.end.min(self.nxt));
        }
    }

    /// Everything before `una` is acknowledged. `delivered` sees the pieces not selectively acknowledged before.
    pub(crate) fn acknowledge(&mut self, una: u64, mut delivered: impl FnMut(&Transmission)) {
        let una = una.min(self.nxt);
        while let Some(front) = self.log.front_mut().filter(|front| front.range.start < una) {
            let mut piece = front.clone();
            piece.range.end = piece.range.end.min(una);
            match piece.state {
                State::Sacked => {
                    self.sacked -= piece.len();
                    let rest =
                        (front.range.end - piece.range.end).div_ceil(self.mss).min(front.segments);
                    self.sacked_segments -= front.segments - rest;
                    front.segments = rest;
                }
                State::Lost => self.lost -= piece.len(),
                State::InFlight => {}
            }
            if piece.state != State::Sacked {
                delivered(&piece);
            }
            if front.range.end <= una {
                self.log.pop_front();
            } else {
                front.range.start = una;
            }
        }
        self.una = self.una.max(una);
    }

    /// The peer reports to have `range`. `delivered` sees the pieces it had not reported before.
    pub(crate) fn sack(&mut self, range: &Range<u64>, mut delivered: impl FnMut(&Transmission)) {
        let range = range.start.max(self.una)..range.end.min(self.nxt);
        let mut index = self.position(range.start);
        while let Some(entry) = self.log.get(index).filter(|entry| entry.range.start < range.end) {
            if entry.state == State::Sacked {
                index += 1;
                continue;
            }
            if entry.range.start < range.start {
                if !self.try_split(index, range.start) {
                    break;
                }
                index += 1;
            }
            index = self.sack_front(index, range.end, &mut delivered);
        }
    }

    /// Marks the entry at `index` up to `end` as sacked and melts it into its neighbours. Returns the index of what
    /// follows.
    fn sack_front(
        &mut self,
        index: usize,
        end: u64,
        delivered: &mut impl FnMut(&Transmission),
    ) -> usize {
        let Some(entry) = self.log.get(index) else { return index + 1 };
        let mut piece = entry.clone();
        piece.range.end = piece.range.end.min(end);
        let after_sacked = index.checked_sub(1).and_then(|i| self.log.get(i));
        let after_sacked = after_sacked.is_some_and(|before| before.state == State::Sacked);
        if !after_sacked && !self.try_split(index, end) {
            return usize::MAX;
        }
        delivered(&piece);
        if piece.state == State::Lost {
            self.lost -= piece.len();
        }
        let segments = piece.len().div_ceil(self.mss);
        self.sacked += piece.len();
        self.sacked_segments += segments;
        self.untouched_from = self.untouched_from.max(piece.range.end);
        if let Some(entry) = self.log.get_mut(index) {
            if !after_sacked {
                entry.state = State::Sacked;
                entry.segments = segments;
            } else if piece.range.end < entry.range.end {
                entry.range.start = piece.range.end;
            } else {
                self.log.remove(index);
            }
        }
        let mut at = index;
        if after_sacked {
            at = index - 1;
            if let Some(before) = self.log.get_mut(at) {
                before.absorb(&piece, segments);
            }
        }
        let next_is_sacked = self.log.get(at + 1).is_some_and(|next| next.state == State::Sacked);
        if next_is_sacked
            && let Some(next) = self.log.remove(at + 1)
            && let Some(entry) = self.log.get_mut(at)
        {
            entry.absorb(&next, next.segments);
        }
        at + 1
    }

    /// Asks `judge` about every entry in flight that could be lost, and marks what it finds. Returns the octets.
    pub(crate) fn mark_lost(&mut self, mut judge: impl FnMut(&Transmission) -> Verdict) -> u64 {
        let mut newly_lost = 0;
        for entry in &mut self.log {
            if entry.state != State::InFlight {
                continue;
            }
            match judge(entry) {
                Verdict::Keep => {}
                Verdict::TooLate if entry.range.start >= self.untouched_from => break,
                Verdict::TooLate => {}
                Verdict::Lost => {
                    entry.state = State::Lost;
                    newly_lost += entry.len();
                    self.lost_from = self.lost_from.min(entry.range.start);
                    self.untouched_from = self.untouched_from.max(entry.range.end);
                }
            }
        }
        self.lost += newly_lost;
        newly_lost
    }

    /// Marks the first segment as lost, whatever is known about it. Returns the octets newly lost.
    pub(crate) fn mark_first_lost(&mut self) -> u64 {
        let Some(front) = self.log.front() else { return 0 };
        let end = front.range.end.min(self.una + self.mss);
        if front.state == State::InFlight {
            self.split(0, end);
        }
        self.mark_lost(
            |entry| {
                if entry.range.end <= end { Verdict::Lost } else { Verdict::TooLate }
            },
        )
    }

    /// Nothing thought lost is lost after all.
    pub(crate) fn unmark_lost(&mut self) {
        let lost = self.log.iter_mut().filter(|entry| entry.state == State::Lost);
        lost.for_each(|entry| entry.state = State::InFlight);
        self.lost = 0;
    }

    /// The peer may drop what it acknowledged selectively (RFC 2018 8). The first octet it lacks being marked as
    /// received shows that it did: then its reports are worth nothing.
    pub(crate) fn forget_sacks_if_reneged(&mut self) {
        if self.log.front().is_none_or(|front| front.state != State::Sacked) {
            return;
        }
        let sacked = self.log.iter_mut().filter(|entry| entry.state == State::Sacked);
        sacked.for_each(|entry| entry.state = State::InFlight);
        (self.sacked, self.sacked_segments) = (0, 0);
    }

    /// The lowest octets thought lost, at most `max_len` of them.
    pub(crate) fn next_lost(&self, max_len: u64) -> Option<Range<u64>> {
        if self.lost == 0 || max_len == 0 {
            return None;
        }
        let mut entries = self.log.range(self.position(self.lost_from)..);
        let mut range = entries.find(|entry| entry.state == State::Lost)?.range.clone();
        let limit = range.start.saturating_add(max_len);
        for entry in entries.take_while(|entry| entry.state == State::Lost) {
            if range.end >= limit {
                break;
            }
            range.end = entry.range.end;
        }
        Some(range.start..range.end.min(limit))
    }

    /// The last segment sent that is not selectively acknowledged.
    pub(crate) fn last_segment(&self) -> Option<Range<u64>> {
        let last = self.log.iter().rev().find(|entry| entry.state != State::Sacked)?;
        Some(last.range.end.saturating_sub(self.mss).max(last.range.start)..last.range.end)
    }

    /// Index of the first entry that ends behind `offset`.
    fn position(&self, offset: u64) -> usize {
        self.log.partition_point(|entry| entry.range.end <= offset)
    }

    /// Cuts the entry at `index` at `offset`, if that lies inside and there is room. False if there is none.
    fn try_split(&mut self, index: usize, offset: u64) -> bool {
        let inside =
            self.log.get(index).is_some_and(|e| e.range.start < offset && offset < e.range.end);
        if inside && self.log.len() >= MAX_ENTRIES {
            return false;
        }
        self.split(index, offset);
        true
    }

    fn split(&mut self, index: usize, offset: u64) {
        let Some(entry) = self.log.get_mut(index) else { return };
        if offset <= entry.range.start || entry.range.end <= offset {
            return;
        }
        let mut right = entry.clone();
        right.range.start = offset;
        entry.range.end = offset;
        self.log.insert(index + 1, right);
    }
}

impl Transmission {
    /// Two sacked neighbours become one.
    fn absorb(&mut self, right: &Self, segments: u64) {
        self.range.end = right.range.end;
        self.segments += segments;
        self.sent_at = self.sent_at.max(right.sent_at);
        self.order = self.order.max(right.order);
        self.retransmitted |= right.retransmitted;
    }
}

#[cfg(test)]
#[path = "scoreboard_tests.rs"]
mod tests;
