//! Settings as JSON. The definitions stand here once more, so that the engine needs no serialization; a field that is
//! new there is an error of the compiler here.

use mpuser_engine::addr::SourceRoute;
use mpuser_engine::config::{
    Behaviour, CongestionAlgorithm, ConnectionConfig, EndpointConfig, FailedData, FastCloseForm,
    FastOpen, Keepalive, OnlySubflow, PathManagerKind, SchedulerSpec, TcpConfig, UnmappedData, Via,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

#[derive(Serialize, Deserialize)]
#[serde(remote = "EndpointConfig")]
pub(crate) struct EndpointDef {
    max_connections: usize,
    max_stateless_replies: usize,
    max_resets_per_second: u32,
    max_half_open: usize,
    max_fast_open: usize,
    max_time_wait: usize,
    max_half_open_joins: usize,
    ephemeral_ports: (u16, u16),
    blackhole_timeout: Duration,
    implicit_endpoints: bool,
    max_destinations: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ConnectionConfig")]
pub(crate) struct ConnectionDef {
    #[serde(with = "TcpDef")]
    tcp: TcpConfig,
    mptcp: bool,
    checksum: bool,
    #[serde(with = "scheduler")]
    scheduler: SchedulerSpec,
    send_buffer: usize,
    receive_buffer: usize,
    #[serde(default = "fixed")]
    initial_send_buffer: usize,
    #[serde(default = "fixed")]
    initial_receive_buffer: usize,
    #[serde(default)]
    moderate_receive_buffer: bool,
    #[serde(with = "path_manager")]
    path_manager: PathManagerKind,
    max_extra_subflows: usize,
    join_from_local: bool,
    join_announced: bool,
    server_joins: bool,
    #[serde(with = "routes")]
    gateways: Vec<SourceRoute>,
    #[serde(with = "vias")]
    vias: Vec<Via>,
    add_addr_timeout: Duration,
    add_addr_v6_port_drop_ts: bool,
    nagle: bool,
    syn_retrans_before_tcp_fallback: u32,
    #[serde(with = "FastOpenDef")]
    fast_open: FastOpen,
    retry_refused_as_tcp: bool,
    close_timeout: Duration,
    short_data_seq: bool,
    allow_join_initial_addr_port: bool,
    stale_loss_cnt: u32,
    #[serde(with = "BehaviourDef")]
    behaviour: Behaviour,
}

/// Buffers of logs from before there was a size in the beginning.
const fn fixed() -> usize {
    usize::MAX
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TcpConfig")]
pub(crate) struct TcpDef {
    timestamps: bool,
    sack: bool,
    #[serde(with = "congestion")]
    congestion: CongestionAlgorithm,
    pacing: bool,
    slow_start_after_idle: bool,
    delayed_ack: Duration,
    quick_acks: u32,
    min_rto: Duration,
    max_rto: Duration,
    max_syn_retransmits: u32,
    syn_linear_timeouts: u32,
    max_retransmits: u32,
    time_wait: Duration,
    #[serde(with = "keepalive")]
    keepalive: Option<Keepalive>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Behaviour")]
pub(crate) struct BehaviourDef {
    #[serde(with = "OnlySubflowDef")]
    checksum_disagreement: OnlySubflow,
    #[serde(with = "OnlySubflowDef")]
    mapping_conflict: OnlySubflow,
    #[serde(with = "OnlySubflowDef")]
    options_vanish: OnlySubflow,
    repeat_on_only_subflow: bool,
    #[serde(with = "UnmappedDataDef")]
    unmapped_data: UnmappedData,
    #[serde(with = "FailedDataDef")]
    failed_data: FailedData,
    repeat_fail: bool,
    fail_first_mapping: bool,
    announce_fallback: bool,
    #[serde(with = "FastCloseDef")]
    fast_close: FastCloseForm,
    refuse_denied_joins: bool,
    early_suspicion: bool,
    reset_stale_after: Option<u32>,
    long_data_ack: bool,
    sack_first: bool,
    answer_third_packet: bool,
    keys_before_data_fin: bool,
    one_mapping_first: bool,
    data_fin_by_rto: bool,
    ack_before_fin: bool,
    wait_for_addresses: bool,
    small_syn_data: bool,
    cookie_beside_data: bool,
    options_in_time_wait: bool,
    probe_before_remove: bool,
    repeat_signals: bool,
    unique_join_ids: bool,
    join_any_port: bool,
    join_half_closed: bool,
    other_algorithms: bool,
    #[serde(default)]
    settle_joins: Duration,
    #[serde(default)]
    leave_silent_paths: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Keepalive")]
pub(crate) struct KeepaliveDef {
    idle: Duration,
    interval: Duration,
    probes: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FastOpen", rename_all = "snake_case")]
enum FastOpenDef {
    Off,
    Cookie,
    WithoutCookie,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OnlySubflow", rename_all = "snake_case")]
enum OnlySubflowDef {
    FallBack,
    Reset,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "UnmappedData", rename_all = "snake_case")]
enum UnmappedDataDef {
    Hold,
    FallBack,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FailedData", rename_all = "snake_case")]
enum FailedDataDef {
    Withhold,
    Deliver,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FastCloseForm", rename_all = "snake_case")]
enum FastCloseDef {
    Ack,
    Reset,
}

/// Something with a name.
macro_rules! by_name {
    ($module:ident, $kind:ty, $show:expr, $parse:expr) => {
        mod $module {
            use super::*;

            pub(super) fn serialize<S: Serializer>(
                value: &$kind,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                let show: fn(&$kind) -> String = $show;
                to.serialize_str(&show(value))
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<$kind, D::Error> {
                let text = String::deserialize(from)?;
                let parse: fn(&str) -> Option<$kind> = $parse;
                parse(&text).ok_or_else(|| {
                    de::Error::custom(format!("there is no {} `{text}`", stringify!($module)))
                })
            }
        }
    };
}

by_name!(congestion, CongestionAlgorithm, |c| c.name().to_owned(), CongestionAlgorithm::from_name);
by_name!(scheduler, SchedulerSpec, |s| s.to_string(), |text| SchedulerSpec::parse(text).ok());
by_name!(
    path_manager,
    PathManagerKind,
    |kind| match kind {
        PathManagerKind::Ndiffports(count) => format!("ndiffports={count}"),
        kind => kind.name().to_owned(),
    },
    PathManagerKind::from_name
);

mod keepalive {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "KeepaliveDef")] Keepalive);

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Keepalive>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Wrapped).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Keepalive>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(from)?.map(|wrapped| wrapped.0))
    }
}

mod vias {
    use super::*;

    pub(super) fn serialize<S: Serializer>(all: &[Via], to: S) -> Result<S::Ok, S::Error> {
        all.iter().map(|via| (via.remote, via.local)).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Via>, D::Error> {
        let all = Vec::<(SocketAddr, Option<IpAddr>)>::deserialize(from)?;
        Ok(all.into_iter().map(|(remote, local)| Via { remote, local }).collect())
    }
}

mod routes {
    use super::*;

    pub(super) fn serialize<S: Serializer>(all: &[SourceRoute], to: S) -> Result<S::Ok, S::Error> {
        let gateways: Vec<&[Ipv4Addr]> = all.iter().map(SourceRoute::gateways).collect();
        gateways.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<SourceRoute>, D::Error> {
        let all = Vec::<Vec<Ipv4Addr>>::deserialize(from)?;
        let routes = all.iter().map(|gateways| SourceRoute::new(gateways));
        let routes: Option<Vec<SourceRoute>> = routes.collect();
        routes.ok_or_else(|| de::Error::custom("a route has 1 to 8 gateways"))
    }
}
