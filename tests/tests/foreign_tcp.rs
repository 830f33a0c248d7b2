//! smoltcp's TCP as the peer: an implementation that shares no line with ours and knows no MPTCP. Both roles, over a
//! network that loses, delays and repeats, in virtual time.
#![expect(clippy::expect_used, reason = "what cannot be there fails the test")]

use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, IpAddr, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{Endpoint, LocalAddress};
use mpuser_tests::world::pattern;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as ForeignInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::{BTreeMap, VecDeque};

const OURS: [u8; 4] = [10, 0, 0, 1];
const FOREIGN: [u8; 4] = [10, 0, 0, 2];
const DELAY: Duration = Duration::from_millis(3);
const MTU: u16 = 1500;

/// smoltcp's view of the wire: packets in, packets out.
#[derive(Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push(packet);
        result
    }
}

impl phy::Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: ForeignInstant) -> Option<(Received, Sending<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Received(packet), Sending(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: ForeignInstant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(MTU);
        capabilities
    }
}

/// Our endpoint, theirs, and a bad wire between them.
struct Meeting {
    now: Instant,
    ours: Endpoint,
    wire: Wire,
    theirs: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    flying: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    sent: u64,
    rng: Rng,
    faults_in_1000: u32,
}

fn foreign(now: Instant) -> ForeignInstant {
    ForeignInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

impl Meeting {
    fn new(seed: u8, faults_in_1000: u32) -> Self {
        let mut ours = Endpoint::new(EndpointConfig::default(), [seed; 32]);
        ours.add_address(
            Instant::ZERO,
            LocalAddress {
                address: IpAddr::from(OURS),
                interface: InterfaceId(0),
                mtu: MTU,
                backup: false,
                checksum_offload: false,
                max_payload: 0,
            },
        );
        let mut wire = Wire::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = u64::from(seed) + 1;
        let mut theirs = Interface::new(config, &mut wire, ForeignInstant::ZERO);
        theirs.update_ip_addrs(|list| {
            let [a, b, c, d] = FOREIGN;
            list.push(IpCidr::new(IpAddress::v4(a, b, c, d), 24)).expect("room for one");
        });
        let buffer = || tcp::SocketBuffer::new(vec![0; 1 << 18]);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self {
            now: Instant::ZERO,
            ours,
            wire,
            theirs,
            sockets,
            socket,
            flying: BTreeMap::new(),
            sent: 0,
            rng: Rng::from_seed([seed ^ 0x55; 32]),
            faults_in_1000,
        }
    }

    fn launch(&mut self, to_us: bool, packet: Vec<u8>) {
        if self.rng.below(1_000) < self.faults_in_1000 {
            return;
        }
        let copies = 1 + u32::from(self.rng.below(1_000) < self.faults_in_1000);
        for _ in 0..copies {
            let late = u64::from(self.rng.below(1_000) < self.faults_in_1000);
            let jitter = Duration::from_micros(late * u64::from(self.rng.below(5_000)));
            self.sent += 1;
            self.flying.insert((self.now + DELAY + jitter, self.sent), (to_us, packet.clone()));
        }
    }

    fn flush(&mut self) {
        let mut headers = Vec::new();
        while let Some(transmit) = self.ours.poll_transmit(self.now, &mut headers) {
            self.launch(false, [headers.as_slice(), &transmit.payload].concat());
        }
        while self.ours.poll_event().is_some() {}
        self.theirs.poll(foreign(self.now), &mut self.wire, &mut self.sockets);
        for packet in std::mem::take(&mut self.wire.outgoing) {
            self.launch(true, packet);
        }
        self.ours.check_invariants().expect("an invariant is violated");
    }

    fn step(&mut self) {
        self.flush();
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let timers = Instant::earliest(arrival, self.ours.poll_timeout());
        let theirs = self.theirs.poll_delay(foreign(self.now), &self.sockets);
        let theirs = theirs.map(|d| self.now + Duration::from_micros(d.total_micros().max(1)));
        let next = Instant::earliest(timers, theirs).unwrap_or(self.now + Duration::from_millis(1));
        self.now = self.now.max(next);
        while let Some(entry) = self.flying.first_entry().filter(|e| e.key().0 <= self.now) {
            let (to_us, packet) = entry.remove();
            if to_us {
                self.ours.handle_packet(self.now, InterfaceId(0), Bytes::from(packet));
            } else {
                self.wire.incoming.push_back(packet);
            }
        }
        self.ours.handle_timeout(self.now);
        self.flush();
    }
}

/// Moves `data` both ways at once and closes both ends; the seed is in every message.
fn exchange(meeting: &mut Meeting, id: ConnectionId, data: &[u8], seed: u8) {
    let (mut written, mut queued) = (0, 0);
    let (mut from_them, mut from_us) = (Vec::new(), Vec::new());
    let (mut ended, mut shut) = (false, false);
    for _ in 0..2_000_000 {
        let now = meeting.now;
        while let Some(rest) = data.get(written..).filter(|r| !r.is_empty()) {
            let Ok(taken) = meeting.ours.write(now, id, rest) else { break };
            written += taken;
        }
        if written == data.len() && !shut {
            meeting.ours.shutdown(now, id);
            shut = true;
        }
        while let Ok(piece) = meeting.ours.read_chunk(now, id, usize::MAX) {
            ended |= piece.is_empty();
            if ended {
                break;
            }
            from_them.extend_from_slice(&piece);
        }
        let socket = meeting.sockets.get_mut::<tcp::Socket<'_>>(meeting.socket);
        if socket.can_send() && queued < data.len() {
            queued += socket.send_slice(&data[queued..]).expect("it can send");
        } else if queued == data.len() && socket.may_send() && socket.is_open() {
            socket.close();
        }
        while socket.can_recv() {
            let take = |bytes: &mut [u8]| {
                from_us.extend_from_slice(bytes);
                (bytes.len(), ())
            };
            socket.recv(take).expect("it can receive");
        }
        if ended && from_us.len() == data.len() {
            break;
        }
        meeting.step();
    }
    assert!(from_us == data, "seed {seed}: what they received differs, {} octets", from_us.len());
    assert!(from_them == data, "seed {seed}: what we received differs, {} octets", from_them.len());
    assert!(ended, "seed {seed}: their end was not seen");
}

#[test]
fn we_connect_to_smoltcp() {
    for (seed, faults) in [(1, 0), (2, 10), (3, 30), (4, 30)] {
        let mut meeting = Meeting::new(seed, faults);
        let socket = meeting.sockets.get_mut::<tcp::Socket<'_>>(meeting.socket);
        socket.listen(80).expect("a fresh socket");
        let remote = SocketAddr::from((FOREIGN, 80));
        let config = ConnectionConfig::default();
        let id = meeting.ours.connect(meeting.now, config, None, remote).expect("an address");
        exchange(&mut meeting, id, &pattern(u64::from(seed), 400_000), seed);
        let info = meeting.ours.info(id).expect("not released");
        // [INI-33]: it answers MP_CAPABLE with a plain SYN/ACK.
        assert!(!info.mptcp && info.fallback.is_some(), "{info:#?}");
    }
}

#[test]
fn smoltcp_connects_to_us() {
    for (seed, faults) in [(5, 0), (6, 10), (7, 30), (8, 30)] {
        let mut meeting = Meeting::new(seed, faults);
        let any = SocketAddr::from(([0, 0, 0, 0], 80));
        let listener =
            meeting.ours.listen(ConnectionConfig::default(), any, 8).expect("nobody else does");
        let socket = meeting.sockets.get_mut::<tcp::Socket<'_>>(meeting.socket);
        let [a, b, c, d] = OURS;
        let remote = (IpAddress::v4(a, b, c, d), 80);
        socket.connect(meeting.theirs.context(), remote, 49_152).expect("a fresh socket");
        let mut accepted = None;
        for _ in 0..10_000 {
            meeting.step();
            accepted = meeting.ours.accept(listener);
            if accepted.is_some() {
                break;
            }
        }
        let id = accepted.expect("their SYN arrived");
        exchange(&mut meeting, id, &pattern(u64::from(seed), 400_000), seed);
    }
}
