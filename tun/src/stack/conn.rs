//! What the driver keeps per connection beside the engine: who waits for it, and what happened to it.

use mpuser_engine::error::ConnectionError;
use mpuser_engine::time::Instant;
use mpuser_engine::{ConnectionInfo, Event};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use tokio::task::AbortHandle;

/// Tasks waiting for the same thing at most; more are woken to ask again.
const MAX_WAITERS: usize = 64;
/// Events kept for readers that are behind, per connection.
const MAX_EVENTS: usize = 256;

/// What has to wait until the lock is free, as it may run foreign code.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    pub(crate) wake: Vec<Waker>,
    /// Wakers nobody needs any more: dropping one may drop a task.
    pub(crate) discard: Vec<Waker>,
    pub(crate) abort: Vec<AbortHandle>,
}

impl Deferred {
    pub(crate) fn run(&mut self) {
        self.wake.drain(..).for_each(Waker::wake);
        self.discard.clear();
        self.abort.drain(..).for_each(|task| task.abort());
    }
}

/// Tasks waiting for one condition.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// The task that polled last: `poll_read` and its like promise to wake that one only.
    poller: Option<Waker>,
    /// Tasks in `readable().await` and its like: all are woken.
    all: Vec<Waker>,
}

impl Waiters {
    pub(crate) fn set_poller(&mut self, cx: &Context<'_>, deferred: &mut Deferred) {
        match &self.poller {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => deferred.discard.extend(self.poller.replace(cx.waker().clone())),
        }
    }

    pub(crate) fn add(&mut self, cx: &Context<'_>, deferred: &mut Deferred) {
        if self.all.iter().any(|waker| waker.will_wake(cx.waker())) {
            return;
        }
        if self.all.len() >= MAX_WAITERS {
            deferred.wake.append(&mut self.all);
        }
        self.all.push(cx.waker().clone());
    }

    pub(crate) fn wake(&mut self, deferred: &mut Deferred) {
        deferred.wake.extend(self.poller.take());
        deferred.wake.append(&mut self.all);
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The handshake is under way.
    Connecting,
    /// Data can flow.
    Established,
    /// It is over.
    Closed(Option<ConnectionError>),
}

/// Who has a connection in hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A listener; it waits to be accepted.
    Listener,
    /// The application has a stream.
    Application,
    /// Nobody any more: it closes in the background.
    Nobody,
}

/// The last events of a connection. Readers have a cursor each, so none is ever waited for.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    kept: VecDeque<(Instant, Event)>,
    /// Number of the first event kept.
    first: u64,
}

impl EventLog {
    fn push(&mut self, now: Instant, event: Event) {
        if self.kept.len() >= MAX_EVENTS {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back((now, event));
    }

    /// The event after `cursor` and how many were missed before it. Moves the cursor.
    pub(crate) fn next(&self, cursor: &mut u64) -> Option<(u64, Instant, Event)> {
        let missed = self.first.saturating_sub(*cursor);
        let position = (*cursor).max(self.first);
        let (at, event) = self.kept.get(usize::try_from(position - self.first).ok()?)?;
        *cursor = position + 1;
        Some((missed, *at, event.clone()))
    }
}

/// An [`EventLog`] with several holders. Its lock is taken last and for moments only.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLog(Arc<Mutex<EventLog>>);

impl SharedLog {
    pub(crate) fn lock(&self) -> MutexGuard<'_, EventLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection as the driver sees it.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) phase: Phase,
    /// The handshake was completed, whatever came after it.
    pub(crate) opened: bool,
    pub(crate) holder: Holder,
    /// A read may succeed. False after one would have blocked, until the engine says otherwise.
    pub(crate) readable: bool,
    /// Likewise for writing.
    pub(crate) writable: bool,
    pub(crate) readers: Waiters,
    pub(crate) writers: Waiters,
    pub(crate) watchers: Waiters,
    /// Shared with its readers, who may outlive the connection.
    pub(crate) log: SharedLog,
    /// How it looked when it ended.
    pub(crate) last: Option<Box<ConnectionInfo>>,
}

impl Conn {
    pub(crate) fn new(phase: Phase, holder: Holder) -> Self {
        Self {
            phase,
            opened: phase == Phase::Established,
            holder,
            readable: true,
            writable: true,
            readers: Waiters::default(),
            writers: Waiters::default(),
            watchers: Waiters::default(),
            log: SharedLog::default(),
            last: None,
        }
    }

    /// Takes in an event of the engine: readiness becomes a flag, the rest is kept for [`EventLog`]'s readers.
    pub(crate) fn on_event(&mut self, now: Instant, event: Event, deferred: &mut Deferred) {
        match &event {
            Event::Readable => {
                self.readable = true;
                self.readers.wake(deferred);
                return;
            }
            Event::Writable => {
                self.writable = true;
                self.writers.wake(deferred);
                return;
            }
            Event::Established { .. } => {
                self.phase = Phase::Established;
                self.opened = true;
                self.writers.wake(deferred);
            }
            Event::Closed(error) => {
                self.phase = Phase::Closed(*error);
                (self.readable, self.writable) = (true, true);
                self.readers.wake(deferred);
                self.writers.wake(deferred);
            }
            _ => {}
        }
        self.log.lock().push(now, event);
        self.watchers.wake(deferred);
    }

    /// Wakes everybody: the connection is forgotten.
    pub(crate) fn wake_all(&mut self, deferred: &mut Deferred) {
        self.readers.wake(deferred);
        self.writers.wake(deferred);
        self.watchers.wake(deferred);
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_poller_is_replaced_and_waiters_add_up() {
        let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
        let wakers: Vec<Waker> =
            counts.iter().map(|count| Waker::from(Arc::clone(count))).collect();
        let (mut waiters, mut deferred) = (Waiters::default(), Deferred::default());
        waiters.set_poller(&Context::from_waker(&wakers[0]), &mut deferred);
        waiters.set_poller(&Context::from_waker(&wakers[1]), &mut deferred);
        waiters.add(&Context::from_waker(&wakers[2]), &mut deferred);
        waiters.add(&Context::from_waker(&wakers[2]), &mut deferred);
        waiters.wake(&mut deferred);
        deferred.run();
        let woken: Vec<usize> = counts.iter().map(|c| c.0.load(Ordering::Relaxed)).collect();
        assert_eq!(woken, [0, 1, 1]);
        waiters.wake(&mut deferred);
        assert!(deferred.wake.is_empty());
    }

    #[test]
    fn waiters_are_bounded() {
        let (mut waiters, mut deferred) = (Waiters::default(), Deferred::default());
        for _ in 0..1000 {
            let waker = Waker::from(Arc::new(Count::default()));
            waiters.add(&Context::from_waker(&waker), &mut deferred);
        }
        assert!(waiters.all.len() <= MAX_WAITERS);
    }

    #[test]
    fn what_ends_right_behind_its_handshake_was_open() {
        let (mut conn, mut deferred) =
            (Conn::new(Phase::Connecting, Holder::Application), Deferred::default());
        assert!(!conn.opened);
        conn.on_event(Instant::ZERO, Event::Established { mptcp: true, token: 1 }, &mut deferred);
        conn.on_event(
            Instant::ZERO,
            Event::Closed(Some(ConnectionError::FastClosed)),
            &mut deferred,
        );
        assert!(conn.opened && conn.is_closed());
    }

    #[test]
    fn readers_of_events_lag_and_are_told() {
        let (mut conn, mut deferred) =
            (Conn::new(Phase::Connecting, Holder::Application), Deferred::default());
        let established = Event::Established { mptcp: true, token: 1 };
        conn.on_event(Instant::ZERO, established.clone(), &mut deferred);
        conn.on_event(Instant::ZERO, Event::Readable, &mut deferred);
        assert_eq!(conn.phase, Phase::Established);
        let mut cursor = 0;
        assert_eq!(conn.log.lock().next(&mut cursor), Some((0, Instant::ZERO, established)));
        assert_eq!(conn.log.lock().next(&mut cursor), None, "readiness is no logged event");
        for _ in 0..300 {
            conn.on_event(Instant::ZERO, Event::FullyEstablished, &mut deferred);
        }
        assert_eq!(conn.log.lock().kept.len(), MAX_EVENTS);
        let missed = conn.log.lock().next(&mut cursor).unwrap().0;
        assert_eq!(missed, 300 - MAX_EVENTS as u64);
        let mut seen = 1;
        while conn.log.lock().next(&mut cursor).is_some() {
            seen += 1;
        }
        assert_eq!(seen, MAX_EVENTS);
    }
}
