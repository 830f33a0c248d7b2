//! The coordinator: it owns the parts, moves values among them and decides nothing itself.
//!
//! `input` takes segments in, `options` and `addresses` act on their MPTCP options, `output` fills subflows and drains them,
//! `timeout` lets time pass, `api` is the application's side.

mod addresses;
mod api;
mod buffers;
mod fallback;
mod fast_close;
mod fast_open;
mod input;
mod lifecycle;
mod options;
mod output;
mod overdue;
mod paths;
mod prediction;
mod retries;
mod schedule;
mod siblings;
mod timeout;

use super::close::Close;
use super::debtor::Watch;
use super::decorate::MetaView;
use super::fallback::{FailExchange, PlainOffsets};
use super::handshake::{Agreement, Offer};
use super::lesson::Lesson;
use super::path_manager::PathManager;
use super::receive_tuning::ReceiveTuning;
use super::recv_queue::RecvQueue;
use super::retry::Retries;
use super::send_queue::SendQueue;
use super::subflow::{Phase, Subflow};
use crate::addr::{ConnectionId, FourTuple, SubflowId};
use crate::config::{ConnectionConfig, Limits};
use crate::crypto::{Key, KeyFacts};
use crate::endpoint::SubflowInfo;
use crate::error::{ConnectionError, FallbackReason, PeerReset};
use crate::event::Event;
use crate::scheduling::SchedulerEvent;
use crate::seq::DataSeq;
use crate::tcp::SocketEnd;
use crate::tcp::congestion::SiblingView;
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use fast_open::FastOpenState;
pub(crate) use prediction::Predicted;
use schedule::Scheduling;

/// Most events kept for an application that does not fetch them; the oldest are dropped.
const MAX_EVENTS: usize = 128;
/// Most ended subflows remembered for `info`.
const MAX_ENDED: usize = 64;

/// MPTCP or not (RFC 8684 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Offered, not yet answered.
    Offered,
    /// In use.
    Mptcp,
    /// Plain TCP; there is no way back [FB-21].
    Tcp(FallbackReason),
}

/// The peer's half of the keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerKeys {
    pub(crate) key: Key,
    pub(crate) facts: KeyFacts,
}

/// One MPTCP connection (or one that fell back to plain TCP).
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) config: ConnectionConfig,
    /// The endpoint's limits.
    pub(crate) limits: Limits,
    /// This end opened it.
    pub(crate) client: bool,
    pub(crate) mode: Mode,
    pub(crate) own_key: Key,
    pub(crate) own: KeyFacts,
    pub(crate) peer: Option<PeerKeys>,
    /// What the client's SYN asked for; server only.
    offer: Option<Offer>,
    /// DSS checksums are in use.
    checksum: bool,
    /// The peer has proved that it took MPTCP up: subflows may be added [INI-16].
    pub(crate) confirmed: bool,
    /// A subflow was joined at some time; fallback is no longer possible [FB-6].
    joined: bool,
    /// Octets went out under a second mapping: stream and data offsets differ, fallback is no longer possible
    /// (K26).
    remapped: bool,
    /// Data-level retransmission goes on, hole by hole, up to this offset.
    repair_until: u64,
    /// What had been received when a subflow was last lost for want of mappings.
    never_mapped: Option<u64>,
    /// MP_FAIL was sent or received; plain TCP is to follow.
    exchange: FailExchange,
    /// Plain TCP only.
    plain: PlainOffsets,
    /// The peer sends long DSNs [DACK-1].
    long_ack: bool,
    pub(crate) subflows: Vec<Subflow>,
    ended: Vec<SubflowInfo>,
    next_subflow: u32,
    /// The subflow to ask first for a packet.
    cursor: usize,
    send: SendQueue,
    linger: buffers::Linger,
    recv: RecvQueue,
    tuning: ReceiveTuning,
    close: Close,
    pub(crate) paths: PathManager,
    retries: Retries,
    watch: Watch,
    scheduling: Scheduling,
    siblings: Vec<SiblingView>,
    /// Used again and again: the live subflows' addresses.
    live_tuples: Vec<FourTuple>,
    timers: Timers,
    events: VecDeque<Event>,
    /// Of what is said with every packet of a bulk transfer, what waits among the events.
    said: Said,
    /// The application waits for room to write.
    write_blocked: bool,
    /// There was no room for all of the last write: what is left of it follows.
    cut_short: bool,
    pub(crate) established: bool,
    /// Nothing more will happen at data level.
    pub(crate) finished: bool,
    /// The application let go of it.
    pub(crate) released: bool,
    error: Option<ConnectionError>,
    /// How the subflow that ended last came to its end.
    last_end: Option<SocketEnd>,
    /// What the peer's RST said, if that was its end.
    last_reset: Option<PeerReset>,
    bytes_sent: u64,
    bytes_retrans: u64,
    last: Last,
    fast_open: FastOpenState,
    /// What the endpoint should remember about the destination.
    pub(crate) lessons: Vec<Lesson>,
    /// Four-tuples the endpoint should forget.
    pub(crate) removed: Vec<FourTuple>,
}

/// When data and Data ACKs last went or came, for `info`.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    data_sent: Option<Instant>,
    data_recv: Option<Instant>,
    ack_recv: Option<Instant>,
}

/// Events of which one at a time waits to be fetched.
#[derive(Debug, Default)]
struct Said {
    readable: bool,
    writable: bool,
}

impl Said {
    const fn of(&mut self, event: &Event) -> Option<&mut bool> {
        match event {
            Event::Readable => Some(&mut self.readable),
            Event::Writable => Some(&mut self.writable),
            _ => None,
        }
    }
}

/// The connection's own deadlines; the subflows have theirs.
#[derive(Debug, Default)]
struct Timers {
    /// Data-level retransmission [DACK-14].
    retransmit: Option<Instant>,
    retransmit_backoff: u32,
    /// A Data ACK is asked for: nothing else can bring one, and data waits for it.
    starved: Option<Instant>,
    /// The octets acknowledged when one was last asked for so, and how often with as many.
    starved_asked: Option<(u64, u32)>,
    /// Data-level zero-window probe (K32).
    probe: Option<Instant>,
    probe_backoff: u32,
    /// DATA_FIN retransmission (K34).
    fin: Option<Instant>,
    fin_backoff: u32,
    /// MP_FAIL has to be repeated, or given up.
    fail: Option<Instant>,
    /// MP_FASTCLOSE has to be repeated, or given up [FC-5].
    fast_close: Option<Instant>,
    fast_close_retries: u32,
    /// When a repeated DATA_FIN was last answered; no deadline.
    fin_answered: Option<Instant>,
    /// End of patience: closing takes too long, or there is no subflow left [FIN-9].
    give_up: Option<Instant>,
    /// Next attempt to resume a connection without subflows.
    resume: Option<Instant>,
    resume_interval: Duration,
    /// What had been acknowledged and received when the last subflow ended, and how often in a row it was the same.
    lost_at: Option<(u64, u64)>,
    fruitless: u32,
}

impl Connection {
    /// A connection about to be opened, or just asked for by a SYN; its first subflow is added next.
    pub(crate) fn new(
        id: ConnectionId,
        config: ConnectionConfig,
        client: bool,
        own_key: Key,
        first: FourTuple,
    ) -> Self {
        let mode = if config.mptcp { Mode::Offered } else { Mode::Tcp(FallbackReason::Requested) };
        let mut connection = Self {
            id,
            limits: Limits::default(),
            client,
            mode,
            own_key,
            own: own_key.facts(),
            peer: None,
            offer: None,
            checksum: config.checksum,
            confirmed: false,
            joined: false,
            remapped: false,
            repair_until: 0,
            never_mapped: None,
            exchange: FailExchange::default(),
            plain: PlainOffsets::default(),
            long_ack: false,
            subflows: Vec::new(),
            ended: Vec::new(),
            next_subflow: 0,
            cursor: 0,
            send: buffers::send_queue(&config),
            linger: buffers::Linger::default(),
            recv: RecvQueue::new(config.first_receive_buffer()),
            tuning: buffers::receive_tuning(&config),
            close: Close::default(),
            paths: PathManager::new(first, client, &config.vias),
            retries: Retries::default(),
            watch: Watch::default(),
            scheduling: Scheduling::new(&config.scheduler),
            siblings: Vec::new(),
            live_tuples: Vec::new(),
            timers: Timers::default(),
            events: VecDeque::new(),
            said: Said::default(),
            write_blocked: false,
            cut_short: false,
            established: false,
            finished: false,
            released: false,
            error: None,
            last_end: None,
            last_reset: None,
            bytes_sent: 0,
            bytes_retrans: 0,
            last: Last::default(),
            fast_open: FastOpenState::default(),
            lessons: Vec::new(),
            removed: Vec::new(),
            config,
        };
        if matches!(connection.mode, Mode::Tcp(_)) {
            connection.send.open_window();
        }
        connection
    }

    /// Notes what the client's SYN said; server only.
    pub(crate) fn set_offer(&mut self, offer: Result<Offer, FallbackReason>) {
        match offer {
            Ok(offer) if self.config.mptcp => {
                self.checksum |= offer.checksum;
                self.offer = Some(offer);
            }
            Ok(_) => self.set_plain(FallbackReason::Requested),
            // No MP_CAPABLE on the SYN/ACK then, nor ever after [INI-34].
            Err(reason) => self.set_plain(reason),
        }
    }

    fn set_plain(&mut self, reason: FallbackReason) {
        self.mode = Mode::Tcp(reason);
        self.send.open_window();
    }

    /// MPTCP is in use.
    pub(crate) fn is_mptcp(&self) -> bool {
        self.mode == Mode::Mptcp
    }

    /// DSN of data offset 0 in the sending direction [INI-38].
    fn send_base(&self) -> DataSeq {
        self.own.idsn + 1
    }

    /// DSN of data offset 0 in the receiving direction.
    fn recv_base(&self) -> DataSeq {
        self.peer.map_or(DataSeq(0), |p| p.facts.idsn + 1)
    }

    /// The subflow with this identifier.
    pub(crate) fn subflow_index(&self, id: SubflowId) -> Option<usize> {
        self.subflows.iter().position(|s| s.id == id)
    }

    /// An identifier never used before in this connection.
    pub(crate) fn next_subflow_id(&mut self) -> SubflowId {
        let id = SubflowId(self.next_subflow);
        self.next_subflow += 1;
        id
    }

    /// What segments say about the connection as a whole.
    fn meta_view(&self) -> MetaView {
        let data_ack = self.recv_base() + self.recv.ack_offset();
        #[cfg(feature = "mutations")]
        let data_ack = crate::mutations::data_ack(data_ack, self.recv.received());
        let fin_due = self.is_mptcp() && self.close.is_sent() && !self.close.is_acked();
        MetaView {
            mptcp: !matches!(self.mode, Mode::Tcp(_)),
            client: self.client,
            confirmed: self.confirmed,
            own_key: self.own_key,
            peer_key: self.peer.map(|p| p.key),
            peer_token: self.peer.map_or(0, |p| p.facts.token.0),
            checksum: self.checksum,
            deny_join_initial: !self.config.allow_join_initial_addr_port,
            data_base: self.send_base(),
            data_ack,
            short: self.config.short_data_seq,
            short_ack: !self.config.behaviour.long_data_ack,
            keys_first: self.config.behaviour.keys_before_data_fin,
            dss_first: self.config.behaviour.answer_third_packet,
            long_ack: self.long_ack,
            repeat_signals: self.config.behaviour.repeat_signals,
            data_fin: fin_due.then(|| self.send_base() + self.send.end()),
        }
    }

    /// Keys, checksums and the C flag are agreed: MPTCP is in use.
    fn adopt(&mut self, agreement: Agreement, now: Instant, window: u32) {
        self.mode = Mode::Mptcp;
        self.checksum = agreement.checksum;
        self.peer =
            Some(PeerKeys { key: agreement.remote_key, facts: agreement.remote_key.facts() });
        self.paths.set_deny_join_initial(agreement.deny_join_initial);
        // The SYN counts as the Data ACK of the IDSN, so its window opens the data level.
        self.send.on_data_ack(0, u64::from(window));
        self.established = true;
        if let Some(first) = self.subflows.first_mut() {
            first.phase = Phase::Active;
            let (subflow, tuple, ids) = (first.id, first.tuple, (first.local_id, first.remote_id));
            self.emit(Event::Established { mptcp: true, token: self.own.token.0 });
            self.emit(Event::SubflowEstablished { subflow, tuple, ids, backup: false });
            self.scheduling.note(SchedulerEvent::PathAdded(subflow));
        }
        if !self.client {
            self.confirm(now);
        }
    }

    /// The peer has shown that it speaks MPTCP on this connection.
    fn confirm(&mut self, now: Instant) {
        if self.confirmed {
            return;
        }
        self.confirmed = true;
        let srtt = self.subflows.first().and_then(|s| s.tcp.srtt());
        if let Some(first) = self.subflows.first_mut().filter(|_| self.recv.received() > 0) {
            // Data that came before had to be acknowledged with the keys; now there is a Data ACK for it.
            first.tcp.request_ack();
        }
        // As random as the key, of which it tells nothing.
        let random = self.own.idsn.0 as u16;
        self.paths.start(now, srtt, self.config.behaviour.wait_for_addresses.then_some(random));
        self.emit(Event::FullyEstablished);
    }

    /// An option asks for joins: MPTCP is offered or in use.
    pub(crate) fn has_token(&self) -> bool {
        !matches!(self.mode, Mode::Tcp(_))
    }

    fn emit(&mut self, event: Event) {
        if self.said.of(&event).is_some_and(|said| core::mem::replace(said, true)) {
            return;
        }
        if self.events.len() >= MAX_EVENTS {
            self.poll_event();
        }
        self.events.push_back(event);
    }

    /// The next thing to tell the application.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Some(said) = self.said.of(&event) {
            *said = false;
        }
        Some(event)
    }

    /// What must hold after every event.
    pub(crate) fn check_invariants(&self) -> Result<(), &'static str> {
        self.send.check_invariants()?;
        self.recv.check_invariants()?;
        for subflow in &self.subflows {
            subflow.tcp.check_invariants()?;
        }
        Ok(())
    }
}
