//! The engine with its devices, under one lock, and the pump that moves packets and events out of it.

use super::capture::Capture;
use super::conn::{Conn, Deferred, Holder, Phase, Waiters};
use super::path::Path;
use super::view::Multipath;
use crate::carrier::{HostPort, PathNote};
use crate::control::Feed;
use crate::device::Received;
use mpuser_engine::addr::{ConnectionId, InterfaceId, ListenerId};
use mpuser_engine::time::Instant;
use mpuser_engine::wire::Segments;
use mpuser_engine::{ConnectionInfo, Event, Transmit};
use mpuser_record::Recorded;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

/// Packets sent per hold of the lock; the rest follows from the driver task.
pub(crate) const SEND_BATCH: usize = 64;
/// Notes kept for readers that are behind.
const MAX_NOTES: usize = 64;
/// Connections with events that nobody has accepted; the log of the oldest is forgotten beyond.
const MAX_UNACCEPTED: usize = 4096;

/// Everything behind the stack's lock.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) endpoint: Recorded,
    pub(crate) paths: Vec<Arc<Path>>,
    pub(crate) conns: BTreeMap<ConnectionId, Conn>,
    pub(crate) acceptors: BTreeMap<ListenerId, Waiters>,
    /// Who waits for requests, by the interface they come in by.
    pub(crate) interceptors: BTreeMap<InterfaceId, Waiters>,
    pub(crate) capture: Option<Capture>,
    /// Tasks in `shutdown`.
    pub(crate) idle: Waiters,
    pub(crate) deferred: Deferred,
    /// When the timer task will wake by itself.
    pub(crate) armed: Option<Instant>,
    /// There was more to send than one batch.
    pub(crate) more_to_send: bool,
    /// No handle on the stack is left: ends with its last connection.
    pub(crate) released: bool,
    /// Somebody waits for the end of all connections.
    pub(crate) ending: bool,
    /// Over: tasks are gone, devices no longer served.
    pub(crate) stopped: bool,
    pub(crate) tasks: Vec<AbortHandle>,
    /// What an operator said of interfaces; the others are on.
    pub(crate) multipath: BTreeMap<String, Multipath>,
    /// What happens, for whoever watches the stack as a whole.
    pub(crate) feed: Feed,
    /// The server streams are to lead to, where nobody says another.
    pub(crate) server: Option<HostPort>,
    /// What is the matter with paths.
    pub(crate) notes: broadcast::Sender<PathNote>,
    unaccepted: usize,
    headers: Vec<u8>,
}

impl Inner {
    pub(crate) fn new(endpoint: Recorded, capture: Option<Capture>) -> Self {
        Self {
            endpoint,
            paths: Vec::new(),
            conns: BTreeMap::new(),
            acceptors: BTreeMap::new(),
            interceptors: BTreeMap::new(),
            capture,
            idle: Waiters::default(),
            deferred: Deferred::default(),
            armed: None,
            more_to_send: false,
            released: false,
            ending: false,
            stopped: false,
            tasks: Vec::new(),
            multipath: BTreeMap::new(),
            feed: Feed::default(),
            server: None,
            notes: broadcast::Sender::new(MAX_NOTES),
            unaccepted: 0,
            headers: Vec::with_capacity(256),
        }
    }

    /// Takes in a packet a device received.
    pub(crate) fn receive(&mut self, now: Instant, interface: InterfaceId, received: Received) {
        if let Some(capture) = &mut self.capture {
            capture.received(now, interface, &received);
        }
        let Received { packet, checksum_verified, .. } = received;
        self.endpoint.handle_received(now, interface, packet, checksum_verified);
    }

    /// Sends what the engine wants to send, up to one batch, and passes on its events.
    pub(crate) fn pump(&mut self, now: Instant) {
        if self.stopped {
            return;
        }
        self.more_to_send = true;
        for _ in 0..SEND_BATCH {
            let Some(transmit) = self.endpoint.poll_transmit(now, &mut self.headers) else {
                self.more_to_send = false;
                break;
            };
            self.transmit(now, &transmit);
        }
        while let Some((id, event)) = self.endpoint.poll_event() {
            self.dispatch(now, id, event);
        }
        for (interface, waiters) in &mut self.interceptors {
            if self.endpoint.requests(*interface) > 0 {
                waiters.wake(&mut self.deferred);
            }
        }
        if self.ending && self.is_over() {
            self.idle.wake(&mut self.deferred);
            if self.released {
                self.stop();
            }
        }
    }

    /// No connection is left, and no subflow that has an end to tell or to hear of.
    pub(crate) fn is_over(&self) -> bool {
        self.conns.is_empty() && self.endpoint.is_quiet()
    }

    fn transmit(&mut self, now: Instant, transmit: &Transmit) {
        let Some(path) = self.paths.get(usize::from(transmit.interface.0)) else { return };
        let (capture, endpoint) = (&mut self.capture, &self.endpoint);
        // A refused packet is lost, which the protocol is made for; a queue here would only hide the loss.
        let mut note = |headers: &[u8], payload: &[u8], refused| {
            if let Some(capture) = capture {
                let packet = (headers, payload);
                capture.sent(now, path, packet, transmit, refused, |id| endpoint.info(id));
            }
        };
        let (headers, payload) = (&self.headers, &transmit.payload);
        let cut = path.carriage.is_cut_before();
        let pieces = cut.then(|| Segments::new(headers, payload, transmit.segment_size)).flatten();
        let Some(mut pieces) = pieces else {
            return note(headers, payload, path.send(now, headers, transmit));
        };
        while let Some((headers, payload)) = pieces.next_packet() {
            note(headers, payload, path.send_piece(now, headers, payload));
        }
    }

    fn dispatch(&mut self, now: Instant, id: ConnectionId, event: Event) {
        if let Event::SubflowClosed { tuple, .. } = &event {
            self.close_stream(tuple);
        }
        if !self.conns.contains_key(&id) {
            // The last words of a connection that was forgotten already, or it would come back as a new one.
            if !matches!(event, Event::Established { .. }) {
                return;
            }
            self.forget_unaccepted();
            // Not from `connect`, so from a listener: it may wait to be accepted.
            self.conns.insert(id, Conn::new(Phase::Connecting, Holder::Listener));
            self.unaccepted += 1;
        }
        self.feed.tell(now, &event, || self.endpoint.info(id));
        let closed = matches!(event, Event::Closed(_));
        let established = matches!(event, Event::Established { .. });
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.on_event(now, event, &mut self.deferred);
        if established && conn.holder == Holder::Listener {
            // The engine knows which listener; there are few, and a task woken in vain asks and sleeps.
            self.acceptors.values_mut().for_each(|waiters| waiters.wake(&mut self.deferred));
        }
        if closed {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.last = self.endpoint.info(id).map(Box::new).or(conn.last.take());
            }
            self.forget_if_over(id);
        }
    }

    /// Keeps the number of connections that nobody accepted within bounds.
    fn forget_unaccepted(&mut self) {
        if self.unaccepted >= MAX_UNACCEPTED {
            let waiting = |(_, conn): &(&ConnectionId, &Conn)| conn.holder == Holder::Listener;
            let oldest = self.conns.iter().find(waiting).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.remove(id);
            }
        }
    }

    /// The application takes a connection from a listener.
    pub(crate) fn adopt(&mut self, id: ConnectionId) {
        match self.conns.get_mut(&id) {
            Some(conn) if conn.holder == Holder::Listener => {
                conn.holder = Holder::Application;
                self.unaccepted = self.unaccepted.saturating_sub(1);
            }
            Some(_) => {}
            None => {
                self.conns.insert(id, Conn::new(Phase::Established, Holder::Application));
            }
        }
    }

    /// The application is done with a connection: it closes in the background.
    pub(crate) fn disown(&mut self, now: Instant, id: ConnectionId) {
        self.endpoint.close(now, id);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.holder = Holder::Nobody;
        }
        self.forget_if_over(id);
    }

    /// Forgets a connection that is over and that nobody holds.
    fn forget_if_over(&mut self, id: ConnectionId) {
        let over = match self.conns.get(&id) {
            Some(conn) => match conn.holder {
                Holder::Application => false,
                Holder::Nobody => conn.is_closed() || self.endpoint.info(id).is_none(),
                // Data that came before the end can still be accepted and read.
                Holder::Listener => self.endpoint.info(id).is_none(),
            },
            None => false,
        };
        if over {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        if let Some(mut conn) = self.conns.remove(&id) {
            if conn.holder == Holder::Listener {
                self.unaccepted = self.unaccepted.saturating_sub(1);
            }
            conn.wake_all(&mut self.deferred);
        }
        if self.conns.is_empty() {
            self.idle.wake(&mut self.deferred);
        }
    }

    /// A listener is gone, and with it the connections nobody accepted.
    pub(crate) fn sweep(&mut self) {
        let waiting = |(_, conn): &(&ConnectionId, &Conn)| conn.holder == Holder::Listener;
        let ids: Vec<_> = self.conns.iter().filter(waiting).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.forget_if_over(id));
    }

    /// How a connection is, or was when it ended.
    pub(crate) fn info(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        self.endpoint
            .info(id)
            .or_else(|| self.conns.get(&id).and_then(|conn| conn.last.as_deref().cloned()))
    }

    /// Ends a connection at once.
    pub(crate) fn abort(&mut self, now: Instant, id: ConnectionId) {
        // Asked before, in case the engine forgets it with the abort.
        let info = self.endpoint.info(id).map(Box::new);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.last = info.or(conn.last.take());
        }
        self.endpoint.abort(now, id);
    }

    /// The end: no task serves the stack any more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.close_streams();
        self.deferred.abort.append(&mut self.tasks);
        self.conns.values_mut().for_each(|conn| conn.wake_all(&mut self.deferred));
        self.acceptors.values_mut().for_each(|waiters| waiters.wake(&mut self.deferred));
        self.interceptors.values_mut().for_each(|waiters| waiters.wake(&mut self.deferred));
        self.idle.wake(&mut self.deferred);
        if let Some(capture) = &mut self.capture {
            capture.writer.finish();
        }
        self.endpoint.finish_recording();
    }
}
