//! Connections to anybody: every SYN that comes in by an interface is taken, whatever address and port it is for, and the
//! application is asked before it is answered. What stands in the way of somebody else's connections lives on this.

use super::input::Stranger;
use super::{Endpoint, LocalAddress};
use crate::addr::{ConnectionId, FourTuple, InterfaceId, IpAddr};
use crate::config::ConnectionConfig;
use crate::error::ListenError;
use crate::seq::SeqNum;
use crate::tcp::Segment;
use crate::time::Instant;
use crate::wire::TcpOptions;
use alloc::collections::{BTreeMap, VecDeque};

/// Somebody wants to connect: the remote end is who, the local end is to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Both addresses.
    pub tuple: FourTuple,
    /// The sequence number of the SYN, for whoever quotes it (ICMP).
    pub seq: SeqNum,
}

/// A SYN that waits for an answer.
#[derive(Debug)]
struct Held {
    local: LocalAddress,
    segment: Segment,
    options: TcpOptions,
}

/// What is intercepted on one interface.
#[derive(Debug)]
struct Interceptor {
    config: ConnectionConfig,
    limit: usize,
    held: BTreeMap<FourTuple, Held>,
    /// Those the application has not been told of.
    fresh: VecDeque<Request>,
}

/// All interfaces on which connections are intercepted.
#[derive(Debug, Default)]
pub(super) struct Interceptors {
    by_interface: BTreeMap<InterfaceId, Interceptor>,
}

impl Interceptors {
    /// Connections to anybody are taken on this interface.
    pub(super) fn on(&self, interface: InterfaceId) -> bool {
        self.by_interface.contains_key(&interface)
    }

    fn take(&mut self, tuple: &FourTuple) -> Option<(Held, &Interceptor)> {
        self.by_interface.values_mut().find_map(|interceptor| {
            let held = interceptor.held.remove(tuple)?;
            interceptor.fresh.retain(|request| request.tuple != *tuple);
            Some((held, &*interceptor))
        })
    }
}

impl Endpoint {
    /// Intercepts connections on an interface: SYNs to any address and port that come in there are held until
    /// [`Self::let_in`], [`Self::refuse`] or [`Self::ignore`] says what becomes of them. At most `limit` wait; more are
    /// dropped, and come again. The interface needs an address of its own in each family that is taken.
    ///
    /// Listeners go before it.
    ///
    /// # Errors
    ///
    /// [`ListenError::AddressInUse`] where it is intercepted already.
    pub fn intercept(
        &mut self,
        config: ConnectionConfig,
        interface: InterfaceId,
        limit: usize,
    ) -> Result<(), ListenError> {
        if self.interceptors.on(interface) {
            return Err(ListenError::AddressInUse);
        }
        let (held, fresh) = (BTreeMap::new(), VecDeque::new());
        let interceptor = Interceptor { config, limit, held, fresh };
        self.interceptors.by_interface.insert(interface, interceptor);
        Ok(())
    }

    /// Intercepts no longer; what waits is ignored, connections go on.
    pub fn stop_intercepting(&mut self, interface: InterfaceId) {
        self.interceptors.by_interface.remove(&interface);
        self.demux.close_lanes();
    }

    /// The next one who wants to connect.
    pub fn next_request(&mut self, interface: InterfaceId) -> Option<Request> {
        self.interceptors.by_interface.get_mut(&interface)?.fresh.pop_front()
    }

    /// How many requests [`Self::next_request`] has to give.
    #[must_use]
    pub fn requests(&self, interface: InterfaceId) -> usize {
        self.interceptors.by_interface.get(&interface).map_or(0, |i| i.fresh.len())
    }

    /// Lets a request in: the handshake goes on, and events tell what becomes of the connection, as with
    /// [`Self::connect`]. `None` when there is no such request any more, or no room.
    pub fn let_in(&mut self, now: Instant, tuple: &FourTuple) -> Option<ConnectionId> {
        let (held, interceptor) = self.interceptors.take(tuple)?;
        let config = interceptor.config.clone();
        let taken = self.demux.contains(tuple);
        if taken || self.connections.len() >= self.config.max_connections {
            self.counters.listen_drops += 1;
            return None;
        }
        let Held { local, segment, options } = &held;
        let stranger = Stranger { local, tuple: *tuple, segment, options };
        Some(self.open_passive(now, &stranger, config, None))
    }

    /// Answers a request with a RST, as a closed port does.
    pub fn refuse(&mut self, now: Instant, tuple: &FourTuple) {
        if let Some((held, _)) = self.interceptors.take(tuple) {
            let Held { local, segment, options } = &held;
            let stranger = Stranger { local, tuple: *tuple, segment, options };
            self.reply_reset(now, &stranger, None);
        }
    }

    /// Forgets a request without a word. Its SYN comes again, and is a new request.
    pub fn ignore(&mut self, tuple: &FourTuple) {
        self.interceptors.take(tuple);
    }

    /// The local end of a connection to `address` that came in by `interface`, where such are taken.
    pub(super) fn stand_in(&self, interface: InterfaceId, address: IpAddr) -> Option<LocalAddress> {
        if !self.interceptors.on(interface) || super::input::is_no_host(address) {
            return None;
        }
        let mut own = self.addresses.as_slice().iter();
        let same = |l: &&LocalAddress| {
            l.interface == interface && l.address.is_ipv4() == address.is_ipv4()
        };
        own.find(same).map(|own| LocalAddress { address, ..*own })
    }

    /// Holds a SYN and asks; false where connections are not intercepted. A SYN that comes again takes the place of the
    /// first: its time is the better one to answer.
    pub(super) fn hold(&mut self, stranger: &Stranger<'_>) -> bool {
        let Stranger { local, tuple, segment, options } = *stranger;
        let all = &mut self.interceptors.by_interface;
        let Some(interceptor) = all.get_mut(&local.interface) else { return false };
        let known = interceptor.held.get(&tuple).map(|held| held.segment.seq);
        if known.is_none() && interceptor.held.len() >= interceptor.limit {
            self.counters.listen_drops += 1;
            return true;
        }
        let (segment, options) = (segment.clone(), *options);
        let seq = segment.seq;
        interceptor.held.insert(tuple, Held { local: *local, segment, options });
        if known.is_none() {
            interceptor.fresh.push_back(Request { tuple, seq });
        }
        true
    }

    /// The one who wanted to connect does so no longer.
    pub(super) fn withdraw_request(&mut self, stranger: &Stranger<'_>) {
        self.interceptors.take(&stranger.tuple);
    }
}

#[cfg(test)]
#[path = "intercept_tests.rs"]
mod tests;
