//! Octets for which no mapping came yet: how long a subflow waits for one.

use super::Subflow;
use crate::mptcp::fallback::Trigger;
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
            self.wait_for_mapping(now);
        }
        self.received.hold(offset, data, bound)
    }

    fn wait_for_mapping(&mut self, now: Instant) {
        self.mapping_due = Some(now + PATIENCE.max(self.tcp.rto() * PATIENCE_RTOS));
    }

    /// Notes a mapping. Mappings get through: what is still held is waited for anew, the peer may send it again.
    pub(crate) fn on_mapping(&mut self, now: Instant, mapping: Mapping) -> MappingVerdict {
        let verdict = self.received.insert(mapping);
        if verdict == MappingVerdict::Accepted
            && self.mapping_due.is_some()
            && !self.received.awaits_mapping()
        {
            self.wait_for_mapping(now);
        }
        if self.received.is_ready() {
            // Held octets became data; no segment of data asks for the acknowledgement.
            self.tcp.request_ack();
        }
        verdict
    }

    /// What is held is not waited for any longer.
    pub(crate) fn stop_waiting(&mut self) {
        self.mapping_due = None;
    }

    /// When the subflow is given up for want of a mapping [DSS-14].
    pub(crate) fn mapping_due(&self) -> Option<Instant> {
        self.mapping_due.filter(|_| self.is_alive())
    }

    /// Sends a keepalive whose answer shows how the peer stands; false after `most` without any answer.
    pub(crate) fn ask(&mut self, most: u32) -> bool {
        self.asked += 1;
        self.tcp.request_keepalive();
        self.asked <= most
    }

    /// A segment came: the answer, if there was a question.
    pub(crate) fn take_answer(&mut self) -> bool {
        core::mem::take(&mut self.asked) > 0
    }

    /// Data was acknowledged without any option; at data level everything before `data_una` is.
    pub(crate) fn bare_ack(&self, data_una: u64) -> Trigger {
        Trigger::BareAck {
            holding: self.mapping_due().is_some(),
            crossing: self.sent.count_delivered(self.tcp.una(), data_una) > 1,
        }
    }

    /// Nothing of what is held is needed any more.
    pub(crate) fn forget_held(&mut self) {
        self.mapping_due = None;
        self.received.forget_held();
    }
}
