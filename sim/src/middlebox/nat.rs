//! Translates addresses and ports (M15), and may forget what it translated.

use super::args::Args;
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::TcpPacket;
use crate::random::rng;
use crate::text;
use mpuser_engine::addr::{IpAddr, SocketAddr};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
use std::collections::BTreeMap;

/// Most mappings at once.
const MAX_MAPPINGS: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Mapping {
    outside: SocketAddr,
    since: Instant,
    bytes: u64,
    /// It has been renewed already: once is enough.
    renewed: bool,
}

/// A box that translates what `a` sends; nothing gets in for which there is no mapping.
#[derive(Debug)]
pub(super) struct Nat {
    /// The outside address; `None` leaves addresses alone.
    address: Option<IpAddr>,
    /// Age at which a mapping is forgotten.
    rebind: Option<Duration>,
    /// Octets after which a mapping is forgotten.
    rebind_after: Option<u64>,
    /// By inside source and destination.
    mappings: BTreeMap<(SocketAddr, SocketAddr), Mapping>,
    /// By outside address and destination.
    inside: BTreeMap<(SocketAddr, SocketAddr), SocketAddr>,
    rng: Rng,
}

impl Nat {
    pub(super) fn new(args: &mut Args<'_>, seed: u64) -> Result<Self, String> {
        let address =
            |text: &str| text.parse::<IpAddr>().map_err(|_| format!("{text:?} is no IP address"));
        Ok(Self {
            address: args.value("addr", address)?,
            rebind: args.value("rebind", text::duration)?,
            rebind_after: args.value("rebind-after", text::size)?,
            mappings: BTreeMap::new(),
            inside: BTreeMap::new(),
            rng: rng(seed, 11),
        })
    }

    fn fresh(&mut self, src: SocketAddr, dst: SocketAddr) -> SocketAddr {
        let address = self.address.filter(|a| a.is_ipv4() == src.is_ipv4()).unwrap_or(src.ip());
        loop {
            let port = 1_024 + self.rng.below(64_000) as u16;
            let outside = SocketAddr::new(address, port);
            if !self.inside.contains_key(&(outside, dst)) {
                return outside;
            }
        }
    }

    fn outside(&mut self, turn: &mut Turn, packet: &TcpPacket) -> SocketAddr {
        let key = (packet.src, packet.dst);
        let known = self.mappings.get(&key).copied();
        let stale = known.is_some_and(|mapping| {
            let old =
                self.rebind.is_some_and(|age| turn.now.saturating_since(mapping.since) >= age);
            let long = self.rebind_after.is_some_and(|bytes| mapping.bytes >= bytes);
            !mapping.renewed && (old || long)
        });
        let mut mapping = match known {
            Some(mapping) if !stale => mapping,
            _ => {
                if let Some(old) = known {
                    self.inside.remove(&(old.outside, packet.dst));
                    turn.acted += 1;
                }
                if self.mappings.len() >= MAX_MAPPINGS
                    && let Some((old, m)) = self.mappings.pop_first()
                {
                    self.inside.remove(&(m.outside, old.1));
                }
                let outside = self.fresh(packet.src, packet.dst);
                self.inside.insert((outside, packet.dst), packet.src);
                Mapping { outside, since: turn.now, bytes: 0, renewed: stale }
            }
        };
        mapping.bytes += packet.payload.len() as u64;
        self.mappings.insert(key, mapping);
        mapping.outside
    }
}

impl Middlebox for Nat {
    fn on_packet(&mut self, direction: Direction, mut packet: TcpPacket, turn: &mut Turn) {
        match direction {
            Direction::Forward => packet.src = self.outside(turn, &packet),
            Direction::Backward => {
                let Some(inside) = self.inside.get(&(packet.dst, packet.src)) else {
                    turn.acted += 1;
                    return;
                };
                packet.dst = *inside;
            }
        }
        if self.rebind.is_none() && self.rebind_after.is_none() {
            turn.acted += 1;
        }
        turn.send(direction, packet);
    }
}
