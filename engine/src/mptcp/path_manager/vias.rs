//! Forwarders that lead to the peer: proxies, port forwards, translators that pass TCP options on. Only this end knows of
//! them, and one subflow goes through each (K19: a server takes joins from any address, and sees the forwarders').

use super::{JoinTarget, LocalEndpoint, sources};
use crate::addr::{AddressId, FourTuple, IpAddr, SocketAddr};
use crate::config::Via;
use crate::error::SubflowError;
use crate::mptcp::retry;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Most forwarders of one connection.
const MAX_VIAS: usize = 16;
/// From the first attempt to the second; doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Way {
    via: Via,
    /// The address its subflow moves away from, once there is one from [`Via::local`].
    leaving: Option<IpAddr>,
    /// Attempts since the last one that led to a subflow.
    attempts: u32,
    /// Not before this time again.
    rests_until: Option<Instant>,
}

/// The forwarders of a connection, in the order in which they are tried.
#[derive(Debug)]
pub(super) struct Vias(Vec<Way>);

impl Vias {
    pub(super) fn new(vias: &[Via]) -> Self {
        let mut ways = Self(Vec::new());
        for via in vias {
            // one named twice, or one too many, is left out
            let _ = ways.add(*via);
        }
        ways
    }

    /// # Errors
    ///
    /// [`SubflowError::AlreadyOpen`] when it is there already, [`SubflowError::LimitReached`].
    pub(super) fn add(&mut self, via: Via) -> Result<(), SubflowError> {
        if self.all().any(|known| known.remote == via.remote) {
            return Err(SubflowError::AlreadyOpen);
        }
        if self.0.len() >= MAX_VIAS {
            return Err(SubflowError::LimitReached);
        }
        self.0.push(Way { via, leaving: None, attempts: 0, rests_until: None });
        Ok(())
    }

    /// False when there is none with this address.
    pub(super) fn remove(&mut self, remote: SocketAddr) -> bool {
        let before = self.0.len();
        self.0.retain(|way| way.via.remote != remote);
        self.0.len() < before
    }

    /// Its subflow is to come from `local` from now on; what comes from `leaving` stays until then. False when there is no
    /// forwarder with this address.
    pub(super) fn relocate(
        &mut self,
        remote: SocketAddr,
        local: IpAddr,
        leaving: Option<IpAddr>,
    ) -> bool {
        let Some(way) = self.0.iter_mut().find(|way| way.via.remote == remote) else {
            return false;
        };
        if way.via.local != Some(local) {
            // what failed from elsewhere says nothing
            *way = Way {
                via: Via { local: Some(local), ..way.via },
                leaving,
                attempts: 0,
                rests_until: None,
            };
        }
        true
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Via> {
        self.0.iter().map(|way| way.via)
    }

    /// A forwarder that no subflow goes through and whose turn it is; it counts as tried.
    pub(super) fn next(
        &mut self,
        now: Instant,
        first: &FourTuple,
        locals: &[LocalEndpoint],
        existing: &[FourTuple],
    ) -> Option<JoinTarget> {
        let due = |way: &&mut Way| {
            way.is_idle(existing) && way.rests_until.is_none_or(|until| until <= now)
        };
        let (way, local) = self
            .0
            .iter_mut()
            .filter(due)
            .find_map(|way| way.source(first, locals).map(|local| (way, local)))?;
        way.rests_until = Some(now + retry::backoff(FIRST_WAIT, way.attempts));
        way.attempts = way.attempts.saturating_add(1);
        let remote = way.via.remote;
        Some(JoinTarget { local, remote, remote_id: AddressId(0), route: None })
    }

    /// When the next one may be tried.
    pub(super) fn look_at(&self, now: Instant, existing: &[FourTuple]) -> Option<Instant> {
        let idle = self.0.iter().filter(|way| way.is_idle(existing));
        idle.filter_map(|way| way.rests_until).filter(|at| *at > now).min()
    }

    /// A subflow is there. If it goes through a forwarder from where that was moved to: the address it moved away from.
    pub(super) fn on_joined(&mut self, tuple: &FourTuple) -> Option<IpAddr> {
        let way = self.0.iter_mut().find(|way| way.via.remote == tuple.remote)?;
        way.attempts = 0;
        way.leaving.take_if(|_| way.via.local == Some(tuple.local.ip()))
    }
}

impl Way {
    /// No subflow goes through it, but perhaps one that is to be replaced.
    fn is_idle(&self, existing: &[FourTuple]) -> bool {
        let through = |tuple: &FourTuple| {
            tuple.remote == self.via.remote && self.leaving != Some(tuple.local.ip())
        };
        !existing.iter().any(through)
    }

    /// Where its subflow comes from: the address it was given, or the first subflow's, or any of the family.
    fn source(&self, first: &FourTuple, locals: &[LocalEndpoint]) -> Option<IpAddr> {
        let here = |ip: IpAddr| locals.iter().any(|l| l.address == ip && l.is_here());
        if let Some(local) = self.via.local {
            return here(local).then_some(local);
        }
        let fits = |ip: IpAddr| ip.is_ipv4() == self.via.remote.is_ipv4();
        let own = Some(first.local.ip()).filter(|ip| fits(*ip) && here(*ip));
        own.or_else(|| sources(locals, self.via.remote).next().map(|local| local.address))
    }
}
