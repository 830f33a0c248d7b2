//! Two endpoints and a network in the hands of an input: it delivers, drops, doubles, holds back and damages packets,
//! forges them if it is told to, and lets time pass; both ends write, read and close.
//!
//! Without forgery every octet that is read was written at that place, and once the faults stop both ends come to their
//! end. With it connections may break, and nothing else.

use crate::draw::Draw;
use crate::shown::note;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, InterfaceId, ListenerId, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, PathManagerKind, Profile};
use mpuser_engine::error::ReadError;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::pretty;
use mpuser_engine::{Endpoint, LocalAddress};
use mpuser_sim::conform::packet::fix_checksums;
use mpuser_sim::conform::target::{PORT, probe_address, stack_address};
use std::collections::VecDeque;

/// Steps of one input.
const STEPS: usize = 48;
/// Packets under way; a further one takes the place of the oldest, which is lost.
const QUEUE: usize = 64;
/// Packets that may follow from one step.
const BURST: usize = 4_000;
/// One way, once the faults have stopped.
const DELAY: Duration = Duration::from_millis(10);

/// One end.
struct End {
    endpoint: Endpoint,
    id: Option<ConnectionId>,
    written: u64,
    read: u64,
    shut: bool,
    ended: bool,
    failed: bool,
    salt: u8,
}

impl End {
    fn octet(salt: u8, at: u64) -> u8 {
        (at ^ at >> 8) as u8 ^ salt
    }

    fn write(&mut self, now: Instant, len: usize) {
        let Some(id) = self.id.filter(|_| !self.shut) else { return };
        let data: Vec<u8> =
            (self.written..).take(len).map(|at| Self::octet(self.salt, at)).collect();
        self.written += self.endpoint.write(now, id, &data).unwrap_or(0) as u64;
    }

    /// Reads what there is; a broken network may have changed it.
    fn read(&mut self, now: Instant, most: usize, trusted: bool) {
        let Some(id) = self.id.filter(|_| !self.ended) else { return };
        let mut left = most;
        while left > 0 {
            match self.endpoint.read_chunk(now, id, left) {
                Ok(piece) if piece.is_empty() => {
                    self.ended = true;
                    return;
                }
                Ok(piece) => {
                    let octets = (self.read..).map(|at| Self::octet(!self.salt, at));
                    assert!(!trusted || octets.zip(&piece).all(|(a, b)| a == *b), "other octets");
                    self.read += piece.len() as u64;
                    left -= piece.len();
                }
                Err(ReadError::WouldBlock) => return,
                Err(_) => {
                    self.failed = true;
                    return;
                }
            }
        }
    }

    fn shutdown(&mut self, now: Instant) {
        if let Some(id) = self.id {
            self.endpoint.shutdown(now, id);
            self.shut = true;
        }
    }
}

struct World {
    now: Instant,
    /// Client and server.
    ends: [End; 2],
    listener: Option<ListenerId>,
    /// Whom it is for, and the packet.
    wire: VecDeque<(usize, Bytes)>,
    /// Packets with good checksums that nobody sent.
    forged: bool,
    /// Something else happened that may end the connection with an error.
    hurt: bool,
}

/// Draws a network from `data`.
pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // too few octets are no finding
    let Ok(mut world) = World::open(&mut u) else { return };
    for _ in 0..STEPS {
        if u.is_empty() || world.step(&mut u).is_err() {
            break;
        }
        world.pump();
    }
    world.finish();
}

impl World {
    fn open(u: &mut Unstructured<'_>) -> Result<Self> {
        let now = Instant::from_millis(1);
        let bits: u8 = u.arbitrary()?;
        let profile = if bits & 1 == 1 { Profile::Linux } else { Profile::Rfc };
        let mut config = ConnectionConfig {
            checksum: bits & 2 != 0,
            receive_buffer: 16 << 10,
            send_buffer: 16 << 10,
            ..ConnectionConfig::of(profile)
        };
        if bits & 4 != 0 {
            config.path_manager = PathManagerKind::Fullmesh;
        }
        let mut ends = [0, 1].map(|side: u8| {
            let mut endpoint = Endpoint::new(EndpointConfig::of(profile), [side; 32]);
            for index in 0..2 {
                let address = if side == 0 {
                    probe_address(index, false)
                } else {
                    stack_address(index, false)
                };
                let (interface, mtu) = (InterfaceId(u16::from(index)), 1_500);
                let (backup, checksum_offload) = (false, false);
                endpoint.add_address(
                    now,
                    LocalAddress {
                        address,
                        interface,
                        mtu,
                        backup,
                        checksum_offload,
                        max_payload: 0,
                    },
                );
            }
            let salt = if side == 0 { 0x0f } else { 0xf0 };
            let (shut, ended, failed) = (false, false, false);
            End { endpoint, id: None, written: 0, read: 0, shut, ended, failed, salt }
        });
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = ends[1].endpoint.listen(config.clone(), any, 4).ok();
        let remote = SocketAddr::new(stack_address(0, false), PORT);
        ends[0].id = ends[0].endpoint.connect(now, config, None, remote).ok();
        let mut world =
            Self { now, ends, listener, wire: VecDeque::new(), forged: false, hurt: false };
        world.pump();
        if bits & 8 != 0 {
            // what comes early is another matter: most inputs begin after the handshake
            return Ok(world);
        }
        for _ in 0..6 {
            world.deliver_all();
        }
        Ok(world)
    }

    /// Puts on the wire what both ends have to send.
    fn pump(&mut self) {
        let mut count = 0;
        for from in 0..2 {
            let endpoint = &mut self.ends[from].endpoint;
            let mut headers = Vec::new();
            while let Some(transmit) = endpoint.poll_transmit(self.now, &mut headers) {
                count += 1;
                assert!(count < BURST, "packets without end");
                let packet = [headers.as_slice(), &transmit.payload].concat();
                note(|| format!("{:>8} ms  {from}: {}", self.now.as_millis(), pretty(&packet)));
                if self.wire.len() >= QUEUE {
                    self.wire.pop_front();
                }
                self.wire.push_back((1 - from, packet.into()));
            }
            while endpoint.poll_event().is_some() {}
            assert_eq!(endpoint.check_invariants(), Ok(()));
        }
        if let Some(listener) = self.listener.filter(|_| self.ends[1].id.is_none()) {
            self.ends[1].id = self.ends[1].endpoint.accept(listener);
        }
    }

    fn give(&mut self, to: usize, packet: Bytes) {
        self.ends[to].endpoint.handle_packet(self.now, InterfaceId(0), packet);
    }

    fn deliver_all(&mut self) {
        for (to, packet) in std::mem::take(&mut self.wire) {
            self.give(to, packet);
        }
        self.pump();
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let choice = u.below(32)?;
        let side = choice & 1;
        let trusted = !self.forged;
        match choice {
            0..6 => self.ends[side].write(self.now, u.length()? as usize % 8_000),
            6..10 => self.ends[side].read(self.now, u.length()? as usize % 8_000, trusted),
            10..14 => {
                self.now += Duration::from_millis(u64::from(u.length()? % 500));
                self.tick();
            }
            14..18 => self.deliver_all(),
            18 | 19 => self.ends[side].shutdown(self.now),
            20 => {
                self.hurt = true;
                if let Some(id) = self.ends[0].id {
                    self.ends[0].endpoint.abort(self.now, id);
                }
            }
            _ => self.one(u, choice)?,
        }
        Ok(())
    }

    fn tick(&mut self) {
        for end in &mut self.ends {
            end.endpoint.handle_timeout(self.now);
        }
    }

    /// Something happens to one packet under way.
    fn one(&mut self, u: &mut Unstructured<'_>, choice: usize) -> Result<()> {
        let at = u.below(QUEUE)?;
        let Some(count) = Some(self.wire.len()).filter(|count| *count > 0) else { return Ok(()) };
        let at = at % count;
        let (to, packet) = self.wire[at].clone();
        match choice {
            // late, or before its turn
            21..25 => {
                self.wire.remove(at);
                self.give(to, packet);
            }
            25 => self.give(to, packet),
            26 | 27 => drop(self.wire.remove(at)),
            choice => {
                let mut changed = packet.to_vec();
                let place = u.arbitrary::<u16>()? as usize % changed.len();
                changed[place] ^= 1 << u.below(8)?;
                if choice >= 30 {
                    self.forged = true;
                    fix_checksums(&mut changed);
                } else if changed.len() <= 60 {
                    // the sum may not notice all, but it notices one bit
                    changed.truncate(place.max(1));
                }
                self.give(to, changed.into());
            }
        }
        Ok(())
    }

    /// The faults stop, both say their last word and listen to the end.
    fn finish(&mut self) {
        note(|| "the faults stop".to_owned());
        let trusted = !self.forged;
        let end = self.now + Duration::from_secs(1_200);
        for _ in 0..4_000 {
            self.pump();
            for side in 0..2 {
                if !self.ends[side].shut {
                    self.ends[side].shutdown(self.now);
                }
                self.ends[side].read(self.now, usize::MAX, trusted);
            }
            self.pump();
            let over = |end: &End| end.id.is_none() || end.ended || end.failed;
            if self.ends.iter().all(over) && self.wire.is_empty() {
                break;
            }
            self.wait(end);
            if self.now >= end {
                break;
            }
        }
        let [client, server] = &self.ends;
        if !self.forged && !self.hurt {
            for (one, other) in [(client, server), (server, client)] {
                assert!(!one.failed, "failed without a reason");
                if one.id.is_some() && other.id.is_some() {
                    assert!(one.ended, "the end never came: {} of {}", one.read, other.written);
                    assert_eq!(one.read, other.written, "the end came too early");
                }
            }
        }
        self.leave();
    }

    /// Lets the time pass to the next packet or timer.
    fn wait(&mut self, end: Instant) {
        let [a, b] = [0, 1].map(|side: usize| self.ends[side].endpoint.poll_timeout());
        if self.wire.is_empty() {
            self.now = self.now.max(Instant::earliest(a, b).unwrap_or(end));
            self.tick();
        } else {
            self.now += DELAY;
            self.tick();
            self.deliver_all();
        }
    }

    /// Nobody stays.
    fn leave(&mut self) {
        if let Some(listener) = self.listener.take() {
            self.ends[1].endpoint.unlisten(self.now, listener);
        }
        for end in &mut self.ends {
            let all: Vec<ConnectionId> = end.endpoint.connections().collect();
            all.into_iter().for_each(|id| end.endpoint.close(self.now, id));
        }
        let end = self.now + Duration::from_secs(24 * 3_600);
        for _ in 0..8_000 {
            self.pump();
            let idle = self.ends.iter().all(|end| end.endpoint.poll_timeout().is_none());
            if idle && self.wire.is_empty() {
                break;
            }
            self.wait(end);
        }
        for end in &self.ends {
            assert_eq!(end.endpoint.connection_count(), 0, "a connection was left behind");
            assert_eq!(end.endpoint.poll_timeout(), None, "a timer was left behind");
        }
    }
}
