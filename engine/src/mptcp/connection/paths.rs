//! Subflows come and go by request: of the path manager, the application, a router or an interface.

use super::{Connection, Mode};
use crate::addr::{AddressId, FourTuple, IpAddr, SocketAddr, SubflowId};
use crate::config::Via;
use crate::error::{ConnectionError, ResetReason, SubflowError};
use crate::mptcp::path_manager::{JoinTarget, LocalEndpoint};
use crate::mptcp::subflow::{Egress, Join, Phase, Subflow};
use crate::seq::SeqNum;
use crate::tcp::{Segment, Socket};
use crate::time::Instant;
use alloc::vec::Vec;

impl Connection {
    /// The path manager may have something to announce or subflows to open.
    pub(crate) fn wants_paths(&self, now: Instant) -> bool {
        self.has_paths() && self.paths.is_due(now)
    }

    /// Subflows and addresses are still of interest.
    pub(super) fn has_paths(&self) -> bool {
        self.is_mptcp()
            && self.confirmed
            && !self.finished
            && !self.close.is_complete()
            && !self.exchange.is_active()
    }

    /// When the path manager wants to be asked.
    pub(super) fn paths_timeout(&self) -> Option<Instant> {
        self.paths.poll_timeout().filter(|_| self.has_paths())
    }

    /// The next subflow to open [INI-16].
    pub(crate) fn next_join(
        &mut self,
        now: Instant,
        locals: &[LocalEndpoint],
    ) -> Option<JoinTarget> {
        // Asked again and again, in bulk transfers, too: its memory is kept.
        let mut existing = core::mem::take(&mut self.live_tuples);
        existing.clear();
        existing.extend(self.subflows.iter().filter(|s| s.is_alive()).map(|s| s.tuple));
        let target = self.paths.next_join(now, &self.config, self.limits, locals, &existing);
        self.live_tuples = existing;
        if target.is_none() {
            self.paths.rest();
        }
        target
    }

    /// Joins of the peer that wait for their third ACK.
    pub(crate) fn half_open_joins(&self) -> usize {
        self.subflows.iter().filter(|s| s.is_half_open()).count()
    }

    /// This subflow is one of them.
    pub(crate) fn is_half_open(&self, id: SubflowId) -> bool {
        self.subflows.iter().any(|s| s.id == id && s.is_half_open())
    }

    /// Another subflow would be taken. Joins that may never be finished do not count, so that they cannot keep others
    /// out; the question is asked again at the third ACK.
    pub(crate) fn is_joinable(&self) -> bool {
        let ending = self.close.is_requested() || self.close.is_received();
        let alive = self.subflows.iter().filter(|s| s.is_alive() && !s.is_half_open()).count();
        self.is_mptcp()
            && self.confirmed
            && !self.finished
            && !self.exchange.is_active()
            && (!ending || self.config.behaviour.join_half_closed)
            && alive <= self.config.max_extra_subflows.min(self.limits.subflows)
    }

    /// Flag C was sent and this join is to the very address and port it protects [INI-20]. Linux sends the flag and
    /// takes such joins (K16).
    pub(crate) fn denies_join_to(&self, local: core::net::SocketAddr) -> bool {
        let refuse = self.config.behaviour.refuse_denied_joins;
        refuse && !self.config.allow_join_initial_addr_port && local == self.paths.first_local()
    }

    /// Adds a joining subflow.
    pub(crate) fn add_join(
        &mut self,
        tuple: FourTuple,
        egress: Egress,
        ids: (AddressId, AddressId),
        join: Join,
        backup: (bool, bool),
        socket: Socket,
    ) -> SubflowId {
        let id = self.next_subflow_id();
        let mut subflow = Subflow::new(id, tuple, egress, ids, Some(join), socket);
        (subflow.backup_local, subflow.backup_remote) = backup;
        self.subflows.iter_mut().for_each(|other| other.forget_removal(ids.0));
        self.subflows.push(subflow);
        id
    }

    /// Local port of the first subflow.
    pub(crate) const fn first_local_port(&self) -> u16 {
        self.paths.first_local().port()
    }

    /// Local address of the first subflow.
    pub(crate) const fn first_local_address(&self) -> IpAddr {
        self.paths.first_local().ip()
    }

    /// Remote address of the first subflow.
    pub(crate) const fn first_remote_address(&self) -> IpAddr {
        self.paths.first_remote().ip()
    }

    /// Closes one subflow by the application's wish.
    pub(crate) fn remove_subflow(&mut self, id: SubflowId) -> Result<(), SubflowError> {
        let index = self.subflow_index(id).ok_or(SubflowError::NotFound)?;
        if matches!(self.mode, Mode::Tcp(_)) || !self.confirmed && self.established {
            // Its FIN would be the end of the data, which is the application's to say.
            return Err(SubflowError::PlainTcp);
        }
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.close_or_give_up();
        }
        self.reinject_closing();
        Ok(())
    }

    /// One more forwarder that leads to the peer.
    pub(crate) fn add_via(&mut self, via: Via) -> Result<(), SubflowError> {
        if matches!(self.mode, Mode::Tcp(_)) {
            return Err(SubflowError::PlainTcp);
        }
        self.paths.add_via(via)
    }

    /// The subflow through a forwarder is to come from another address: it is opened first, and what it replaces closes
    /// once it is there, so that a forwarder that cannot be reached from there is not lost.
    pub(crate) fn relocate_via(
        &mut self,
        remote: SocketAddr,
        local: IpAddr,
    ) -> Result<(), SubflowError> {
        if matches!(self.mode, Mode::Tcp(_)) {
            return Err(SubflowError::PlainTcp);
        }
        let through = |s: &&Subflow| s.is_alive() && s.tuple.remote == remote;
        let mut others = self.subflows.iter().filter(through).map(|s| s.tuple.local.ip());
        let leaving = others.find(|other| *other != local);
        let known = self.paths.relocate_via(remote, local, leaving);
        if known { Ok(()) } else { Err(SubflowError::NotFound) }
    }

    /// Closes the subflows from `local` to `remote`: another has taken their place.
    pub(super) fn leave(&mut self, local: IpAddr, remote: SocketAddr) {
        let is =
            |s: &&Subflow| s.is_alive() && s.tuple.remote == remote && s.tuple.local.ip() == local;
        let ids: Vec<SubflowId> = self.subflows.iter().filter(is).map(|s| s.id).collect();
        for id in ids {
            // none of them is the only one: the other was just joined
            let _ = self.remove_subflow(id);
        }
    }

    /// The identifier of a subflow to `remote` from the address that has `id`. Of subflows through forwarders the peer
    /// sees the forwarders' addresses, and an identifier is one address [JOIN-4]: each gets one of its own, from the end
    /// where endpoints (`taken`) are rarely.
    pub(crate) fn id_towards(
        &self,
        remote: SocketAddr,
        id: AddressId,
        taken: impl Fn(AddressId) -> bool,
    ) -> AddressId {
        let through = self.paths.vias().any(|via| via.remote == remote);
        let held = |id: AddressId| self.subflows.iter().any(|s| s.is_alive() && s.local_id == id);
        if !through || !held(id) {
            return id;
        }
        let mut others = (1..=u8::MAX).rev().map(AddressId);
        others.find(|other| !held(*other) && !taken(*other)).unwrap_or(id)
    }

    /// A forwarder is not to be used any more: its subflow closes, and what it carried goes on over the others.
    pub(crate) fn remove_via(&mut self, remote: SocketAddr) -> Result<(), SubflowError> {
        if !self.paths.remove_via(remote) {
            return Err(SubflowError::NotFound);
        }
        let through = |s: &&Subflow| s.is_alive() && s.tuple.remote == remote;
        let ids: Vec<SubflowId> = self.subflows.iter().filter(through).map(|s| s.id).collect();
        ids.into_iter().try_for_each(|id| self.remove_subflow(id))
    }

    /// The carrier of the subflow at `index` takes more.
    pub(crate) fn grant(&mut self, index: usize, octets: u32) {
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.tcp.grant(octets);
        }
    }

    /// The carrier of the subflow at `index` ended. What was on it goes another way; nothing more is heard of it.
    pub(crate) fn on_carrier_end(&mut self, now: Instant, index: usize) {
        let Some(subflow) = self.subflows.get_mut(index).filter(|s| s.tcp.is_carried()) else {
            return;
        };
        subflow.tcp.on_carrier_end();
        self.settle(now);
    }

    /// A router says that segments of the subflow at `index` are too big.
    pub(crate) fn on_path_mtu(&mut self, now: Instant, index: usize, mss: u16, seq: SeqNum) {
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.tcp.on_path_mtu(now, mss, seq);
        }
    }

    /// A router says that the subflow at `index` leads nowhere. That counts for attempts only: an established
    /// subflow lives on (RFC 1122 4.2.3.9, RFC 5927).
    pub(crate) fn on_unreachable(&mut self, now: Instant, index: usize, seq: SeqNum) {
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        if subflow.phase != Phase::Handshake || !subflow.tcp.is_in_flight(seq) {
            return;
        }
        if self.established {
            subflow.reset(ResetReason::Unspecified);
        } else {
            self.fail(ConnectionError::Unreachable, ResetReason::Unspecified, false);
        }
        self.settle(now);
    }

    /// Looks after subflows that ended by what was sent last.
    ///
    /// True when there were some: what they carried may have to go out on others.
    pub(crate) fn after_transmit(&mut self, now: Instant) -> bool {
        let ended = |s: &Subflow| !s.is_alive() && (!s.reported || s.tcp.is_closed());
        let any = self.subflows.iter().any(ended);
        if any {
            self.settle(now);
        }
        any
    }

    /// TIME-WAIT of the subflow at `index` gives way to a younger SYN (RFC 9293 3.6.1, RFC 6191).
    pub(crate) fn reopens(&self, index: usize, segment: &Segment) -> bool {
        let time_wait = self.subflows.get(index).is_some_and(|s| s.tcp.may_reopen(segment));
        time_wait && segment.ack.is_none()
    }

    /// Ends the TIME-WAIT of the subflow at `index`.
    pub(crate) fn end_time_wait(&mut self, now: Instant, index: usize) {
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.tcp.abort();
        }
        self.settle(now);
    }

    /// Ends every TIME-WAIT before its time.
    pub(crate) fn end_all_time_waits(&mut self, now: Instant) {
        for subflow in &mut self.subflows {
            subflow.tcp.abort();
        }
        self.settle(now);
    }

    /// Events wait to be fetched.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }
}
