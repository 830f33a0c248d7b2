//! Fast Open cookies: given to clients, recognised, and taken from servers (RFC 7413 4.1).

use super::Endpoint;
use crate::addr::{ConnectionId, IpAddr};
use crate::config::{ConnectionConfig, FastOpen};
use crate::crypto::{derive_key, verify};
use crate::mptcp::lesson::Lesson;
use crate::rng::Rng;
use crate::tcp::{FastOpenCookie, Segment, Socket};
use crate::time::{Duration, Instant};
use crate::wire::TcpOptions;
use alloc::vec::Vec;

/// Every cookie is made with the secret of its hour; that of the hour before is good as well.
const EPOCH: Duration = Duration::from_secs(3_600);
/// MP_CAPABLE and the usual options leave 8 octets of a SYN/ACK, 2 of them kind and length [TFO-1].
const COOKIE_LEN: usize = 6;
/// What a server is believed to take that has never told (RFC 9293 3.7.1).
const DEFAULT_MSS: u16 = 536;

/// What a SYN's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client asks for one.
    Requested,
    /// It proves the client's address.
    Good,
    /// It does, but a new one is due.
    Old,
    /// It is nothing this end gave to this address lately.
    Bad,
}

/// The secret, and the connections whose third packet is outstanding.
#[derive(Debug)]
pub(super) struct FastOpenCookies {
    secret: [u8; 32],
    pending: Vec<ConnectionId>,
}

impl FastOpenCookies {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut secret = [0; 32];
        for chunk in secret.chunks_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_be_bytes());
        }
        Self { secret, pending: Vec::new() }
    }

    fn epoch(now: Instant) -> u64 {
        now.as_millis() / EPOCH.as_millis() as u64
    }

    fn bytes(&self, epoch: u64, client: IpAddr) -> [u8; 8] {
        let client = match client {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        derive_key(&self.secret, &[&client.octets(), &epoch.to_be_bytes()]).0.to_be_bytes()
    }

    /// The cookie of this client, now.
    pub(super) fn make(&self, now: Instant, client: IpAddr) -> FastOpenCookie {
        let bytes = self.bytes(Self::epoch(now), client);
        let short = bytes.get(..COOKIE_LEN).and_then(FastOpenCookie::new);
        short.unwrap_or(FastOpenCookie::REQUEST)
    }

    /// What a client's cookie is worth.
    pub(super) fn check(&self, now: Instant, client: IpAddr, cookie: &FastOpenCookie) -> Verdict {
        if cookie.is_request() {
            return Verdict::Requested;
        }
        let is = |epoch: u64| {
            let bytes = self.bytes(epoch, client);
            verify(cookie.as_slice(), bytes.get(..COOKIE_LEN).unwrap_or_default())
        };
        let epoch = Self::epoch(now);
        match epoch {
            _ if is(epoch) => Verdict::Good,
            1.. if is(epoch - 1) => Verdict::Old,
            _ => Verdict::Bad,
        }
    }
}

impl Endpoint {
    /// Looks at the Fast Open side of a SYN for a listener: `true` if its data is to be taken. A SYN/ACK gets a cookie
    /// where the client needs one.
    pub(super) fn judge_fast_open(
        &mut self,
        now: Instant,
        config: &ConnectionConfig,
        client: IpAddr,
        syn: &Segment,
        options: &TcpOptions,
        socket: &mut Socket,
    ) -> bool {
        let mode = config.fast_open;
        if mode == FastOpen::Off {
            return false;
        }
        let without = mode == FastOpen::WithoutCookie && !syn.payload.is_empty();
        let verdict = match &options.fast_open {
            Some(cookie) => self.fast_open.check(now, client, cookie),
            None if without => Verdict::Good,
            None => return false,
        };
        if verdict != Verdict::Good && (!without || config.behaviour.cookie_beside_data) {
            socket.give_cookie(self.fast_open.make(now, client));
        }
        let counters = &mut self.counters;
        counters.tcp_fast_open_cookie_reqd += u64::from(verdict == Verdict::Requested);
        counters.tcp_fast_open_passive_fail += u64::from(verdict == Verdict::Bad);
        counters.tcp_fast_open_passive_alt_key += u64::from(verdict == Verdict::Old);
        if !matches!(verdict, Verdict::Good | Verdict::Old) && !without {
            return false;
        }
        let connections = &self.connections;
        self.fast_open
            .pending
            .retain(|id| connections.get(id).is_some_and(|entry| entry.connection.is_early()));
        if self.fast_open.pending.len() >= self.config.max_fast_open {
            // RFC 7413 5.1: no more of those that have shown nothing but a cookie.
            counters.tcp_fast_open_listen_overflow += 1;
            return false;
        }
        counters.tcp_fast_open_passive += 1;
        true
    }

    /// Takes the data of the SYN that opened this connection.
    pub(super) fn take_syn_data(&mut self, id: ConnectionId, syn: &Segment) {
        if let Some(entry) = self.connections.get_mut(&id) {
            entry.connection.accept_syn_data(syn);
            self.fast_open.pending.push(id);
        }
    }

    /// A server gave a cookie: the SYN of the next connection to it can carry data.
    pub fn has_fast_open_cookie(&mut self, server: IpAddr) -> bool {
        self.destinations.cookie(server).is_some()
    }

    /// The cookie this server gave, with its MSS: for whoever keeps it longer than this endpoint lives.
    pub fn fast_open_cookie(&mut self, server: IpAddr) -> Option<(FastOpenCookie, u16)> {
        self.destinations.cookie(server)
    }

    /// Takes over a cookie that [`Self::fast_open_cookie`] told, perhaps long ago. One that is no good any more costs
    /// nothing: the server gives another.
    pub fn set_fast_open_cookie(
        &mut self,
        now: Instant,
        server: IpAddr,
        (cookie, mss): (FastOpenCookie, u16),
    ) {
        if !cookie.is_request() {
            self.destinations.learn(now, server, Lesson::Cookie { cookie, mss });
        }
    }

    /// A connection is about to send its first SYN: it may carry data, or ask for a cookie.
    pub(super) fn offer_fast_open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        server: IpAddr,
        own_mss: u16,
    ) {
        let Some(entry) = self.connections.get_mut(&id) else { return };
        let mode = entry.connection.config.fast_open;
        if mode == FastOpen::Off || self.destinations.drops_syn_data(now, server) {
            return;
        }
        match self.destinations.cookie(server) {
            Some((cookie, mss)) => {
                entry.connection.allow_syn_data(Some(cookie), mss.min(own_mss));
            }
            None if mode == FastOpen::WithoutCookie => {
                let small = entry.connection.config.behaviour.small_syn_data;
                let mss = if small { DEFAULT_MSS.min(own_mss) } else { own_mss };
                entry.connection.allow_syn_data(None, mss);
            }
            None => entry.connection.request_cookie(),
        }
    }
}

#[cfg(test)]
mod tests;
