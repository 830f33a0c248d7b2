//! The engine as an end of a flow.

use super::host::{Host, Told};
use super::packet::Packet;
use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, Ipv4Addr, ListenerId, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, Limits};
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{Endpoint, LocalAddress, ReceiveStats, SubflowInfo};
use mpuser_engine::{Event, SubflowEnd};
use std::collections::VecDeque;

/// The port servers listen on.
pub(crate) const PORT: u16 = 80;
/// Last octet of a server's address; clients have 1 and up.
const SERVER: u8 = 200;

/// The address of an end of flow number `flow`: the server's, or the client's on a path.
pub(crate) fn address(flow: u32, path: Option<u32>) -> Ipv4Addr {
    let [_, _, high, low] = flow.to_be_bytes();
    Ipv4Addr::new(10, high, low, path.map_or(SERVER, |path| path as u8 + 1))
}

/// What an end knows of a path.
#[derive(Clone, Debug)]
pub(crate) struct LocalPath {
    pub(crate) backup: bool,
    pub(crate) subflows: u32,
    pub(crate) up: bool,
}

/// Where an end stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Number of the flow.
    pub(crate) flow: u32,
    /// It opens connections.
    pub(crate) client: bool,
    /// The client's paths.
    pub(crate) paths: Vec<LocalPath>,
    pub(crate) mtu: u16,
    /// Checksums need not be computed: nothing on the way looks at them.
    pub(crate) offload: bool,
}

/// An endpoint of the engine.
#[derive(Debug)]
pub(crate) struct EngineHost {
    endpoint: Endpoint,
    config: ConnectionConfig,
    place: Place,
    listener: Option<ListenerId>,
    /// Connections by number.
    connections: Vec<ConnectionId>,
    /// Of each, whether more subflows can be opened.
    joinable: Vec<bool>,
    /// Where packets from addresses other than the expected ones came from: translators do that.
    learned: Vec<([u8; 4], u32)>,
    told: VecDeque<Told>,
    scratch: Vec<u8>,
    /// Events for an observer, if there is one.
    events: Option<Vec<(usize, Event)>>,
}

impl EngineHost {
    pub(crate) fn new(
        config: ConnectionConfig,
        place: Place,
        seed: [u8; 32],
    ) -> Result<Self, String> {
        let mut endpoint = Endpoint::new(EndpointConfig::default(), seed);
        let now = Instant::ZERO;
        endpoint.set_limits(now, Limits { subflows: 255, ..Limits::default() });
        let mut listener = None;
        if !place.client {
            let local = local_address(&place, None);
            endpoint.add_address(now, local);
            let any = SocketAddr::new(local.address, PORT);
            let made = endpoint.listen(config.clone(), any, 4_096);
            listener = Some(made.map_err(|error| error.to_string())?);
        }
        let (connections, joinable, learned) = (Vec::new(), Vec::new(), Vec::new());
        let (told, events, scratch) = (VecDeque::new(), None, Vec::new());
        let mut host = Self {
            endpoint,
            config,
            place,
            listener,
            connections,
            joinable,
            learned,
            told,
            scratch,
            events,
        };
        for path in 0..host.place.paths.len() as u32 {
            if host.place.client && host.place.paths.get(path as usize).is_some_and(|p| p.up) {
                host.path_up(now, path);
            }
        }
        Ok(host)
    }

    /// Keeps events for [`Host::take_engine_events`].
    pub(crate) fn keep_events(&mut self) {
        self.events = Some(Vec::new());
    }

    fn id(&self, number: usize) -> Option<ConnectionId> {
        self.connections.get(number).copied()
    }

    fn number(&self, id: ConnectionId) -> Option<usize> {
        self.connections.iter().position(|known| *known == id)
    }

    /// The path of packets to or from a client's address.
    fn path_of(&self, address: &[u8]) -> Option<u32> {
        let expected = address_octets(&self.place, 0);
        if let [a, b, c, last] = *address
            && [a, b, c] == expected
            && usize::from(last.wrapping_sub(1)) < self.place.paths.len()
        {
            return Some(u32::from(last) - 1);
        }
        self.learned.iter().find(|(known, _)| known == address).map(|(_, path)| *path)
    }

    /// Notes which way an unexpected address lies.
    fn learn(&mut self, path: u32, packet: &[u8]) {
        let source = packet.get(12..16).and_then(|source| <[u8; 4]>::try_from(source).ok());
        let Some(source) = source.filter(|source| self.path_of(source) != Some(path)) else {
            return;
        };
        self.learned.retain(|(known, _)| *known != source);
        self.learned.push((source, path));
    }

    fn accept(&mut self) {
        while let Some(listener) = self.listener
            && let Some(id) = self.endpoint.accept(listener)
        {
            let number = self.connections.len();
            self.connections.push(id);
            self.joinable.push(false);
            self.endpoint.keep_waits(id);
            let info = self.endpoint.info(id);
            let port = info.as_ref().and_then(|info| info.subflows.first());
            let port = port.map_or(0, |subflow| subflow.tuple.remote.port());
            let mptcp = info.is_some_and(|info| info.mptcp);
            self.told.push_back(Told::Open { number, port, mptcp });
            self.told.push_back(Told::Readable(number));
        }
    }

    fn on_event(&mut self, now: Instant, id: ConnectionId, event: &Event) {
        if self.listener.is_some() && matches!(event, Event::Established { .. }) {
            self.accept();
        }
        let Some(number) = self.number(id) else { return };
        match event {
            Event::Established { mptcp, .. } if self.place.client => {
                let port = self.port(number);
                self.told.push_back(Told::Open { number, port, mptcp: *mptcp });
            }
            Event::FullyEstablished if self.place.client => {
                self.joinable[number] = true;
                self.told.push_back(Told::Joinable(number));
            }
            Event::Readable => self.told.push_back(Told::Readable(number)),
            Event::SubflowClosed { tuple, cause, .. } if self.place.client => {
                let wanted = !matches!(cause, SubflowEnd::Finished | SubflowEnd::AddressRemoved);
                let IpAddr::V4(local) = tuple.local.ip() else { return };
                if let Some(path) = self.path_of(&local.octets()).filter(|_| wanted) {
                    self.told.push_back(Told::Lost(number, path));
                }
            }
            Event::Closed(error) => {
                let error = error.map(|error| error.to_string());
                self.told.push_back(Told::Closed(number, error));
            }
            _ => {}
        }
        let _ = now;
    }
}

/// The first three octets of the addresses of a flow.
fn address_octets(place: &Place, path: u32) -> [u8; 3] {
    let [a, b, c, _] = address(place.flow, Some(path)).octets();
    [a, b, c]
}

fn local_address(place: &Place, path: Option<u32>) -> LocalAddress {
    let backup = path.and_then(|path| place.paths.get(path as usize)).is_some_and(|p| p.backup);
    LocalAddress {
        address: IpAddr::V4(address(place.flow, path)),
        interface: InterfaceId(path.unwrap_or(0) as u16),
        mtu: place.mtu,
        backup,
        checksum_offload: place.offload,
        max_payload: 0,
    }
}

impl Host for EngineHost {
    fn connect(&mut self, now: Instant) -> Result<(), String> {
        let remote = SocketAddr::new(IpAddr::V4(address(self.place.flow, None)), PORT);
        let config = self.config.clone();
        let first = self.place.paths.iter().position(|path| path.up).map(|path| path as u32);
        let local = first.map(|path| IpAddr::V4(address(self.place.flow, Some(path))));
        let id = self.endpoint.connect(now, config, local, remote).map_err(|e| e.to_string())?;
        self.endpoint.keep_waits(id);
        self.connections.push(id);
        self.joinable.push(false);
        Ok(())
    }

    fn port(&self, number: usize) -> u16 {
        let info = self.id(number).and_then(|id| self.endpoint.info(id));
        info.and_then(|info| info.subflows.first().map(|s| s.tuple.local.port())).unwrap_or(0)
    }

    fn handle(&mut self, now: Instant, path: u32, packet: &mut Packet) {
        let payload = std::mem::take(&mut packet.payload);
        let interface = InterfaceId(path as u16);
        if packet.headers.is_empty() {
            if !self.place.client {
                self.learn(path, &payload);
            }
            self.endpoint.handle_packet(now, interface, payload);
        } else {
            self.endpoint.handle_verified(now, interface, &packet.headers, payload);
        }
    }

    fn transmit(&mut self, now: Instant, packet: &mut Packet) -> Option<u32> {
        loop {
            let transmit = self.endpoint.poll_transmit(now, &mut self.scratch)?;
            packet.headers.set(&self.scratch);
            let path = if self.place.client {
                Some(u32::from(transmit.interface.0))
            } else {
                packet.headers.get(16..20).and_then(|address| self.path_of(address))
            };
            // an address nobody is known to have leads nowhere
            let Some(path) = path else { continue };
            packet.payload = transmit.payload;
            packet.tag = transmit.subflow.map_or(super::packet::NO_TAG, |(id, subflow)| {
                let number = self.number(id).unwrap_or(0) as u32;
                number << 16 | subflow.0 & 0xffff
            });
            return Some(path);
        }
    }

    fn told(&mut self, now: Instant) -> Option<Told> {
        while self.told.is_empty() {
            let (id, event) = self.endpoint.poll_event()?;
            self.on_event(now, id, &event);
            if let Some(number) = self.number(id)
                && let Some(events) = &mut self.events
            {
                events.push((number, event));
            }
        }
        self.told.pop_front()
    }

    fn next(&mut self, _now: Instant) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }

    fn on_timer(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
    }

    fn room(&self, number: usize) -> usize {
        self.id(number).map_or(0, |id| self.endpoint.send_room(id))
    }

    fn write(&mut self, now: Instant, number: usize, data: Bytes) -> usize {
        let Some(id) = self.id(number) else { return 0 };
        self.endpoint.write_bytes(now, id, data).unwrap_or(0)
    }

    fn read(&mut self, now: Instant, number: usize) -> Bytes {
        let Some(id) = self.id(number) else { return Bytes::new() };
        self.endpoint.read_chunk(now, id, usize::MAX).unwrap_or_default()
    }

    fn shut(&mut self, now: Instant, number: usize) {
        if let Some(id) = self.id(number) {
            self.endpoint.shutdown(now, id);
        }
    }

    fn abort(&mut self, now: Instant, number: usize) {
        if let Some(id) = self.id(number) {
            self.endpoint.abort(now, id);
        }
    }

    fn path_up(&mut self, now: Instant, path: u32) {
        if let Some(local) = self.place.paths.get_mut(path as usize) {
            local.up = true;
        }
        self.endpoint.add_address(now, local_address(&self.place, Some(path)));
        for number in 0..self.connections.len() {
            self.open_subflows(now, number, path);
        }
    }

    fn path_down(&mut self, now: Instant, path: u32) {
        if let Some(local) = self.place.paths.get_mut(path as usize) {
            local.up = false;
        }
        self.endpoint.remove_address(now, IpAddr::V4(address(self.place.flow, Some(path))));
    }

    fn open_subflows(&mut self, now: Instant, number: usize, path: u32) {
        let Some(local) = self.place.paths.get(path as usize).filter(|path| path.up) else {
            return;
        };
        let (Some(id), true) = (self.id(number), self.joinable.get(number) == Some(&true)) else {
            return;
        };
        let here = IpAddr::V4(address(self.place.flow, Some(path)));
        let remote = SocketAddr::new(IpAddr::V4(address(self.place.flow, None)), PORT);
        let Some(info) = self.endpoint.info(id) else { return };
        let alive = |s: &&SubflowInfo| s.tuple.local.ip() == here && s.state != "CLOSED";
        let there: Vec<SubflowInfo> = info.subflows.iter().filter(alive).cloned().collect();
        for subflow in there.iter().filter(|s| !s.join && local.backup && !s.backup) {
            let _ = self.endpoint.set_backup(now, id, subflow.id, true);
        }
        for _ in there.len() as u32..local.subflows {
            // what cannot be opened now is tried again when something is lost
            let _ = self.endpoint.open_subflow(now, id, here, remote);
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        self.endpoint.check_invariants()
    }

    fn connections(&self) -> usize {
        self.connections.len()
    }

    fn receive_stats(&self) -> ReceiveStats {
        let all = self.connections.iter().filter_map(|id| self.endpoint.receive_stats(*id));
        all.fold(ReceiveStats::default(), |sum, one| ReceiveStats {
            out_of_order: sum.out_of_order + one.out_of_order,
            out_of_order_max: sum.out_of_order_max.max(one.out_of_order_max),
            blocked: sum.blocked + one.blocked,
            duplicate: sum.duplicate + one.duplicate,
        })
    }

    fn take_waits(&mut self, out: &mut Vec<(Duration, u64)>) {
        for id in &self.connections {
            self.endpoint.take_waits(*id, out);
        }
    }

    fn subflows(&self, number: usize) -> (Vec<(u32, SubflowInfo)>, u64) {
        let Some(info) = self.id(number).and_then(|id| self.endpoint.info(id)) else {
            return (Vec::new(), 0);
        };
        let client =
            |s: &SubflowInfo| if self.place.client { s.tuple.local } else { s.tuple.remote };
        let with_path = |s: SubflowInfo| match client(&s).ip() {
            IpAddr::V4(address) => (self.path_of(&address.octets()).unwrap_or(0), s),
            IpAddr::V6(_) => (0, s),
        };
        (info.subflows.into_iter().map(with_path).collect(), info.bytes_retrans)
    }

    fn take_engine_events(&mut self, out: &mut Vec<(usize, Event)>) {
        if let Some(events) = &mut self.events {
            out.append(events);
        }
    }
}
