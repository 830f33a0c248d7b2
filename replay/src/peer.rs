//! One TCP connection of the other side: what it has heard of the engine, and what it may say.

use crate::recording::Segment;
use mpuser_engine::addr::SubflowId;
use mpuser_engine::time::Instant;
use mpuser_engine::wire::{MpJoin, MptcpOption};
use mpuser_inspect::packet::{ACK, FIN, RST, SYN};
use std::net::SocketAddr;

/// TCP option kind of timestamps.
const TIMESTAMPS: u8 = 8;

/// A stream of the capture, live.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// Its number in the capture; none if the capture has no such stream.
    pub(crate) stream: Option<usize>,
    /// The engine's end, with the port it has chosen where it opens the stream.
    pub(crate) engine: SocketAddr,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The engine has said something on it.
    pub(crate) bound: bool,
    /// The engine's name for it.
    pub(crate) subflow: Option<SubflowId>,
    /// The engine's first sequence number.
    pub(crate) isn: Option<u32>,
    /// What came from the engine, relative: the next octet expected.
    pub(crate) received: i64,
    /// As far as it was told so.
    pub(crate) told: i64,
    /// The engine said that it will send no more.
    pub(crate) fin: bool,
    /// It was reset, by either end.
    pub(crate) reset: bool,
    /// The engine's nonce, the captured one in its place, and the other side's.
    pub(crate) nonces: (Option<u32>, Option<u32>, Option<u32>),
    /// Last timestamp value of the engine, and of the other side.
    pub(crate) timestamps: (Option<u32>, Option<u32>),
    /// Next sequence number of the other side.
    pub(crate) next: u32,
    /// Its last window.
    pub(crate) window: u16,
    /// The other side says Data ACKs here, sooner or later.
    pub(crate) dss: bool,
    /// The other side said nothing behind its part of the handshake.
    pub(crate) silent: bool,
    /// The engine's side never answered on it: what the other side said did not arrive.
    pub(crate) deaf: bool,
    /// The other side is through with its part of the handshake.
    pub(crate) shaken: bool,
    /// Since when something waits for its acknowledgement.
    pub(crate) owed: Option<Instant>,
    /// The engine has said a DATA_FIN since.
    pub(crate) data_fin: bool,
    /// The other side's FIN, relative to nothing, and whether it was acknowledged.
    pub(crate) own_fin: (Option<u32>, bool),
    /// Nothing is waited for on this stream any more.
    pub(crate) given_up: bool,
}

impl Lane {
    pub(crate) const fn new(
        stream: Option<usize>,
        engine: SocketAddr,
        peer: SocketAddr,
        own: bool,
    ) -> Self {
        Self {
            stream,
            engine,
            peer,
            bound: !own,
            subflow: None,
            isn: None,
            received: 0,
            told: 0,
            fin: false,
            reset: false,
            nonces: (None, None, None),
            timestamps: (None, None),
            next: 0,
            window: 0,
            dss: false,
            silent: true,
            deaf: false,
            shaken: false,
            owed: None,
            data_fin: false,
            own_fin: (None, false),
            given_up: false,
        }
    }

    /// The engine said this.
    pub(crate) fn hear(&mut self, segment: &Segment, now: Instant) {
        if segment.has(SYN) {
            self.isn = Some(segment.seq);
        }
        self.reset |= segment.has(RST);
        if segment.has(RST) {
            return;
        }
        let end = segment.placed.seq + i64::from(segment.packet().seq_len());
        self.received = self.received.max(end);
        // the same again means that an acknowledgement is missing
        if end > segment.placed.seq && end <= self.told {
            self.told = segment.placed.seq;
        }
        self.data_fin |= self.dss
            && segment.signals().any(|signal| match signal {
                MptcpOption::Dss(dss) => dss.data_fin,
                _ => false,
            });
        if self.owes() {
            self.owed.get_or_insert(now);
        }
        self.fin |= segment.has(FIN);
        self.own_fin.1 |= self.own_fin.0.is_some_and(|fin| segment.has(ACK) && segment.ack == fin);
        if let Some(value) = timestamp(segment) {
            self.timestamps.0 = Some(value);
        }
        if let Some(nonce) = nonce(segment) {
            self.nonces.0 = Some(nonce);
        }
    }

    /// The other side said this.
    pub(crate) fn say(&mut self, segment: &Segment) {
        self.reset |= segment.has(RST);
        let end = segment.seq.wrapping_add(segment.packet().seq_len());
        if segment.has(SYN) || end.wrapping_sub(self.next).cast_signed() > 0 {
            self.next = end;
        }
        if segment.has(ACK) {
            self.shaken = true;
            self.told = self.received;
            self.owed = None;
            self.data_fin &= !segment.signals().any(|signal| matches!(signal, MptcpOption::Dss(_)));
        }
        if segment.has(FIN) {
            self.own_fin.0 = Some(end);
        }
        self.window = segment.window;
        self.timestamps.1 = timestamp(segment).or(self.timestamps.1);
        self.nonces.2 = nonce(segment).or(self.nonces.2);
    }

    /// What the other side acknowledges.
    pub(crate) fn ack(&self) -> u32 {
        self.isn.map_or(0, |isn| isn.wrapping_add(self.received as u32))
    }

    /// Both ends have said that they will send no more, and that they know it of the other: a socket that says more would
    /// speak to nobody.
    pub(crate) const fn is_over(&self) -> bool {
        self.fin && self.told >= self.received && self.own_fin.1
    }

    /// Something of the engine's waits for its acknowledgement.
    pub(crate) const fn owes(&self) -> bool {
        !self.reset && self.shaken && (self.told < self.received || self.data_fin)
    }
}

/// TSval.
pub(crate) fn timestamp(segment: &Segment) -> Option<u32> {
    let option = segment.option(TIMESTAMPS)?;
    option.get(2..)?.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

/// The nonce of a join.
pub(crate) fn nonce(segment: &Segment) -> Option<u32> {
    segment.signals().find_map(|signal| match signal {
        MptcpOption::Join(MpJoin::Syn { nonce, .. } | MpJoin::SynAck { nonce, .. }) => {
            Some(nonce.0)
        }
        _ => None,
    })
}
