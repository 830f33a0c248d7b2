//! A checked TCP segment as the subflow's state machine sees it: values, no bytes of the wire.
//!
//! MPTCP options are split off before and never seen here.

use super::fast_open::FastOpenCookie;
use crate::seq::SeqNum;
use bytes::Bytes;

/// The control bits this stack acts upon (RFC 9293 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// Synchronise sequence numbers.
    pub syn: bool,
    /// No more data from the sender.
    pub fin: bool,
    /// Reset the connection.
    pub rst: bool,
    /// Push.
    pub psh: bool,
    /// Urgent pointer is significant.
    pub urg: bool,
    /// ECN echo (RFC 3168).
    pub ece: bool,
    /// Congestion window reduced (RFC 3168).
    pub cwr: bool,
}

/// RFC 7323 timestamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the clock value echoed.
    pub echo: u32,
}

/// Up to four SACK blocks (RFC 2018), each `[start, end)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(SeqNum, SeqNum); 4],
    len: u8,
}

impl SackBlocks {
    /// No blocks.
    #[must_use]
    pub const fn new() -> Self {
        Self { blocks: [(SeqNum(0), SeqNum(0)); 4], len: 0 }
    }

    /// Adds a block; false when four are there already.
    pub fn push(&mut self, start: SeqNum, end: SeqNum) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else { return false };
        *slot = (start, end);
        self.len += 1;
        true
    }

    /// Keeps the first `len` blocks.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u8::try_from(len).unwrap_or(u8::MAX));
        // lists of the same blocks are equal, whatever stood behind them
        if let Some(gone) = self.blocks.get_mut(usize::from(self.len)..) {
            gone.fill((SeqNum(0), SeqNum(0)));
        }
    }

    /// The blocks, most recent first.
    #[must_use]
    pub fn as_slice(&self) -> &[(SeqNum, SeqNum)] {
        self.blocks.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// No blocks.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The TCP options of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Maximum segment size; on SYN only.
    pub mss: Option<u16>,
    /// Window scale as received or to be sent; on SYN only.
    pub window_scale: Option<u8>,
    /// SACK permitted; on SYN only.
    pub sack_permitted: bool,
    /// SACK blocks.
    pub sack: SackBlocks,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Fast Open cookie or the request for one; on SYN only (RFC 7413 4.1.1).
    pub fast_open: Option<FastOpenCookie>,
}

/// A received segment whose checksum and form were checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// SEG.SEQ
    pub seq: SeqNum,
    /// SEG.ACK; `None` when the ACK bit is clear.
    pub ack: Option<SeqNum>,
    /// Control bits.
    pub flags: Flags,
    /// SEG.WND as in the header, not scaled.
    pub window: u16,
    /// TCP options.
    pub options: SegmentOptions,
    /// Data; may be a merged super-segment of many MSS.
    pub payload: Bytes,
    /// An option of a layer above (other than a bare DSS) rides on this segment: it is no duplicate ACK, whatever
    /// it looks like (RFC 8684 3, 3.4.1, 4 [OPT-2] [OPT-4] [ADDR-18]).
    pub carries_signal: bool,
}

impl Segment {
    /// SEG.LEN: octets of sequence space, SYN and FIN included (RFC 9293 3.4).
    #[must_use]
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.flags.syn) + u32::from(self.flags.fin)
    }

    /// The segment takes no sequence space.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list cut to nothing counted as one that was sent, and a duplicate it should have reported was forgotten.
    #[test]
    fn a_list_cut_short_is_equal_to_a_short_one() {
        let block = |n: u32| (SeqNum(n), SeqNum(n + 1));
        let (mut short, mut cut) = (SackBlocks::new(), SackBlocks::new());
        short.push(block(1).0, block(1).1);
        for n in 1..=4 {
            cut.push(block(n).0, block(n).1);
        }
        cut.truncate(1);
        assert_eq!(cut, short);
        cut.truncate(0);
        assert_eq!(cut, SackBlocks::new());
    }
}
