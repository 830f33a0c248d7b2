//! Replies that need no connection: RST for segments nobody waits for (RFC 9293 3.10.7.1).

use super::LocalAddress;
use crate::addr::{FourTuple, InterfaceId};
use crate::error::ResetReason;
use crate::seq::SeqNum;
use crate::tcp::{Flags, Segment};
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
    seq: SeqNum,
    ack: Option<SeqNum>,
    reason: Option<ResetReason>,
}

/// A small bounded queue of them.
#[derive(Debug)]
pub(super) struct StatelessReplies {
    queue: VecDeque<Reply>,
    limit: usize,
}

impl StatelessReplies {
    pub(super) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), limit }
    }

    /// Answers `segment` with a RST; false when the queue is full. A RST is never answered.
    pub(super) fn reset(
        &mut self,
        from: &LocalAddress,
        tuple: FourTuple,
        segment: &Segment,
        reason: Option<ResetReason>,
    ) -> bool {
        if segment.flags.rst {
            return true;
        }
        if self.queue.len() >= self.limit {
            return false;
        }
        let (seq, ack) = match segment.ack {
            Some(ack) => (ack, None),
            None => (SeqNum(0), Some(segment.seq + segment.len())),
        };
        let (interface, checksum_offload) = (from.interface, from.checksum_offload);
        self.queue.push_back(Reply { tuple, interface, checksum_offload, seq, ack, reason });
        true
    }

    /// The next reply's headers.
    pub(super) fn pop(&mut self, headers: &mut Vec<u8>) -> Option<InterfaceId> {
        let reply = self.queue.pop_front()?;
        let mut options = OptionBuffer::new();
        if let Some(reason) = reply.reason {
            options.push_mptcp(&MptcpOption::TcpRst(MpTcpRst { transient: false, reason }));
        }
        let header = TcpHeader {
            src_port: reply.tuple.local.port(),
            dst_port: reply.tuple.remote.port(),
            seq: reply.seq,
            ack: reply.ack,
            flags: Flags { rst: true, ..Flags::default() },
            window: 0,
            urgent: 0,
        };
        let mode = if reply.checksum_offload {
            ChecksumMode::PseudoHeaderOnly
        } else {
            ChecksumMode::Full
        };
        emit(headers, &reply.tuple, &header, &options, &[], mode)?;
        Some(reply.interface)
    }
}

#[cfg(test)]
mod tests;
