//! Which subflow to open next: a decision from a read-only view. The mechanism around it sees to limits and rates.

use super::attempts::Attempts;
use super::remote::Announced;
use super::{JoinTarget, LocalEndpoint};
use crate::addr::{AddressId, FourTuple, IpAddr, SocketAddr, SourceRoute};
use crate::config::PathManagerKind;

/// What a policy sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// The first subflow's addresses.
    pub(super) first: FourTuple,
    /// The policy may open subflows that no endpoint asks for.
    pub(super) may_open: bool,
    /// Addresses nobody configured count as `subflow` endpoints.
    pub(super) implicit: bool,
    /// Announced addresses may be joined, and so many in all.
    pub(super) announced_limit: usize,
    /// More announcements are waited for.
    pub(super) waiting: bool,
    /// No join to the peer's first address and port [INI-20].
    pub(super) deny_initial: bool,
    pub(super) locals: &'a [LocalEndpoint],
    pub(super) announced: &'a [Announced],
    pub(super) existing: &'a [FourTuple],
    pub(super) attempts: &'a Attempts,
    pub(super) gateways: &'a [SourceRoute],
}

/// The next subflow by this policy.
pub(super) fn next(kind: PathManagerKind, view: &View<'_>) -> Option<JoinTarget> {
    match kind {
        PathManagerKind::Default => None,
        PathManagerKind::Kernel => view.kernel(),
        PathManagerKind::Fullmesh if view.may_open => view.mesh(|_| true),
        PathManagerKind::Ndiffports(count) if view.may_open => view.same_pair(count),
        PathManagerKind::Binder if view.may_open => view.binder(),
        PathManagerKind::Fullmesh | PathManagerKind::Ndiffports(_) | PathManagerKind::Binder => {
            None
        }
    }
}

impl View<'_> {
    /// By flags: `fullmesh` endpoints to every address, `subflow` endpoints to the first; and one subflow to each
    /// announced address, from a local address that has none yet if there is one, so that two ends with three
    /// addresses each open three subflows and not nine.
    fn kernel(&self) -> Option<JoinTarget> {
        self.mesh(|local| local.flags.fullmesh)
            .or_else(|| self.join_announced())
            .or_else(|| self.join_first())
    }

    fn join_announced(&self) -> Option<JoinTarget> {
        let fresh = |a: &&Announced| self.is_target(a) && !self.attempts.reached(a.address);
        let reached = |a: &&Announced| self.existing.iter().any(|t| t.remote == a.address);
        self.announced.iter().filter(fresh).filter(|a| !reached(a)).find_map(|announced| {
            let remote = announced.address;
            let unused = self.sources(remote).find(|l| self.is_source(l) && !self.is_used(l));
            // While more may be announced, a used address is not used twice.
            let any = || if self.waiting { None } else { self.any_source(remote) };
            let local = unused.map(|local| local.address).or_else(any)?;
            Some(target(local, remote, announced.id))
        })
    }

    fn join_first(&self) -> Option<JoinTarget> {
        if self.waiting || self.deny_initial {
            return None;
        }
        let remote = self.first.remote;
        let local = self.sources(remote).find(|l| {
            self.is_source(l) && !self.is_used(l) && self.attempts.count(l.address, remote) == 0
        })?;
        Some(target(local.address, remote, AddressId(0)))
    }

    /// Every pair of a local address that `takes_part` and an address of the peer: first those whose addresses have
    /// the fewest subflows, so that a limit cuts off the least useful ones.
    fn mesh(&self, takes_part: impl Fn(&LocalEndpoint) -> bool) -> Option<JoinTarget> {
        let announced = self.announced.iter().filter(|a| self.is_target(a));
        let first = (!self.deny_initial).then_some((AddressId(0), self.first.remote));
        let remotes = first.into_iter().chain(announced.map(|a| (a.id, a.address)));
        let pairs = remotes.flat_map(|(id, remote)| {
            self.sources(remote)
                .filter(|local| takes_part(local))
                .filter(move |local| self.attempts.count(local.address, remote) == 0)
                .filter(move |local| !self.is_open(local.address, remote))
                .map(move |local| target(local.address, remote, id))
        });
        pairs.min_by_key(|pair| {
            let of_local = self.existing.iter().filter(|t| t.local.ip() == pair.local).count();
            of_local + self.existing.iter().filter(|t| t.remote == pair.remote).count()
        })
    }

    /// So many subflows between the first addresses.
    fn same_pair(&self, count: u8) -> Option<JoinTarget> {
        let (local, remote) = (self.first.local.ip(), self.first.remote);
        let wanted = !self.deny_initial && self.attempts.count(local, remote) < count;
        wanted.then(|| target(local, remote, AddressId(0)))
    }

    /// Through every gateway from the first address, and from every further address.
    fn binder(&self) -> Option<JoinTarget> {
        if self.deny_initial {
            return None;
        }
        let (local, remote) = (self.first.local.ip(), self.first.remote);
        let new = |route: &&SourceRoute| {
            remote.is_ipv4() && self.attempts.count_by(local, remote, Some(**route)) == 0
        };
        if let Some(route) = self.gateways.iter().find(new) {
            return Some(JoinTarget { route: Some(*route), ..target(local, remote, AddressId(0)) });
        }
        let new = |l: &&LocalEndpoint| self.attempts.count(l.address, remote) == 0;
        let next = self.sources(remote).find(|l| !self.is_used(l) && new(l))?;
        Some(target(next.address, remote, AddressId(0)))
    }

    /// Local addresses a subflow to `remote` can come from.
    fn sources(&self, remote: SocketAddr) -> impl Iterator<Item = &LocalEndpoint> {
        super::sources(self.locals, remote)
    }

    /// An address that leads to `remote`; without endpoints, the one in use.
    fn any_source(&self, remote: SocketAddr) -> Option<IpAddr> {
        let first = Some(self.first.local.ip()).filter(|ip| ip.is_ipv4() == remote.is_ipv4());
        self.sources(remote).next().map(|local| local.address).or(first)
    }

    /// The endpoint opens subflows of its own accord.
    fn is_source(&self, local: &LocalEndpoint) -> bool {
        let flags = local.flags;
        flags.subflow && (self.implicit || !local.implicit) || flags.fullmesh
    }

    fn is_used(&self, local: &LocalEndpoint) -> bool {
        self.existing.iter().any(|tuple| tuple.local.ip() == local.address)
    }

    fn is_open(&self, local: IpAddr, remote: SocketAddr) -> bool {
        self.existing.iter().any(|tuple| tuple.local.ip() == local && tuple.remote == remote)
    }

    /// The announced address may be joined: it is not one of ours, which would lead nowhere but to ourselves, and
    /// within the limit.
    fn is_target(&self, announced: &Announced) -> bool {
        let own: IpAddr = announced.address.ip();
        let tried = self.announced.iter().filter(|a| self.attempts.reached(a.address)).count();
        let within = tried < self.announced_limit || self.attempts.reached(announced.address);
        within && !self.locals.iter().any(|local| local.is_here() && local.address == own)
    }
}

const fn target(local: IpAddr, remote: SocketAddr, remote_id: AddressId) -> JoinTarget {
    JoinTarget { local, remote, remote_id, route: None }
}
