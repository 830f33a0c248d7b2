//! What the congestion control of one subflow sees of the others (RFC 6356, RFC 8684 3.3.8).

use super::Connection;
use crate::mptcp::subflow::Phase;
use crate::tcp::congestion::CoupledView;
use crate::tcp::{Disposition, Segment};
use crate::time::Instant;

impl Connection {
    /// Gives a segment to the TCP of the subflow at `index`.
    pub(super) fn tcp_on_segment(
        &mut self,
        now: Instant,
        index: usize,
        segment: &Segment,
    ) -> Disposition {
        self.see_siblings(index);
        let coupled = CoupledView { others: &self.siblings };
        let subflow = self.subflows.get_mut(index);
        subflow.map(|s| s.tcp.on_segment_coupled(now, segment, &coupled)).unwrap_or_default()
    }

    /// Runs the timers of the subflow at `index` that are due: a loss they find is answered with an eye on the others.
    pub(super) fn tcp_on_timeout(&mut self, now: Instant, index: usize) {
        let due = |at: Instant| at <= now;
        if !self.subflows.get(index).and_then(|s| s.tcp.poll_timeout()).is_some_and(due) {
            return;
        }
        self.see_siblings(index);
        let coupled = CoupledView { others: &self.siblings };
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.tcp.on_timeout_coupled(now, &coupled);
        }
    }

    /// Collects the subflows beside the one at `index` that carry data; the buffer is used again and again.
    fn see_siblings(&mut self, index: usize) {
        self.siblings.clear();
        if self.subflows.len() < 2 || !self.config.tcp.congestion.is_coupled() {
            return;
        }
        let others = self.subflows.iter().enumerate();
        let others = others.filter(|(i, s)| *i != index && s.phase == Phase::Active && !s.stale);
        self.siblings.extend(others.filter_map(|(_, s)| s.tcp.sibling_view()));
    }
}
