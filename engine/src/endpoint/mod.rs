//! The front door: packets, time and the application's calls come in, packets and events go out.
//!
//! `input` finds the connection a packet belongs to, `open` makes connections and subflows, the parts below keep
//! addresses and their flags, listeners, secrets, stateless replies and the order in which connections are served.

mod addresses;
mod api;
mod carriers;
mod demux;
mod destinations;
mod fast_open;
mod flood;
mod info;
mod input;
mod intercept;
mod joins;
mod listener;
mod live;
mod open;
mod pm_api;
mod pm_endpoints;
mod schedule;
mod secrets;
mod stateless;
mod syn_cookies;
mod view;

use crate::addr::{ConnectionId, InterfaceId, IpAddr, ListenerId, SubflowId};
use crate::config::{EndpointConfig, Limits};
use crate::counters::Counters;
use crate::crypto::Token;
use crate::event::Event;
use crate::mptcp::connection::Connection;
use crate::mptcp::lesson::Lesson;
use crate::rng::Rng;
use crate::time::Instant;
use addresses::Addresses;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use carriers::Carriers;
use demux::Demux;
use destinations::Destinations;
use fast_open::FastOpenCookies;
pub use info::{ConnectionInfo, FastOpenUse, ReceiveStats, SubflowInfo};
use intercept::Interceptors;
pub use intercept::Request;
use joins::Joins;
use listener::Listeners;
pub use pm_endpoints::PmEndpoint;
use pm_endpoints::PmEndpoints;
use schedule::Schedule;
use secrets::Secrets;
use stateless::StatelessReplies;
use syn_cookies::SynCookies;

/// An address of this end and the device it lives behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The device packets from it leave by.
    pub interface: InterfaceId,
    /// Largest IP packet of that device, bytes.
    pub mtu: u16,
    /// Ask the peer to use subflows from here as backup only.
    pub backup: bool,
    /// The device completes TCP checksums on send.
    pub checksum_offload: bool,
    /// Most TCP payload of one packet the device cuts into segments itself, bytes; 0: it cuts none.
    pub max_payload: u32,
}

/// A packet to be sent: headers stand in the buffer given to `poll_transmit`, the payload follows them.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Where it leaves.
    pub interface: InterfaceId,
    /// TCP payload; empty for a pure ACK.
    pub payload: Bytes,
    /// `Some(n)`: a super-segment to be cut into payloads of `n` bytes.
    pub segment_size: Option<u16>,
    /// The connection and subflow it belongs to; `None` for a stateless reply.
    pub subflow: Option<(ConnectionId, SubflowId)>,
}

/// A connection and what the endpoint keeps about it.
#[derive(Debug)]
struct Entry {
    connection: Box<Connection>,
    /// The listener it came through, until it is established.
    listener: Option<ListenerId>,
    /// It waits in the queue of connections with events.
    has_events: bool,
    /// Nothing is left of it but TIME-WAIT.
    lingers: bool,
    /// It is among those counted as established.
    counted: bool,
    /// Packets it has sent since its deadline was asked for.
    unasked: u8,
}

impl Entry {
    /// It has events and does not wait among those that have; from now on it does.
    fn begins_to_have_events(&mut self) -> bool {
        let begins = self.connection.has_events() && !self.has_events;
        self.has_events |= begins;
        begins
    }
}

/// Packets of a connection that always has more to send, after which its timers are looked at.
const ASK_AFTER: u8 = 32;

/// All connections over a set of local addresses.
///
/// Drive it like this: feed packets and time with `handle_packet` and `handle_timeout`; after that, and after any
/// call of the application's side, send what `poll_transmit` gives until it gives `None`, fetch events with
/// `poll_event`, and come back no later than `poll_timeout` says.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    rng: Rng,
    secrets: Secrets,
    addresses: Addresses,
    carriers: Carriers,
    pm_endpoints: PmEndpoints,
    limits: Limits,
    connections: BTreeMap<ConnectionId, Entry>,
    demux: Demux,
    tokens: BTreeMap<Token, ConnectionId>,
    listeners: Listeners,
    interceptors: Interceptors,
    schedule: Schedule,
    with_events: VecDeque<ConnectionId>,
    /// Connections of which only TIME-WAIT is left, the oldest first; some are gone already.
    lingering: VecDeque<ConnectionId>,
    stateless: StatelessReplies,
    cookies: SynCookies,
    fast_open: FastOpenCookies,
    joins: Joins,
    destinations: Destinations,
    counters: Counters,
    next_connection: u64,
    /// Predicted segments go the short way.
    predicting: bool,
}

impl Endpoint {
    /// An endpoint without addresses; `seed` feeds every key, nonce, port and secret.
    #[must_use]
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Self {
        let mut rng = Rng::from_seed(seed);
        let secrets = Secrets::new(&mut rng);
        let cookies = SynCookies::new(&mut rng);
        let fast_open = FastOpenCookies::new(&mut rng);
        Self {
            stateless: StatelessReplies::new(
                config.max_stateless_replies,
                config.max_resets_per_second,
            ),
            destinations: Destinations::new(config.max_destinations, config.blackhole_timeout),
            config,
            rng,
            secrets,
            cookies,
            fast_open,
            joins: Joins::default(),
            addresses: Addresses::default(),
            carriers: Carriers::default(),
            pm_endpoints: PmEndpoints::default(),
            limits: Limits::default(),
            connections: BTreeMap::new(),
            demux: Demux::default(),
            tokens: BTreeMap::new(),
            listeners: Listeners::default(),
            interceptors: Interceptors::default(),
            schedule: Schedule::default(),
            with_events: VecDeque::new(),
            lingering: VecDeque::new(),
            counters: Counters::default(),
            next_connection: 0,
            predicting: true,
        }
    }

    /// Lets timers that are due fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.schedule.pop_due(now) {
            if let Some(entry) = self.connections.get_mut(&id) {
                entry.connection.on_timeout(now, &mut self.counters);
                self.serve(now, id);
            }
        }
    }

    /// The next packet to send: writes IP and TCP headers into `headers` (cleared first).
    pub fn poll_transmit(&mut self, now: Instant, headers: &mut Vec<u8>) -> Option<Transmit> {
        headers.clear();
        if let Some((interface, reset)) = self.stateless.pop(headers) {
            self.counters.tcp_out_rsts += u64::from(reset);
            self.counters.tcp_out_segs += 1;
            let (payload, segment_size, subflow) = (Bytes::new(), None, None);
            return Some(Transmit { interface, payload, segment_size, subflow });
        }
        while let Some(id) = self.schedule.front() {
            let Some(entry) = self.connections.get_mut(&id) else {
                self.schedule.remove(id);
                continue;
            };
            headers.clear();
            let connection = &mut entry.connection;
            if let Some(transmit) = connection.poll_transmit(now, &mut self.counters, headers) {
                // One that never rests has timers, too.
                entry.unasked += 1;
                if entry.unasked >= ASK_AFTER {
                    entry.unasked = 0;
                    self.schedule.set_deadline(id, connection.poll_timeout());
                }
                self.schedule.rotate();
                return Some(transmit);
            }
            // What went out may have ended a subflow (a RST), so the connection is looked after once more.
            if connection.after_transmit(now) {
                continue;
            }
            let deadline = connection.poll_timeout();
            self.schedule.rest(id, deadline);
            self.tidy(now, id);
        }
        None
    }

    /// When `handle_timeout` wants to be called; `None` when nothing is due unless something happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.schedule.next_deadline()
    }

    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<(ConnectionId, Event)> {
        while let Some(id) = self.with_events.front().copied() {
            let entry = self.connections.get_mut(&id);
            if let Some(entry) = entry {
                if let Some(event) = entry.connection.poll_event() {
                    return Some((id, event));
                }
                entry.has_events = false;
            }
            self.with_events.pop_front();
            self.forget_if_gone(id);
        }
        None
    }

    /// Something happened to a connection: open the subflows it wants, and keep all tables in line with it.
    fn serve(&mut self, now: Instant, id: ConnectionId) {
        self.manage_paths(now, id);
        self.schedule.activate(id);
        self.tidy(now, id);
    }

    /// Keeps demultiplexing, listeners, events and the table of connections in line with one connection.
    fn tidy(&mut self, now: Instant, id: ConnectionId) {
        let Some(entry) = self.connections.get_mut(&id) else { return };
        let connection = &mut entry.connection;
        let remote = connection.first_remote_address();
        for lesson in connection.lessons.drain(..) {
            self.counters.blackhole += u64::from(lesson == Lesson::Blackhole);
            self.destinations.learn(now, remote, lesson);
        }
        for tuple in connection.removed.drain(..) {
            self.demux.remove(&tuple);
        }
        if let Some(listener) = entry.listener
            && (connection.is_open() || connection.finished)
        {
            entry.listener = None;
            let ready = connection.is_open().then_some(id);
            self.listeners.on_settled(listener, ready);
            connection.released |= ready.is_none();
        }
        // As Linux: a fallback later does not take it back.
        let began = connection.is_mptcp() || entry.counted;
        let counts = connection.is_open() && began && !connection.finished;
        if counts != entry.counted {
            entry.counted = counts;
            let gauge = &mut self.counters.mp_curr_estab;
            *gauge = if counts { *gauge + 1 } else { gauge.saturating_sub(1) };
        }
        if entry.begins_to_have_events() {
            self.with_events.push_back(id);
        }
        let connection = &entry.connection;
        if connection.lingers() && !entry.lingers {
            entry.lingers = true;
            self.lingering.push_back(id);
        }
        if connection.is_gone() {
            self.forget_if_gone(id);
        }
        self.limit_time_wait(now);
    }

    /// Forgets the oldest TIME-WAITs when there are too many (R14).
    fn limit_time_wait(&mut self, now: Instant) {
        while self.lingering.len() > self.config.max_time_wait
            && let Some(oldest) = self.lingering.pop_front()
        {
            if let Some(entry) = self.connections.get_mut(&oldest) {
                entry.connection.end_all_time_waits(now);
                self.counters.tcp_time_wait_overflow += 1;
                for tuple in entry.connection.removed.drain(..) {
                    self.demux.remove(&tuple);
                }
                self.forget_if_gone(oldest);
            }
        }
    }

    /// Forgets a connection that is over, once its last words have been fetched.
    fn forget_if_gone(&mut self, id: ConnectionId) {
        let Some(Entry { connection, .. }) = self.connections.get(&id) else { return };
        if connection.is_gone() {
            if self.tokens.get(&connection.own.token) == Some(&id) {
                self.tokens.remove(&connection.own.token);
            }
            self.schedule.remove(id);
            self.connections.remove(&id);
        }
    }

    /// Nothing is left but sockets in TIME-WAIT: a driver may stop without cutting anybody off.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.connections.values().all(|entry| entry.connection.is_quiet())
    }

    /// What must hold after every event; for tests, the simulator and the fuzzer.
    ///
    /// # Errors
    ///
    /// The first violated invariant, in words.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        for entry in self.connections.values() {
            entry.connection.check_invariants()?;
        }
        for (id, subflow) in self.demux.owners() {
            let known = self.connections.get(id).map(|e| e.connection.subflow_index(*subflow));
            if known.flatten().is_none() {
                return Err("a four-tuple leads to no subflow");
            }
        }
        Ok(())
    }

    /// Whether segments that say what the one before them said may go a shorter way (header prediction). The outcome is the
    /// same either way; for tests that make sure of it. At first they may.
    pub fn set_header_prediction(&mut self, on: bool) {
        self.predicting = on;
    }

    /// What was counted since the endpoint was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
