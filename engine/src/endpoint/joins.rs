//! Joins of the peer, from MP_JOIN on a SYN to the third ACK that proves it (RFC 8684 3.2).
//!
//! Whoever saw a token can send any number of joining SYNs, and each needs two nonces until its third ACK [SEC-1]. A
//! few of them get a socket that repeats its SYN/ACK. The others are answered once for each SYN and stand in a table
//! whose slots are chosen by a secret, so that nobody can aim at the slot of somebody else.

use super::input::Stranger;
use super::open::egress;
use super::{Endpoint, Entry, LocalAddress};
use crate::addr::{AddressId, ConnectionId, FourTuple, SocketAddr, SubflowId};
use crate::crypto::{Nonce, Token, join_hmac};
use crate::error::ResetReason;
use crate::mptcp::decorate::tcp_options;
use crate::mptcp::handshake::{self, JoinFailure};
use crate::mptcp::subflow::Join;
use crate::seq::SeqNum;
use crate::tcp::{OpenParams, Segment, SendLimits, Socket};
use crate::time::Instant;
use crate::wire::TcpOptions;
use crate::wire::mptcp::{MpJoin, MpTcpRst, MptcpOption};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};

/// Half-open joins of one connection that get a socket.
const PER_CONNECTION: usize = 4;
/// Slots for the others.
const SLOTS: u32 = 1_024;

/// What an MP_JOIN SYN asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JoinSyn {
    pub(super) token: Token,
    pub(super) nonce: Nonce,
    pub(super) address_id: AddressId,
    pub(super) backup: bool,
}

/// The MP_JOIN of a SYN. With MP_CAPABLE beside it the SYN means nothing (H20): a plain one.
pub(super) fn join_syn(options: &TcpOptions) -> Option<JoinSyn> {
    if options.signals.iter().any(|option| matches!(option, MptcpOption::Capable(_))) {
        return None;
    }
    options.signals.iter().find_map(|option| match option {
        MptcpOption::Join(MpJoin::Syn { backup, address_id, token, nonce }) => {
            Some(JoinSyn { token, nonce, address_id, backup })
        }
        _ => None,
    })
}

/// A join that was answered and has no socket.
#[derive(Clone, Debug)]
struct Waiting {
    tuple: FourTuple,
    local: LocalAddress,
    connection: ConnectionId,
    join: JoinSyn,
    own_nonce: Nonce,
    syn: Segment,
    iss: SeqNum,
}

/// All joins that wait for their third ACK.
#[derive(Debug, Default)]
pub(super) struct Joins {
    /// Those with a socket, and some whose handshake ended meanwhile.
    half_open: VecDeque<(ConnectionId, SubflowId)>,
    waiting: BTreeMap<u32, Box<Waiting>>,
}

impl Endpoint {
    /// An MP_JOIN SYN [JOIN-5] [JOIN-6] [JOIN-7]; the error is the reason of the RST that answers it, if it has one.
    pub(super) fn accept_join(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        join: &JoinSyn,
    ) -> Result<(), Option<MpTcpRst>> {
        let Stranger { local, tuple, segment, .. } = *stranger;
        let id = self.tokens.get(&join.token).copied();
        let entry = id.and_then(|id| self.connections.get(&id)).filter(|e| e.connection.is_mptcp());
        let (Some(id), Some(entry)) = (id, entry) else {
            self.counters.mp_join_no_token_found += 1;
            return Err(Some(MpTcpRst::lasting(ResetReason::MptcpError)));
        };
        let connection = &entry.connection;
        let held = connection.denies_join_id(now, join.address_id, tuple.remote.ip());
        if held || !connection.is_joinable() || connection.denies_join_to(tuple.local) {
            self.counters.mp_join_rejected += 1;
            // An identifier may be free soon: its subflow is perhaps dead.
            let reason = ResetReason::AdministrativelyProhibited;
            return Err(Some(MpTcpRst { transient: held, reason }));
        }
        let crowded = connection.half_open_joins() >= PER_CONNECTION;
        let port_ok = self.admits_join_port(id, tuple.local);
        self.counters.mismatch_port_syn_rx += u64::from(!port_ok);
        if !port_ok {
            // A listener for others says why; where nobody listens at all there is nothing to say (K18).
            let known = self.listeners.find(tuple.local).is_some()
                || self.pm_endpoints.of_port(tuple.local.ip(), tuple.local.port()).is_some();
            return Err(known.then_some(MpTcpRst::lasting(ResetReason::AdministrativelyProhibited)));
        }
        if crowded || self.half_open_joins() >= self.config.max_half_open_joins {
            self.answer_join(now, stranger, join, id);
            return Ok(());
        }
        let params = self
            .join_params(now, id, local, &tuple)
            .ok_or(Some(MpTcpRst::lasting(ResetReason::MptcpError)))?;
        let socket = Socket::accept(now, params, segment);
        let own_nonce = Nonce::random(&mut self.rng);
        let subflow = self.add_peer_join(id, (local, tuple), join, own_nonce, socket);
        self.joins.half_open.extend(subflow.map(|subflow| (id, subflow)));
        self.serve(now, id);
        Ok(())
    }

    /// Joins of this connection are taken on this port: on any [JOIN-17] [JOIN-18], or on that of the first subflow and
    /// on ports the peer was told (K17, K42).
    fn admits_join_port(&mut self, id: ConnectionId, local: SocketAddr) -> bool {
        let Some(Entry { connection, .. }) = self.connections.get(&id) else { return false };
        if local.port() == connection.first_local_port() {
            return true;
        }
        self.counters.mp_join_port_syn_rx += 1;
        let announced = self.pm_endpoints.of_port(local.ip(), local.port());
        connection.config.behaviour.join_any_port
            || announced.is_some_and(|endpoint| connection.paths.has_told(endpoint.id))
    }

    /// Joins with a socket whose third ACK has not come.
    fn half_open_joins(&mut self) -> usize {
        let connections = &self.connections;
        self.joins.half_open.retain(|(id, subflow)| {
            connections.get(id).is_some_and(|entry| entry.connection.is_half_open(*subflow))
        });
        self.joins.half_open.len()
    }

    fn join_params(
        &self,
        now: Instant,
        id: ConnectionId,
        local: &LocalAddress,
        tuple: &FourTuple,
    ) -> Option<OpenParams> {
        let connection = &self.connections.get(&id)?.connection;
        Some(self.open_params(now, &connection.config, local, tuple))
    }

    fn add_peer_join(
        &mut self,
        id: ConnectionId,
        (local, tuple): (&LocalAddress, FourTuple),
        join: &JoinSyn,
        own_nonce: Nonce,
        socket: Socket,
    ) -> Option<SubflowId> {
        let (local_id, local_backup) = self.local_id(id, local, Some(tuple.local.port()));
        let connection = &mut self.connections.get_mut(&id)?.connection;
        let state = Join { own_nonce, peer_nonce: Some(join.nonce) };
        let (ids, backup) = ((local_id, join.address_id), (local_backup, join.backup));
        let subflow = connection.add_join(tuple, egress(local), ids, state, backup, socket);
        self.demux.insert(tuple, (id, subflow));
        Some(subflow)
    }

    /// Answers a join without a socket for it.
    fn answer_join(
        &mut self,
        now: Instant,
        stranger: &Stranger<'_>,
        join: &JoinSyn,
        id: ConnectionId,
    ) {
        let Stranger { local, tuple, segment, .. } = *stranger;
        let slot = self.secrets.slot(&tuple, SLOTS);
        let same = |w: &&Waiting| w.tuple == tuple && w.join == *join && w.syn.seq == segment.seq;
        let known = self
            .joins
            .waiting
            .get(&slot)
            .map(Box::as_ref)
            .filter(same)
            .map(|w| (w.own_nonce, w.iss));
        // The same SYN again gets the same answer; any other has a nonce of its own.
        let own_nonce = known.map_or_else(|| Nonce::random(&mut self.rng), |(nonce, _)| nonce);
        let (local_id, local_backup) = self.local_id(id, local, Some(tuple.local.port()));
        let Some(entry) = self.connections.get(&id) else { return };
        let connection = &entry.connection;
        let Some(peer) = connection.peer else { return };
        let mut params = self.open_params(now, &connection.config, local, &tuple);
        params.iss = known.map_or(params.iss, |(_, iss)| iss);
        let iss = params.iss;
        let Some(plan) = Socket::accept(now, params, segment).plan(now, &SendLimits::default())
        else {
            return;
        };
        let hmac = join_hmac(connection.own_key, peer.key, own_nonce, join.nonce).leftmost64();
        let (backup, address_id, nonce) = (local_backup, local_id, own_nonce);
        let mut options = tcp_options(&plan.options);
        options.push_mptcp(&MptcpOption::Join(MpJoin::SynAck { backup, address_id, hmac, nonce }));
        let numbers = (iss, segment.seq + 1);
        if !self.stateless.syn_ack(local, tuple, numbers, plan.window, options) {
            self.counters.stateless_drop += 1;
            return;
        }
        let syn = Segment { payload: bytes::Bytes::new(), ..segment.clone() };
        let (connection, join, local) = (id, *join, *local);
        let waiting = Waiting { tuple, local, connection, join, own_nonce, syn, iss };
        self.joins.waiting.insert(slot, Box::new(waiting));
    }

    /// A segment of no known subflow may be the third ACK of a join that waits in the table; false when it is not. Only
    /// with the right HMAC does it get a socket [JOIN-14] [SEC-5].
    pub(super) fn accept_waiting_join(&mut self, now: Instant, stranger: &Stranger<'_>) -> bool {
        let Stranger { tuple, segment, options, .. } = *stranger;
        let slot = self.secrets.slot(&tuple, SLOTS);
        let acks = |w: &&Waiting| {
            let numbers = segment.ack == Some(w.iss + 1) && segment.seq == w.syn.seq + 1;
            w.tuple == tuple && numbers && !segment.flags.syn && !segment.flags.rst
        };
        if self.joins.waiting.get(&slot).map(Box::as_ref).filter(acks).is_none() {
            return false;
        }
        let Some(waiting) = self.joins.waiting.remove(&slot) else { return false };
        match self.check_waiting(now, &waiting, options) {
            Ok(()) => self.admit(now, *waiting, segment, options),
            Err(reason) => {
                let stranger = Stranger { local: &waiting.local, ..*stranger };
                self.reply_reset(now, &stranger, Some(MpTcpRst::lasting(reason)));
            }
        }
        true
    }

    /// The third ACK's proof, and whether there is still room; a bad one is answered by a RST with reason 1 [JOIN-13]
    /// [HEU-9].
    fn check_waiting(
        &mut self,
        now: Instant,
        waiting: &Waiting,
        options: &TcpOptions,
    ) -> Result<(), ResetReason> {
        let entry = self.connections.get(&waiting.connection);
        let connection = entry.map(|e| &e.connection).filter(|c| c.is_mptcp());
        let peer = connection.and_then(|c| c.peer);
        let (Some(connection), Some(peer)) = (connection, peer) else {
            return Err(ResetReason::MptcpError);
        };
        let (own, nonces) = (connection.own_key, (waiting.own_nonce, waiting.join.nonce));
        let proof = handshake::on_join_ack(&options.signals, own, peer.key, nonces.0, nonces.1);
        if let Err(failure) = proof {
            let bad_hmac = failure == JoinFailure::BadHmac;
            self.counters.mp_join_ack_hmac_failure += u64::from(bad_hmac);
            return Err(ResetReason::MptcpError);
        }
        let source = waiting.tuple.remote.ip();
        if !connection.is_joinable()
            || connection.denies_join_id(now, waiting.join.address_id, source)
        {
            self.counters.mp_join_rejected += 1;
            return Err(ResetReason::AdministrativelyProhibited);
        }
        Ok(())
    }

    /// Makes the subflow as if it had been kept since its SYN.
    fn admit(&mut self, now: Instant, waiting: Waiting, segment: &Segment, options: &TcpOptions) {
        let Waiting { tuple, local, connection: id, join, own_nonce, syn, iss } = waiting;
        let Some(mut params) = self.join_params(now, id, &local, &tuple) else { return };
        params.iss = iss;
        let mut socket = Socket::accept(now, params, &syn);
        socket.assume_answered();
        let subflow = self.add_peer_join(id, (&local, tuple), &join, own_nonce, socket);
        if let Some(entry) = self.connections.get_mut(&id)
            && let Some(index) = subflow.and_then(|s| entry.connection.subflow_index(s))
        {
            entry.connection.on_segment(now, index, segment, options, &mut self.counters);
        }
        self.serve(now, id);
    }
}
