//! Streams in virtual time. A packet of an endpoint becomes octets of a stream, which has a rate and a delay; at the other
//! end they are cut anywhere and become a packet again.
#![expect(clippy::expect_used, reason = "helpers of tests: a panic is the verdict")]

use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, FourTuple, InterfaceId, ListenerId, SocketAddr};
use mpuser_engine::config::{ConnectionConfig, EndpointConfig, Via};
use mpuser_engine::tcp::CARRIER_SEGMENT;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::wire::TcpHeader;
use mpuser_engine::wire::frame::{Decoder, Frame, MAX_PAYLOAD};
use mpuser_engine::{ConnectionInfo, Endpoint, Event, LocalAddress};
use std::collections::VecDeque;

pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;
const PORT: u16 = 7000;
/// Longest run of a transfer.
pub(crate) const WINDOW_OF_TIME: Duration = Duration::from_secs(40);
/// Octets of a stream that are written together, so that frames are cut anywhere.
const PIECE: usize = 5_000;

/// One direction of a stream.
#[derive(Default)]
struct Lane {
    /// Not yet written: octets, and what writing the last of them gives back.
    waiting: VecDeque<(Bytes, u32)>,
    /// When the stream takes more.
    free_at: Instant,
    /// Written: when the octets arrive.
    under_way: VecDeque<(Instant, Bytes)>,
    decoder: Decoder,
}

/// A stream, by the way it takes; the client's four-tuple and the server's.
struct Stream {
    way: usize,
    tuples: [FourTuple; 2],
    /// From the client, from the server.
    lanes: [Lane; 2],
}

struct Way {
    /// Octets a second.
    rate: u64,
    delay: Duration,
    paused: Option<(Instant, Instant)>,
    killed: Option<Instant>,
}

/// Two endpoints and the streams between them.
pub(crate) struct Net {
    now: Instant,
    ends: [Endpoint; 2],
    ways: Vec<Way>,
    streams: Vec<Stream>,
    listener: ListenerId,
    ids: [Option<ConnectionId>; 2],
    events: [Vec<Event>; 2],
    ports: u16,
    pub(crate) refuse_dials: bool,
    /// SYNs of the client without ACK.
    pub(crate) syns: usize,
    /// Most octets that waited to be written in one direction of a stream.
    pub(crate) most_waiting: u64,
    /// Longest time between two octets that reached the application, the first ones left out.
    pub(crate) longest_pause: Duration,
    /// Frames put into streams and when, by each side.
    pub(crate) frames: [Vec<Instant>; 2],
}

fn own(side: usize, way: usize) -> std::net::IpAddr {
    [198, 18, side as u8, way as u8 + 1].into()
}

/// The proxy of a way, as each end sees it.
fn proxy(side: usize, way: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([10, side as u8, 0, way as u8 + 1], port))
}

impl Net {
    /// A way for each rate (octets a second) and one-way delay (milliseconds).
    pub(crate) fn new(ways: &[(u64, u64)]) -> Self {
        let mut ends = [CLIENT, SERVER].map(|side| {
            let config = EndpointConfig::default();
            let mut end = Endpoint::new(config, [side as u8 + 1; 32]);
            for way in 0..ways.len() {
                let interface = InterfaceId(way as u16);
                end.set_carrier(interface);
                let (address, mtu) = (own(side, way), MAX_PAYLOAD as u16 + 40);
                let (backup, checksum_offload) = (false, true);
                let local = LocalAddress {
                    address,
                    interface,
                    mtu,
                    backup,
                    checksum_offload,
                    max_payload: 0,
                };
                end.add_address(Instant::ZERO, local);
            }
            end
        });
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = ends[SERVER].listen(ConnectionConfig::default(), any, 8).expect("free");
        let way = |(rate, delay): &(u64, u64)| Way {
            rate: *rate,
            delay: Duration::from_millis(*delay),
            paused: None,
            killed: None,
        };
        Self {
            now: Instant::ZERO,
            ends,
            ways: ways.iter().map(way).collect(),
            streams: Vec::new(),
            listener,
            ids: [None; 2],
            events: [Vec::new(), Vec::new()],
            ports: 40_000,
            refuse_dials: false,
            syns: 0,
            most_waiting: 0,
            longest_pause: Duration::ZERO,
            frames: [Vec::new(), Vec::new()],
        }
    }

    /// Nothing is written on this way between these times.
    pub(crate) fn pause(&mut self, way: usize, from: Duration, to: Duration) {
        self.ways[way].paused = Some((Instant::ZERO + from, Instant::ZERO + to));
    }

    /// The streams on this way end at this time; new ones may be made.
    pub(crate) fn kill(&mut self, way: usize, at: Duration) {
        self.ways[way].killed = Some(Instant::ZERO + at);
    }

    pub(crate) fn info(&self, side: usize) -> ConnectionInfo {
        self.ends[side].info(self.ids[side].expect("connected")).expect("it lives")
    }

    pub(crate) fn mptcp(&self, side: usize) -> bool {
        let agreed = |e: &Event| matches!(e, Event::Established { mptcp: true, .. });
        self.events[side].iter().any(agreed)
    }

    pub(crate) fn events(&self, side: usize) -> &[Event] {
        &self.events[side]
    }

    pub(crate) fn connect(&mut self) {
        let via = |way| Via { remote: proxy(CLIENT, way, 1080), local: Some(own(CLIENT, way)) };
        let vias: Vec<Via> = (0..self.ways.len()).map(via).collect();
        let config = ConnectionConfig { vias, ..ConnectionConfig::default() };
        let first = proxy(CLIENT, 0, 1080);
        let id = self.ends[CLIENT].connect(self.now, config, None, first).expect("a connection");
        self.ids[CLIENT] = Some(id);
    }

    pub(crate) fn now(&self) -> Duration {
        self.now.saturating_since(Instant::ZERO)
    }

    /// As much of `octets` as the client's connection takes.
    pub(crate) fn write_some(&mut self, octets: &[u8]) -> usize {
        let id = self.ids[CLIENT].expect("connected");
        self.ends[CLIENT].write(self.now, id, octets).unwrap_or(0)
    }

    /// What the server's application reads now.
    pub(crate) fn read_some(&mut self) -> Vec<u8> {
        let id = self.ids[SERVER].expect("accepted");
        let (mut piece, mut got) = ([0; 64 << 10], Vec::new());
        while let Ok(read @ 1..) = self.ends[SERVER].read(self.now, id, &mut piece) {
            got.extend_from_slice(&piece[..read]);
        }
        got
    }

    /// All of `sent` from the client to the server; how long it took from the SYN on.
    pub(crate) fn transfer(&mut self, sent: &[u8]) -> Duration {
        self.connect();
        let (mut written, mut got, mut last) = (0, Vec::with_capacity(sent.len()), None);
        let end = Instant::ZERO + WINDOW_OF_TIME;
        while got.len() < sent.len() {
            assert!(
                self.now < end,
                "{} of {} octets: {:#?}",
                got.len(),
                sent.len(),
                self.info(CLIENT)
            );
            if let Some(id) = self.ids[CLIENT] {
                let rest = sent.get(written..).unwrap_or_default();
                written += self.ends[CLIENT].write(self.now, id, rest).unwrap_or(0);
            }
            self.ids[SERVER] = self.ids[SERVER].or_else(|| self.ends[SERVER].accept(self.listener));
            let mut piece = [0; 64 << 10];
            while let Some(id) = self.ids[SERVER]
                && let Ok(read @ 1..) = self.ends[SERVER].read(self.now, id, &mut piece)
            {
                got.extend_from_slice(&piece[..read]);
                let pause = last.map_or(Duration::ZERO, |last| self.now.saturating_since(last));
                self.longest_pause = self.longest_pause.max(pause);
                last = Some(self.now);
            }
            self.settle();
            self.step(end);
        }
        assert!(got == sent, "other octets came than were sent");
        self.now.saturating_since(Instant::ZERO)
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.settle();
            self.step(end);
        }
    }

    /// Takes what the endpoints have to say, and writes what the streams take now.
    fn settle(&mut self) {
        for side in [CLIENT, SERVER] {
            let mut headers = Vec::new();
            while let Some(transmit) = self.ends[side].poll_transmit(self.now, &mut headers) {
                let way = usize::from(transmit.interface.0);
                self.take(side, way, &headers, transmit.payload);
            }
            while let Some((_, event)) = self.ends[side].poll_event() {
                self.events[side].push(event);
            }
        }
        for index in 0..self.streams.len() {
            for side in [CLIENT, SERVER] {
                self.write(index, side);
            }
        }
    }

    fn take(&mut self, side: usize, way: usize, headers: &[u8], payload: Bytes) {
        let (tuple, mut octets) = Frame::head_of(headers, payload.len()).expect("it fits a frame");
        let (tcp, _) = TcpHeader::parse(&headers[20..]).expect("a good packet");
        octets.extend_from_slice(&payload);
        let known = self.streams.iter().position(|stream| stream.tuples[side] == tuple);
        let syn = tcp.flags.syn && tcp.ack.is_none();
        self.syns += usize::from(syn);
        let index = match known {
            Some(index) => index,
            None if syn && self.refuse_dials => {
                return self.ends[side].carrier_ended(self.now, &tuple);
            }
            None if syn => {
                self.ports += 1;
                let local = SocketAddr::new(own(SERVER, way), PORT);
                let server = FourTuple { local, remote: proxy(SERVER, way, self.ports) };
                let lanes = [Lane::default(), Lane::default()];
                self.streams.push(Stream { way, tuples: [tuple, server], lanes });
                self.streams.len() - 1
            }
            // of a stream that is gone
            None => return,
        };
        self.frames[side].push(self.now);
        let cost = CARRIER_SEGMENT + payload.len() as u32;
        let lane = &mut self.streams[index].lanes[side];
        lane.waiting.push_back((octets.into(), cost));
        let waiting: u64 = lane.waiting.iter().map(|(_, cost)| u64::from(*cost)).sum();
        self.most_waiting = self.most_waiting.max(waiting);
    }

    fn is_paused(&self, way: usize) -> bool {
        self.ways[way].paused.is_some_and(|(from, to)| from <= self.now && self.now < to)
    }

    /// One frame after the other, as the rate allows, in pieces that are no frames.
    fn write(&mut self, index: usize, side: usize) {
        let way = self.streams[index].way;
        let (rate, delay) = (self.ways[way].rate, self.ways[way].delay);
        if self.is_paused(way) {
            return;
        }
        let (now, tuple) = (self.now, self.streams[index].tuples[side]);
        let lane = &mut self.streams[index].lanes[side];
        if lane.free_at <= now
            && let Some((octets, cost)) = lane.waiting.pop_front()
        {
            let time = Duration::from_nanos(octets.len() as u64 * 1_000_000_000 / rate);
            lane.free_at = now + time;
            for piece in octets.chunks(PIECE) {
                let at = now + time + delay;
                lane.under_way.push_back((at, Bytes::copy_from_slice(piece)));
            }
            self.ends[side].grant(now, &tuple, cost);
        }
    }

    /// Goes on to the next thing that happens.
    fn step(&mut self, end: Instant) {
        let mut next = end;
        for stream in &self.streams {
            let paused = self.ways[stream.way].paused;
            for lane in &stream.lanes {
                let writes = lane.waiting.front().map(|_| {
                    let resumed = paused.filter(|(from, _)| *from <= self.now).map(|(_, to)| to);
                    resumed.map_or(lane.free_at, |to| lane.free_at.max(to))
                });
                let arrives = lane.under_way.front().map(|(at, _)| *at);
                next = writes.into_iter().chain(arrives).fold(next, Instant::min);
            }
        }
        let killed = self.ways.iter().filter_map(|way| way.killed);
        let timers = self.ends.iter().filter_map(Endpoint::poll_timeout);
        next = killed.chain(timers).fold(next, Instant::min);
        // never back, and never standing still
        self.now = next.max(self.now + Duration::from_micros(1));
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.die();
        self.arrive();
    }

    fn die(&mut self) {
        for way in 0..self.ways.len() {
            if self.ways[way].killed.is_none_or(|at| at > self.now) {
                continue;
            }
            self.ways[way].killed = None;
            let (dead, alive): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.streams).into_iter().partition(|stream| stream.way == way);
            self.streams = alive;
            for stream in dead {
                for side in [CLIENT, SERVER] {
                    self.ends[side].carrier_ended(self.now, &stream.tuples[side]);
                }
            }
        }
    }

    fn arrive(&mut self) {
        for stream in &mut self.streams {
            for from in [CLIENT, SERVER] {
                let to = 1 - from;
                let lane = &mut stream.lanes[from];
                while lane.under_way.front().is_some_and(|(at, _)| *at <= self.now)
                    && let Some((_, octets)) = lane.under_way.pop_front()
                {
                    lane.decoder.buffer().extend_from_slice(&octets);
                    while let Some(frame) = lane.decoder.frame().expect("a good stream") {
                        let packet = frame.packet(&stream.tuples[to]).expect("one family");
                        let interface = InterfaceId(stream.way as u16);
                        self.ends[to].handle_packet(self.now, interface, packet);
                    }
                }
            }
        }
    }
}
