//! What a scheduler is: what it sees, what it is told, what it may answer. The vocabulary only; the schedulers
//! themselves are in `mptcp/scheduler`, and others may come from outside of this crate.

mod view;

use crate::addr::SubflowId;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ops::Range;
pub use view::{InFlight, LossState, Outstanding, SchedulerView, SubflowSet, SubflowSnapshot};

/// An answer. The connection checks it before it obeys; what it refuses is counted, and the connection then does what
/// `minrtt` would do.
///
/// After an action the scheduler is asked again, until it answers [`Self::Wait`] or [`Self::WaitUntil`], or nothing can
/// be sent any more. Of the actions that send nothing, only a few are taken in a row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Give the next new bytes to this subflow, at most `len`. The connection may take less: whole segments, up to 16 of
    /// them at a time. Beyond [`SubflowSnapshot::available`] they wait in the subflow's queue, as far as
    /// [`SubflowSnapshot::queue_room`] goes. Less than a segment is rounded up to one, unless that would cross the end
    /// of a write.
    Send {
        /// Which one.
        subflow: SubflowId,
        /// At most this many bytes.
        len: u64,
    },
    /// Give bytes that are in flight to this subflow as well. Refused if it carries them already: its own TCP repeats
    /// what it loses.
    Duplicate {
        /// Which one.
        subflow: SubflowId,
        /// Data offsets; may be cut at the end.
        range: Range<u64>,
    },
    /// Give bytes that wait for reinjection ([`SchedulerView::reinjections`]) to this subflow.
    Reinject {
        /// Which one.
        subflow: SubflowId,
        /// Data offsets; may be cut at the end.
        range: Range<u64>,
    },
    /// Pass over the next new bytes, at most `len`: they wait as a reinjection of [`Reinjection::SET_ASIDE`], to be sent by
    /// [`Self::Reinject`] in any order. For those who leave reinjections to themselves ([`Interest::reinjections`]), with
    /// two subflows at least.
    SetAside {
        /// At most this many bytes.
        len: u64,
    },
    /// Multiply this subflow's congestion window by `factor`, between 0.1 and 1, at most once in its smoothed RTT.
    /// Outside of slow start its threshold is multiplied, too.
    Penalise {
        /// Which one.
        subflow: SubflowId,
        /// What remains of the window.
        factor: f64,
    },
    /// Have [`SchedulerEvent::Timer`] come at this time; an earlier wish is replaced.
    SetTimer(Instant),
    /// Send nothing until something changes.
    Wait,
    /// Send nothing until something changes, or until this time.
    WaitUntil(Instant),
}

/// Something happened since the scheduler was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchedulerEvent {
    /// A subflow's peer acknowledged something new, at subflow level.
    Ack {
        /// Which one.
        subflow: SubflowId,
        /// Bytes acknowledged.
        bytes: u64,
    },
    /// The peer acknowledged data: everything below `una`.
    DataAck {
        /// Data offset.
        una: u64,
    },
    /// A subflow's TCP found something lost and repairs it.
    Loss(SubflowId),
    /// A subflow's retransmission timer expired.
    RetransmissionTimeout(SubflowId),
    /// The data-level window is used up while there is more to send.
    WindowClosed,
    /// The application wrote this much.
    Written(u64),
    /// A subflow may carry data from now on.
    PathAdded(SubflowId),
    /// A subflow is gone.
    PathRemoved(SubflowId),
    /// A subflow became a backup or ceased to be one, became stale or recovered.
    PathChanged(SubflowId),
    /// A duplicate went out because the receiver's buffer was what held the connection up (opportunistic
    /// retransmission).
    ReceiveBufferRetransmission(SubflowId),
    /// The time set by [`Action::SetTimer`] has come.
    Timer,
}

impl Reinjection {
    /// The origin of bytes that were on no subflow so far.
    pub const SET_ASIDE: SubflowId = SubflowId(u32::MAX);
}

/// What a scheduler wants to be asked and told beyond the usual: new bytes wait, and the window is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Ask, too, while nothing new may be sent but something is in flight: it may duplicate.
    pub in_flight: bool,
    /// Tell what happened, by [`Scheduler::on_event`].
    pub events: bool,
    /// Leave reinjections to it. Those it leaves lying for a retransmission timeout are done for it.
    pub reinjections: bool,
}

/// A range that has to go over another subflow than the one that carries it without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reinjection {
    /// Data offsets.
    pub range: Range<u64>,
    /// The subflow that carries it without success.
    pub origin: SubflowId,
}

/// A scheduling policy: which subflow carries what, decided from a read-only view. It may keep memory of its own, and
/// has no other effect than its answers.
///
/// The same object runs in the simulator and over TUN devices. It has no clock and no randomness of its own.
///
/// The least it takes:
///
/// ```
/// use mpuser_engine::scheduling::{Action, Scheduler, SchedulerView};
///
/// /// The subflow with the largest congestion window.
/// #[derive(Debug)]
/// struct Widest;
///
/// impl Scheduler for Widest {
///     fn name(&self) -> &str {
///         "widest"
///     }
///
///     fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
///         match view.candidates().max_by_key(|s| s.cwnd) {
///             Some(s) => Action::Send { subflow: s.id, len: s.available },
///             None => Action::Wait,
///         }
///     }
/// }
/// ```
pub trait Scheduler: fmt::Debug + Send {
    /// Its name, as `--sched` takes it.
    fn name(&self) -> &str;

    /// Says what goes where next.
    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action;

    /// What it wants to be asked and told beyond the usual. Read once.
    fn interest(&self) -> Interest {
        Interest::default()
    }

    /// Something happened; told before the next [`Self::schedule`], and only to those who asked for it.
    fn on_event(&mut self, view: &SchedulerView<'_>, event: SchedulerEvent) {
        let _ = (view, event);
    }

    /// What became of the last [`Action::Send`], [`Action::Duplicate`] or [`Action::Reinject`]: these bytes were given to
    /// `subflow`.
    fn on_staged(&mut self, subflow: SubflowId, range: Range<u64>) {
        let _ = (subflow, range);
    }

    /// The scheduler cannot go on, and why; asked after each answer. The connection tells the application and goes on
    /// with `minrtt`.
    fn take_fault(&mut self) -> Option<String> {
        None
    }
}

/// Makes one scheduler for each connection.
pub trait SchedulerFactory: fmt::Debug + Send + Sync {
    /// The name shown for it.
    fn name(&self) -> &str;

    /// A scheduler for a new connection.
    fn build(&self) -> Box<dyn Scheduler>;
}

/// How a connection and its scheduler get along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulerInfo {
    /// The scheduler in use.
    pub name: String,
    /// Times it was asked.
    pub asked: u64,
    /// Times it answered that nothing should be sent.
    pub waited: u64,
    /// Answers refused: an unknown subflow, no room, bytes that are not there.
    pub refused: u64,
    /// Bytes in flight that it gave to a second subflow.
    pub duplicated: u64,
    /// Windows it had reduced.
    pub penalised: u64,
    /// Why it was replaced by `minrtt`, if it was.
    pub fault: Option<String>,
}
