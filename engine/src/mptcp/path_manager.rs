//! Addresses, their identifiers, and who opens a subflow to whom.
//!
//! The policy: every local address carries one subflow, every announced address is reached by one, within the
//! limits. An announced address is paired with a local address that has no subflow yet, so that two ends with
//! three addresses each open three subflows and not nine.

use crate::addr::{AddressId, FourTuple, IpAddr, SocketAddr};
use crate::config::ConnectionConfig;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Most announcements remembered; the rest is dropped ([ADDR-4] allows any).
const MAX_ANNOUNCED: usize = 8;
/// How long announcements are waited for before unpaired local addresses join the peer's first address. A
/// peer sends one at a time and waits for the echo (K28).
const MIN_GRACE: Duration = Duration::from_millis(10);
const MAX_GRACE: Duration = Duration::from_millis(250);

/// A subflow to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinTarget {
    pub(crate) local: IpAddr,
    pub(crate) remote: SocketAddr,
    /// The remote address' identifier: 0 for the first subflow's, else the announced one.
    pub(crate) remote_id: AddressId,
}

#[derive(Clone, Copy, Debug)]
struct Announced {
    id: AddressId,
    address: SocketAddr,
    /// A subflow to it was tried; it is not tried again unless announced anew [ADDR-13] [ADDR-14].
    tried: bool,
}

/// What a connection knows of both ends' addresses.
#[derive(Debug)]
pub(crate) struct PathManager {
    first: FourTuple,
    announced: Vec<Announced>,
    /// Local addresses from which a join to the first remote address was tried.
    tried_local: Vec<IpAddr>,
    grace_until: Option<Instant>,
    /// The peer's C flag [INI-20], or it has withdrawn its first address (K29): no join to that address and port.
    deny_join_initial: bool,
}

impl PathManager {
    pub(crate) fn new(first: FourTuple) -> Self {
        Self {
            first,
            announced: Vec::new(),
            // The first subflow is an attempt as well: when it ends, it is not opened anew from there.
            tried_local: Vec::from([first.local.ip()]),
            grace_until: None,
            deny_join_initial: false,
        }
    }

    pub(crate) fn set_deny_join_initial(&mut self, deny: bool) {
        self.deny_join_initial = deny;
    }

    /// The port joins go to unless another was announced [HEU-2].
    pub(crate) const fn remote_port(&self) -> u16 {
        self.first.remote.port()
    }

    /// Local end of the first subflow.
    pub(crate) const fn first_local(&self) -> SocketAddr {
        self.first.local
    }

    /// Remote end of the first subflow.
    pub(crate) const fn first_remote(&self) -> SocketAddr {
        self.first.remote
    }

    /// Joins are allowed from now on; announcements get a moment to arrive [HEU-7].
    pub(crate) fn start(&mut self, now: Instant, srtt: Option<Duration>) {
        let grace = (srtt.unwrap_or(MIN_GRACE) * 3).clamp(MIN_GRACE, MAX_GRACE);
        self.grace_until = Some(now + grace);
    }

    /// When [`Self::next_join`] may have something new to say without anything else happening.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.grace_until
    }

    /// The grace period is over.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if self.grace_until.is_some_and(|at| at <= now) {
            self.grace_until = None;
        }
    }

    /// The peer announced an address; false when it was dropped or known.
    ///
    /// A known identifier with a new port is a new target [ADDR-16]; with a new address it is a mistake of the
    /// peer's and ignored [ADDR-15].
    pub(crate) fn on_announced(
        &mut self,
        id: AddressId,
        address: IpAddr,
        port: Option<u16>,
    ) -> bool {
        // [ADDR-8]: no port means the one in use.
        let address = SocketAddr::new(address, port.unwrap_or(self.first.remote.port()));
        if !is_usable(address) || (id == AddressId(0) && address != self.first.remote) {
            return false;
        }
        if let Some(known) = self.announced.iter_mut().find(|a| a.id == id) {
            if known.address.ip() != address.ip() || known.address == address {
                return false;
            }
            *known = Announced { id, address, tried: false };
            return true;
        }
        if self.announced.len() >= MAX_ANNOUNCED {
            return false;
        }
        self.announced.push(Announced { id, address, tried: false });
        true
    }

    /// The peer withdrew an address; true when it had been announced.
    pub(crate) fn on_removed(&mut self, id: AddressId) -> bool {
        self.deny_join_initial |= id == AddressId(0);
        let before = self.announced.len();
        self.announced.retain(|a| a.id != id);
        self.announced.len() < before
    }

    /// The identifier the peer gave this address: 0 for its first.
    pub(crate) fn remote_id(&self, address: IpAddr) -> AddressId {
        if address == self.first.remote.ip() {
            return AddressId(0);
        }
        self.announced.iter().find(|a| a.address.ip() == address).map_or(AddressId(0), |a| a.id)
    }

    /// The next subflow to open, given the local addresses and the subflows there are. Each target is named once.
    pub(crate) fn next_join(
        &mut self,
        config: &ConnectionConfig,
        locals: &[IpAddr],
        existing: &[FourTuple],
    ) -> Option<JoinTarget> {
        if existing.len() > config.max_extra_subflows {
            return None;
        }
        let used = |local: IpAddr| existing.iter().any(|tuple| tuple.local.ip() == local);
        if config.join_announced {
            let reached = |remote: SocketAddr| existing.iter().any(|tuple| tuple.remote == remote);
            let waiting = self.grace_until.is_some();
            for announced in self.announced.iter_mut().filter(|a| !a.tried) {
                if reached(announced.address) {
                    announced.tried = true;
                    continue;
                }
                let same_family = |l: &&IpAddr| l.is_ipv4() == announced.address.is_ipv4();
                let unused = locals.iter().filter(same_family).find(|l| !used(**l));
                // While more may be announced, a used address is not used twice.
                let fallback = if waiting { None } else { locals.iter().find(same_family) };
                if let Some(local) = unused.or(fallback) {
                    announced.tried = true;
                    let (remote, remote_id) = (announced.address, announced.id);
                    return Some(JoinTarget { local: *local, remote, remote_id });
                }
            }
        }
        if self.grace_until.is_some() || self.deny_join_initial || !config.join_from_local {
            return None;
        }
        let remote = self.first.remote;
        let local = locals
            .iter()
            .filter(|l| l.is_ipv4() == remote.is_ipv4())
            .find(|l| !used(**l) && !self.tried_local.contains(l))?;
        self.tried_local.push(*local);
        Some(JoinTarget { local: *local, remote, remote_id: AddressId(0) })
    }

    /// Every local address may be tried again: the last subflow is gone and the connection can be resumed
    /// [FIN-9].
    pub(crate) fn retry(&mut self) {
        self.tried_local.clear();
        for announced in &mut self.announced {
            announced.tried = false;
        }
        self.grace_until = None;
    }

    /// A new local address appeared: it may join at once.
    pub(crate) fn on_local_added(&mut self, address: IpAddr) {
        self.tried_local.retain(|tried| *tried != address);
    }
}

/// A host can have this address and a listener this port [ADDR-4] [SEC-2].
fn is_usable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = ip == IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
    !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || broadcast)
        && address.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn first() -> FourTuple {
        FourTuple {
            local: SocketAddr::new(ip(1), 40_000),
            remote: SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 7_000),
        }
    }

    fn joins(pm: &mut PathManager, locals: &[IpAddr]) -> Vec<(IpAddr, SocketAddr)> {
        let config = ConnectionConfig::default();
        let mut existing = Vec::from([first()]);
        let mut out = Vec::new();
        while let Some(t) = pm.next_join(&config, locals, &existing) {
            existing.push(FourTuple { local: SocketAddr::new(t.local, 1), remote: t.remote });
            out.push((t.local, t.remote));
            assert!(out.len() < 20, "a target was named twice");
        }
        out
    }

    #[test]
    fn three_addresses_on_both_sides_make_three_subflows() {
        let mut pm = PathManager::new(first());
        pm.start(Instant::ZERO, None);
        assert!(pm.on_announced(AddressId(1), IpAddr::from([192, 0, 2, 2]), None));
        assert!(pm.on_announced(AddressId(2), IpAddr::from([192, 0, 2, 3]), None));
        let made = joins(&mut pm, &[ip(1), ip(2), ip(3)]);
        assert_eq!(made.len(), 2);
        assert_eq!(made[0], (ip(2), SocketAddr::from(([192, 0, 2, 2], 7_000))));
        assert_eq!(made[1], (ip(3), SocketAddr::from(([192, 0, 2, 3], 7_000))));
    }

    #[test]
    fn unpaired_local_addresses_join_the_first_remote_after_the_grace() {
        let mut pm = PathManager::new(first());
        pm.start(Instant::ZERO, None);
        let locals = [ip(1), ip(2), ip(3)];
        assert!(joins(&mut pm, &locals).is_empty());
        pm.on_timeout(Instant::ZERO + MAX_GRACE);
        assert_eq!(joins(&mut pm, &locals).len(), 2);
    }

    #[test]
    fn a_single_local_address_reaches_every_announced_one() {
        let mut pm = PathManager::new(first());
        pm.on_announced(AddressId(1), IpAddr::from([192, 0, 2, 2]), Some(443));
        assert_eq!(joins(&mut pm, &[ip(1)]), [(ip(1), SocketAddr::from(([192, 0, 2, 2], 443)))]);
    }

    /// RFC 8684 3.1 [INI-20]: flag C forbids joins to the first address and port, not to others.
    #[test]
    fn flag_c_is_obeyed() {
        let mut pm = PathManager::new(first());
        pm.set_deny_join_initial(true);
        assert!(joins(&mut pm, &[ip(1), ip(2)]).is_empty());
        pm.on_announced(AddressId(4), IpAddr::from([192, 0, 2, 9]), None);
        assert_eq!(joins(&mut pm, &[ip(1), ip(2)]).len(), 1);
    }

    /// RFC 8684 3.4.1 [ADDR-13] [ADDR-15] [ADDR-16].
    #[test]
    fn announcements_are_tried_once_until_refreshed_with_another_port() {
        let mut pm = PathManager::new(first());
        let address = IpAddr::from([192, 0, 2, 2]);
        assert!(pm.on_announced(AddressId(1), address, Some(1)));
        assert_eq!(joins(&mut pm, &[ip(1)]).len(), 1);
        assert!(!pm.on_announced(AddressId(1), address, Some(1)), "a repeat is no news");
        assert!(!pm.on_announced(AddressId(1), ip(77), None), "an identifier keeps its address");
        assert!(pm.on_announced(AddressId(1), address, Some(2)));
        assert_eq!(joins(&mut pm, &[ip(1)]).len(), 1);
    }

    #[test]
    fn memory_for_announcements_is_bounded() {
        let mut pm = PathManager::new(first());
        let kept = (0..=255u8).filter(|id| pm.on_announced(AddressId(*id), ip(*id), None)).count();
        assert_eq!(kept, MAX_ANNOUNCED);
    }
}
