//! When the receiver's buffer holds a connection up (NSDI'12 4.2): the oldest bytes go out on a faster subflow as well
//! (opportunistic retransmission, M1), and the one that holds them is slowed down (penalisation, M2).

use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, InFlight, LossState, SchedulerView, SubflowSnapshot};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Windows of at most this many segments are slow enough for M1 whatever their RTT (v0.9x kernels).
const SMALL_WINDOW: u64 = 4;

/// M1 and M2 beside a scheduler of one's own.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    opportunistic: bool,
    penalise: bool,
    /// How many times faster the free subflow has to be for M1. The kernels say 4, the paper does not.
    ratio: f64,
    /// Every slower carrier is slowed down, not only the first.
    all: bool,
    penalties: Vec<(SubflowId, Instant)>,
}

impl ReceiveBuffer {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        Self {
            opportunistic: spec.switch("opportunistic"),
            penalise: spec.switch("penalise"),
            ratio: spec.number("ratio").max(1.0),
            all: false,
            penalties: Vec::new(),
        }
    }

    pub(super) fn of_all_carriers(self) -> Self {
        Self { all: true, ..self }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.opportunistic || self.penalise
    }

    /// What there is to do when nothing new can be sent.
    pub(super) fn action(&mut self, view: &SchedulerView<'_>) -> Option<Action> {
        if !self.is_on() {
            return None;
        }
        let free =
            view.regular().filter(|s| s.is_open(u64::MAX)).min_by_key(|s| (s.rtt(), s.id))?;
        // less than a segment is left for new data: it is not sent by itself
        let closed = view.unsent > 0 && view.window_end < view.nxt + free.segment();
        if !(closed || is_full(view)) {
            return None;
        }
        let oldest = view.queues.in_flight_at(view.una)?;
        let slow = |s: &&SubflowSnapshot| s.id != free.id && oldest.is_on(s);
        let first = view.subflows.iter().find(slow);
        if self.penalise {
            let penalised = view.subflows.iter().filter(slow).find(|s| {
                (self.all || first.is_some_and(|f| f.id == s.id))
                    && self.deserves(view.now, free, s)
            });
            if let Some(slow) = penalised {
                self.penalties.push((slow.id, view.now));
                return Some(Action::Penalise { subflow: slow.id, factor: 0.5 });
            }
        }
        self.retransmission(&oldest, free, first?)
    }

    fn deserves(&mut self, now: Instant, free: &SubflowSnapshot, slow: &SubflowSnapshot) -> bool {
        let pause = free.srtt.unwrap_or_default().max(Duration::from_millis(1));
        self.penalties.retain(|(_, at)| now < *at + pause);
        let again = self.penalties.iter().any(|(id, _)| *id == slow.id);
        !again && free.rtt() < slow.rtt() && slow.loss == LossState::Open
    }

    fn retransmission(
        &self,
        oldest: &InFlight,
        free: &SubflowSnapshot,
        slow: &SubflowSnapshot,
    ) -> Option<Action> {
        let faster = free.rtt().as_secs_f64() * self.ratio < slow.rtt().as_secs_f64();
        let worth = slow.window_segments() <= SMALL_WINDOW || faster;
        (self.opportunistic && worth && !oldest.is_on(free))
            .then(|| Action::Duplicate { subflow: free.id, range: oldest.range.clone() })
    }
}

/// The application waits for what is in flight to be acknowledged; a last piece that Nagle holds back may lie there. It
/// is not woken for every segment: Linux keeps it waiting (SOCK_NOSPACE) until a third of the buffer is free.
const fn is_full(view: &SchedulerView<'_>) -> bool {
    3 * (view.nxt - view.una) >= 2 * view.send_buffer
}
