//! Addresses come and go at either end: ADD_ADDR, REMOVE_ADDR and MP_PRIO in both directions (RFC 8684 3.3.8, 3.4).

use super::{Connection, Mode};
use crate::addr::{AddressId, IpAddr, SocketAddr, SubflowId};
use crate::config::EndpointFlags;
use crate::counters::Counters;
use crate::crypto::{add_addr_hmac, verify};
use crate::error::{ResetReason, SubflowError};
use crate::event::Event;
use crate::mptcp::path_manager::{Advertisement, LocalEndpoint, Verdict};
use crate::mptcp::subflow::{Phase, Subflow};
use crate::scheduling::{SchedulerEvent, SubflowSet};
use crate::time::{Duration, Instant};
use crate::wire::mptcp::{AddAddr, MpPrio, MptcpOption, RemoveAddr};
use alloc::vec::Vec;

/// How long after its last segment a subflow keeps its address identifier from being used by another address.
const ID_HELD_FOR: Duration = Duration::from_secs(10);
/// Shortest wait for the echo of an ADD_ADDR.
const MIN_ECHO_WAIT: Duration = Duration::from_millis(200);

impl Connection {
    /// RFC 8684 3.4.1: the HMAC is checked, the address echoed and handed to the path manager. TCP has accepted the
    /// segment [ADDR-1].
    pub(super) fn on_add_addr(
        &mut self,
        now: Instant,
        index: usize,
        add: &AddAddr,
        counters: &mut Counters,
    ) {
        if add.echo {
            counters.echo_add += 1;
            let (id, address, port) = (add.id, add.address, add.port);
            self.paths.on_echo(Advertisement { id, address, port });
            return;
        }
        let (Some(peer), Some(hmac)) = (self.peer, add.hmac) else { return };
        let expected = add_addr_hmac(peer.key, self.own_key, add.id, add.address, add.port);
        if !verify(&hmac, &expected) {
            // [ADDR-10]: silently.
            counters.add_addr_drop += 1;
            return;
        }
        counters.add_addr += 1;
        counters.port_add += u64::from(add.port.is_some());
        // Only the holder of both keys can make this HMAC: as good a confirmation as a DSS (K11).
        self.confirm(now);
        let Some(subflow) = self.subflows.get(index) else { return };
        let port = add.port.unwrap_or(subflow.tuple.remote.port());
        let address = SocketAddr::new(add.address, port);
        let verdict = if self.is_taken(add.id, add.address) {
            // [ADDR-15]: a live subflow says that this identifier is another address. A translator may be the
            // cause, so it is echoed.
            Verdict::Known
        } else {
            self.paths.on_announced(now, add.id, add.address, port)
        };
        if verdict == Verdict::Dropped {
            counters.add_addr_drop += 1;
            return;
        }
        let echo = MptcpOption::AddAddr(add.echo());
        // [ADDR-11]
        if self.subflows.get_mut(index).is_some_and(|subflow| !subflow.signal(echo)) {
            counters.echo_add_tx_drop += 1;
        }
        if verdict == Verdict::News {
            self.emit(Event::AddressAnnounced { id: add.id, address });
        }
    }

    /// A live subflow joined with this identifier from another address [ADDR-2] [ADDR-3] [JOIN-4].
    pub(crate) fn is_taken(&self, id: AddressId, address: IpAddr) -> bool {
        self.subflows.iter().any(|s| s.holds(id) && s.tuple.remote.ip() != address)
    }

    /// A join with this identifier is refused: it belongs to another address whose subflow was heard of just now
    /// [JOIN-4]. One that has been silent may have been moved by a translator.
    pub(crate) fn denies_join_id(&self, now: Instant, id: AddressId, from: IpAddr) -> bool {
        let fresh = |s: &Subflow| s.tcp.last_received_at() + ID_HELD_FOR > now;
        let other = |s: &&Subflow| s.holds(id) && s.tuple.remote.ip() != from;
        self.config.behaviour.unique_join_ids && self.subflows.iter().filter(other).any(fresh)
    }

    /// RFC 8684 3.4.2: the subflows to these addresses end, or are probed first; unknown identifiers are ignored
    /// [ADDR-29], repeated ones are one. TCP has accepted the segment [ADDR-26].
    pub(super) fn on_remove_addr(
        &mut self,
        now: Instant,
        remove: &RemoveAddr,
        counters: &mut Counters,
    ) {
        let ids = remove.ids();
        for (at, id) in ids.iter().enumerate() {
            counters.rm_addr += 1;
            if !ids.get(..at).is_some_and(|before| before.contains(id)) {
                self.on_address_removed(now, *id);
            }
        }
    }

    fn on_address_removed(&mut self, now: Instant, id: AddressId) {
        // [ADDR-25]: whatever becomes of its subflows, the address gets no new ones.
        let mut known = self.paths.on_removed(id);
        let probe = self.config.behaviour.probe_before_remove;
        let others = self.subflows.iter().filter(|s| s.remote_id != id && s.is_usable());
        let others = SubflowSet::of_all(others.map(|s| s.id));
        for subflow in self.subflows.iter_mut().filter(|s| s.remote_id == id && s.is_alive()) {
            known = true;
            if subflow.address_removed {
                continue;
            }
            subflow.address_removed = true;
            if probe && subflow.phase == Phase::Active {
                // [ADDR-23]
                subflow.doubt(now);
            } else {
                subflow.close_or_give_up();
            }
            subflow.hand_over(&mut self.send, others);
        }
        if known {
            self.emit(Event::AddressRemoved { id });
        }
    }

    /// MP_PRIO changes this subflow only [PRIO-3].
    pub(super) fn on_prio(&mut self, index: usize, prio: MpPrio, counters: &mut Counters) {
        counters.mp_prio_rx += 1;
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        subflow.backup_remote = prio.backup;
        let (subflow, backup) = (subflow.id, prio.backup);
        self.scheduling.note(SchedulerEvent::PathChanged(subflow));
        self.emit(Event::SubflowPriority { subflow, backup });
    }

    /// Makes a subflow a backup or a regular one, and tells the peer.
    pub(crate) fn set_backup(&mut self, id: SubflowId, backup: bool) -> Result<(), SubflowError> {
        let index = self.subflow_index(id).ok_or(SubflowError::NotFound)?;
        let subflow = self.subflows.get_mut(index).ok_or(SubflowError::NotFound)?;
        subflow.backup_local = backup;
        subflow.forget_priority();
        self.scheduling.note(SchedulerEvent::PathChanged(id));
        if self.mode == super::Mode::Mptcp && subflow.phase != Phase::Handshake {
            subflow.signal(MptcpOption::Prio(MpPrio { backup }));
        }
        Ok(())
    }

    /// Says of this end's addresses what is due: withdrawals first, then one announcement.
    pub(crate) fn announce(
        &mut self,
        now: Instant,
        locals: &[LocalEndpoint],
        counters: &mut Counters,
    ) {
        if let Some(remove) = RemoveAddr::from_ids(self.paths.withdrawals()) {
            let carrier = self.carrier().and_then(|index| self.subflows.get_mut(index));
            if carrier.is_none_or(|c| !c.signal(MptcpOption::RemoveAddr(remove))) {
                return self.paths.on_no_carrier(now);
            }
            self.paths.on_withdrawn();
        }
        let kind = self.config.path_manager;
        if let Some(what) = self.paths.next_advertisement(now, kind, locals) {
            self.advertise(now, what, counters);
        }
    }

    /// Hands an ADD_ADDR to a subflow [ADDR-9]. It goes alone on a pure ACK.
    fn advertise(&mut self, now: Instant, what: Advertisement, counters: &mut Counters) {
        let Advertisement { id, address, port } = what;
        let carrier = self.carrier().and_then(|index| self.subflows.get_mut(index));
        let (Some(carrier), Some(peer)) = (carrier, self.peer) else {
            return self.paths.on_no_carrier(now);
        };
        let hmac = Some(add_addr_hmac(self.own_key, peer.key, id, address, port));
        let add = AddAddr { echo: false, id, address, port, hmac };
        if !carrier.has_room_for(&add, self.config.add_addr_v6_port_drop_ts) {
            counters.add_addr_tx_drop += 1;
            return self.paths.on_unsendable();
        }
        let timeout = carrier.tcp.rto().max(MIN_ECHO_WAIT).min(self.config.add_addr_timeout);
        let said = carrier.signal(MptcpOption::AddAddr(add));
        self.subflows.iter_mut().for_each(|subflow| subflow.forget_removal(id));
        if said {
            self.paths.on_advertised(now, timeout);
        } else {
            self.paths.on_no_carrier(now);
        }
    }

    /// The subflow most likely to get an option through.
    fn carrier(&self) -> Option<usize> {
        let active = |(_, s): &(usize, &Subflow)| s.phase == Phase::Active && s.is_alive();
        let rank = |(_, s): &(usize, &Subflow)| {
            (!s.is_usable(), s.tcp.srtt().unwrap_or(Duration::MAX), s.id)
        };
        self.subflows.iter().enumerate().filter(active).min_by_key(rank).map(|(index, _)| index)
    }

    /// A local address is gone: nothing can be sent from it, so its subflows end without a word there. The peer is
    /// told elsewhere [ADDR-20]. `ids` are those of its endpoints.
    pub(crate) fn on_local_removed(
        &mut self,
        now: Instant,
        address: IpAddr,
        ids: &[AddressId],
        counters: &mut Counters,
    ) {
        let mut gone: Vec<AddressId> =
            ids.iter().copied().filter(|id| self.paths.has_told(*id)).collect();
        let from_there = |s: &&mut Subflow| s.tuple.local.ip() == address && s.is_alive();
        for subflow in self.subflows.iter_mut().filter(from_there) {
            if subflow.phase != Phase::Handshake {
                gone.push(subflow.local_id);
            }
            counters.rm_subflow += 1;
            subflow.address_removed = true;
            subflow.reset(ResetReason::Unspecified);
        }
        self.withdraw(&gone);
        self.reinject_closing();
        self.settle(now);
    }

    /// Endpoints were deleted: the peer is told [ADDR-20] [ADDR-21] [ADDR-22], and their subflows close with a FIN
    /// [ADDR-28].
    pub(crate) fn on_endpoints_deleted(
        &mut self,
        now: Instant,
        deleted: &[LocalEndpoint],
        counters: &mut Counters,
    ) {
        let mut gone = Vec::new();
        for endpoint in deleted {
            if self.paths.has_told(endpoint.id) {
                gone.push(endpoint.id);
            }
            let local_id = match endpoint.port {
                Some(_) => endpoint.id,
                None => self.paths.local_id(endpoint.address, endpoint.id),
            };
            let of_it =
                |s: &Subflow| s.tuple.local.ip() == endpoint.address && s.local_id == local_id;
            if self.close_local(of_it, counters) {
                gone.push(local_id);
            }
        }
        self.withdraw(&gone);
        self.reinject_closing();
        self.settle(now);
    }

    /// The address of the first subflow, identifier 0, was deleted.
    pub(crate) fn on_initial_address_deleted(&mut self, now: Instant, counters: &mut Counters) {
        if self.close_local(|s| s.local_id == AddressId(0), counters) {
            self.withdraw(&[AddressId(0)]);
        }
        self.reinject_closing();
        self.settle(now);
    }

    /// Closes the subflows this end has at an address; true when the peer knows of one. Of plain TCP there is but one,
    /// and its FIN would be the end of the data, which is the application's to say; so it is while the peer may not know
    /// that this is MPTCP.
    fn close_local(&mut self, of_it: impl Fn(&Subflow) -> bool, counters: &mut Counters) -> bool {
        if matches!(self.mode, Mode::Tcp(_)) || !self.confirmed && self.established {
            return false;
        }
        let mut any = false;
        for subflow in self.subflows.iter_mut().filter(|s| s.is_alive() && of_it(s)) {
            any |= subflow.phase != Phase::Handshake;
            counters.rm_subflow += 1;
            subflow.address_removed = true;
            subflow.close_or_give_up();
        }
        any
    }

    /// Queues identifiers for a REMOVE_ADDR; an ADD_ADDR of them that has not left yet never will.
    pub(super) fn withdraw(&mut self, ids: &[AddressId]) {
        if self.is_mptcp() {
            ids.iter().for_each(|id| self.paths.withdraw(*id));
        }
        for subflow in &mut self.subflows {
            subflow.signals.retain(|signal| match signal {
                MptcpOption::AddAddr(add) => add.echo || !ids.contains(&add.id),
                _ => true,
            });
        }
    }

    /// The flags of an endpoint changed from `before`'s.
    pub(crate) fn on_endpoint_changed(&mut self, before: &LocalEndpoint, flags: EndpointFlags) {
        let of_it = |s: &&Subflow| {
            let port = before.port.is_none_or(|port| s.tuple.local.port() == port);
            s.tuple.local.ip() == before.address && port && s.is_alive()
        };
        let subflows: Vec<SubflowId> = self.subflows.iter().filter(of_it).map(|s| s.id).collect();
        if before.flags.backup != flags.backup {
            for id in &subflows {
                let _ = self.set_backup(*id, flags.backup);
            }
        }
        if before.flags.signal && !flags.signal && subflows.is_empty() {
            self.withdraw(&[before.id]);
        }
        let opens = |flags: EndpointFlags| (flags.subflow, flags.fullmesh);
        if opens(before.flags) != opens(flags) && (flags.subflow || flags.fullmesh) {
            self.paths.on_local_added(before.address);
        }
        self.paths.touch();
    }
}
