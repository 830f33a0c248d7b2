//! Octets for which no mapping came yet: how long a subflow waits for one.

use super::Subflow;
use crate::mptcp::mapping::{Mapping, MappingVerdict};
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// Least time a mapping has to arrive in; else a number of RTOs, in which a peer would have sent again at data level.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_RTOS: u32 = 8;

impl Subflow {
    /// Keeps octets without a mapping; false when more than `bound` of them came in a row.
    pub(crate) fn hold(&mut self, now: Instant, offset: u64, data: Bytes, bound: usize) -> bool {
        if self.mapping_due.is_none() {
            self.mapping_due = Some(now + PATIENCE.max(self.tcp.rto() * PATIENCE_RTOS));
        }
        self.received.hold(offset, data, bound)
    }

    /// Notes a mapping. Mappings get through: what is still held is waited for no longer, the peer will send it again.
    pub(crate) fn on_mapping(&mut self, mapping: Mapping) -> MappingVerdict {
        let verdict = self.received.insert(mapping);
        if verdict == MappingVerdict::Accepted && !self.received.awaits_mapping() {
            self.mapping_due = None;
        }
        if self.received.is_ready() {
            // Held octets became data; no segment of data asks for the acknowledgement.
            self.tcp.request_ack();
        }
        verdict
    }

    /// When the subflow is given up for want of a mapping [DSS-14].
    pub(crate) fn mapping_due(&self) -> Option<Instant> {
        self.mapping_due.filter(|_| self.is_alive())
    }

    /// Nothing of what is held is needed any more.
    pub(crate) fn forget_held(&mut self) {
        self.mapping_due = None;
        self.received.forget_held();
    }
}
