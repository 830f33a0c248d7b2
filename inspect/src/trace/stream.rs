//! One TCP connection: its numbers made relative, what each end has said.

use super::mapping::Mappings;
use super::measure::Rtt;
use crate::packet::{FIN, Packet, RST, SYN};
use mpuser_engine::buffer::RangeSet;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// So many holes are followed in what a subflow has carried.
const MOST_RANGES: usize = 4096;
/// So many segments wait for their acknowledgement to be timed.
const MOST_TIMED: usize = 4096;
/// So many ranges of data wait for a mapping.
const MOST_UNMAPPED: usize = 1024;

/// What a TCP connection is to MPTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing was said of MPTCP.
    Plain,
    /// The first subflow of its connection.
    First,
    /// A further one.
    Joined,
    /// It carries MPTCP, but its beginning is not in the capture.
    Midstream,
}

/// One TCP connection.
pub struct Stream {
    /// Its number.
    pub index: usize,
    /// Its ends: who opened it, if that was seen, and the other.
    pub ends: [SocketAddr; 2],
    /// What it is to MPTCP.
    pub role: Role,
    /// Its MPTCP connection.
    pub connection: Option<usize>,
    /// Which side of the connection `ends[0]` is.
    pub opener: usize,
    /// What each end sent.
    pub halves: [Half; 2],
    /// The SYN was captured.
    pub has_syn: bool,
    /// The SYN/ACK was captured.
    pub has_syn_ack: bool,
    /// Address IDs of the two ends in MP_JOIN.
    pub ids: [Option<u8>; 2],
    /// B of the two ends.
    pub backup: [bool; 2],
    pub(super) nonces: [Option<u32>; 2],
    pub(super) token: Option<u32>,
    pub(super) token_packet: u64,
    pub(super) join_ack: bool,
    /// Segments with data since the last MPTCP option of either end, and the first of them.
    pub(super) bare: (u64, u64),
    /// The other end has said something since the third packet.
    pub(super) fourth: bool,
    /// Data on the SYN, to be counted once it is acknowledged.
    pub(super) syn_data: Vec<u8>,
    /// Octets of it that were.
    pub(super) syn_data_len: i64,
    /// HMACs that were right, and wrong ones.
    pub hmacs: (u32, u32),
    /// It ended with a RST.
    pub reset: bool,
    /// Its first packet.
    pub first_packet: u64,
    /// Its first and last time.
    pub times: Option<(i64, i64)>,
}

/// What one end of a TCP connection sent.
pub struct Half {
    /// Segments.
    pub packets: u64,
    /// Octets of data, each time they were sent.
    pub bytes: u64,
    /// Of these, octets that were sent before on this subflow.
    pub retransmitted: u64,
    /// Octets that carried data the connection had not seen before.
    pub new_data: u64,
    /// Octets that carried data the connection had seen before.
    pub duplicate_data: u64,
    /// Time to the acknowledgement, seen from where the capture was made.
    pub rtt: Rtt,
    /// The FIN was seen.
    pub fin: bool,
    /// DSS options.
    pub dss: u64,
    pub(super) isn: Option<u32>,
    pub(super) next: i64,
    pub(super) acked: i64,
    /// An acknowledgement was seen for what was not captured.
    pub(super) lost_by_capture: bool,
    pub(super) seen: RangeSet,
    pub(super) maps: Mappings,
    /// What is to be added to a relative sequence number to get the one of mappings.
    pub(super) ssn_shift: Option<i64>,
    /// Octets of data its SYN carried.
    pub(super) syn_payload: i64,
    /// That is known from the handshake.
    pub(super) ssn_exact: bool,
    pub(super) timed: VecDeque<(i64, i64)>,
    pub(super) unmapped: Vec<(i64, i64, u64)>,
    pub(super) suspect: bool,
    /// The first data that came to it with a data sequence number of 64 bits.
    pub(super) got_long: Option<i64>,
}

impl Half {
    const fn new() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            retransmitted: 0,
            new_data: 0,
            duplicate_data: 0,
            rtt: Rtt::new(),
            fin: false,
            dss: 0,
            isn: None,
            next: 0,
            acked: 0,
            lost_by_capture: false,
            seen: RangeSet::new(MOST_RANGES),
            maps: Mappings::new(),
            ssn_shift: None,
            syn_payload: 0,
            ssn_exact: false,
            timed: VecDeque::new(),
            unmapped: Vec::new(),
            suspect: false,
            got_long: None,
        }
    }

    /// A sequence number, the SYN being 0.
    fn relative(&self, seq: u32) -> i64 {
        let isn = self.isn.unwrap_or(seq.wrapping_sub(1));
        near(seq.wrapping_sub(isn), self.next)
    }

    /// Octets waiting for a mapping.
    pub(super) fn wait_for_mapping(&mut self, start: i64, end: i64, packet: u64) {
        if self.unmapped.len() < MOST_UNMAPPED {
            self.unmapped.push((start, end, packet));
        }
    }
}

/// The number whose lower half is `low` and that is nearest to `near`.
pub(super) const fn near(low: u32, near: i64) -> i64 {
    near.wrapping_add(low.wrapping_sub(near as u32).cast_signed() as i64)
}

impl Stream {
    pub(super) fn new(index: usize, packet: &Packet<'_>) -> Self {
        let forward = !packet.is_syn_ack();
        let (a, b) = if forward { (packet.src, packet.dst) } else { (packet.dst, packet.src) };
        Self {
            index,
            ends: [a, b],
            role: Role::Plain,
            connection: None,
            opener: 0,
            halves: [Half::new(), Half::new()],
            has_syn: false,
            has_syn_ack: false,
            ids: [None; 2],
            backup: [false; 2],
            nonces: [None; 2],
            token: None,
            token_packet: 0,
            join_ack: false,
            bare: (0, 0),
            fourth: false,
            syn_data: Vec::new(),
            syn_data_len: 0,
            hmacs: (0, 0),
            reset: false,
            first_packet: packet.number,
            times: None,
        }
    }

    /// 0 if `src` opened the stream, 1 for the other end.
    pub(super) fn side(&self, src: SocketAddr) -> usize {
        usize::from(self.ends[0] != src)
    }

    /// A SYN that begins another connection between the same ports.
    pub(super) fn is_another(&self, syn: &Packet<'_>) -> bool {
        let from = self.side(syn.src);
        self.halves.get(from).is_some_and(|half| half.isn.is_some_and(|isn| isn != syn.seq))
            && (self.has_syn || self.reset || self.halves.iter().any(|half| half.fin))
    }

    /// The side of the MPTCP connection that end `from` of this stream is: 0 opened the connection.
    #[must_use]
    pub const fn side_of(&self, from: usize) -> usize {
        super::join::side_of(self.opener, from)
    }

    /// Both ends were seen from the first segment on.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.has_syn && self.has_syn_ack
    }

    /// Which end sent it, and its numbers, relative.
    pub(super) fn place(&mut self, packet: &Packet<'_>) -> (usize, i64, i64) {
        let from = self.side(packet.src);
        self.has_syn |= packet.is_syn();
        self.has_syn_ack |= packet.is_syn_ack();
        if let Some(time) = packet.time {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
        let [opener, other] = &mut self.halves;
        let (own, peer) = if from == 0 { (opener, other) } else { (other, opener) };
        own.packets += 1;
        if packet.has(SYN) && own.isn != Some(packet.seq) {
            own.isn = Some(packet.seq);
            own.next = 0;
            own.ssn_shift = Some(0);
            own.ssn_exact = true;
            own.syn_payload = i64::from(packet.payload_len);
        }
        // a RST may stand anywhere; it defines nothing
        if own.isn.is_none() && !(packet.has(RST) && packet.seq == 0) {
            own.isn = Some(packet.seq.wrapping_sub(1));
            own.next = 1;
        }
        let seq = own.relative(packet.seq);
        let has_ack = packet.has(crate::packet::ACK);
        if peer.isn.is_none() && has_ack && !packet.has(RST) {
            peer.isn = Some(packet.ack.wrapping_sub(1));
            peer.next = 1;
            if packet.is_syn_ack() && packet.payload_len == 0 {
                peer.ssn_shift = Some(0);
                peer.ssn_exact = true;
            }
        }
        let ack = if has_ack { peer.relative(packet.ack) } else { 0 };
        own.fin |= packet.has(FIN);
        self.reset |= packet.has(RST);
        if has_ack && !packet.has(RST) {
            peer.lost_by_capture |= ack > peer.next + 1 && peer.packets > 0;
            peer.acknowledged(ack, packet.time);
        }
        if !packet.has(RST) {
            own.sent(seq, i64::from(packet.seq_len()), packet);
        }
        (from, seq, ack)
    }
}

impl Half {
    fn acknowledged(&mut self, ack: i64, time: Option<i64>) {
        self.acked = self.acked.max(ack);
        while let Some((end, sent)) = self.timed.front().copied() {
            if end > ack {
                break;
            }
            self.timed.pop_front();
            if let (true, Some(time)) = (end == ack || self.timed.is_empty(), time) {
                self.rtt.sample(time.saturating_sub(sent));
            }
        }
    }

    fn sent(&mut self, seq: i64, len: i64, packet: &Packet<'_>) {
        let end = seq + len;
        let data = u64::from(packet.payload_len);
        self.bytes += data;
        if data > 0 {
            // the SYN takes the octet before the data it carries
            let start = u64::try_from(seq).unwrap_or_default() + u64::from(packet.has(SYN));
            let again = super::measure::overlap(&self.seen, start..start + data);
            self.retransmitted += again;
            super::measure::add(&mut self.seen, start..start + data);
            if again > 0 {
                // whose acknowledgement comes is not known any more
                self.timed.clear();
            }
        }
        if end > self.next {
            if let (true, Some(time)) = (len > 0 && self.timed.len() < MOST_TIMED, packet.time) {
                self.timed.push_back((end, time));
            }
            self.next = end;
        }
    }
}
