//! How large the two buffers are: what `receive_tuning` and `send_tuning` have to know is gathered here.

use super::Connection;
use crate::config::ConnectionConfig;
use crate::mptcp::receive_tuning::{LongestRtt, ReceiveTuning};
use crate::mptcp::send_queue::SendQueue;
use crate::mptcp::send_tuning::{self, Carrier};
use crate::mptcp::subflow::{Phase, Subflow};
use crate::time::{Duration, Instant};

/// How long a send queue with nothing in it keeps its memory: one that is empty now and then while much is written would
/// get fresh pages each time, which cost more than what is written to them.
const LINGER: Duration = Duration::from_millis(10);

/// The memory of an empty send queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Linger {
    /// When it became empty last.
    since: Instant,
    /// When to look whether it still is.
    pub(super) due: Option<Instant>,
}

/// An empty send queue with these settings.
pub(super) fn send_queue(config: &ConnectionConfig) -> SendQueue {
    // [SND-5]: smaller than what the peer may be told to send, it would be the bottleneck of both.
    let most = config.send_buffer.max(config.receive_buffer);
    let fixed = config.initial_send_buffer >= config.send_buffer;
    let initial = if fixed { most } else { config.initial_send_buffer };
    SendQueue::new(initial).growing_to(most)
}

/// The size of a receive buffer with these settings.
pub(super) fn receive_tuning(config: &ConnectionConfig) -> ReceiveTuning {
    let initial = config.first_receive_buffer();
    let most = if config.moderate_receive_buffer { config.receive_buffer } else { initial };
    ReceiveTuning::new(initial, most)
}

impl Connection {
    /// A segment may tell a window now.
    pub(super) fn tune_receive(&mut self, now: Instant) {
        let subflows = &mut self.subflows;
        let grown = self.tuning.on_progress(now, self.recv.progress(), || longest_rtt(subflows));
        if let Some(capacity) = grown {
            self.recv.grow(capacity);
        }
    }

    /// More may be written if the subflows carry so much.
    pub(super) fn tune_send(&mut self) {
        if self.send.wants_room() {
            self.send.grow(send_tuning::wanted(self.subflows.iter().filter_map(carrier)));
        }
    }

    /// Data were acknowledged. If there are no others, the memory for them goes soon.
    pub(super) fn note_drained(&mut self, now: Instant) {
        if self.send.is_drained() {
            self.linger.since = now;
            self.linger.due.get_or_insert(now + LINGER);
        }
    }

    /// It is time to look whether it may go.
    pub(super) fn on_linger(&mut self, now: Instant) {
        let end = self.linger.since + LINGER;
        self.linger.due = Some(end).filter(|end| *end > now && self.send.is_drained());
        if self.linger.due.is_none() {
            self.send.release();
        }
    }

    /// All there was to send is on its way, but for a piece that waits for more; the application would write it, and
    /// subflows could carry it: what waits for a Data ACK, behind a hole, takes all the room. There is as much more as they
    /// could carry, twice, and half of what there was at least: not a segment at a time.
    pub(super) fn widen_if_full(&mut self) {
        if !self.write_blocked || self.send.window() == 0 || !self.send.wants_room() {
            return;
        }
        let usable = || self.subflows.iter().filter(|s| s.is_usable());
        let open: u64 = usable().map(|s| s.tcp.available()).sum();
        let piece = |s: &Subflow| u64::from(s.egress.max_payload.max(s.tcp.effective_mss(0)));
        if open > 0 && usable().map(piece).max().is_some_and(|longest| self.send.unsent() < longest)
        {
            let more = open.saturating_mul(2).max(self.send.capacity() / 2);
            let wanted = self.send.capacity().saturating_add(more);
            let most = send_tuning::most(self.subflows.iter().filter_map(|s| s.tcp.min_rtt()));
            self.send.grow(wanted.min(most as u64));
            self.on_room();
        }
    }
}

fn carrier(subflow: &Subflow) -> Option<Carrier> {
    let srtt = subflow.tcp.srtt().filter(|_| subflow.is_usable())?;
    let min_rtt = subflow.tcp.min_rtt().unwrap_or(srtt);
    let super_segment = u64::from(subflow.egress.max_payload);
    Some(Carrier { cwnd: subflow.tcp.cwnd(), srtt, min_rtt, super_segment })
}

fn longest_rtt(subflows: &mut [Subflow]) -> LongestRtt {
    let mut longest = LongestRtt::default();
    for subflow in subflows.iter_mut().filter(|s| s.phase == Phase::Active) {
        longest.echoed = longest.echoed.max(subflow.tcp.settle_receiver_rtt());
        longest.sent = longest.sent.max(subflow.tcp.srtt());
        longest.least = longest.least.max(subflow.tcp.min_rtt());
    }
    longest
}
