//! Every limit and choice, with its default and the reason for it.

mod behaviour;
mod congestion;
mod paths;
mod scheduler;

use crate::addr::SourceRoute;
use crate::time::Duration;
use alloc::vec::Vec;
pub use behaviour::{Behaviour, FailedData, FastCloseForm, OnlySubflow, Profile, UnmappedData};
pub use congestion::CongestionAlgorithm;
pub use paths::{EndpointFlags, Limits, PathManagerKind, Via};
pub use scheduler::{
    ParamDoc, ParamKind, SCHEDULER_NAMES, SCHEDULERS, SchedulerDoc, SchedulerSpec,
};

/// Settings of an endpoint as a whole.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Most connections at once; further SYNs are dropped and `connect` refuses. Default 65 536.
    pub max_connections: usize,
    /// Most stateless replies (RST, SYN/ACK) waiting to be sent. Default 64: a flood must not grow memory.
    pub max_stateless_replies: usize,
    /// Most RSTs a second for segments that belong to no connection, give or take a quarter. Default 1 000.
    pub max_resets_per_second: u32,
    /// Handshakes of clients under way at once, all listeners together; beyond that (or beyond a listener's backlog)
    /// SYNs are answered without keeping anything (SYN cookies, RFC 4987). Default 1 024.
    pub max_half_open: usize,
    /// Connections let in by a Fast Open cookie whose third packet has not come; with more, SYN data is left to
    /// retransmission (RFC 7413 5.1). Default 128.
    pub max_fast_open: usize,
    /// Connections of which nothing is left but TIME-WAIT; beyond that the oldest is forgotten early. Default 4 096.
    pub max_time_wait: usize,
    /// Joins of peers under way at once, all connections together, 4 of them of one connection at most; further ones are
    /// answered and kept in a small table that forgets at random. Default 256.
    pub max_half_open_joins: usize,
    /// First port of the range connections draw from. Default 32 768, as Linux.
    pub ephemeral_ports: (u16, u16),
    /// How long a destination that answered only a SYN without MP_CAPABLE is spoken to in plain TCP, doubled by each
    /// further failure up to 64 times (RFC 8684 3.9.3 [HEU-8] [HEU-10]). Zero never does. Default 1 h, as Linux, which
    /// however stops MPTCP to all destinations.
    pub blackhole_timeout: Duration,
    /// An address of this end without an endpoint of its own gets one with the flag `subflow`. Default true; in Linux
    /// only what `ip mptcp endpoint` named is used.
    pub implicit_endpoints: bool,
    /// Most destinations about which something is remembered; the one used longest ago is forgotten. Default 1 024.
    pub max_destinations: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_stateless_replies: 64,
            max_resets_per_second: 1_000,
            max_half_open: 1_024,
            max_half_open_joins: 256,
            max_time_wait: 4_096,
            max_fast_open: 128,
            ephemeral_ports: (32_768, 60_999),
            blackhole_timeout: Duration::from_secs(3_600),
            implicit_endpoints: true,
            max_destinations: 1_024,
        }
    }
}

impl EndpointConfig {
    /// The defaults with the choices of this profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        Self { implicit_endpoints: profile == Profile::Rfc, ..Self::default() }
    }
}

/// Data on the SYN (RFC 7413, RFC 8684 appendix B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastOpen {
    /// Neither sent nor taken.
    #[default]
    Off,
    /// With cookies: the first connection to a server fetches one, the next ones use it.
    Cookie,
    /// Without: for peers that know their clients otherwise. A SYN's data may then come from any address, and twice.
    WithoutCookie,
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
    /// Spread data over the round trip ([`Socket::pacing_rate`](crate::tcp::Socket::pacing_rate)). Default false, as
    /// Linux without `fq`; algorithms that need it (BBR) pace in any case.
    pub pacing: bool,
    /// Begin with the initial window again when nothing was sent for longer than the RTO (RFC 5681 4.1, RFC 2861).
    /// Default true, as Linux.
    pub slow_start_after_idle: bool,
    /// Longest delay of an acknowledgement. Default 40 ms; RFC 9293 allows up to 500.
    pub delayed_ack: Duration,
    /// Segments at the beginning of a connection that are acknowledged at once, while this end only receives: the
    /// peer's slow start lives on acknowledgements (RFC 5681 4.2 asks for no delay, it allows one). Default 0; Linux
    /// has 16.
    pub quick_acks: u32,
    /// Smallest retransmission timeout. Default 200 ms, as Linux; RFC 6298 would have 1 s.
    pub min_rto: Duration,
    /// Largest retransmission timeout. Default 120 s (RFC 6298 asks for at least 60).
    pub max_rto: Duration,
    /// SYN retransmissions before the attempt is given up, those of `syn_linear_timeouts` not counted. Default 6, as Linux.
    pub max_syn_retransmits: u32,
    /// SYN retransmissions after the same time each, before the time doubles from one to the next. Default 4, as Linux:
    /// a SYN without MP_CAPABLE should not have to wait for long (RFC 6298 5.5 would always double).
    pub syn_linear_timeouts: u32,
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
            pacing: false,
            slow_start_after_idle: true,
            delayed_ack: Duration::from_millis(40),
            quick_acks: 0,
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            max_syn_retransmits: 6,
            syn_linear_timeouts: 4,
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
    /// Which subflow carries the next bytes. Default `minrtt`.
    pub scheduler: SchedulerSpec,
    /// Most bytes the application may have written and the peer not yet acknowledged; at least
    /// `receive_buffer` is used (RFC 8684 3.3.5 [SND-5]). It is reached where round trips are long; where all are below 2 ms,
    /// 4 MiB are enough and stay in caches. Default 32 MiB: Linux has 4 MiB for each subflow.
    pub send_buffer: usize,
    /// Most bytes that may wait for the application to read: the data-level receive window (RFC 8684 3.3.4 [RCV-1]).
    /// Reached where round trips are long, as `send_buffer` is. Default 32 MiB, as Linux: three paths of 1 Gbit/s together and
    /// 40 ms.
    pub receive_buffer: usize,
    /// What `send_buffer` is in the beginning. It grows as the subflows' congestion windows do, up to `send_buffer`; a
    /// value no less than that fixes its size. Default 128 KiB: more than two of the windows the subflows begin with.
    pub initial_send_buffer: usize,
    /// What `receive_buffer` is in the beginning. It grows with what the application reads in a round trip, up to
    /// `receive_buffer`; a value no less than that fixes its size. Default 128 KiB, as Linux.
    pub initial_receive_buffer: usize,
    /// Let the receive buffer grow; otherwise it stays what it is in the beginning. Default true, as Linux.
    pub moderate_receive_buffer: bool,
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
    /// Forwarders that lead to the peer: one subflow goes through each, whatever the path manager does, and when it ends
    /// another is opened after a while. The first subflow may go through one of them. Default none; at most 16.
    pub vias: Vec<Via>,
    /// Longest wait for the echo of an ADD_ADDR before it is sent again; the subflow's RTO where that is shorter
    /// (K28). Default 120 s, as Linux.
    pub add_addr_timeout: Duration,
    /// Leave the timestamps out of the one ACK whose ADD_ADDR (IPv6 with port) does not fit beside them. Default
    /// true, as Linux 7; otherwise such an address is not announced.
    pub add_addr_v6_port_drop_ts: bool,
    /// Coalesce small writes (Nagle). Default true.
    pub nagle: bool,
    /// Retransmissions of the SYN that still carry MP_CAPABLE; the next ones leave it out (RFC 8684 3.1 [INI-36],
    /// 3.9.3 [HEU-8]). 0 leaves it out of the first retransmission. Default 2, as Linux.
    pub syn_retrans_before_tcp_fallback: u32,
    /// Data on the SYN: sent by `connect_with_data`, taken by listeners. Such data may be delivered twice when the network
    /// repeats the SYN, so it has to be harmless then (RFC 7413 2.1). Default off.
    pub fast_open: FastOpen,
    /// Answer a RST to a SYN with MP_CAPABLE by one without: there are middleboxes that refuse what they do not
    /// know. A closed port costs one more round trip. Default true.
    pub retry_refused_as_tcp: bool,
    /// How long a connection without subflows can be resumed, and how long closing may take. Default 60 s, as
    /// Linux (RFC 8684 3.3.3 [FIN-9]).
    pub close_timeout: Duration,
    /// Send data sequence numbers and Data ACKs in 32 bits while the low half is far from wrapping (RFC 8684
    /// 3.3.1 [DSS-16]). Default false, as Linux.
    pub short_data_seq: bool,
    /// Take joins to the address and port of the first subflow. Default true; false sends flag C (RFC 8684 3.1
    /// [INI-20]) and refuses them.
    pub allow_join_initial_addr_port: bool,
    /// Retransmission timeouts in a row without progress that make a subflow stale, where
    /// [`Behaviour::early_suspicion`] does not come first. Default 4, as Linux (K31).
    pub stale_loss_cnt: u32,
    /// Where RFC 8684 and Linux part. Default the RFC.
    pub behaviour: Behaviour,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            tcp: TcpConfig::default(),
            mptcp: true,
            checksum: false,
            scheduler: SchedulerSpec::default(),
            send_buffer: 32 << 20,
            receive_buffer: 32 << 20,
            initial_send_buffer: 128 << 10,
            initial_receive_buffer: 128 << 10,
            moderate_receive_buffer: true,
            path_manager: PathManagerKind::default(),
            max_extra_subflows: 8,
            join_from_local: true,
            join_announced: true,
            server_joins: false,
            gateways: Vec::new(),
            vias: Vec::new(),
            add_addr_timeout: Duration::from_secs(120),
            add_addr_v6_port_drop_ts: true,
            nagle: true,
            syn_retrans_before_tcp_fallback: 2,
            fast_open: FastOpen::Off,
            retry_refused_as_tcp: true,
            close_timeout: Duration::from_secs(60),
            short_data_seq: false,
            allow_join_initial_addr_port: true,
            stale_loss_cnt: 4,
            behaviour: Behaviour::default(),
        }
    }
}

impl ConnectionConfig {
    /// The defaults with the choices of this profile.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let rfc = profile == Profile::Rfc;
        let quick_acks = if rfc { 0 } else { 16 };
        Self {
            tcp: TcpConfig { quick_acks, ..TcpConfig::default() },
            behaviour: profile.behaviour(),
            retry_refused_as_tcp: rfc,
            // Linux sends nothing twice for the sake of a full receive buffer, and slows nobody down for it.
            scheduler: if rfc {
                SchedulerSpec::default()
            } else {
                SchedulerSpec::named("minrtt,opportunistic=off,penalise=off").unwrap_or_default()
            },
            join_from_local: rfc,
            ..Self::default()
        }
    }

    /// Buffers of exactly these sizes from the first octet on, as `SO_SNDBUF` and `SO_RCVBUF` make them in Linux.
    #[must_use]
    pub fn with_fixed_buffers(self, send: usize, receive: usize) -> Self {
        Self {
            send_buffer: send,
            receive_buffer: receive,
            initial_send_buffer: usize::MAX,
            initial_receive_buffer: usize::MAX,
            ..self
        }
    }

    /// The receive buffer in the beginning, bytes.
    pub(crate) fn first_receive_buffer(&self) -> usize {
        self.initial_receive_buffer.min(self.receive_buffer)
    }
}
