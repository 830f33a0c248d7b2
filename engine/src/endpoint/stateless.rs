//! Replies that need no connection: RST for segments nobody waits for (RFC 9293 3.10.7.1), and the SYN/ACKs of
//! handshakes nothing is kept of.

use super::LocalAddress;
use crate::addr::{FourTuple, InterfaceId};
use crate::rng::Rng;
use crate::seq::SeqNum;
use crate::tcp::{Flags, Segment};
use crate::time::{Duration, Instant};
use crate::wire::OptionBuffer;
use crate::wire::mptcp::{MpTcpRst, MptcpOption};
use crate::wire::tcp::{ChecksumMode, TcpHeader, emit};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

#[derive(Debug)]
struct Reply {
    tuple: FourTuple,
    interface: InterfaceId,
    checksum_offload: bool,
    header: TcpHeader,
    options: OptionBuffer,
}

/// So many a second, more or less: an exact limit would tell strangers how many went to others (CVE-2016-5696).
#[derive(Debug)]
struct Budget {
    per_second: u32,
    left: u32,
    until: Instant,
}

impl Budget {
    const PERIOD: Duration = Duration::from_secs(1);

    fn take(&mut self, now: Instant, rng: &mut Rng) -> bool {
        if now >= self.until {
            // Three to five quarters of what was asked for.
            self.left = self.per_second - self.per_second / 4 + rng.below(self.per_second / 2 + 1);
            self.until = now + Self::PERIOD;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// A small bounded queue of them.
#[derive(Debug)]
pub(super) struct StatelessReplies {
    queue: VecDeque<Reply>,
    limit: usize,
    resets: Budget,
}

impl StatelessReplies {
    pub(super) const fn new(limit: usize, resets_per_second: u32) -> Self {
        let resets = Budget { per_second: resets_per_second, left: 0, until: Instant::ZERO };
        Self { queue: VecDeque::new(), limit, resets }
    }

    /// Answers `segment` with a RST; false when there are too many already. A RST is never answered.
    pub(super) fn reset(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        from: &LocalAddress,
        tuple: FourTuple,
        segment: &Segment,
        reason: Option<MpTcpRst>,
    ) -> bool {
        if segment.flags.rst {
            return true;
        }
        if self.queue.len() >= self.limit || !self.resets.take(now, rng) {
            return false;
        }
        let (seq, ack) = match segment.ack {
            Some(ack) => (ack, None),
            None => (SeqNum(0), Some(segment.seq + segment.len())),
        };
        let mut options = OptionBuffer::new();
        if let Some(reason) = reason {
            options.push_mptcp(&MptcpOption::TcpRst(reason));
        }
        let flags = Flags { rst: true, ..Flags::default() };
        self.push(from, tuple, Header { seq, ack, flags, window: 0 }, options)
    }

    /// Answers a SYN; false when the queue is full.
    pub(super) fn syn_ack(
        &mut self,
        from: &LocalAddress,
        tuple: FourTuple,
        numbers: (SeqNum, SeqNum),
        window: u16,
        options: OptionBuffer,
    ) -> bool {
        let (seq, ack) = (numbers.0, Some(numbers.1));
        let flags = Flags { syn: true, ..Flags::default() };
        self.push(from, tuple, Header { seq, ack, flags, window }, options)
    }

    fn push(
        &mut self,
        from: &LocalAddress,
        tuple: FourTuple,
        header: Header,
        options: OptionBuffer,
    ) -> bool {
        if self.queue.len() >= self.limit {
            return false;
        }
        let header = TcpHeader {
            src_port: tuple.local.port(),
            dst_port: tuple.remote.port(),
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            window: header.window,
            urgent: 0,
        };
        let (interface, checksum_offload) = (from.interface, from.checksum_offload);
        self.queue.push_back(Reply { tuple, interface, checksum_offload, header, options });
        true
    }

    /// The next reply's headers; `true`: it is a RST.
    pub(super) fn pop(&mut self, headers: &mut Vec<u8>) -> Option<(InterfaceId, bool)> {
        let reply = self.queue.pop_front()?;
        let mode = if reply.checksum_offload {
            ChecksumMode::PseudoHeaderOnly
        } else {
            ChecksumMode::Full
        };
        emit(headers, &reply.tuple, &reply.header, &reply.options, &[], mode)?;
        Some((reply.interface, reply.header.flags.rst))
    }
}

/// What differs between replies.
struct Header {
    seq: SeqNum,
    ack: Option<SeqNum>,
    flags: Flags,
    window: u16,
}

#[cfg(test)]
mod tests;
