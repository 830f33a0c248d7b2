//! The table.

use super::{Kind, Reach, Setting, Settings, Value};
use crate::config::{
    Behaviour, CongestionAlgorithm, ConnectionConfig, EndpointConfig, FastOpen, PathManagerKind,
    Profile, SCHEDULER_NAMES, SchedulerSpec,
};
use crate::time::Duration;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};

/// A day: more than anybody waits for.
const DAY: u64 = 86_400;
/// The widest window there is (RFC 7323 2.3).
const MOST_BUFFER: usize = 1 << 30;

type Get = fn(&Settings) -> String;
type Set = fn(&mut Settings, Value<'_>) -> Result<(), &'static str>;

const fn row(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    doc: &'static str,
    (get, set): (Get, Set),
) -> Setting {
    Setting { name, aliases, kind, doc, reach: Reach::Later, get, set }
}

impl Setting {
    /// A change reaches this.
    const fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}

/// A field that is a `bool`.
macro_rules! switch {
    ($($field:ident).+) => {
        (
            (|s| u8::from(s.$($field).+).to_string()) as Get,
            (|s, value| { s.$($field).+ = value == Value::Number(1); Ok(()) }) as Set,
        )
    };
}

/// A field that is a `u32`.
macro_rules! number {
    ($($field:ident).+) => {
        (
            (|s| s.$($field).+.to_string()) as Get,
            (|s, value| { s.$($field).+ = u32::try_from(count(value)).unwrap_or(u32::MAX); Ok(()) }) as Set,
        )
    };
}

/// A field that is a `Duration`.
macro_rules! seconds {
    ($($field:ident).+) => {
        (
            (|s| s.$($field).+.as_secs().to_string()) as Get,
            (|s, value| { s.$($field).+ = Duration::from_secs(count(value)); Ok(()) }) as Set,
        )
    };
}

const fn count(value: Value<'_>) -> u64 {
    match value {
        Value::Number(number) => number,
        Value::Word(_) => 0,
    }
}

const fn word<'a>(value: Value<'a>) -> &'a str {
    match value {
        Value::Word(word) => word,
        Value::Number(_) => "",
    }
}

/// Never called: [`Kind::ReadOnly`] refuses before.
const fn fixed(_: &mut Settings, _: Value<'_>) -> Result<(), &'static str> {
    Err("")
}

fn path_manager(s: &Settings) -> String {
    match s.connection.path_manager {
        PathManagerKind::Ndiffports(number) => format!("ndiffports={number}"),
        kind => kind.name().to_owned(),
    }
}

fn set_path_manager(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    s.connection.path_manager = match word(value) {
        // by hand, over the control socket
        "userspace" | "none" => PathManagerKind::Default,
        name => PathManagerKind::from_name(name).ok_or("")?,
    };
    Ok(())
}

fn pm_type(s: &Settings) -> String {
    u8::from(s.connection.path_manager == PathManagerKind::Default).to_string()
}

fn set_pm_type(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    s.connection.path_manager = match value {
        Value::Number(1) => PathManagerKind::Default,
        _ => PathManagerKind::Kernel,
    };
    Ok(())
}

fn set_scheduler(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    s.connection.scheduler = SchedulerSpec::named(word(value)).ok_or("")?;
    Ok(())
}

fn set_congestion(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    s.connection.tcp.congestion = CongestionAlgorithm::from_name(word(value)).ok_or("")?;
    Ok(())
}

/// The kernel's bits: 1 and 2 for the two roles, which are one here, 4 and 0x200 for going without cookies.
fn fast_open(s: &Settings) -> String {
    match s.connection.fast_open {
        FastOpen::Off => 0,
        FastOpen::Cookie => 3,
        FastOpen::WithoutCookie => 0x207,
    }
    .to_string()
}

fn set_fast_open(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    let bits = count(value);
    s.connection.fast_open = match bits {
        _ if bits & 3 == 0 => FastOpen::Off,
        _ if bits & 0x204 == 0 => FastOpen::Cookie,
        _ => FastOpen::WithoutCookie,
    };
    Ok(())
}

fn profile(s: &Settings) -> String {
    let linux = s.connection.behaviour == Behaviour::linux();
    if linux { "linux" } else { "rfc" }.to_owned()
}

fn set_profile(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    let profile = Profile::from_name(word(value)).ok_or("")?;
    let of = ConnectionConfig::of(profile);
    s.connection.behaviour = of.behaviour;
    s.connection.tcp.quick_acks = of.tcp.quick_acks;
    s.connection.retry_refused_as_tcp = of.retry_refused_as_tcp;
    s.connection.join_from_local = of.join_from_local;
    s.endpoint.implicit_endpoints = EndpointConfig::of(profile).implicit_endpoints;
    Ok(())
}

/// The least size the kernel would go down to when memory is short; here nothing does.
const LEAST_BUFFER: usize = 4_096;

/// `MIN DEFAULT MAX`, with a default no larger than what may be.
fn sizes(initial: usize, most: usize) -> String {
    format!("{LEAST_BUFFER} {} {most}", initial.min(most))
}

/// The last two of `MIN DEFAULT MAX`.
fn initial_and_most(value: Value<'_>) -> Result<(usize, usize), &'static str> {
    let mut sizes = word(value).split_whitespace().map(str::parse::<usize>);
    match (sizes.next(), sizes.next(), sizes.next(), sizes.next()) {
        (Some(Ok(min)), Some(Ok(initial)), Some(Ok(most)), None) => {
            let good = min <= initial && initial <= most && (1..=MOST_BUFFER).contains(&most);
            if good { Ok((initial, most)) } else { Err("MIN <= DEFAULT <= MAX <= 1 GiB must hold") }
        }
        _ => Err(""),
    }
}

fn receive_buffer(s: &Settings) -> String {
    sizes(s.connection.initial_receive_buffer, s.connection.receive_buffer)
}

fn set_receive_buffer(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    let (initial, most) = initial_and_most(value)?;
    (s.connection.initial_receive_buffer, s.connection.receive_buffer) = (initial, most);
    Ok(())
}

fn send_buffer(s: &Settings) -> String {
    sizes(s.connection.initial_send_buffer, s.connection.send_buffer)
}

fn set_send_buffer(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    let (initial, most) = initial_and_most(value)?;
    (s.connection.initial_send_buffer, s.connection.send_buffer) = (initial, most);
    Ok(())
}

fn set_enabled(s: &mut Settings, value: Value<'_>) -> Result<(), &'static str> {
    // 2 of the v0.9x kernels is "for whoever asks", and whoever runs this program does
    s.connection.mptcp = count(value) > 0;
    Ok(())
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    row(
        "net.mptcp.enabled",
        &["mptcp_enabled"],
        Kind::Number(0, 2),
        "offer and accept MPTCP; 0 is plain TCP",
        (|s| u8::from(s.connection.mptcp).to_string(), set_enabled),
    ),
    row(
        "net.mptcp.checksum_enabled",
        &["mptcp_checksum"],
        Kind::Switch,
        "ask for DSS checksums",
        switch!(connection.checksum),
    ),
    row(
        "net.mptcp.add_addr_timeout",
        &[],
        Kind::Seconds(DAY),
        "longest wait for the echo of an ADD_ADDR before it is sent again; 0 never sends it again",
        seconds!(connection.add_addr_timeout),
    )
    .reaching(Reach::Living),
    row(
        "net.mptcp.close_timeout",
        &[],
        Kind::Seconds(DAY),
        "how long a connection without subflows can be resumed",
        seconds!(connection.close_timeout),
    )
    .reaching(Reach::Living),
    row(
        "net.mptcp.stale_loss_cnt",
        &[],
        Kind::Number(0, 1_000),
        "retransmission timeouts without progress until a subflow is stale",
        number!(connection.stale_loss_cnt),
    )
    .reaching(Reach::Living),
    row(
        "net.mptcp.syn_retrans_before_tcp_fallback",
        &["mptcp_syn_retries"],
        Kind::Number(0, 255),
        "retransmissions of a SYN that still carry MP_CAPABLE",
        number!(connection.syn_retrans_before_tcp_fallback),
    ),
    row(
        "net.mptcp.blackhole_timeout",
        &[],
        Kind::Seconds(365 * DAY),
        "how long a destination that drops MP_CAPABLE is spoken to in plain TCP; 0 never",
        seconds!(endpoint.blackhole_timeout),
    )
    .reaching(Reach::Living),
    row(
        "net.mptcp.allow_join_initial_addr_port",
        &[],
        Kind::Switch,
        "let peers join to the address and port of the first subflow; 0 sets flag C",
        switch!(connection.allow_join_initial_addr_port),
    ),
    row(
        "net.mptcp.path_manager",
        &["mptcp_path_manager"],
        Kind::Word(&[
            "kernel",
            "userspace",
            "default",
            "fullmesh",
            "ndiffports",
            "ndiffports=N",
            "binder",
        ]),
        "who opens subflows; userspace and default open none by themselves",
        (path_manager, set_path_manager),
    ),
    row(
        "net.mptcp.pm_type",
        &[],
        Kind::Number(0, 1),
        "the older form of path_manager: 0 is kernel, 1 is userspace",
        (pm_type, set_pm_type),
    ),
    row(
        "net.mptcp.scheduler",
        &["mptcp_scheduler"],
        Kind::Word(SCHEDULER_NAMES),
        "which subflow carries the next bytes",
        (|s| s.connection.scheduler.to_string(), set_scheduler),
    ),
    row(
        "net.mptcp.available_path_managers",
        &[],
        Kind::ReadOnly,
        "what path_manager may be",
        (|_| PathManagerKind::NAMES.join(" "), fixed),
    ),
    row(
        "net.mptcp.available_schedulers",
        &[],
        Kind::ReadOnly,
        "what scheduler may be",
        (|_| SCHEDULER_NAMES.join(" "), fixed),
    ),
    row(
        "mpuser.profile",
        &[],
        Kind::Word(Profile::NAMES),
        "whose choices are followed where RFC 8684 and Linux part",
        (profile, set_profile),
    ),
    row(
        "mpuser.debug",
        &["mptcp_debug"],
        Kind::Switch,
        "print every event, as -vv does",
        switch!(debug),
    )
    .reaching(Reach::Start),
    row(
        "net.ipv4.tcp_congestion_control",
        &[],
        Kind::Word(CongestionAlgorithm::NAMES),
        "congestion control of each subflow",
        (|s| s.connection.tcp.congestion.name().to_owned(), set_congestion),
    ),
    row(
        "net.ipv4.tcp_available_congestion_control",
        &[],
        Kind::ReadOnly,
        "what tcp_congestion_control may be",
        (|_| CongestionAlgorithm::NAMES.join(" "), fixed),
    ),
    row(
        "net.ipv4.tcp_slow_start_after_idle",
        &[],
        Kind::Switch,
        "begin with the initial window after a pause longer than the RTO",
        switch!(connection.tcp.slow_start_after_idle),
    ),
    row(
        "mpuser.pacing",
        &[],
        Kind::Switch,
        "spread data over the round trip; bbr does so in any case",
        switch!(connection.tcp.pacing),
    ),
    row(
        "net.ipv4.tcp_sack",
        &[],
        Kind::Switch,
        "offer selective acknowledgements",
        switch!(connection.tcp.sack),
    ),
    row(
        "net.ipv4.tcp_timestamps",
        &[],
        Kind::Switch,
        "offer timestamps",
        switch!(connection.tcp.timestamps),
    ),
    row(
        "net.ipv4.tcp_moderate_rcvbuf",
        &[],
        Kind::Switch,
        "let the receive buffer grow with what is read in a round trip, up to the last of tcp_rmem",
        switch!(connection.moderate_receive_buffer),
    ),
    row(
        "net.ipv4.tcp_rmem",
        &[],
        Kind::Sizes,
        "receive buffer: in the beginning it is the second, at most the third; alike they fix it",
        (receive_buffer, set_receive_buffer),
    ),
    row(
        "net.ipv4.tcp_wmem",
        &[],
        Kind::Sizes,
        "send buffer, by the congestion windows: in the beginning it is the second, at most the third",
        (send_buffer, set_send_buffer),
    ),
    row(
        "net.ipv4.tcp_fastopen",
        &[],
        Kind::Number(0, 0x207),
        "data on the SYN: 0 none, 3 with cookies, 519 without",
        (fast_open, set_fast_open),
    ),
    row(
        "net.ipv4.tcp_syn_retries",
        &[],
        Kind::Number(1, 127),
        "retransmissions of a SYN before the attempt is given up",
        number!(connection.tcp.max_syn_retransmits),
    ),
    row(
        "net.ipv4.tcp_retries2",
        &[],
        Kind::Number(1, 255),
        "retransmissions of a segment before the subflow is given up",
        number!(connection.tcp.max_retransmits),
    ),
];
