//! Two sockets and the network between them: deterministic from a seed, in virtual time.

use super::*;
use crate::time::Duration;
use std::collections::BTreeMap;
use std::vec;

/// A small generator (SplitMix64), so that a run depends on its seed alone.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True `per_mille` times in a thousand.
    pub(super) fn roll(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// What the network does to segments; the same both ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) delay: Duration,
    /// Per mille.
    pub(super) loss: u64,
    /// Per mille of segments delayed by up to another `delay`.
    pub(super) reorder: u64,
    /// Per mille.
    pub(super) duplicate: u64,
    /// Octets a second; 0: no limit.
    pub(super) rate: u64,
    /// Longest queue in front of the bottleneck.
    pub(super) queue: Duration,
    /// Larger payloads vanish (a path MTU nobody reports).
    pub(super) largest: usize,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            loss: 0,
            reorder: 0,
            duplicate: 0,
            rate: 0,
            queue: Duration::from_millis(100),
            largest: usize::MAX,
        }
    }
}

/// One end: a socket and its application.
pub(super) struct Host {
    pub(super) socket: Option<Socket>,
    pub(super) params: OpenParams,
    /// Octets to send, then close.
    pub(super) total: u64,
    pub(super) keep_open: bool,
    /// The application always writes as much as it may.
    pub(super) greedy: bool,
    written: u64,
    pub(super) received: u64,
    /// Receive buffer, and what the application has not taken out of it.
    pub(super) buffer: u32,
    unread: u32,
    /// The application reads at these intervals; zero: at once.
    pub(super) read_every: Duration,
    next_read: Instant,
    pub(super) reserved: u8,
    pub(super) max_payload: u32,
    pub(super) largest_chunk: u64,
    pub(super) segments: u64,
    pub(super) peer_finished: bool,
    link_free: Instant,
}

impl Host {
    pub(super) fn new(params: OpenParams, total: u64) -> Self {
        Self {
            socket: None,
            buffer: params.receive_window,
            params,
            total,
            keep_open: false,
            greedy: false,
            written: 0,
            received: 0,
            unread: 0,
            read_every: Duration::ZERO,
            next_read: Instant::ZERO,
            reserved: 0,
            max_payload: 0,
            largest_chunk: 20_000,
            segments: 0,
            peer_finished: false,
            link_free: Instant::ZERO,
        }
    }

    fn summary(&self) -> std::string::String {
        let Some(socket) = &self.socket else { return "no socket".into() };
        std::format!(
            "{} {:?} sent {}..{} of {}, received {}, last heard of at {}, progress at {}, {} timeouts, {} segments",
            socket.state().as_str(),
            socket.end(),
            socket.una(),
            socket.nxt(),
            self.total,
            self.received,
            socket.last_received_at(),
            socket.last_progress(),
            socket.backoff_count(),
            self.segments,
        )
    }

    fn limits(&self) -> SendLimits {
        SendLimits {
            window: self.buffer.saturating_sub(self.unread),
            promised: None,
            reserved_options: self.reserved,
            max_payload: self.max_payload,
        }
    }

    /// Writes what the socket takes, as a scheduler would; one chunk waits in any case.
    fn write(&mut self, dice: &mut Dice) {
        let Some(socket) = &mut self.socket else { return };
        while socket.can_send() && self.written < self.total {
            let room = socket.available();
            if room == 0 && socket.unsent() > 0 {
                break;
            }
            let most = self.largest_chunk.min(self.total - self.written).min(room.max(1448));
            let len = if self.greedy { most } else { 1 + dice.below(most) };
            let chunk: Vec<u8> = (self.written..self.written + len).map(octet).collect();
            assert_eq!(socket.write(Bytes::from(chunk)), self.written);
            self.written += len;
        }
        if socket.can_send() && self.written == self.total && !self.keep_open {
            socket.close();
        }
    }

    fn take(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        while let Some((offset, data)) = socket.read() {
            assert_eq!(offset, self.received, "in order, without gaps");
            assert!(data.iter().zip(offset..).all(|(got, at)| *got == octet(at)), "intact");
            self.received += data.len() as u64;
            self.unread += data.len() as u32;
        }
        assert!(
            self.unread <= self.buffer + (1 << 4),
            "the window was overrun: {}",
            self.summary()
        );
        if self.read_every.is_zero() {
            self.unread = 0;
        }
    }
}

fn octet(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 13) as u8
}

/// Two hosts, client first, and segments on their way.
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) hosts: [Host; 2],
    pub(super) network: Network,
    pub(super) dice: Dice,
    wire: BTreeMap<(Instant, u64), (usize, Segment)>,
    serial: u64,
}

impl Pair {
    pub(super) fn new(seed: u64, network: Network, client: Host, server: Host) -> Self {
        let mut hosts = [client, server];
        hosts[0].socket = Some(Socket::connect(ms(0), hosts[0].params.clone()));
        Self { now: ms(0), hosts, network, dice: Dice(seed), wire: BTreeMap::new(), serial: 0 }
    }

    pub(super) fn socket(&mut self, host: usize) -> &mut Socket {
        self.hosts[host].socket.as_mut().expect("there is a socket")
    }

    fn put(&mut self, from: usize, segment: Segment) {
        let network = self.network;
        let size = segment.payload.len() as u64 + 60;
        self.hosts[from].segments += 1;
        if self.dice.roll(network.loss) || segment.payload.len() > network.largest {
            return;
        }
        let mut at = self.now + network.delay;
        if let Some(nanos) = (size * 1_000_000_000).checked_div(network.rate) {
            let free = self.hosts[from].link_free.max(self.now);
            if free.saturating_since(self.now) > network.queue {
                return;
            }
            let free = free + Duration::from_nanos(nanos);
            self.hosts[from].link_free = free;
            at = free + network.delay;
        }
        let copies = 1 + u64::from(self.dice.roll(network.duplicate));
        for _ in 0..copies {
            let mut at = at;
            if self.dice.roll(network.reorder) {
                at += Duration::from_nanos(self.dice.below(network.delay.as_nanos() as u64));
            }
            self.serial += 1;
            self.wire.insert((at, self.serial), (1 - from, segment.clone()));
        }
    }

    fn transmit(&mut self, from: usize) {
        let mut rounds = 0;
        loop {
            let host = &mut self.hosts[from];
            host.write(&mut self.dice);
            let limits = host.limits();
            let Some(socket) = &mut host.socket else { return };
            let Some(plan) = socket.plan(self.now, &limits) else { return };
            socket.commit(self.now, &plan);
            rounds += 1;
            assert!(rounds < 100_000, "plans without end: {plan:?}");
            let merged = self.dice.roll(300);
            for segment in split(&plan, merged) {
                self.put(from, segment);
            }
        }
    }

    fn deliver(&mut self, to: usize, segment: &Segment) {
        let host = &mut self.hosts[to];
        let Some(socket) = &mut host.socket else {
            if segment.flags.syn {
                host.socket = Some(Socket::accept(self.now, host.params.clone(), segment));
            }
            return;
        };
        let disposition = socket.on_segment(self.now, segment);
        assert_eq!(socket.check_invariants(), Ok(()));
        if disposition.peer_fin {
            assert!(!host.peer_finished, "a FIN is reported once");
            host.peer_finished = true;
        }
        host.take();
    }

    fn next_event(&self) -> Option<Instant> {
        let mut next = self.wire.keys().next().map(|(at, _)| *at);
        for host in &self.hosts {
            let timer = host.socket.as_ref().and_then(Socket::poll_timeout);
            next = Instant::earliest(next, timer);
            if host.unread > 0 && !host.read_every.is_zero() {
                next = Instant::earliest(next, Some(host.next_read));
            }
        }
        next
    }

    /// Runs until nothing is left to happen, or until `end`.
    pub(super) fn run_until(&mut self, end: Instant) {
        let mut idle = 0;
        loop {
            (0..2).for_each(|host| self.transmit(host));
            let Some(next) = self.next_event().filter(|next| *next <= end) else {
                self.now = self.now.max(end.min(Instant::from_millis(u64::MAX / 4_000_000)));
                return;
            };
            idle = if next > self.now { 0 } else { idle + 1 };
            assert!(idle < 100_000, "time stands still: {:?}", self.hosts[0].socket);
            self.now = self.now.max(next);
            while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= self.now) {
                let (to, segment) = entry.remove();
                self.deliver(to, &segment);
            }
            for host in &mut self.hosts {
                if let Some(socket) = &mut host.socket
                    && socket.poll_timeout().is_some_and(|at| at <= self.now)
                {
                    socket.on_timeout(self.now);
                }
                if host.next_read <= self.now {
                    host.unread = 0;
                    host.next_read = self.now + host.read_every;
                }
            }
        }
    }

    /// Runs to the end: all data arrived, both sides closed in order, no timer runs.
    pub(super) fn finish(&mut self) {
        self.run_until(ms(3_600_000 * 24));
        let summary = self.hosts.each_ref().map(Host::summary);
        for at in 0..2 {
            let other = self.hosts[1 - at].total;
            let host = &mut self.hosts[at];
            let socket = host.socket.as_ref().expect("there is a socket");
            assert_eq!(socket.end(), Some(SocketEnd::Finished), "host {at}: {summary:?}");
            assert_eq!(host.received, other);
            assert_eq!(socket.poll_timeout(), None);
            assert!(socket.peer_fin_received() && socket.fin_acked());
        }
    }
}

/// What a plan looks like to the peer: one segment, or the pieces of a super-segment.
pub(super) fn split(plan: &SegmentPlan, merged: bool) -> Vec<Segment> {
    let whole = Segment {
        seq: plan.seq,
        ack: plan.ack,
        flags: plan.flags,
        window: plan.window,
        options: plan.options,
        payload: plan.payload.clone(),
        carries_signal: false,
    };
    let size = plan.segment_size.map_or(usize::MAX, usize::from);
    if merged || plan.payload.len() <= size {
        return vec![whole];
    }
    let mut pieces = Vec::new();
    for start in (0..plan.payload.len()).step_by(size) {
        let end = (start + size).min(plan.payload.len());
        let mut piece = whole.clone();
        piece.seq = plan.seq + start as u32;
        piece.payload = plan.payload.slice(start..end);
        if end < plan.payload.len() {
            piece.flags.fin = false;
            piece.flags.psh = false;
        }
        pieces.push(piece);
    }
    pieces
}
