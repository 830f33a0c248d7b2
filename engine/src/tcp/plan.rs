//! The values TCP exchanges with the layer above: limits in, plans and dispositions out.

use super::segment::{Flags, SegmentOptions};
use crate::seq::SeqNum;
use bytes::Bytes;

/// What TCP cannot know when it plans a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendLimits {
    /// Receive window to advertise, bytes from the next octet expected. The upper layer's, shared by all subflows;
    /// it may shrink: what was promised to the peer before stays promised.
    pub window: u32,
    /// Of a window that other sockets share: how much of it the peer was told of before, on any of them. That much is
    /// told again, however small the step (RFC 8684 3.3.4 [RCV-2]), and never more than `window`. `None`: the window is
    /// this socket's own.
    pub promised: Option<u32>,
    /// Option bytes the upper layer will add to segments with data, a multiple of 4.
    pub reserved_options: u8,
    /// Most payload of one plan, bytes. Less than two segments (0 for instance) means one segment.
    pub max_payload: u32,
}

/// What a planned segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanKind {
    /// The SYN of an active open.
    Syn,
    /// The SYN/ACK of a passive or simultaneous open.
    SynAck,
    /// An acknowledgement or window update without data.
    Ack,
    /// An acknowledgement that answers something suspicious (RFC 5961).
    ChallengeAck,
    /// Data for the first time, with the FIN where it is next.
    Data,
    /// Data (and FIN) sent before.
    Retransmission,
    /// The FIN alone, for the first time.
    Fin,
    /// No data: asks a peer without window whether it has opened (RFC 9293 3.8.6.1).
    WindowProbe,
    /// No data: asks a silent peer whether it lives (RFC 9293 3.8.4).
    Keepalive,
    /// A RST that ends this socket.
    Reset,
    /// A RST for a segment that belongs to no connection; this socket lives on.
    ResetReply,
}

impl PlanKind {
    /// The segment may carry any option of the layer above: it is a plain acknowledgement of a live socket.
    #[must_use]
    pub const fn is_pure_ack(self) -> bool {
        matches!(self, Self::Ack | Self::ChallengeAck)
    }
}

/// A segment that would be sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPlan {
    /// What it is for.
    pub kind: PlanKind,
    /// SEG.SEQ
    pub seq: SeqNum,
    /// SEG.ACK; `None` leaves the ACK bit clear.
    pub ack: Option<SeqNum>,
    /// Control bits.
    pub flags: Flags,
    /// SEG.WND, scaled already.
    pub window: u16,
    /// TCP options. SACK blocks stand in order of importance: whoever needs the room on a pure ACK drops the last
    /// ones ([`SackBlocks::truncate`](super::SackBlocks::truncate)).
    pub options: SegmentOptions,
    /// Stream offset of the first octet of `payload`.
    pub offset: u64,
    /// Data, always a slice of one written chunk.
    pub payload: Bytes,
    /// Payload of each segment, when `payload` is to be cut into more than one; the last may be shorter.
    pub segment_size: Option<u16>,
    /// How often this SYN or SYN/ACK went out before; 0 for all other segments.
    pub transmissions: u32,
}

impl SegmentPlan {
    /// Stream offset after the last octet, FIN included.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.payload.len() as u64 + u64::from(self.flags.fin)
    }
}

/// What became of a received segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// It passed acceptance, PAWS and RFC 5961: options of the layer above may be acted upon ([OPT-6]).
    pub acceptable: bool,
    /// The handshake is completed by it.
    pub established: bool,
    /// Payload bytes it acknowledged for the first time.
    pub newly_acked: u64,
    /// Octets of this end's SYN it acknowledges: they belong to no stream offset (RFC 7413).
    pub syn_data_acked: u32,
    /// The peer's FIN is now in order.
    pub peer_fin: bool,
    /// The socket is CLOSED now and was not before.
    pub closed: bool,
    /// It was a valid RST.
    pub reset: bool,
    /// Data became readable.
    pub new_data: bool,
    /// All of its data had arrived before.
    pub duplicate: bool,
}
