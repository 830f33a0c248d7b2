//! What is told of connections, paths and events: plain values in JSON, with the key names of `ss -M`, `ss -ti` and
//! `ip mptcp monitor`.
//!
//! Tokens, keys and data sequence numbers are hexadecimal strings, as those programs print them; JSON has no integers
//! beyond 2^53.

use mpuser_engine::addr::{IpAddr, SocketAddr};
use mpuser_engine::config::EndpointFlags;
use mpuser_engine::time::Instant;
use mpuser_engine::{ConnectionInfo, FastOpenUse, PmEndpoint, SubflowInfo};
use serde::{Deserialize, Serialize};

mod event;
pub use event::EventReport;

/// A connection or a listener. Keys are those of `ss -M` where it has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SocketReport {
    /// State in `ss` spelling: `ESTAB`, `LISTEN`, `FIN-WAIT-1` ...
    pub state: String,
    /// Bytes that wait to be read; of a listener the connections that wait to be accepted.
    pub recv_q: u64,
    /// Bytes not yet acknowledged; of a listener the most connections that may wait.
    pub send_q: u64,
    /// This end of the first subflow.
    pub local: Option<SocketAddr>,
    /// The other end of it.
    pub remote: Option<SocketAddr>,
    /// MPTCP is in use.
    pub mptcp: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fallback: Option<String>,
    /// This end opened it.
    pub client: bool,
    /// Live subflows beside the first, as the kernel counts them.
    pub subflows: usize,
    /// Addresses announced to the peer.
    pub add_addr_signal: usize,
    /// Addresses the peer announced.
    pub add_addr_accepted: usize,
    /// Most of them.
    pub subflows_max: usize,
    /// Endpoints that are announced.
    #[serde(default)]
    pub add_addr_signal_max: usize,
    /// Most addresses of the peer that subflows are opened to.
    #[serde(default)]
    pub add_addr_accepted_max: usize,
    /// Addresses of this end, beside the first, that subflows of its own opening use.
    #[serde(default)]
    pub local_addr_used: usize,
    /// Endpoints that subflows are opened from.
    #[serde(default)]
    pub local_addr_max: usize,
    /// Data-level retransmission timeouts in a row.
    #[serde(default)]
    pub retransmits: u32,
    /// Milliseconds since application data was last given to a subflow; nothing if it never was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_data_sent: Option<u64>,
    /// Milliseconds since data last came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_data_recv: Option<u64>,
    /// Milliseconds since a Data ACK last came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_ack_recv: Option<u64>,
    /// What became of data on the SYN: `data`, `not_taken`, `cookie_given`, `cookie_asked`; nothing where none was tried.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fast_open: Option<String>,
    /// Every subflow there has been.
    pub subflows_total: usize,
    /// This end's token; empty where there is none.
    pub token: String,
    /// The peer's token; empty where it is not known.
    pub remote_token: String,
    /// Next data sequence number to be written.
    pub write_seq: String,
    /// Oldest data sequence number not acknowledged.
    pub snd_una: String,
    /// Next data sequence number expected.
    pub rcv_nxt: String,
    /// DSS checksums are in use.
    pub csum_enabled: bool,
    /// Bytes sent again on another subflow.
    pub bytes_retrans: u64,
    /// Application bytes sent.
    pub bytes_sent: u64,
    /// Application bytes received in order.
    pub bytes_received: u64,
    /// Application bytes acknowledged.
    pub bytes_acked: u64,
    /// The subflows, dead ones included, in the order they were opened.
    #[serde(default)]
    pub subflow: Vec<SubflowReport>,
}

/// A subflow. Keys are those of `ss -ti` where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubflowReport {
    /// Its number within the connection.
    pub id: u32,
    /// TCP state in `ss` spelling.
    pub state: String,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The path it leaves by.
    pub path: String,
    /// Address identifiers (RFC 8684 3.2).
    pub local_id: u8,
    /// Of the other end.
    pub remote_id: u8,
    /// It was opened by MP_JOIN.
    pub join: bool,
    /// It is a backup.
    pub backup: bool,
    /// It makes no progress.
    pub stale: bool,
    /// Retransmission timeout, milliseconds.
    pub rto: f64,
    /// Smoothed round-trip time, milliseconds.
    pub rtt: f64,
    /// Largest payload of a segment, bytes.
    pub mss: u32,
    /// Congestion window, segments.
    pub cwnd: u64,
    /// Slow-start threshold, segments; nothing before the first loss.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssthresh: Option<u64>,
    /// Bytes in flight.
    pub bytes_in_flight: u64,
    /// Payload bytes sent, retransmissions not counted.
    pub bytes_sent: u64,
    /// Payload bytes sent again.
    pub bytes_retrans: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
}

/// A setting of a running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingReport {
    /// Its name, as `sysctl` has it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What a change reaches: `every connection`, `later connections`; `nothing` if it cannot be changed.
    pub reach: String,
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterReport {
    /// Its name, as `nstat` prints it.
    pub name: String,
    /// Its value since the stack was made.
    pub value: u64,
}

/// A path: a device and what went over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// Its name.
    pub name: String,
    /// The interface of the machine it leaves by.
    pub dev: String,
    /// Packets handed to the device.
    pub packets_sent: u64,
    /// Bytes of those.
    pub bytes_sent: u64,
    /// Packets the device gave.
    pub packets_received: u64,
    /// Bytes of those.
    pub bytes_received: u64,
    /// Packets the device refused.
    pub send_drops: u64,
}

/// An endpoint of the path manager. Keys are those of `ip -j mptcp endpoint show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Its address.
    pub address: IpAddr,
    /// The port it announces.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub port: Option<u16>,
    /// Its identifier.
    pub id: u8,
    /// Announced to peers.
    #[serde(skip_serializing_if = "is_false", default)]
    pub signal: bool,
    /// Subflows are opened from it.
    #[serde(skip_serializing_if = "is_false", default)]
    pub subflow: bool,
    /// Its subflows are backups.
    #[serde(skip_serializing_if = "is_false", default)]
    pub backup: bool,
    /// Subflows from it go to every address of the peer.
    #[serde(skip_serializing_if = "is_false", default)]
    pub fullmesh: bool,
    /// The path its subflows leave by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dev: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl EndpointReport {
    /// Of an endpoint behind the path `dev`.
    pub(super) fn new(endpoint: &PmEndpoint, dev: Option<String>) -> Self {
        let EndpointFlags { signal, subflow, backup, fullmesh } = endpoint.flags;
        let (address, port, id) =
            (endpoint.address, endpoint.port, endpoint.id.map_or(0, |id| id.0));
        Self { address, port, id, signal, subflow, backup, fullmesh, dev }
    }

    /// What it is for.
    #[must_use]
    pub fn flags(&self) -> EndpointFlags {
        let Self { signal, subflow, backup, fullmesh, .. } = *self;
        EndpointFlags { signal, subflow, backup, fullmesh }
    }
}

impl From<crate::stack::PathStats> for PathReport {
    fn from(stats: crate::stack::PathStats) -> Self {
        Self {
            name: stats.name,
            dev: stats.outlet,
            packets_sent: stats.packets_sent,
            bytes_sent: stats.bytes_sent,
            packets_received: stats.packets_received,
            bytes_received: stats.bytes_received,
            send_drops: stats.send_drops,
        }
    }
}

fn hex(number: u32) -> String {
    if number == 0 { String::new() } else { format!("{number:x}") }
}

/// The kernel's spelling of a state.
fn spelled(state: &str) -> String {
    if state == "ESTABLISHED" { "ESTAB".to_owned() } else { state.to_owned() }
}

impl SocketReport {
    /// Of a connection as it was `now`; `path_of` names the path an address is behind.
    pub fn connection(
        info: &ConnectionInfo,
        now: Instant,
        path_of: impl Fn(IpAddr) -> String,
    ) -> Self {
        let since = |at: Option<Instant>| at.map(|at| milliseconds_of(now.saturating_since(at)));
        let fast_open = Some(info.fast_open).filter(|outcome| *outcome != FastOpenUse::Unused);
        let first = info.subflows.first().map(|subflow| subflow.tuple);
        let live = info.subflows.iter().filter(|subflow| subflow.state != "CLOSED").count();
        // a connection that fell back, or is not there yet, has the state of its TCP
        let state = match info.subflows.iter().find(|subflow| subflow.state != "CLOSED") {
            Some(subflow) if !info.mptcp => subflow.state,
            _ => info.state,
        };
        Self {
            state: spelled(state),
            recv_q: info.recv_queue,
            send_q: info.write_seq.wrapping_sub(info.snd_una),
            local: first.map(|tuple| tuple.local),
            remote: first.map(|tuple| tuple.remote),
            mptcp: info.mptcp,
            fallback: info.fallback.map(|reason| reason.as_str().to_owned()),
            client: info.client,
            subflows: live.saturating_sub(1),
            add_addr_signal: info.add_addr_signal,
            add_addr_accepted: info.add_addr_accepted,
            subflows_max: info.subflows_max,
            add_addr_signal_max: info.add_addr_signal_max,
            add_addr_accepted_max: info.add_addr_accepted_max,
            local_addr_used: info.local_addr_used,
            local_addr_max: info.local_addr_max,
            retransmits: info.retransmits,
            last_data_sent: since(info.last_data_sent),
            last_data_recv: since(info.last_data_recv),
            last_ack_recv: since(info.last_ack_recv),
            fast_open: fast_open.map(|outcome| outcome.as_str().to_owned()),
            subflows_total: info.subflows.len(),
            token: hex(info.token.0),
            remote_token: hex(info.token.1),
            write_seq: format!("{:x}", info.write_seq),
            snd_una: format!("{:x}", info.snd_una),
            rcv_nxt: format!("{:x}", info.rcv_nxt),
            csum_enabled: info.csum_enabled,
            bytes_retrans: info.bytes_retrans,
            bytes_sent: info.bytes_sent,
            bytes_received: info.bytes_received,
            bytes_acked: info.bytes_acked,
            subflow: info
                .subflows
                .iter()
                .map(|subflow| SubflowReport::new(subflow, path_of(subflow.tuple.local.ip())))
                .collect(),
        }
    }

    /// Of a listener: how many connections wait to be accepted, and how many may.
    #[must_use]
    pub fn listener(local: SocketAddr, waiting: usize, backlog: usize) -> Self {
        Self {
            state: "LISTEN".to_owned(),
            recv_q: waiting as u64,
            send_q: backlog as u64,
            local: Some(local),
            ..Self::default()
        }
    }
}

impl SubflowReport {
    fn new(info: &SubflowInfo, path: String) -> Self {
        let segments = |bytes: u64| bytes / u64::from(info.mss.max(1));
        Self {
            id: info.id.0,
            state: spelled(info.state),
            local: info.tuple.local,
            remote: info.tuple.remote,
            path,
            local_id: info.ids.0.0,
            remote_id: info.ids.1.0,
            join: info.join,
            backup: info.backup,
            stale: info.stale,
            rto: milliseconds(info.rto),
            rtt: milliseconds(info.srtt),
            mss: info.mss,
            cwnd: segments(info.cwnd),
            ssthresh: (info.ssthresh != u64::MAX).then(|| segments(info.ssthresh)),
            bytes_in_flight: info.in_flight,
            bytes_sent: info.bytes_sent,
            bytes_retrans: info.bytes_retrans,
            bytes_received: info.bytes_received,
        }
    }
}

fn milliseconds_of(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// With three decimals, as `ss` prints them.
fn milliseconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
