//! Addresses, their identifiers, and who opens a subflow to whom.
//!
//! The mechanism is here: what is known of both ends' addresses (`remote`, `announce`), what was tried and how often
//! more may be tried (`attempts`, `rate`). `policy` decides which subflow to open next, from a view of all that.

mod announce;
mod attempts;
mod policy;
mod rate;
mod remote;
mod vias;

use crate::addr::{AddressId, FourTuple, IpAddr, SocketAddr, SourceRoute};
use crate::config::{ConnectionConfig, EndpointFlags, Limits, PathManagerKind, Via};
use crate::error::SubflowError;
use crate::time::{Duration, Instant};
pub(crate) use announce::Advertisement;
use announce::Announcer;
use attempts::Attempts;
use policy::View;
use remote::RemoteAddresses;
pub(crate) use remote::Verdict;
use vias::Vias;

/// How long announcements are waited for before unpaired local addresses join the peer's first address. A
/// peer sends one at a time and waits for the echo (K28).
const MIN_GRACE: Duration = Duration::from_millis(10);
const MAX_GRACE: Duration = Duration::from_millis(250);
/// How long the next announcement is waited for after one: a round trip, and what a busy peer needs to hear the echo and
/// to go on.
const NEXT_GRACE: Duration = Duration::from_millis(50);

/// An address of this end as the path manager sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalEndpoint {
    pub(crate) address: IpAddr,
    /// Its identifier, unless it is the address of a connection's first subflow: then 0 [JOIN-2].
    pub(crate) id: AddressId,
    /// The port it is announced with.
    pub(crate) port: Option<u16>,
    pub(crate) flags: EndpointFlags,
    /// Nobody configured it; an explicit endpoint replaces it.
    pub(crate) implicit: bool,
    pub(crate) presence: Presence,
}

/// Where the address of an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Packets can leave from it.
    Here,
    /// They could, and cannot any more.
    Gone,
    /// Somewhere else, perhaps behind a translator: it can be announced and no more.
    Elsewhere,
}

impl LocalEndpoint {
    /// It only keeps an identifier for an address whose endpoint was deleted.
    pub(crate) const fn is_retired(&self) -> bool {
        self.implicit && !self.flags.subflow
    }

    /// Packets can leave from it.
    pub(crate) fn is_here(&self) -> bool {
        self.presence == Presence::Here
    }
}

/// Local addresses a subflow to `remote` can come from.
fn sources(locals: &[LocalEndpoint], remote: SocketAddr) -> impl Iterator<Item = &LocalEndpoint> {
    locals.iter().filter(move |local| {
        local.is_here()
            && !local.is_retired()
            && local.port.is_none()
            && local.address.is_ipv4() == remote.is_ipv4()
    })
}

/// A subflow to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinTarget {
    pub(crate) local: IpAddr,
    pub(crate) remote: SocketAddr,
    /// The remote address' identifier: 0 for the first subflow's, else the announced one.
    pub(crate) remote_id: AddressId,
    /// Gateways its packets go through.
    pub(crate) route: Option<SourceRoute>,
}

/// What a connection knows of both ends' addresses.
#[derive(Debug)]
pub(crate) struct PathManager {
    client: bool,
    first: FourTuple,
    remote: RemoteAddresses,
    announcer: Announcer,
    attempts: Attempts,
    vias: Vias,
    grace_until: Option<Instant>,
    /// When it ends at the latest, however many announcements come.
    grace_end: Instant,
    /// The peer's C flag [INI-20], or it has withdrawn its first address (K29): no join to that address and port.
    deny_join_initial: bool,
    /// Something changed since the last look.
    changed: bool,
    /// The next look although nothing changes: a rate allows more then.
    look_at: Option<Instant>,
}

impl PathManager {
    pub(crate) fn new(first: FourTuple, client: bool, vias: &[Via]) -> Self {
        Self {
            client,
            first,
            remote: RemoteAddresses::new(),
            announcer: Announcer::default(),
            attempts: Attempts::new(first.local.ip(), first.remote),
            vias: Vias::new(vias),
            grace_until: None,
            grace_end: Instant::ZERO,
            deny_join_initial: false,
            changed: false,
            look_at: None,
        }
    }

    /// One more forwarder.
    ///
    /// # Errors
    ///
    /// [`SubflowError::AlreadyOpen`] when it is known, [`SubflowError::LimitReached`].
    pub(crate) fn add_via(&mut self, via: Via) -> Result<(), SubflowError> {
        self.changed = true;
        self.vias.add(via)
    }

    /// No new subflows through it; false when it is not known.
    pub(crate) fn remove_via(&mut self, remote: SocketAddr) -> bool {
        self.vias.remove(remote)
    }

    /// Its subflow is to come from `local`, and the one from `leaving` to end when it does; false when it is not known.
    pub(crate) fn relocate_via(
        &mut self,
        remote: SocketAddr,
        local: IpAddr,
        leaving: Option<IpAddr>,
    ) -> bool {
        self.changed = true;
        self.vias.relocate(remote, local, leaving)
    }

    /// The forwarders, in the order in which they are tried.
    pub(crate) fn vias(&self) -> impl Iterator<Item = Via> {
        self.vias.all()
    }

    pub(crate) const fn set_deny_join_initial(&mut self, deny: bool) {
        self.deny_join_initial = deny;
    }

    /// Local end of the first subflow.
    pub(crate) const fn first_local(&self) -> SocketAddr {
        self.first.local
    }

    /// Remote end of the first subflow; joins go to its port unless another was announced [HEU-2].
    pub(crate) const fn first_remote(&self) -> SocketAddr {
        self.first.remote
    }

    /// Joins are allowed from now on; where `wait` is some random number, announcements get a moment to arrive: one and
    /// a half to three round-trip times, so that two ends that start at once do not go on at once [HEU-7].
    pub(crate) fn start(&mut self, now: Instant, srtt: Option<Duration>, wait: Option<u16>) {
        self.grace_end = now + MAX_GRACE;
        self.grace_until = wait.map(|random| {
            let longest = (srtt.unwrap_or(MIN_GRACE) * 3).clamp(MIN_GRACE, MAX_GRACE);
            let half = longest / 2;
            now + (half + half * u32::from(random) / u32::from(u16::MAX)).max(MIN_GRACE)
        });
        self.changed = true;
    }

    /// Subflows came or went, or addresses, or limits: [`Self::next_join`] may have something new to say.
    pub(crate) const fn touch(&mut self) {
        self.changed = true;
    }

    /// [`Self::next_join`] or [`Self::next_advertisement`] may have something to say now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        self.changed || due(self.look_at) || due(self.announcer.poll_timeout())
    }

    /// The look is over.
    pub(crate) const fn rest(&mut self) {
        self.changed = false;
    }

    /// When there may be something new to say without anything else happening.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let own = Instant::earliest(self.grace_until, self.look_at);
        Instant::earliest(own, self.announcer.poll_timeout())
    }

    /// The grace period is over.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.grace_until.is_some_and(|at| at <= now) {
            self.grace_until = None;
            self.changed = true;
        }
    }

    /// The peer announced an address. Without a port, joins go to `port`, the one in use on the subflow that carried
    /// the option [ADDR-8].
    pub(crate) fn on_announced(
        &mut self,
        now: Instant,
        id: AddressId,
        address: IpAddr,
        port: u16,
    ) -> Verdict {
        let address = SocketAddr::new(address, port);
        let verdict = self.remote.on_announced(now, id, address, self.first.remote);
        // [ADDR-13]: a failed target is not tried again; [ADDR-14]: unless it is refreshed. A retransmission for want
        // of an echo is none.
        let refreshed = verdict == Verdict::Known && self.attempts.is_old(now, address);
        if refreshed {
            self.attempts.forget_remote(address);
        }
        if verdict == Verdict::News {
            let next = (now + NEXT_GRACE).min(self.grace_end);
            self.grace_until = self.grace_until.map(|until| until.max(next));
        }
        self.changed |= refreshed || verdict == Verdict::News;
        verdict
    }

    /// The peer withdrew an address; true when it had been announced.
    pub(crate) fn on_removed(&mut self, id: AddressId) -> bool {
        self.deny_join_initial |= id == AddressId(0);
        self.changed = true;
        let removed = self.remote.on_removed(id);
        if let Some(removed) = removed
            && removed.address != self.first.remote
        {
            self.attempts.forget_remote(removed.address);
        }
        removed.is_some()
    }

    /// The identifier the peer gave this address: 0 for its first.
    pub(crate) fn remote_id(&self, address: IpAddr) -> AddressId {
        if address == self.first.remote.ip() {
            return AddressId(0);
        }
        self.remote.id_of(address).unwrap_or_default()
    }

    /// The identifier this connection uses for a local address whose endpoint has `id`: 0 for that of its first
    /// subflow [JOIN-2].
    pub(crate) fn local_id(&self, address: IpAddr, id: AddressId) -> AddressId {
        if address == self.first.local.ip() { AddressId(0) } else { id }
    }

    /// The next subflow to open, given the endpoints and the subflows there are. It counts as tried from then on.
    pub(crate) fn next_join(
        &mut self,
        now: Instant,
        config: &ConnectionConfig,
        limits: Limits,
        locals: &[LocalEndpoint],
        existing: &[FourTuple],
    ) -> Option<JoinTarget> {
        self.look_at = None;
        if existing.len() > config.max_extra_subflows.min(limits.subflows) {
            return None;
        }
        if let Some(target) = self.vias.next(now, &self.first, locals, existing) {
            return Some(target);
        }
        self.look_at = self.vias.look_at(now, existing);
        let may_open = self.client || config.server_joins;
        let accepted = limits.add_addr_accepted.max(usize::from(self.deny_join_initial));
        let view = View {
            first: self.first,
            may_open,
            implicit: self.client && config.join_from_local,
            // With C, one address may be joined whatever the limit: there is no other way (K16).
            announced_limit: if may_open && config.join_announced { accepted } else { 0 },
            waiting: self.grace_until.is_some(),
            deny_initial: self.deny_join_initial,
            locals,
            announced: self.remote.as_slice(),
            existing,
            attempts: &self.attempts,
            gateways: &config.gateways,
        };
        let target = policy::next(config.path_manager, &view)?;
        if self.attempts.record(now, &target) {
            return Some(target);
        }
        let ready = self.attempts.ready_at(now).filter(|at| *at > now);
        self.look_at = Instant::earliest(self.look_at, ready);
        None
    }

    /// A join succeeded. The address whose subflows to the same remote end it replaces, if it does.
    pub(crate) fn on_joined(&mut self, tuple: &FourTuple) -> Option<IpAddr> {
        self.attempts.on_success();
        self.changed = true;
        self.vias.on_joined(tuple)
    }

    /// Every address may be tried again: the last subflow is gone and the connection can be resumed [FIN-9].
    pub(crate) fn retry(&mut self) {
        self.attempts.forget_all();
        self.grace_until = None;
        self.changed = true;
    }

    /// A local address appeared, or may be used for more: it may join at once.
    pub(crate) fn on_local_added(&mut self, address: IpAddr) {
        self.attempts.forget_local(address);
        self.changed = true;
    }

    /// What to announce now.
    pub(crate) fn next_advertisement(
        &mut self,
        now: Instant,
        kind: PathManagerKind,
        locals: &[LocalEndpoint],
    ) -> Option<Advertisement> {
        // A server's mesh needs its addresses known; a client opens subflows itself.
        let all = kind == PathManagerKind::Fullmesh && !self.client;
        let locals = if kind == PathManagerKind::Default { &[] } else { locals };
        self.announcer.next(now, locals, self.first.local.ip(), all)
    }

    /// The advertisement was handed to a subflow; `timeout` is its RTO.
    pub(crate) fn on_advertised(&mut self, now: Instant, timeout: Duration) {
        self.announcer.on_announced(now, timeout);
    }

    /// No subflow can carry the advertisement now.
    pub(crate) fn on_no_carrier(&mut self, now: Instant) {
        self.announcer.on_no_carrier(now);
    }

    /// The advertisement does not fit into any segment.
    pub(crate) fn on_unsendable(&mut self) {
        self.announcer.give_up();
        self.changed = true;
    }

    /// An echo came; false when it is none of the pending advertisement.
    pub(crate) fn on_echo(&mut self, echo: Advertisement) -> bool {
        let expected = self.announcer.on_echo(echo);
        self.changed |= expected;
        expected
    }

    /// The identifier is to be withdrawn.
    pub(crate) fn withdraw(&mut self, id: AddressId) {
        self.announcer.withdraw(id);
        self.changed = true;
    }

    /// The peer was told of this identifier with ADD_ADDR.
    pub(crate) fn has_told(&self, id: AddressId) -> bool {
        self.announcer.has_told(id)
    }

    /// Identifiers to withdraw now, in one option.
    pub(crate) fn withdrawals(&self) -> &[AddressId] {
        self.announcer.withdrawals()
    }

    /// They were handed to a subflow.
    pub(crate) fn on_withdrawn(&mut self) {
        self.announcer.on_withdrawn();
    }

    /// Addresses announced by this end and by the peer.
    pub(crate) fn announced(&self) -> (usize, usize) {
        (self.announcer.told(), self.remote.as_slice().len())
    }
}

#[cfg(test)]
mod tests;
