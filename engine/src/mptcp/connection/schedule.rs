//! The scheduler is asked, and its answers are checked before they are obeyed: whatever it says, the connection goes on.

use super::Connection;
use super::output::{longest_mapping, whole_segments};
use crate::addr::SubflowId;
use crate::config::SchedulerSpec;
use crate::counters::Counters;
use crate::event::Event;
use crate::mptcp::scheduler;
use crate::mptcp::send_queue::SendQueue;
use crate::mptcp::send_tuning::SHORT_RTT;
use crate::mptcp::subflow::{Phase, Subflow};
use crate::scheduling::{
    Action, Interest, Outstanding as _, Reinjection, Scheduler, SchedulerEvent, SchedulerInfo,
    SchedulerView, SubflowSet, SubflowSnapshot,
};
use crate::time::{Duration, Instant};
use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::ops::Range;

/// Answers taken in a row that send nothing; then the connection decides itself.
const MAX_IDLE_ACTIONS: u32 = 16;
/// Events kept for a scheduler that wants them; further ones are dropped.
const MAX_EVENTS: usize = 64;
/// Most bytes set aside at once.
const MAX_ASIDE: u64 = 64 << 20;
/// A timer is at least this far away: a scheduler cannot keep the clock from going on.
const MIN_DELAY: Duration = Duration::from_millis(1);
/// Super-segments in flight beside which less than one waits for more to be written.
const GATHER_IN_FLIGHT: u64 = 4;
/// Longest smoothed round-trip time of a path where it does: what a wait costs at most.
const GATHER_SRTT: Duration = SHORT_RTT;

/// The scheduler of a connection, and how the two get along.
#[derive(Debug)]
pub(super) struct Scheduling {
    scheduler: Box<dyn Scheduler>,
    interest: Interest,
    /// Kept for its memory only.
    snapshots: Vec<SubflowSnapshot>,
    events: Vec<SchedulerEvent>,
    info: SchedulerInfo,
    timer: Option<Instant>,
    wake: Option<Instant>,
    penalties: Vec<(SubflowId, Instant)>,
    /// The lowest reinjection left to the scheduler, and when the connection does it itself.
    left: Option<(u64, Patience)>,
    /// A wait with nothing in flight.
    idle: Option<Patience>,
}

/// How long the scheduler is let be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Until(Instant),
    Over,
}

impl Patience {
    const fn until(self) -> Option<Instant> {
        match self {
            Self::Until(at) => Some(at),
            Self::Over => None,
        }
    }

    fn on_time(self, now: Instant) -> Self {
        match self {
            Self::Until(at) if at > now => self,
            _ => Self::Over,
        }
    }
}

/// What became of an answer.
enum Outcome {
    /// Something was given to a subflow.
    Staged,
    /// Nothing was, and it may be asked again.
    Done,
    Refused,
    Wait,
}

impl Scheduling {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        let scheduler = scheduler::new(spec);
        Self {
            interest: scheduler.interest(),
            scheduler,
            snapshots: Vec::new(),
            events: Vec::new(),
            info: SchedulerInfo::default(),
            timer: None,
            wake: None,
            penalties: Vec::new(),
            left: None,
            idle: None,
        }
    }

    pub(super) fn info(&self) -> SchedulerInfo {
        SchedulerInfo { name: self.scheduler.name().to_owned(), ..self.info.clone() }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let left = self.left.and_then(|(_, patience)| patience.until());
        let idle = self.idle.and_then(Patience::until);
        [self.timer, self.wake, left, idle].into_iter().flatten().min()
    }

    /// What is due has come: the connection is about to be asked what it has to send, and asks in turn.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.timer) {
            self.timer = None;
            self.note(SchedulerEvent::Timer);
        }
        self.wake = self.wake.filter(|at| *at > now);
        self.left = self.left.map(|(start, patience)| (start, patience.on_time(now)));
        self.idle = self.idle.map(|patience| patience.on_time(now));
    }

    /// Tells the scheduler of an event, when it is asked next.
    pub(super) fn note(&mut self, event: SchedulerEvent) {
        if self.interest.events && self.events.len() < MAX_EVENTS {
            self.events.push(event);
        }
    }

    /// The scheduler gave up: the default takes over.
    fn replace(&mut self, fault: String) {
        self.scheduler = scheduler::new(&SchedulerSpec::default());
        self.interest = self.scheduler.interest();
        self.events.clear();
        (self.timer, self.wake, self.left) = (None, None, None);
        self.info.fault = Some(fault);
    }

    /// Reinjections are not the connection's business: the scheduler wants them and has not left them lying for
    /// `patience`.
    pub(super) fn takes_reinjection(
        &mut self,
        now: Instant,
        start: u64,
        patience: Duration,
    ) -> bool {
        if !self.interest.reinjections {
            return false;
        }
        match self.left {
            Some((before, patience)) if before == start => patience != Patience::Over,
            _ => {
                self.left = Some((start, Patience::Until(now + patience)));
                true
            }
        }
    }
}

impl Connection {
    /// Gives some subflow something, as the scheduler says; false when nothing was given.
    pub(super) fn fill_scheduled(&mut self, now: Instant, counters: &mut Counters) -> bool {
        let fresh = self.may_send_new(now);
        let interest = self.scheduling.interest;
        let settled = self.is_mptcp() && !self.exchange.is_active();
        let duplicates = interest.in_flight && settled && self.send.una() < self.send.nxt();
        let again = interest.reinjections && self.send.next_reinjection().is_some();
        if !fresh && !duplicates && !again {
            return false;
        }
        for subflow in self.subflows.iter_mut().filter(|s| fresh && s.phase == Phase::Active) {
            subflow.tcp.before_new_data(now);
        }
        let mut snapshots = mem::take(&mut self.scheduling.snapshots);
        self.take_snapshots(&mut snapshots);
        let staged = self.consult(now, &mut snapshots, fresh, counters);
        self.scheduling.snapshots = snapshots;
        if fresh && !staged {
            self.arm_probe(now);
        }
        staged
    }

    /// New data may go out, now.
    fn may_send_new(&mut self, now: Instant) -> bool {
        let unsent = self.send.unsent();
        if unsent == 0 || (self.keeps_to_one_mapping() && self.send.nxt() > 0) {
            return false;
        }
        if self.send.window() == 0 {
            self.arm_probe(now);
            return false;
        }
        if self.is_window_closed() {
            return false;
        }
        let hold = self.holds_short();
        !(self.waits_for_more(unsent) || (hold && unsent < self.least_mss()))
    }

    /// Octets that may go out now in segments of `mss`: all that is unsent, or all but a short segment at its end.
    pub(super) fn allowed_now(&self, mss: u64) -> usize {
        let unsent = self.send.unsent();
        let short = if unsent > mss && self.holds_short() { unsent % mss.max(1) } else { 0 };
        usize::try_from(unsent - short).unwrap_or(usize::MAX)
    }

    /// A short segment is not sent now (Nagle), nor is what is left before the application may write on: it is cut where
    /// there was no room, and the rest of the write is to fill the segment.
    pub(super) fn holds_short(&self) -> bool {
        let cut = self.cut_short && self.send.una() < self.send.nxt();
        self.config.nagle && (cut || !self.send.may_be_short()) && !self.close.is_requested()
    }

    /// The end of a write can wait for the next one and go with it: enough is in flight to keep the path busy, and its
    /// acknowledgements come before anybody notices. On a device that cuts super-segments a short one costs as much as
    /// a long one.
    fn waits_for_more(&self, unsent: u64) -> bool {
        let usable = || self.subflows.iter().filter(|s| s.is_usable());
        // 0: there is a subflow without super-segments
        let longest = usable().map(|s| u64::from(s.egress.max_payload)).min().unwrap_or_default();
        longest > 0
            && usable().map(|s| s.tcp.in_flight()).sum::<u64>() >= GATHER_IN_FLIGHT * longest
            && !self.close.is_requested()
            && usable().all(|s| s.tcp.srtt().is_some_and(|srtt| srtt <= GATHER_SRTT))
            // a super-segment is whole segments
            && unsent + self.least_mss() <= longest
    }

    /// Until the server confirms, one mapping may be out (K4).
    const fn keeps_to_one_mapping(&self) -> bool {
        self.client && !self.confirmed && self.config.behaviour.one_mapping_first
    }

    /// The peer's data-level window is why nothing new goes out.
    fn is_window_closed(&self) -> bool {
        let open = self.send.window() > 0 && self.send.window_is_worth(self.least_mss());
        self.send.unsent() > 0 && !open
    }

    fn least_mss(&self) -> u64 {
        let reserved = self.meta_view().reserved_options();
        let usable = self.subflows.iter().filter(|s| s.is_usable());
        usable.map(|s| u64::from(s.tcp.effective_mss(reserved))).min().unwrap_or_default()
    }

    fn take_snapshots(&self, snapshots: &mut Vec<SubflowSnapshot>) {
        let reserved = self.meta_view().reserved_options();
        snapshots.clear();
        let limit = self.config.send_buffer as u64;
        snapshots.extend(
            self.subflows.iter().filter(|s| s.is_usable()).map(|s| s.snapshot(reserved, limit)),
        );
        if snapshots.is_empty() {
            // Every subflow is suspect: better one of them than none.
            let active =
                self.subflows.iter().filter(|s| s.phase == Phase::Active && s.tcp.can_send());
            snapshots.extend(active.map(|s| s.snapshot(reserved, limit)));
        }
    }

    fn consult(
        &mut self,
        now: Instant,
        snapshots: &mut Vec<SubflowSnapshot>,
        fresh: bool,
        counters: &mut Counters,
    ) -> bool {
        let mut refused = false;
        for _ in 0..MAX_IDLE_ACTIONS {
            let scheduling = &mut self.scheduling;
            let view = view_of(now, snapshots, &self.send, fresh);
            for event in scheduling.events.drain(..) {
                scheduling.scheduler.on_event(&view, event);
            }
            scheduling.info.asked += 1;
            let action = scheduling.scheduler.schedule(&view);
            if let Some(fault) = scheduling.scheduler.take_fault() {
                scheduling.replace(fault.clone());
                self.emit(Event::SchedulerFailed(fault));
                continue;
            }
            match self.obey(now, action, snapshots, fresh, counters) {
                Outcome::Staged => {
                    self.scheduling.idle = None;
                    return true;
                }
                Outcome::Done => self.take_snapshots(snapshots),
                Outcome::Refused => {
                    self.scheduling.info.refused += 1;
                    counters.scheduler_refused += 1;
                    refused = true;
                    break;
                }
                Outcome::Wait => {
                    self.scheduling.info.waited += 1;
                    break;
                }
            }
        }
        fresh && self.decide_alone(now, snapshots, refused)
    }

    /// What the scheduler leaves undone although it must not be left undone.
    fn decide_alone(&mut self, now: Instant, snapshots: &[SubflowSnapshot], refused: bool) -> bool {
        let fastest = view_of(now, snapshots, &self.send, true).fastest_open().copied();
        if let Some(fastest) = fastest.filter(|_| refused) {
            return self.stage_new(now, &fastest, fastest.available).is_some();
        }
        // With nothing in flight nothing else would ever happen. A wait until some time is respected for a while.
        if self.send.una() < self.send.nxt() {
            self.scheduling.idle = None;
            return false;
        }
        if self.scheduling.wake.is_some() {
            let until = Patience::Until(now + self.interval());
            if *self.scheduling.idle.get_or_insert(until) != Patience::Over {
                return false;
            }
        }
        self.pick_idle(snapshots)
            .is_some_and(|idle| self.stage_new(now, &idle, u64::from(idle.mss)).is_some())
    }

    /// With nothing in flight something has to be staged, even where the peer's window is worth no segment: TCP
    /// sends it if it fits, and probes if it does not.
    fn pick_idle(&self, snapshots: &[SubflowSnapshot]) -> Option<SubflowSnapshot> {
        let silent = |s: &Subflow| s.tcp.in_flight() == 0 && s.tcp.unsent() == 0;
        let idle = |s: &&SubflowSnapshot| self.subflows.iter().any(|t| t.id == s.id && silent(t));
        let regular = snapshots.iter().find(|s| !s.backup && idle(s));
        regular.or_else(|| snapshots.iter().find(idle)).copied()
    }

    fn obey(
        &mut self,
        now: Instant,
        action: Action,
        snapshots: &[SubflowSnapshot],
        fresh: bool,
        counters: &mut Counters,
    ) -> Outcome {
        let known = |id: SubflowId| snapshots.iter().find(|s| s.id == id);
        let staged = match action {
            Action::Wait => return Outcome::Wait,
            Action::WaitUntil(at) => {
                self.scheduling.wake = Some(at.max(now + MIN_DELAY));
                return Outcome::Wait;
            }
            Action::SetTimer(at) => {
                self.scheduling.timer = Some(at.max(now + MIN_DELAY));
                return Outcome::Done;
            }
            Action::Penalise { subflow, factor } => {
                let allowed =
                    known(subflow).is_some() && self.penalise(now, subflow, factor, snapshots);
                return if allowed { Outcome::Done } else { Outcome::Refused };
            }
            Action::SetAside { len } => {
                let allowed = fresh && self.scheduling.interest.reinjections && snapshots.len() > 1;
                let len = len.min(self.send.window()).min(MAX_ASIDE);
                let aside = if allowed { self.send.set_aside(len) } else { 0 };
                return if aside > 0 { Outcome::Done } else { Outcome::Refused };
            }
            Action::Send { subflow, len } if fresh => known(subflow)
                .and_then(|s| self.stage_new(now, s, len))
                .map(|range| (subflow, range)),
            Action::Send { .. } => None,
            Action::Duplicate { subflow, range } => {
                known(subflow).and_then(|s| self.duplicate(s, range)).map(|range| (subflow, range))
            }
            Action::Reinject { subflow, range } => known(subflow)
                .and_then(|s| self.reinject(now, s, range, counters))
                .map(|range| (subflow, range)),
        };
        let Some((subflow, range)) = staged else { return Outcome::Refused };
        self.scheduling.scheduler.on_staged(subflow, range);
        if self.timers.retransmit.is_none() {
            self.restart_retransmit(now);
        }
        Outcome::Staged
    }

    /// Gives the next new octets to `target`, at most `len`.
    fn stage_new(
        &mut self,
        now: Instant,
        target: &SubflowSnapshot,
        len: u64,
    ) -> Option<Range<u64>> {
        let meta = self.meta_view();
        let mss = target.segment();
        let room = target.available.max(target.queue_room).min(self.send.window());
        // A segment at least, unless the application's write ends before.
        let to_boundary =
            self.send.boundary_after(self.send.nxt()).map(|end| end - self.send.nxt());
        let least = mss.min(self.send.unsent()).min(to_boundary.unwrap_or(u64::MAX)).min(room);
        // MP_CAPABLE maps its own segment and no more.
        let longest = longest_mapping(self.subflows.iter().find(|s| s.id == target.id)?, mss);
        let most = if meta.client && !meta.confirmed { mss } else { longest };
        let len = if len == 0 { 0 } else { len.max(least).min(room).min(most) };
        if len == 0 {
            return None;
        }
        let len = whole_segments(len, mss).min(self.allowed_now(mss));
        let subflow = self.subflows.iter_mut().find(|s| s.id == target.id)?;
        let (offset, payload) = self.send.take_new(len, target.mss as usize)?;
        let range = offset..offset + payload.len() as u64;
        if !(range.end - range.start).is_multiple_of(mss) {
            self.send.was_short();
        }
        self.bytes_sent += payload.len() as u64;
        self.last.data_sent = Some(now);
        subflow.stage(offset, payload, &meta);
        self.send.carried(range.clone(), target.set);
        if self.is_window_closed() {
            self.scheduling.note(SchedulerEvent::WindowClosed);
        }
        if self.timers.retransmit.is_none() {
            self.restart_retransmit(now);
        }
        Some(range)
    }

    /// Gives octets in flight to `target` as well, at least a segment of them if there are so many.
    fn duplicate(&mut self, target: &SubflowSnapshot, range: Range<u64>) -> Option<Range<u64>> {
        if !self.is_mptcp() || self.exchange.is_active() || range.is_empty() {
            return None;
        }
        let found = self.send.in_flight_at(range.start)?;
        if found.is_on(target) || found.range.start > range.start {
            return None;
        }
        let end = range.end.max(range.start.saturating_add(target.segment())).min(found.range.end);
        let staged = self.stage_again(target, range.start..end)?;
        self.scheduling.info.duplicated += staged.end - staged.start;
        if self.is_window_closed() {
            self.scheduling.note(SchedulerEvent::ReceiveBufferRetransmission(target.id));
        }
        Some(staged)
    }

    /// Does a reinjection that waits.
    fn reinject(
        &mut self,
        now: Instant,
        target: &SubflowSnapshot,
        range: Range<u64>,
        counters: &mut Counters,
    ) -> Option<Range<u64>> {
        let waiting = self.send.reinjection_at(range.start)?;
        if waiting.range.start > range.start || range.is_empty() {
            return None;
        }
        let staged = self.stage_again(target, range.start..range.end.min(waiting.range.end))?;
        self.send.reinjected_range(staged.clone());
        self.count_reinjection(now, waiting.origin, staged.end - staged.start, counters);
        Some(staged)
    }

    /// What was set aside goes out for the first time.
    pub(super) fn count_reinjection(
        &mut self,
        now: Instant,
        origin: SubflowId,
        len: u64,
        counters: &mut Counters,
    ) {
        if origin == Reinjection::SET_ASIDE {
            self.bytes_sent += len;
            self.last.data_sent = Some(now);
        } else {
            counters.mptcp_retrans += 1;
            self.bytes_retrans += len;
        }
    }

    fn stage_again(&mut self, target: &SubflowSnapshot, range: Range<u64>) -> Option<Range<u64>> {
        let meta = self.meta_view();
        let subflow = self.subflows.iter_mut().find(|s| s.id == target.id)?;
        let most = longest_mapping(subflow, target.segment());
        let room = target.available.max(target.queue_room).min(most);
        let len = usize::try_from((range.end - range.start).min(room)).unwrap_or(0);
        let payload = self.send.sent_run(range.start, len)?;
        let staged = range.start..range.start + payload.len() as u64;
        self.remapped = true;
        subflow.stage(staged.start, payload, &meta);
        self.send.carried(staged.clone(), target.set);
        Some(staged)
    }

    /// Each subflow once in the shortest smoothed RTT at most.
    fn penalise(
        &mut self,
        now: Instant,
        id: SubflowId,
        factor: f64,
        snapshots: &[SubflowSnapshot],
    ) -> bool {
        let pause =
            snapshots.iter().filter_map(|s| s.srtt).min().unwrap_or_default().max(MIN_DELAY);
        let penalties = &mut self.scheduling.penalties;
        penalties.retain(|(_, at)| now < *at + pause);
        let soon = penalties.iter().any(|(who, _)| *who == id);
        let subflow = self.subflows.iter_mut().find(|s| s.id == id);
        let Some(subflow) = subflow.filter(|_| !soon && (0.1..=1.0).contains(&factor)) else {
            return false;
        };
        subflow.tcp.penalise(factor);
        penalties.push((id, now));
        self.scheduling.info.penalised += 1;
        true
    }

    /// The subflows that can carry data, but for the one at `index`.
    pub(super) fn usable_beside(&self, index: usize) -> SubflowSet {
        let others = self.subflows.iter().enumerate().filter(|(i, s)| *i != index && s.is_usable());
        SubflowSet::of_all(others.map(|(_, s)| s.id))
    }
}

fn view_of<'a>(
    now: Instant,
    subflows: &'a [SubflowSnapshot],
    send: &'a SendQueue,
    fresh: bool,
) -> SchedulerView<'a> {
    SchedulerView {
        now,
        subflows,
        unsent: send.unsent(),
        window: if fresh { send.window() } else { 0 },
        una: send.una(),
        nxt: send.nxt(),
        window_end: send.nxt() + send.window(),
        send_buffer: send.most(),
        queues: send,
    }
}
