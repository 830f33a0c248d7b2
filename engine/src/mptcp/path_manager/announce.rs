//! What this end says of its own addresses: ADD_ADDR, one at a time until its echo comes, and REMOVE_ADDR.

use super::{LocalEndpoint, Presence};
use crate::addr::{AddressId, IpAddr};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Repetitions of an ADD_ADDR nobody echoes [ADDR-11] (K28).
const RETRANSMISSIONS: u32 = 3;
/// Wait while no subflow can carry an option.
const NO_CARRIER: Duration = Duration::from_secs(1);
/// Most identifiers in one REMOVE_ADDR, with a DSS beside it (RFC 8684 3.4.2): what the kernel takes.
pub(crate) const MAX_REMOVED: usize = 8;

/// An address as it is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advertisement {
    pub(crate) id: AddressId,
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

/// The announcement whose echo is waited for.
#[derive(Clone, Copy, Debug)]
struct Pending {
    what: Advertisement,
    transmissions: u32,
    /// When it is sent again, or given up.
    due: Option<Instant>,
}

/// This end's announcements on one connection.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// Told to the peer and not withdrawn.
    told: Vec<Advertisement>,
    pending: Option<Pending>,
    /// To be withdrawn as soon as a subflow can say so.
    withdrawals: Vec<AddressId>,
}

impl Announcer {
    /// Identifiers to withdraw now, in one option. They go before any announcement: the same identifier may be
    /// announced next [ADDR-17].
    pub(super) fn withdrawals(&self) -> &[AddressId] {
        self.withdrawals.get(..self.withdrawals.len().min(MAX_REMOVED)).unwrap_or_default()
    }

    /// The first [`Self::withdrawals`] were handed to a subflow.
    pub(super) fn on_withdrawn(&mut self) {
        let count = self.withdrawals.len().min(MAX_REMOVED);
        self.withdrawals.drain(..count);
    }

    /// This identifier is to be withdrawn [ADDR-20] [ADDR-21].
    pub(super) fn withdraw(&mut self, id: AddressId) {
        self.told.retain(|a| a.id != id);
        self.pending = self.pending.filter(|p| p.what.id != id);
        if !self.withdrawals.contains(&id) {
            self.withdrawals.push(id);
        }
    }

    /// The peer was told of this identifier.
    pub(super) fn has_told(&self, id: AddressId) -> bool {
        self.told.iter().any(|a| a.id == id)
    }

    /// Announcements told and not withdrawn.
    pub(super) fn told(&self) -> usize {
        self.told.len()
    }

    /// What to announce now, if anything: the pending one again, or the next of the `signal` endpoints (of `all`
    /// endpoints). `first` is the address of the first subflow, which the peer knows.
    pub(super) fn next(
        &mut self,
        now: Instant,
        locals: &[LocalEndpoint],
        first: IpAddr,
        all: bool,
    ) -> Option<Advertisement> {
        if let Some(pending) = self.pending {
            if pending.due.is_some_and(|due| due > now) {
                return None;
            }
            if pending.transmissions <= RETRANSMISSIONS {
                return Some(pending.what);
            }
            self.pending = None;
        }
        let known = |l: &LocalEndpoint| l.address == first && l.port.is_none();
        let asked = |l: &LocalEndpoint| l.flags.signal || all && !l.is_retired();
        let wanted = |l: &LocalEndpoint| asked(l) && l.presence != Presence::Gone;
        let next = locals.iter().filter(|l| wanted(l) && !known(l)).find_map(|local| {
            let LocalEndpoint { id, address, port, .. } = *local;
            let what = Advertisement { id, address, port };
            (!self.told.contains(&what)).then_some(what)
        })?;
        self.pending = Some(Pending { what: next, transmissions: 0, due: None });
        Some(next)
    }

    /// The pending announcement was handed to a subflow whose RTO, or the configured time if that is shorter, is
    /// `timeout`; the wait doubles each time (K28).
    pub(super) fn on_announced(&mut self, now: Instant, timeout: Duration) {
        let Some(pending) = &mut self.pending else { return };
        pending.due = Some(now + timeout * (1 << pending.transmissions.min(8)));
        pending.transmissions += 1;
        if !self.told.contains(&pending.what) {
            self.told.push(pending.what);
        }
    }

    /// No subflow could carry the pending announcement, or what goes before it.
    pub(super) fn on_no_carrier(&mut self, now: Instant) {
        if let Some(pending) = &mut self.pending
            && pending.due.is_none_or(|due| due <= now)
        {
            pending.due = Some(now + NO_CARRIER);
        }
    }

    /// It cannot be sent at all.
    pub(super) fn give_up(&mut self) {
        if let Some(pending) = self.pending.take()
            && !self.told.contains(&pending.what)
        {
            self.told.push(pending.what);
        }
    }

    /// An echo came; true when it is that of the pending announcement: identifier, address and port (K28).
    pub(super) fn on_echo(&mut self, echo: Advertisement) -> bool {
        let expected = self.pending.is_some_and(|pending| pending.what == echo);
        if expected {
            self.pending = None;
        }
        expected
    }

    /// When [`Self::next`] has something to say again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pending?.due
    }
}
