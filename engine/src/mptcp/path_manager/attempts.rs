//! Which subflows were tried: a pair of addresses is not tried twice without a reason.

use super::JoinTarget;
use super::rate::Rate;
use crate::addr::{IpAddr, SocketAddr, SourceRoute};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Most pairs remembered; further ones are not tried.
const MAX_PAIRS: usize = 256;
/// Attempts at once, and the time between further ones.
const BURST: u32 = 8;
const INTERVAL: Duration = Duration::from_secs(1);
/// Attempts in a row without any success after which nothing is tried until something changes.
const MAX_FRUITLESS: u32 = 8;
/// An announcement this long after an attempt is no retransmission but a refresh [ADDR-14].
const REFRESH_AFTER: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
struct Pair {
    local: IpAddr,
    remote: SocketAddr,
    route: Option<SourceRoute>,
    count: u8,
    /// The last attempt.
    at: Instant,
}

/// The attempts of one connection.
#[derive(Debug)]
pub(super) struct Attempts {
    pairs: Vec<Pair>,
    rate: Rate,
    fruitless: u32,
}

impl Attempts {
    /// The first subflow is an attempt as well: when it ends, it is not opened anew from there.
    pub(super) fn new(local: IpAddr, remote: SocketAddr) -> Self {
        let first = Pair { local, remote, route: None, count: 1, at: Instant::ZERO };
        Self { pairs: Vec::from([first]), rate: Rate::new(BURST, INTERVAL), fruitless: 0 }
    }

    /// How often this pair was tried, without a source route.
    pub(super) fn count(&self, local: IpAddr, remote: SocketAddr) -> u8 {
        self.count_by(local, remote, None)
    }

    /// How often this pair was tried on this way.
    pub(super) fn count_by(
        &self,
        local: IpAddr,
        remote: SocketAddr,
        route: Option<SourceRoute>,
    ) -> u8 {
        let same = |p: &&Pair| p.local == local && p.remote == remote && p.route == route;
        self.pairs.iter().find(same).map_or(0, |pair| pair.count)
    }

    /// This remote address and port was tried from somewhere [ADDR-13] [ADDR-14].
    pub(super) fn reached(&self, remote: SocketAddr) -> bool {
        self.pairs.iter().any(|p| p.remote == remote)
    }

    /// The last attempt at this address is long ago, or there was none.
    pub(super) fn is_old(&self, now: Instant, remote: SocketAddr) -> bool {
        self.pairs.iter().filter(|p| p.remote == remote).all(|p| p.at + REFRESH_AFTER <= now)
    }

    /// When the next attempt may be made; `None` when there have been too many in vain.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        (self.fruitless < MAX_FRUITLESS).then(|| self.rate.ready_at(now))
    }

    /// Takes down an attempt; false when it must not be made now.
    pub(super) fn record(&mut self, now: Instant, target: &JoinTarget) -> bool {
        if self.fruitless >= MAX_FRUITLESS || !self.rate.take(now) {
            return false;
        }
        let JoinTarget { local, remote, route, .. } = *target;
        let same = |p: &&mut Pair| p.local == local && p.remote == remote && p.route == route;
        if let Some(pair) = self.pairs.iter_mut().find(same) {
            pair.count = pair.count.saturating_add(1);
            pair.at = now;
        } else if self.pairs.len() < MAX_PAIRS {
            self.pairs.push(Pair { local, remote, route, count: 1, at: now });
        } else {
            return false;
        }
        self.fruitless += 1;
        true
    }

    /// A join succeeded.
    pub(super) fn on_success(&mut self) {
        self.fruitless = 0;
    }

    /// The peer announced this address (again), or withdrew it: it may be tried.
    pub(super) fn forget_remote(&mut self, remote: SocketAddr) {
        self.pairs.retain(|p| p.remote != remote);
    }

    /// This local address is new, or back: it may be tried.
    pub(super) fn forget_local(&mut self, local: IpAddr) {
        self.pairs.retain(|p| p.local != local);
        self.fruitless = 0;
    }

    /// Everything may be tried again.
    pub(super) fn forget_all(&mut self) {
        self.pairs.clear();
        self.fruitless = 0;
    }
}
