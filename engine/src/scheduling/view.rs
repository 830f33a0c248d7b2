//! What a scheduler sees: values, no handle on the connection.

use super::Reinjection;
use crate::addr::SubflowId;
use crate::time::{Duration, Instant};
use core::fmt;
use core::ops::Range;

/// Some subflows of one connection. Identifiers 64 apart share a place: that can make a subflow look as if it carried
/// something it does not, and no worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubflowSet(u64);

impl SubflowSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// This one alone.
    #[must_use]
    pub const fn of(id: SubflowId) -> Self {
        Self(1 << (id.0 % 64))
    }

    /// These.
    #[must_use]
    pub fn of_all(ids: impl Iterator<Item = SubflowId>) -> Self {
        ids.fold(Self::EMPTY, |set, id| set.union(Self::of(id)))
    }

    /// In this or in the other.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In this and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Some subflow is in both.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// There is none in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a subflow's TCP makes of losses; the kernel's `tcp_ca_state` in three words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossState {
    /// Nothing is lost as far as is known.
    #[default]
    Open,
    /// Fast recovery.
    Recovery,
    /// The retransmission timer expired and nothing was acknowledged since.
    Loss,
}

/// One subflow at the moment of the decision. Amounts are bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SubflowSnapshot {
    /// Which one.
    pub id: SubflowId,
    /// Itself, as a set: compare with [`InFlight::carriers`].
    pub set: SubflowSet,
    /// Smoothed round-trip time; `None` before the first sample.
    pub srtt: Option<Duration>,
    /// Smallest round-trip time of late.
    pub min_rtt: Option<Duration>,
    /// Variation of the round-trip time (RFC 6298 RTTVAR).
    pub rttvar: Duration,
    /// Retransmission timeout, backoff included.
    pub rto: Duration,
    /// Congestion window.
    pub cwnd: u64,
    /// Slow-start threshold; `u64::MAX` before the first loss.
    pub ssthresh: u64,
    /// In flight.
    pub in_flight: u64,
    /// Given to it and not yet sent.
    pub queued: u64,
    /// In its send buffer: not yet acknowledged, or not yet sent. The kernel's `sk_wmem_queued`.
    pub write_memory: u64,
    /// What congestion window and peer's window allow right now, beyond what is queued.
    pub available: u64,
    /// What its send buffer takes beyond what is in it, sendable or not.
    pub queue_room: u64,
    /// Payload of one full segment.
    pub mss: u32,
    /// The peer's receive window on this subflow, from the oldest byte in flight.
    pub peer_window: u64,
    /// Bytes a second at which its TCP paces, or would.
    pub pacing_rate: u64,
    /// Bytes a second delivered, as last measured; 0 before.
    pub delivery_rate: u64,
    /// What its TCP makes of losses.
    pub loss: LossState,
    /// Retransmission timeouts in a row.
    pub timeouts: u32,
    /// Either side asked for it to be used as backup only (RFC 8684 3.3.8).
    pub backup: bool,
    /// This end asked for that.
    pub backup_here: bool,
    /// The peer asked for that.
    pub backup_peer: bool,
    /// No progress; shown only when every subflow is so.
    pub stale: bool,
    /// When anything acceptable came in last.
    pub last_received: Instant,
    /// When the peer last acknowledged something new.
    pub last_acked: Instant,
}

impl SubflowSnapshot {
    /// There is room for a full segment, or for all there is; or the pipe is empty and anything is better than nothing.
    #[must_use]
    pub fn is_open(&self, unsent: u64) -> bool {
        let wanted = u64::from(self.mss).min(unsent);
        self.available > 0 && (self.available >= wanted || self.in_flight == 0)
    }

    /// The window has not yet found its size.
    #[must_use]
    pub const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Smoothed round-trip time; the longest there is before the first sample, which the handshake gives soon enough.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.srtt.unwrap_or(Duration::MAX)
    }

    /// Congestion window in segments, at least one.
    #[must_use]
    pub fn window_segments(&self) -> u64 {
        (self.cwnd / self.segment()).max(1)
    }

    /// In flight, in segments, rounded up.
    #[must_use]
    pub fn in_flight_segments(&self) -> u64 {
        self.in_flight.div_ceil(self.segment())
    }

    /// [`Self::mss`] as a divisor.
    #[must_use]
    pub fn segment(&self) -> u64 {
        u64::from(self.mss.max(1))
    }
}

/// A range given to subflows and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Data offsets.
    pub range: Range<u64>,
    /// The subflows it was given to, as far as they are still there.
    pub carriers: SubflowSet,
}

impl InFlight {
    /// It was given to this subflow.
    #[must_use]
    pub const fn is_on(&self, subflow: &SubflowSnapshot) -> bool {
        self.carriers.overlaps(subflow.set)
    }
}

/// Queues behind a view. Look-ups are by offset: nothing is copied.
pub trait Outstanding {
    /// The range in flight with the byte at `offset`, or the first one behind it.
    fn in_flight_at(&self, offset: u64) -> Option<InFlight>;
    /// The range waiting for reinjection with the byte at `offset`, or the first one behind it.
    fn reinjection_at(&self, offset: u64) -> Option<Reinjection>;
    /// The first end of an application's write behind `offset`.
    fn boundary_after(&self, offset: u64) -> Option<u64>;
}

/// No queue at all.
impl Outstanding for () {
    fn in_flight_at(&self, _offset: u64) -> Option<InFlight> {
        None
    }

    fn reinjection_at(&self, _offset: u64) -> Option<Reinjection> {
        None
    }

    fn boundary_after(&self, _offset: u64) -> Option<u64> {
        None
    }
}

/// What a scheduler sees. Offsets count the connection's bytes from 0; amounts are bytes.
#[derive(Clone, Copy)]
pub struct SchedulerView<'a> {
    /// Now.
    pub now: Instant,
    /// Usable subflows: established, not stale, none that is closing. All of them when every one is stale.
    pub subflows: &'a [SubflowSnapshot],
    /// Written by the application and not yet given to a subflow.
    pub unsent: u64,
    /// New bytes the data-level window allows; 0 also while nothing new may be sent for another reason.
    pub window: u64,
    /// The oldest byte not acknowledged.
    pub una: u64,
    /// The next new byte.
    pub nxt: u64,
    /// The data-level window ends before this offset.
    pub window_end: u64,
    /// What the send queue holds at most.
    pub send_buffer: u64,
    /// The queues.
    pub queues: &'a dyn Outstanding,
}

impl fmt::Debug for SchedulerView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerView")
            .field("now", &self.now)
            .field("subflows", &self.subflows)
            .field("unsent", &self.unsent)
            .field("window", &self.window)
            .field("una", &self.una)
            .field("nxt", &self.nxt)
            .finish_non_exhaustive()
    }
}

impl<'a> SchedulerView<'a> {
    /// New bytes that may be given to a subflow now.
    #[must_use]
    pub fn sendable(&self) -> u64 {
        self.unsent.min(self.window)
    }

    /// The subflow with this identifier.
    #[must_use]
    pub fn subflow(&self, id: SubflowId) -> Option<&'a SubflowSnapshot> {
        self.subflows.iter().find(|s| s.id == id)
    }

    /// Regular subflows; backups when there is no regular one (RFC 8684 3.3.8 [PRIO-1]).
    pub fn regular(&self) -> impl Iterator<Item = &'a SubflowSnapshot> + use<'a> {
        let backup = self.subflows.iter().all(|s| s.backup);
        self.subflows.iter().filter(move |s| s.backup == backup)
    }

    /// Those of [`Self::regular`] that have room for new data.
    pub fn candidates(&self) -> impl Iterator<Item = &'a SubflowSnapshot> + use<'a> {
        let unsent = self.unsent;
        self.regular().filter(move |s| s.is_open(unsent))
    }

    /// The one of [`Self::candidates`] with the lowest smoothed RTT.
    #[must_use]
    pub fn fastest_open(&self) -> Option<&'a SubflowSnapshot> {
        self.candidates().min_by_key(|s| (s.rtt(), s.id))
    }

    /// The one of [`Self::regular`] with the lowest smoothed RTT, open or not.
    #[must_use]
    pub fn fastest(&self) -> Option<&'a SubflowSnapshot> {
        self.regular().min_by_key(|s| (s.rtt(), s.id))
    }

    /// Ranges in flight from `offset` on, in order.
    pub fn in_flight_from(&self, offset: u64) -> impl Iterator<Item = InFlight> + use<'a> {
        let (queues, mut at) = (self.queues, offset);
        core::iter::from_fn(move || {
            let found = queues.in_flight_at(at)?;
            at = found.range.end;
            Some(found)
        })
    }

    /// Ranges that wait for reinjection, in order.
    pub fn reinjections(&self) -> impl Iterator<Item = Reinjection> + use<'a> {
        let (queues, mut at) = (self.queues, self.una);
        core::iter::from_fn(move || {
            let found = queues.reinjection_at(at)?;
            at = found.range.end;
            Some(found)
        })
    }

    /// Where the application's current write ends, if it is known.
    #[must_use]
    pub fn next_boundary(&self) -> Option<u64> {
        self.queues.boundary_after(self.nxt)
    }
}
