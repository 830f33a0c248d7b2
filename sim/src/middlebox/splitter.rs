//! Ends every connection and opens another one in its place (M32), with a maximum segment size and a window of its
//! own. The TCP of both halves is the engine's, without MPTCP; addresses and ports stay those of the ends.

use super::args::Args;
use super::flow::{FlowKey, key};
use super::{Middlebox, Turn};
use crate::direction::Direction;
use crate::packet::TcpPacket;
use crate::random::rng;
use crate::text;
use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, ListenerId, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::error::{ReadError, WriteError};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::Instant;
use mpuser_engine::{Endpoint, LocalAddress};
use std::collections::BTreeMap;

/// Most connections at once; the SYN of another one is dropped.
const MAX_FLOWS: usize = 256;

/// A splitting proxy.
#[derive(Debug)]
pub(super) struct Splitter {
    mss: u16,
    window: usize,
    flows: BTreeMap<FlowKey, Flow>,
    rng: Rng,
}

impl Splitter {
    pub(super) fn new(args: &mut Args<'_>, seed: u64) -> Result<Self, String> {
        let mss = args.value("mss", |text| text::whole(text, 88..=9_000))?.unwrap_or(1_200);
        let window = args.value("window", text::size)?.unwrap_or(32 << 10);
        let window = usize::try_from(window).unwrap_or(usize::MAX).max(1_000);
        let flows = BTreeMap::new();
        Ok(Self { mss: mss as u16, window, flows, rng: rng(seed, 15) })
    }

    fn open(&mut self, now: Instant, direction: Direction, syn: &TcpPacket) -> Option<Flow> {
        let headers = if syn.src.is_ipv4() { 40 } else { 60 };
        let local = |address: IpAddr| LocalAddress {
            address,
            interface: InterfaceId(0),
            mtu: self.mss + headers,
            backup: false,
            checksum_offload: false,
            max_payload: 0,
        };
        let config = ConnectionConfig {
            mptcp: false,
            ..ConnectionConfig::default().with_fixed_buffers(self.window, self.window)
        };
        let mut endpoint = |address: IpAddr| {
            let mut seed = [0; 32];
            seed.chunks_mut(8).for_each(|c| c.copy_from_slice(&self.rng.next_u64().to_be_bytes()));
            let mut endpoint = Endpoint::new(EndpointConfig::default(), seed);
            endpoint.add_address(now, local(address));
            endpoint
        };
        let (mut near, mut far) = (endpoint(syn.dst.ip()), endpoint(syn.src.ip()));
        let listener = near.listen(config.clone(), syn.dst, 1).ok()?;
        let there = far.connect(now, config, Some(syn.src.ip()), syn.dst).ok()?;
        Some(Flow {
            opener: direction,
            client: syn.src,
            near,
            far,
            listener,
            here: None,
            there,
            far_port: 0,
            up: Pipe::default(),
            down: Pipe::default(),
        })
    }
}

/// What was read at one side and not yet written at the other.
#[derive(Debug, Default)]
struct Pipe {
    rest: Bytes,
    ended: bool,
}

impl Pipe {
    /// Moves what can be moved; false when one side failed.
    fn pump(
        &mut self,
        now: Instant,
        from: (&mut Endpoint, ConnectionId),
        to: (&mut Endpoint, ConnectionId),
    ) -> bool {
        while !self.ended {
            if self.rest.is_empty() {
                self.rest = match from.0.read_chunk(now, from.1, 16 << 10) {
                    Ok(piece) if piece.is_empty() => {
                        self.ended = true;
                        to.0.shutdown(now, to.1);
                        return true;
                    }
                    Ok(piece) => piece,
                    Err(ReadError::WouldBlock) => return true,
                    Err(_) => return false,
                };
            }
            match to.0.write(now, to.1, &self.rest) {
                Ok(taken) => self.rest = self.rest.slice(taken.min(self.rest.len())..),
                Err(WriteError::WouldBlock) => return true,
                // the end of its direction may have been read before it failed
                Err(_) => return false,
            }
        }
        true
    }
}

/// Two connections in place of one.
#[derive(Debug)]
struct Flow {
    /// The direction the SYN came by.
    opener: Direction,
    client: SocketAddr,
    /// Faces the opener, in the name of the server.
    near: Endpoint,
    /// Faces the server, in the name of the opener.
    far: Endpoint,
    listener: ListenerId,
    here: Option<ConnectionId>,
    there: ConnectionId,
    /// The port `far` has chosen; on the wire it is the client's.
    far_port: u16,
    up: Pipe,
    down: Pipe,
}

impl Flow {
    fn on_packet(&mut self, now: Instant, direction: Direction, mut packet: TcpPacket) {
        if direction == self.opener {
            self.near.handle_packet(now, InterfaceId(0), packet.emit());
        } else {
            packet.dst.set_port(self.far_port);
            self.far.handle_packet(now, InterfaceId(0), packet.emit());
        }
    }

    /// Moves data, then collects what both have to send.
    fn serve(&mut self, turn: &mut Turn) {
        let now = turn.now;
        for endpoint in [&mut self.near, &mut self.far] {
            if endpoint.poll_timeout().is_some_and(|at| at <= now) {
                endpoint.handle_timeout(now);
            }
            while endpoint.poll_event().is_some() {}
        }
        self.here = self.here.or_else(|| self.near.accept(self.listener));
        if let Some(here) = self.here {
            let there = self.there;
            let up = self.up.pump(now, (&mut self.near, here), (&mut self.far, there));
            let down = self.down.pump(now, (&mut self.far, there), (&mut self.near, here));
            if !(up && down) {
                self.near.abort(now, here);
                self.far.abort(now, there);
            }
        }
        let mut headers = Vec::new();
        while let Some(transmit) = self.near.poll_transmit(now, &mut headers) {
            let parsed = whole(&headers, &transmit.payload);
            turn.emitted.extend(parsed.map(|p| (self.opener.reverse(), p)));
        }
        while let Some(transmit) = self.far.poll_transmit(now, &mut headers) {
            let Some(mut packet) = whole(&headers, &transmit.payload) else { continue };
            self.far_port = packet.src.port();
            packet.src.set_port(self.client.port());
            turn.send(self.opener, packet);
        }
    }

    fn next(&self) -> Option<Instant> {
        Instant::earliest(self.near.poll_timeout(), self.far.poll_timeout())
    }

    /// Nothing is left but TIME-WAIT.
    fn is_over(&self) -> bool {
        self.here.is_some() && self.near.is_quiet() && self.far.is_quiet()
    }
}

fn whole(headers: &[u8], payload: &[u8]) -> Option<TcpPacket> {
    TcpPacket::parse(&Bytes::from([headers, payload].concat()))
}

impl Middlebox for Splitter {
    fn on_packet(&mut self, direction: Direction, packet: TcpPacket, turn: &mut Turn) {
        let key = key(direction, &packet);
        if packet.is_syn() && self.flows.get(&key).is_none_or(Flow::is_over) {
            self.flows.retain(|_, flow| !flow.is_over());
            if self.flows.len() < MAX_FLOWS
                && let Some(flow) = self.open(turn.now, direction, &packet)
            {
                turn.acted += 1;
                self.flows.insert(key, flow);
            }
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.on_packet(turn.now, direction, packet);
        flow.serve(turn);
    }

    fn next(&self) -> Option<Instant> {
        self.flows.values().filter_map(Flow::next).min()
    }

    fn on_timer(&mut self, turn: &mut Turn) {
        self.flows.values_mut().for_each(|flow| flow.serve(turn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of the other direction may have been read: nothing but the write shows the failure.
    #[test]
    fn a_half_that_failed_is_seen_when_it_is_written_to() {
        let now = Instant::ZERO;
        let at = |n| IpAddr::from([10, 0, 0, n]);
        let mut ends = [1, 2].map(|n| {
            let mut endpoint = Endpoint::new(EndpointConfig::default(), [n; 32]);
            let (address, interface) = (at(n), InterfaceId(0));
            let (mtu, backup, checksum_offload) = (1_500, false, false);
            let local =
                LocalAddress { address, interface, mtu, backup, checksum_offload, max_payload: 0 };
            endpoint.add_address(now, local);
            let remote = SocketAddr::new(at(9), 80);
            let id = endpoint.connect(now, ConnectionConfig::default(), None, remote).unwrap();
            (endpoint, id)
        });
        let [(from, here), (to, there)] = &mut ends;
        to.abort(now, *there);
        let mut pipe = Pipe { rest: Bytes::from_static(b"x"), ended: false };
        assert!(!pipe.pump(now, (from, *here), (to, *there)));
    }
}
