//! The peer's addresses: soft state that it may change at any time [ADDR-5]; what is useless now is kept [ADDR-7].

use super::rate::Rate;
use crate::addr::{AddressId, IpAddr, SocketAddr};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Most announcements remembered; the rest is dropped ([ADDR-4] allows any).
const MAX_ANNOUNCED: usize = 8;
/// After that many, one more announcement is news per interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// An address the peer announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Its identifier.
    pub(crate) id: AddressId,
    /// The address, and the port joins go to.
    pub(crate) address: SocketAddr,
}

/// What becomes of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A new target, or a known one with another port.
    News,
    /// Known already: echoed, and tried again if it is due.
    Known,
    /// Dropped: no room, no address a host can have, or an identifier that stands for another address.
    Dropped,
}

/// The announcements of one connection's peer.
#[derive(Debug)]
pub(super) struct RemoteAddresses {
    list: Vec<Announced>,
    rate: Rate,
}

impl RemoteAddresses {
    pub(super) const fn new() -> Self {
        Self { list: Vec::new(), rate: Rate::new(MAX_ANNOUNCED as u32, INTERVAL) }
    }

    /// Addresses announced and not withdrawn, in the order they came.
    pub(super) fn as_slice(&self) -> &[Announced] {
        &self.list
    }

    /// The peer announced an address.
    ///
    /// A known identifier with a new port is a new target [ADDR-16]; with a new address it is a mistake of the
    /// peer's, for it had to be withdrawn first, and ignored [ADDR-15] [ADDR-17]. `first` is the peer's first
    /// address, whose identifier is 0.
    pub(super) fn on_announced(
        &mut self,
        now: Instant,
        id: AddressId,
        address: SocketAddr,
        first: SocketAddr,
    ) -> Verdict {
        if !is_usable(address) || (id == AddressId(0) && address.ip() != first.ip()) {
            return Verdict::Dropped;
        }
        let known = self.list.iter().position(|a| a.id == id);
        if let Some(known) = known.and_then(|at| self.list.get_mut(at)) {
            if known.address == address {
                return Verdict::Known;
            }
            if known.address.ip() != address.ip() || !self.rate.take(now) {
                return Verdict::Dropped;
            }
            known.address = address;
            return Verdict::News;
        }
        if self.list.len() >= MAX_ANNOUNCED || !self.rate.take(now) {
            return Verdict::Dropped;
        }
        self.list.push(Announced { id, address });
        Verdict::News
    }

    /// The peer withdrew an address; what it was.
    pub(super) fn on_removed(&mut self, id: AddressId) -> Option<Announced> {
        let index = self.list.iter().position(|a| a.id == id)?;
        Some(self.list.remove(index))
    }

    /// The identifier announced for this address.
    pub(super) fn id_of(&self, address: IpAddr) -> Option<AddressId> {
        self.list.iter().find(|a| a.address.ip() == address).map(|a| a.id)
    }
}

/// A host can have this address and a listener this port [ADDR-4] [SEC-2]. Private addresses are as good as any
/// [ADDR-12].
fn is_usable(address: SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = ip == IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
    let this_network = matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0);
    let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    let nobody = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback();
    !(nobody || broadcast || this_network || link_local || mapped) && address.port() != 0
}
