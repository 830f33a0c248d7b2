//! Every limit and choice, with its default and the reason for it.

mod paths;

use crate::addr::SourceRoute;
use crate::time::Duration;
use alloc::vec::Vec;
pub use paths::{EndpointFlags, Limits, PathManagerKind};

/// Settings of an endpoint as a whole.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Most connections at once; further SYNs are dropped and `connect` refuses. Default 65 536.
    pub max_connections: usize,
    /// Most stateless replies (RST) waiting to be sent. Default 64: a flood must not grow memory.
    pub max_stateless_replies: usize,
    /// First port of the range connections draw from. Default 32 768, as Linux.
    pub ephemeral_ports: (u16, u16),
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_stateless_replies: 64,
            ephemeral_ports: (32_768, 60_999),
        }
    }
}

/// Congestion control of each subflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CongestionAlgorithm {
    /// RFC 5681 and 6582.
    NewReno,
    /// RFC 9438.
    #[default]
    Cubic,
}

impl CongestionAlgorithm {
    /// The algorithm of this name (`reno`, `newreno`, `cubic`).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "reno" | "newreno" => Some(Self::NewReno),
            "cubic" => Some(Self::Cubic),
            _ => None,
        }
    }

    /// Its name, as the kernel spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewReno => "reno",
            Self::Cubic => "cubic",
        }
    }

    /// Every name [`Self::from_name`] takes.
    pub const NAMES: &'static [&'static str] = &["cubic", "reno"];
}

/// Which subflow carries the next bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchedulerKind {
    /// The one with the lowest smoothed RTT whose window is open.
    #[default]
    MinRtt,
    /// One after the other.
    RoundRobin,
}

impl SchedulerKind {
    /// The scheduler of this name (`minrtt`, `rr`).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "minrtt" | "default" => Some(Self::MinRtt),
            "rr" | "roundrobin" => Some(Self::RoundRobin),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MinRtt => "minrtt",
            Self::RoundRobin => "rr",
        }
    }

    /// Every name [`Self::from_name`] takes.
    pub const NAMES: &'static [&'static str] = &["minrtt", "rr"];
}

/// Keepalive probes of a subflow (RFC 9293 3.8.4). Off unless set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes before the subflow is given up.
    pub probes: u32,
}

/// Settings of one subflow's TCP.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Offer timestamps (RFC 7323). Default true.
    pub timestamps: bool,
    /// Offer selective acknowledgements (RFC 2018). Default true.
    pub sack: bool,
    /// Congestion control. Default CUBIC.
    pub congestion: CongestionAlgorithm,
    /// Longest delay of an acknowledgement. Default 40 ms; RFC 9293 allows up to 500.
    pub delayed_ack: Duration,
    /// Smallest retransmission timeout. Default 200 ms, as Linux; RFC 6298 would have 1 s.
    pub min_rto: Duration,
    /// Largest retransmission timeout. Default 120 s (RFC 6298 asks for at least 60).
    pub max_rto: Duration,
    /// SYN retransmissions before the attempt is given up. Default 6, as Linux.
    pub max_syn_retransmits: u32,
    /// Retransmissions of one segment before the subflow is given up. Default 15, as Linux.
    pub max_retransmits: u32,
    /// How long TIME-WAIT lasts. Default 60 s, as Linux; RFC 9293 has 2 MSL.
    pub time_wait: Duration,
    /// Keepalive. Default none (RFC 9293 3.8.4: off unless asked for).
    pub keepalive: Option<Keepalive>,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            timestamps: true,
            sack: true,
            congestion: CongestionAlgorithm::default(),
            delayed_ack: Duration::from_millis(40),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            max_syn_retransmits: 6,
            max_retransmits: 15,
            time_wait: Duration::from_secs(60),
            keepalive: None,
        }
    }
}

/// Settings of one connection.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Each subflow's TCP.
    pub tcp: TcpConfig,
    /// Offer MPTCP at all. Default true; false is plain TCP.
    pub mptcp: bool,
    /// Ask for DSS checksums (flag A). Default false, as Linux; RFC 8684 3.1 [INI-17] would have true, which costs
    /// a pass over every byte and is worth it only where middleboxes rewrite payload.
    pub checksum: bool,
    /// Scheduler. Default lowest RTT.
    pub scheduler: SchedulerKind,
    /// Bytes the application may have written and the peer not yet acknowledged. Default 4 MiB.
    pub send_buffer: usize,
    /// Bytes that may wait for the application to read: the data-level receive window (RFC 8684 3.3.4 [RCV-1]).
    /// Default 4 MiB.
    pub receive_buffer: usize,
    /// Who opens subflows. Default the kernel's way: by the flags of the endpoints.
    pub path_manager: PathManagerKind,
    /// Most subflows beside the first, within [`Limits::subflows`]. Default 8, the largest value of the kernel's
    /// limit.
    pub max_extra_subflows: usize,
    /// As the client, use a local address without an endpoint of its own as if it were a `subflow` endpoint.
    /// Default true; false is the kernel's way.
    pub join_from_local: bool,
    /// Open subflows to addresses the peer announces, within [`Limits::add_addr_accepted`]. Default true.
    pub join_announced: bool,
    /// As the server, too, open subflows to announced addresses and by the path manager. Default false: any client
    /// could send a server to any address [SEC-2]. Endpoints with `subflow` or `fullmesh` are obeyed in any case.
    pub server_joins: bool,
    /// Gateways of [`PathManagerKind::Binder`]: one subflow through each, by the IPv4 loose source route option.
    /// Default none.
    pub gateways: Vec<SourceRoute>,
    /// On REMOVE_ADDR, probe the path before its subflow is closed (RFC 8684 3.4.2 [ADDR-23]). Default true; the
    /// kernel closes at once (K29).
    pub probe_before_remove: bool,
    /// Longest wait for the echo of an ADD_ADDR before it is sent again; the subflow's RTO where that is shorter
    /// (K28). Default 120 s, as Linux.
    pub add_addr_timeout: Duration,
    /// Leave the timestamps out of the one ACK whose ADD_ADDR (IPv6 with port) does not fit beside them. Default
    /// true, as Linux 7; otherwise such an address is not announced.
    pub add_addr_v6_port_drop_ts: bool,
    /// Refuse a join whose address identifier belongs to a live subflow from another address (RFC 8684 3.2
    /// [JOIN-4]). Default true; the kernel takes it (K19).
    pub unique_join_ids: bool,
    /// Take joins to any port (RFC 8684 3.2 [JOIN-17] [JOIN-18]). Default true; otherwise, as with the kernel
    /// (K17), to the port of the first subflow and to announced ports.
    pub join_any_port: bool,
    /// Take joins to the address and port of the first subflow; false sets the C flag (RFC 8684 3.1 [INI-20]).
    /// Default true, as Linux.
    pub allow_join_initial_addr_port: bool,
    /// Coalesce small writes (Nagle). Default true.
    pub nagle: bool,
    /// SYNs with MP_CAPABLE before one without is tried. Default 3: the first and two retransmissions, as Linux.
    pub mp_capable_syns: u32,
    /// How long a connection without subflows can be resumed, and how long closing may take. Default 60 s, as
    /// Linux (RFC 8684 3.3.3 [FIN-9]).
    pub close_timeout: Duration,
    /// Send data sequence numbers and Data ACKs in 32 bits while the low half is far from wrapping (RFC 8684
    /// 3.3.1 [DSS-16]). Default false, as Linux.
    pub short_data_seq: bool,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            tcp: TcpConfig::default(),
            mptcp: true,
            checksum: false,
            scheduler: SchedulerKind::default(),
            send_buffer: 4 << 20,
            receive_buffer: 4 << 20,
            path_manager: PathManagerKind::default(),
            max_extra_subflows: 8,
            join_from_local: true,
            join_announced: true,
            server_joins: false,
            gateways: Vec::new(),
            probe_before_remove: true,
            add_addr_timeout: Duration::from_secs(120),
            add_addr_v6_port_drop_ts: true,
            unique_join_ids: true,
            join_any_port: true,
            allow_join_initial_addr_port: true,
            nagle: true,
            mp_capable_syns: 3,
            close_timeout: Duration::from_secs(60),
            short_data_seq: false,
        }
    }
}
