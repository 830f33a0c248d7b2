//! A hand-held peer on the segments and packets of [`mpuser_sim::conform`]: sends them, reads what the endpoint emits, in
//! virtual time.
//!
//! The idea is packetdrill's: a test says what arrives and checks what goes out, value by value. The peer has no
//! TCP of its own, only counters, so it can do what no stack would.

use bytes::Bytes;
use mpuser_engine::addr::{AddressId, ConnectionId, InterfaceId, IpAddr, ListenerId};
use mpuser_engine::addr::{SocketAddr, SubflowId};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::crypto::Key;
use mpuser_engine::seq::SeqNum;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::{AddAddr, CapableFlags, MpCapable, MpJoin, MptcpOption};
use mpuser_engine::{ConnectionInfo, Endpoint, Event, LocalAddress};
use mpuser_sim::conform::data_level::DataLevel;
pub use mpuser_sim::conform::data_level::HandMade;
/// The scripted peer's key (test vector V1, key A) and its nonce in joins (test vector V1, R_A).
pub use mpuser_sim::conform::data_level::{KEY as PEER_KEY, NONCE as PEER_NONCE};
pub use mpuser_sim::conform::packet::Packet;
pub use mpuser_sim::conform::segment::{Flow, Seg, seg};
use mpuser_sim::conform::target::{probe_address, stack_address};
use std::collections::VecDeque;

/// The port the scripted server or the endpoint listens on.
pub const PORT: u16 = 80;
/// Flags of an end that speaks HMAC-SHA256 and asks for nothing.
pub const PLAIN_FLAGS: CapableFlags = CapableFlags::new(false, false);
/// Flags of an end that wants checksums.
pub const CHECKSUM_FLAGS: CapableFlags = CapableFlags::new(true, false);

/// The endpoint's address number `index`.
#[must_use]
pub fn engine_address(index: u8) -> IpAddr {
    stack_address(index, false)
}

/// The peer's address number `index`.
#[must_use]
pub fn peer_address(index: u8) -> IpAddr {
    probe_address(index, false)
}

/// An endpoint in the hands of a scripted peer.
#[derive(Debug)]
pub struct Script {
    /// Now.
    pub now: Instant,
    /// The endpoint under test.
    pub endpoint: Endpoint,
    /// Its listener, when it is the server.
    pub listener: Option<ListenerId>,
    /// The connection under test.
    pub id: ConnectionId,
    /// The endpoint's key, once it was seen.
    pub key: Key,
    /// The peer uses checksums.
    pub checksum: bool,
    /// Events so far.
    pub events: Vec<Event>,
    emitted: VecDeque<Packet>,
}

impl HandMade for Script {
    fn data_level(&self) -> DataLevel {
        let (own_key, checksum) = (self.key, self.checksum);
        DataLevel { key: PEER_KEY, own_key, checksum, short: false }
    }
}

/// Scripts write in one call what they write, before anything of it is acknowledged.
fn takes_all(config: ConnectionConfig) -> ConnectionConfig {
    ConnectionConfig { initial_send_buffer: config.send_buffer, ..config }
}

impl Script {
    fn new(config: EndpointConfig, addresses: u8) -> Self {
        let mut endpoint = Endpoint::new(config, [42; 32]);
        for index in 0..addresses {
            let interface = InterfaceId(u16::from(index));
            let (address, mtu) = (engine_address(index), 1500);
            let (backup, checksum_offload) = (false, false);
            let local =
                LocalAddress { address, interface, mtu, backup, checksum_offload, max_payload: 0 };
            endpoint.add_address(Instant::ZERO, local);
        }
        Self {
            now: Instant::from_millis(1_000),
            endpoint,
            listener: None,
            id: ConnectionId(0),
            key: Key(0),
            checksum: false,
            events: Vec::new(),
            emitted: VecDeque::new(),
        }
    }

    /// The endpoint listens on [`PORT`] of its two addresses.
    #[must_use]
    pub fn server(config: ConnectionConfig) -> Self {
        Self::server_with(EndpointConfig::default(), config)
    }

    /// As [`Self::server`], with settings of the endpoint.
    #[must_use]
    pub fn server_with(endpoint: EndpointConfig, config: ConnectionConfig) -> Self {
        let mut script = Self::new(endpoint, 2);
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        let config = takes_all(config);
        script.listener = Some(script.endpoint.listen(config, any, 8).expect("free"));
        script
    }

    /// The endpoint, with so many addresses, connects to the peer's first address.
    #[must_use]
    pub fn client(config: ConnectionConfig, addresses: u8) -> Self {
        let mut script = Self::new(EndpointConfig::default(), addresses);
        let remote = SocketAddr::new(peer_address(0), PORT);
        let now = script.now;
        let config = takes_all(config);
        script.id = script.endpoint.connect(now, config, None, remote).expect("an address");
        script
    }

    /// Sends a segment of the peer.
    pub fn send(&mut self, flow: &mut Flow, seg: Seg) {
        self.send_only(flow, seg);
        self.pump();
    }

    /// As [`Self::send`], and leaves the answers where they are.
    pub fn send_only(&mut self, flow: &mut Flow, seg: Seg) {
        assert!(seg.options().len() <= 40, "no room for {seg:?}");
        let packet = Bytes::from(flow.packet(&seg));
        self.endpoint.handle_packet(self.now, InterfaceId(0), packet);
    }

    /// Takes over what the endpoint emits and says.
    pub fn pump(&mut self) {
        let mut headers = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit(self.now, &mut headers) {
            let bytes = [headers.as_slice(), &transmit.payload].concat();
            let at = self.now.saturating_since(Instant::ZERO);
            let packet = Packet::parse(at, &bytes).expect("valid headers and checksums");
            assert!(!packet.options.malformed, "malformed options");
            self.emitted.push_back(packet);
        }
        while let Some((_, event)) = self.endpoint.poll_event() {
            self.events.push(event);
        }
        self.endpoint.check_invariants().expect("an invariant is violated");
    }

    /// The next packet emitted on this subflow, if any.
    pub fn try_next(&mut self, flow: &mut Flow) -> Option<Packet> {
        self.pump();
        let index = self.emitted.iter().position(|p| p.tuple == flow.tuple)?;
        let packet = self.emitted.remove(index)?;
        flow.hear(&packet);
        Some(packet)
    }

    /// The next packet emitted on this subflow.
    pub fn next(&mut self, flow: &mut Flow) -> Packet {
        self.try_next(flow).expect("nothing was emitted on this subflow")
    }

    /// Everything emitted on this subflow.
    pub fn all(&mut self, flow: &mut Flow) -> Vec<Packet> {
        std::iter::from_fn(|| self.try_next(flow)).collect()
    }

    /// The first packet of a subflow nobody has taken from: a SYN of the endpoint.
    pub fn next_syn(&mut self) -> Option<(Flow, Packet)> {
        self.pump();
        let syn = self.emitted.iter().find(|p| p.is_syn())?;
        let mut flow = Flow::new(syn.tuple.local, syn.tuple.remote);
        let packet = self.next(&mut flow);
        Some((flow, packet))
    }

    /// Throws away what was emitted and not taken.
    pub fn forget_emitted(&mut self) {
        self.pump();
        self.emitted.clear();
    }

    /// Asserts that nothing was emitted that was not taken.
    pub fn assert_silent(&mut self) {
        self.pump();
        assert!(self.emitted.is_empty(), "unexpected: {:#?}", self.emitted);
    }

    /// Lets time pass, with every timer at its moment.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        self.pump();
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    /// Lets time pass until something is emitted on this subflow; `None` when `limit` passes first.
    pub fn wait(&mut self, flow: &mut Flow, limit: Duration) -> Option<Packet> {
        let end = self.now + limit;
        loop {
            if let Some(packet) = self.try_next(flow) {
                return Some(packet);
            }
            let at = self.endpoint.poll_timeout().filter(|at| *at <= end)?;
            self.advance(at.saturating_since(self.now));
        }
    }

    /// The application writes.
    pub fn write(&mut self, data: &[u8]) {
        let taken = self.endpoint.write(self.now, self.id, data);
        assert_eq!(taken, Ok(data.len()));
        self.pump();
    }

    /// The application reads everything there is.
    pub fn read(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Ok(piece) = self.endpoint.read_chunk(self.now, self.id, usize::MAX) {
            if piece.is_empty() {
                break;
            }
            out.extend_from_slice(&piece);
        }
        self.pump();
        out
    }

    /// The application has read the end.
    pub fn at_end(&mut self) -> bool {
        self.endpoint.read_chunk(self.now, self.id, 1) == Ok(Bytes::new())
    }

    /// The application's `shutdown`.
    pub fn shutdown(&mut self) {
        self.endpoint.shutdown(self.now, self.id);
        self.pump();
    }

    /// The application's `close`.
    pub fn close(&mut self) {
        self.endpoint.close(self.now, self.id);
        self.pump();
    }

    /// The application's `abort`.
    pub fn abort(&mut self) {
        self.endpoint.abort(self.now, self.id);
        self.pump();
    }

    /// Takes the connection a listener has ready.
    pub fn accept(&mut self) {
        let listener = self.listener.expect("a server");
        self.id = self.endpoint.accept(listener).expect("a connection is ready");
    }

    /// The connection's state.
    #[must_use]
    pub fn info(&self) -> ConnectionInfo {
        self.endpoint.info(self.id).expect("the connection is known")
    }

    /// Subflows that are established.
    #[must_use]
    pub fn established(&self) -> Vec<SubflowId> {
        self.info().subflows.iter().filter(|s| s.state == "ESTAB").map(|s| s.id).collect()
    }

    /// The peer, as the client, sends a SYN with MP_CAPABLE and gets the SYN/ACK.
    pub fn open(&mut self, flags: CapableFlags) -> Flow {
        let local = SocketAddr::new(engine_address(0), PORT);
        let mut flow = Flow::new(local, SocketAddr::new(peer_address(0), 40_000));
        let option = MptcpOption::Capable(MpCapable::Syn { version: 1, flags });
        self.send(&mut flow, seg().syn().no_ack().option(option));
        let answer = self.next(&mut flow);
        assert!(answer.header.flags.syn && answer.header.ack == Some(SeqNum(flow.iss + 1)));
        if let [MptcpOption::Capable(MpCapable::SynAck { sender_key, .. })] = answer.signals()[..] {
            self.key = sender_key;
        }
        flow
    }

    /// A connection to the endpoint as server, established and accepted; its first DSS has been taken (K11).
    pub fn serve(&mut self) -> Flow {
        let flags = if self.checksum { CHECKSUM_FLAGS } else { PLAIN_FLAGS };
        let mut flow = self.open(flags);
        let option = self.capable_ack(flags);
        self.send(&mut flow, seg().option(option));
        let dss_ack = self.next(&mut flow);
        let ack = dss_ack.options.dss.and_then(|dss| dss.data_ack).expect("a Data ACK");
        assert_eq!(ack.expand(self.dsn(0)), self.dsn(0));
        self.accept();
        flow
    }

    /// Answers the endpoint's SYN as a server with MP_CAPABLE and takes its third ACK.
    pub fn answer(&mut self, flags: CapableFlags) -> Flow {
        let (mut flow, _) = self.next_syn().expect("a SYN");
        let (version, sender_key) = (1, PEER_KEY);
        let option = MptcpOption::Capable(MpCapable::SynAck { version, flags, sender_key });
        self.send(&mut flow, seg().syn().option(option));
        let third = self.next(&mut flow);
        if let [MptcpOption::Capable(MpCapable::Ack { sender_key, receiver_key, .. })] =
            third.signals()[..]
        {
            assert_eq!(receiver_key, PEER_KEY, "the key is echoed");
            self.key = sender_key;
        }
        flow
    }

    /// A connection of the endpoint as client, confirmed by a DSS of the peer.
    pub fn connect(&mut self) -> Flow {
        let flags = if self.checksum { CHECKSUM_FLAGS } else { PLAIN_FLAGS };
        let mut flow = self.answer(flags);
        let dss = self.ack(0);
        self.send(&mut flow, seg().dss(dss));
        flow
    }

    /// As [`Self::connect`], with the subflow the endpoint opens from its second address.
    pub fn connect_twice(&mut self) -> (Flow, Flow) {
        let first = self.connect();
        // Within 250 ms by itself [HEU-7].
        self.advance(Duration::from_millis(300));
        let second = self.take_join();
        (first, second)
    }

    /// The peer's MP_JOIN SYN, and the endpoint's answer.
    pub fn join_syn(&mut self, index: u8, id: AddressId, backup: bool) -> (Flow, Packet) {
        let local = SocketAddr::new(engine_address(0), PORT);
        let remote = SocketAddr::new(peer_address(index), 41_000 + u16::from(index));
        let mut flow = Flow::new(local, remote);
        let join = self.data_level().join_syn(id, backup);
        self.send(&mut flow, seg().syn().no_ack().option(join));
        let answer = self.next(&mut flow);
        if let [MptcpOption::Join(MpJoin::SynAck { nonce, .. })] = answer.signals()[..] {
            flow.nonce = Some(nonce);
        }
        (flow, answer)
    }

    /// MP_JOIN of the third ACK, with the right HMAC.
    #[must_use]
    pub fn join_ack(&self, flow: &Flow) -> MptcpOption {
        self.data_level().join_ack(flow.nonce.expect("the endpoint's nonce is known"))
    }

    /// A subflow the peer opened, with the fourth ACK taken.
    pub fn joined(&mut self, index: u8) -> Flow {
        let (mut flow, _) = self.join_syn(index, AddressId(index), false);
        let option = self.join_ack(&flow);
        self.send(&mut flow, seg().option(option));
        let fourth = self.next(&mut flow);
        assert!(fourth.payload.is_empty() && !fourth.header.flags.rst, "{fourth:?}");
        flow
    }

    /// ADD_ADDR of the peer's, with the right HMAC.
    #[must_use]
    pub fn add_addr(&self, id: u8, address: IpAddr, port: Option<u16>) -> AddAddr {
        self.data_level().add_addr(AddressId(id), address, port)
    }

    /// The peer's answer to the endpoint's MP_JOIN SYN, with the right HMAC.
    #[must_use]
    pub fn join_answer(&self, syn: &Packet, id: AddressId) -> MptcpOption {
        let [MptcpOption::Join(MpJoin::Syn { nonce, token, .. })] = syn.signals()[..] else {
            panic!("no join: {syn:?}");
        };
        assert_eq!(token, PEER_KEY.facts().token, "[JOIN-1]");
        self.data_level().join_syn_ack(nonce, id)
    }

    /// Takes a subflow the endpoint opens, up to its fourth ACK. The peer's addresses have their index as identifier.
    pub fn take_join(&mut self) -> Flow {
        let (mut flow, syn) = self.next_syn().expect("a joining SYN");
        let index = (0..100).find(|i| peer_address(*i) == flow.tuple.remote.ip());
        let option = self.join_answer(&syn, AddressId(index.unwrap_or(0)));
        self.send(&mut flow, seg().syn().option(option));
        let third = self.next(&mut flow);
        assert!(matches!(third.signals()[..], [MptcpOption::Join(MpJoin::Ack { .. })]));
        let dss = self.ack(0);
        self.send(&mut flow, seg().dss(dss));
        flow
    }
}
