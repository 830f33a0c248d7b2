//! A scenario as plain data: links, flows over them, and what the flows carry.

use crate::direction::Direction;
use crate::link::LinkConfig;
use mpuser_engine::config::{
    CongestionAlgorithm, ConnectionConfig, PathManagerKind, Profile, SchedulerSpec, TcpConfig,
};
use mpuser_engine::time::Duration;
use std::collections::BTreeMap;

/// Everything a run needs but the seed's number.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is for, for people.
    pub description: String,
    /// The seed when none is given.
    pub seed: u64,
    /// Virtual time the run lasts; it ends earlier when every flow has done all it had to.
    pub duration: Duration,
    /// The first part of `duration`, which rates and shares do not count.
    pub warm_up: Duration,
    /// Time between samples of throughput, queues and out-of-order bytes; zero takes none. Default 10 ms.
    pub sample: Duration,
    /// Links by name. A link is shared by everybody who names it.
    pub links: BTreeMap<String, LinkSpec>,
    /// Flows.
    pub flows: Vec<FlowGroup>,
    /// Load on links that answers to nothing.
    pub background: Vec<Background>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            seed: 1,
            duration: Duration::from_secs(10),
            warm_up: Duration::ZERO,
            sample: Duration::from_millis(10),
            links: BTreeMap::new(),
            flows: Vec::new(),
            background: Vec::new(),
        }
    }
}

/// A link, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkSpec {
    /// At the beginning. Its `forward` direction goes from clients to servers.
    pub config: LinkConfig,
    /// Later, by time.
    pub changes: Vec<LinkChange>,
}

/// A link becomes another.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkChange {
    /// When.
    pub at: Duration,
    /// All of it from then on; packets on their way stay there.
    pub config: LinkConfig,
}

/// Which implementation the two ends of a flow are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stack {
    /// This engine, Multipath TCP.
    #[default]
    Mptcp,
    /// This engine, plain TCP over the first path.
    Tcp,
    /// smoltcp's TCP, over the first path; NewReno or CUBIC, without SACK.
    Smoltcp,
}

/// A number of flows of one kind. Each has a client and a server of its own.
#[derive(Clone, Debug)]
pub struct FlowGroup {
    /// Its name.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// Who speaks.
    pub stack: Stack,
    /// Who answers, where it is another stack than the client's.
    pub peer: Option<Stack>,
    /// Path `k` is where packets from and to the client's address `k` go; the server has one address. The connection
    /// is opened over the first one that is there.
    pub paths: Vec<Path>,
    /// Which subflow carries what.
    pub scheduler: SchedulerSpec,
    /// Congestion control.
    pub cc: CongestionAlgorithm,
    /// When the client connects.
    pub start: Duration,
    /// Up to this much later, each flow on its own.
    pub start_jitter: Duration,
    /// When both ends drop it, whatever it is doing.
    pub stop: Option<Duration>,
    /// Which way the data goes: `Forward` is up, from the client. Request and response, chunks and web objects are
    /// asked for by the receiving end.
    pub direction: Direction,
    /// What it carries.
    pub traffic: Traffic,
    /// Bytes.
    pub send_buffer: usize,
    /// Bytes.
    pub receive_buffer: usize,
    /// The buffers begin small and are tuned up to these sizes; otherwise they have them from the beginning. Smoltcp's
    /// never change.
    pub tuned_buffers: bool,
    /// DSS checksums (flag A).
    pub checksum: bool,
    /// MTU of every address of the client and the server, bytes.
    pub mtu: u16,
    /// The choices where the RFC and Linux part.
    pub profile: Profile,
    /// Coalesce small writes (Nagle).
    pub nagle: bool,
    /// Longest delay of an acknowledgement.
    pub delayed_ack: Duration,
    /// Spread data over the round trip.
    pub pacing: bool,
    /// Reset the congestion window after a pause (RFC 5681 4.1).
    pub slow_start_after_idle: bool,
}

impl Default for FlowGroup {
    fn default() -> Self {
        let (connection, tcp) = (ConnectionConfig::default(), TcpConfig::default());
        Self {
            name: String::new(),
            count: 1,
            stack: Stack::Mptcp,
            peer: None,
            paths: Vec::new(),
            scheduler: connection.scheduler,
            cc: tcp.congestion,
            start: Duration::ZERO,
            start_jitter: Duration::ZERO,
            stop: None,
            direction: Direction::Forward,
            traffic: Traffic::Bulk { size: None },
            send_buffer: connection.send_buffer,
            receive_buffer: connection.receive_buffer,
            tuned_buffers: true,
            checksum: false,
            mtu: 1500,
            profile: Profile::default(),
            nagle: true,
            delayed_ack: tcp.delayed_ack,
            pacing: tcp.pacing,
            slow_start_after_idle: tcp.slow_start_after_idle,
        }
    }
}

impl FlowGroup {
    /// The engine's settings for connections of this group.
    #[must_use]
    pub fn connection(&self) -> ConnectionConfig {
        let plain = ConnectionConfig::of(self.profile);
        let plain = if self.tuned_buffers {
            let (send_buffer, receive_buffer) = (self.send_buffer, self.receive_buffer);
            ConnectionConfig { send_buffer, receive_buffer, ..plain }
        } else {
            plain.with_fixed_buffers(self.send_buffer, self.receive_buffer)
        };
        ConnectionConfig {
            tcp: TcpConfig {
                congestion: self.cc,
                delayed_ack: self.delayed_ack,
                pacing: self.pacing,
                slow_start_after_idle: self.slow_start_after_idle,
                ..plain.tcp.clone()
            },
            mptcp: self.stack == Stack::Mptcp,
            checksum: self.checksum,
            scheduler: self.scheduler.clone(),
            nagle: self.nagle,
            path_manager: PathManagerKind::Default,
            max_extra_subflows: 64,
            ..plain
        }
    }
}

/// A way between the client and the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Links in the order from client to server; replies cross them backwards.
    pub links: Vec<String>,
    /// Its subflows are opened as backups.
    pub backup: bool,
    /// The client's address on it appears at this time; `None` is from the beginning.
    pub start: Option<Duration>,
    /// The client's address on it goes at this time, and the client knows (an outage of a link is what it does not
    /// know).
    pub stop: Option<Duration>,
    /// Subflows over it. Default 1.
    pub subflows: u32,
}

impl Default for Path {
    fn default() -> Self {
        Self { links: Vec::new(), backup: false, start: None, stop: None, subflows: 1 }
    }
}

impl Path {
    /// A path over these links.
    #[must_use]
    pub fn over(links: &[&str]) -> Self {
        Self { links: links.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() }
    }
}

/// What a flow carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// As much as goes, up to `size` bytes.
    Bulk {
        /// Bytes; `None` goes on until the end.
        size: Option<u64>,
    },
    /// The receiving end asks, the sending end answers, over one connection.
    RequestResponse {
        /// Bytes of a request, at least 16.
        request: u64,
        /// Bytes of a response, at least 1.
        response: u64,
        /// Time from one request to the next; a request does not go before the response to the one before has come.
        every: Duration,
        /// How many; `None` goes on until the end.
        count: Option<u32>,
    },
    /// Messages at a constant rate.
    Cbr {
        /// Bits of messages a second.
        rate: u64,
        /// Bytes of a message.
        message: u64,
        /// A message that is not there in full after this long is late.
        deadline: Option<Duration>,
    },
    /// Video in chunks with an adaptive bit rate.
    Chunks(Chunks),
    /// Objects fetched over a few connections, one at a time on each, in order.
    Web {
        /// Bytes of each object.
        objects: Vec<u64>,
        /// Connections.
        connections: u32,
        /// Bytes of a request, at least 16.
        request: u64,
    },
    /// Bursts and pauses.
    OnOff {
        /// How long it sends.
        on: Spread,
        /// How long it is silent.
        off: Spread,
        /// Bits a second while it sends; `None` is as much as goes.
        rate: Option<u64>,
    },
}

/// Video over one connection, as in ECF's DASH player: chunk after chunk while the buffer has room, then a pause.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunks {
    /// Time of video in a chunk. Default 5 s.
    pub length: Duration,
    /// Bit rates to choose from, ascending, bits a second.
    pub rates: Vec<u64>,
    /// How much video the player keeps at most. Default 30 s.
    pub buffer: Duration,
    /// Video in the buffer before playing begins or goes on. Default one chunk.
    pub prebuffer: Duration,
    /// The player takes the highest rate below this share of the throughput it has seen. Default 0.9.
    pub caution: f64,
    /// With it the buffer decides instead (BBA-0, Huang et al. 2014): the lowest rate up to this much video, the highest
    /// from nine tenths of what there can be before a chunk, and in between a rate is left when the line from one to the other passes
    /// the next.
    pub reservoir: Option<Duration>,
    /// How many chunks; `None` goes on until the end.
    pub count: Option<u32>,
    /// Bytes of a request, at least 16.
    pub request: u64,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            length: Duration::from_secs(5),
            rates: vec![110_000, 260_000, 640_000, 1_000_000, 2_000_000, 4_140_000],
            buffer: Duration::from_secs(30),
            prebuffer: Duration::from_secs(5),
            caution: 0.9,
            reservoir: None,
            count: None,
            request: 300,
        }
    }
}

/// A random time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Always the same.
    Constant(Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// Pareto with this mean; the index, above 1, says how heavy the tail is.
    Pareto {
        /// Mean.
        mean: Duration,
        /// Index, above 1.
        index: f64,
    },
}

/// Packets that are put on a link and leave it again, whatever becomes of them: UDP-like.
#[derive(Clone, Debug, PartialEq)]
pub struct Background {
    /// Its name.
    pub name: String,
    /// Sources like this one.
    pub count: u32,
    /// The link.
    pub link: String,
    /// Which way.
    pub direction: Direction,
    /// Bits a second while it sends.
    pub rate: u64,
    /// Bytes of an IP packet.
    pub packet: u16,
    /// How long it sends.
    pub on: Spread,
    /// How long it is silent.
    pub off: Spread,
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub stop: Option<Duration>,
}
