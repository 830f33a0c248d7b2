//! A path that owes data and says nothing is left: the peer is told on another one, and sends what was on it there at once.
//! Who sends finds out by its retransmission timer only, and may not know that the way to the receiver is what broke.

use super::Connection;
use crate::counters::Counters;
use crate::error::ResetReason;
use crate::mptcp::debtor::{Deliveries, SUPER_SEGMENT};
use crate::mptcp::retry::Retries;
use crate::mptcp::subflow::{Phase, Subflow};
use crate::time::{Duration, Instant};

/// Round-trip time of a subflow of which none was ever measured.
const UNKNOWN_RTT: Duration = Duration::from_secs(1);

impl Connection {
    /// Data came that others are missing before. Only who opens subflows can open them again.
    pub(super) fn on_hole(&mut self, now: Instant) {
        if self.config.behaviour.leave_silent_paths && self.client && self.subflows.len() > 1 {
            self.watch.on_hole(now);
        }
    }

    /// Time to look who owes what is missing.
    pub(super) fn on_overdue(&mut self, now: Instant, counters: &mut Counters) {
        if !self.recv.has_gap() || !self.has_paths() {
            return self.watch.end();
        }
        let missing = self.recv.received();
        let used_up = self.recv.room_told() < SUPER_SEGMENT;
        for subflow in &mut self.subflows {
            subflow.tcp.settle_receiver_rtt();
        }
        let retries = &self.retries;
        let active = self.subflows.iter().enumerate().filter(|(_, s)| s.phase == Phase::Active);
        let deliveries = active.map(|(index, s)| (index, deliveries(s, retries)));
        if let Some(index) = self.watch.look(now, (missing, used_up), deliveries) {
            self.leave_silent(now, index, counters);
        }
    }

    /// Leaves the path of the subflow at `index`, unless its identifier stands for others as well. RFC 8684 3.4.2 lets a host
    /// say of an address that works that it should not be used any longer.
    fn leave_silent(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        let others = self.has_usable_beside(index);
        let Some(subflow) = self.subflows.get(index).filter(|_| others) else { return };
        let (id, tuple) = (subflow.local_id, subflow.tuple);
        let shared = self.subflows.iter().filter(|s| s.is_alive() && s.local_id == id).count() > 1;
        // A stream ends when its carrier says so.
        if shared || subflow.tcp.is_carried() || self.paths.has_told(id) {
            return;
        }
        let rest = self.subflows.iter().map(|s| s.tcp.rto()).max().unwrap_or(UNKNOWN_RTT);
        counters.rm_subflow += 1;
        self.retries.on_left(now, tuple.local.ip(), tuple.remote, rest);
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.reset(ResetReason::UnacceptablePerformance);
        }
        self.withdraw(&[id]);
    }
}

fn deliveries(subflow: &Subflow, retries: &Retries) -> Deliveries {
    let tcp = &subflow.tcp;
    let rtt = tcp.receiver_rtt().max(tcp.srtt()).unwrap_or(UNKNOWN_RTT);
    let heard = tcp.last_received_at();
    let window = subflow.told.map_or(0, |(_, window)| window);
    let left = retries.times_left(subflow.tuple.local.ip(), subflow.tuple.remote);
    Deliveries {
        reached: subflow.reached,
        octets: tcp.bytes_received(),
        heard,
        patience: subflow.rhythm.patience(rtt, (heard, window), left),
    }
}
