//! A setup from a seed.

use super::dice::Dice;
use super::setup::{EARLY_MAX, End, Forgery, Opening, Setup, Step};
use crate::world::{Side, client_address, client_address6, server_address, server_address6};
use mpuser_engine::addr::IpAddr;
use mpuser_engine::config::{
    CongestionAlgorithm, ConnectionConfig, EndpointFlags, FastOpen, Keepalive, Limits,
    PathManagerKind, Profile, SCHEDULER_NAMES, SchedulerSpec,
};
use mpuser_engine::time::Duration;
use mpuser_sim::LinkConfig;
use mpuser_sim::link::{Jitter, LaneConfig, Loss, QueueLimit, Shape};

/// Middleboxes of the catalogue, M01 to M32; those that damage payload come seldom.
const BOXES: [&str; 37] = [
    "strip-mptcp:syn",
    "strip-mptcp:synack",
    "strip-mptcp:third",
    "strip-mptcp:nonsyn",
    "strip-mptcp:data,dss",
    "strip-mptcp:ack,dss",
    "strip-mptcp:syn,join",
    "strip-mptcp:synack,join",
    "strip-mptcp:third,join",
    "strip-mptcp:add-addr",
    "drop-mptcp:syn",
    "drop-mptcp:synack",
    "drop-mptcp:nonsyn",
    "rst-mptcp:syn",
    "rst-mptcp:nonsyn",
    "mirror-mptcp",
    "isn",
    "isn:keep-sack",
    "nat",
    "nat:rebind-after=40k",
    "split:all",
    "split:first",
    "split:last",
    "coalesce:first",
    "coalesce:last",
    "ack-ahead",
    "hold",
    "hold:drop",
    "ack-unseen:drop",
    "ack-unseen:rewrite",
    "normalise",
    "duplicate",
    "duplicate:late=5s",
    "reorder:by=64",
    "scrub",
    "strip-mptcp:fwd,from=30k",
    "splitter:mss=500,window=16k",
];

/// What rewrites payload.
const GATEWAYS: [&str; 3] = ["alg:longer=12,at=10k", "alg:shorter=3,at=10k", "alg:flip,at=10k"];

/// The setup of a seed.
#[must_use]
pub fn draw(seed: u64) -> Setup {
    let mut dice = Dice::new(seed, 0x1a7e);
    let paths = dice.pick(&[1, 1, 2, 2, 2, 3, 3, 4]);
    let boxed = dice.percent(30);
    let mut links: Vec<LinkConfig> = (0..paths).map(|_| link(&mut dice)).collect();
    for link in links.iter_mut().filter(|_| boxed) {
        while dice.percent(40) && link.boxes.len() < 2 {
            let name = if dice.percent(3) { dice.pick(&GATEWAYS) } else { dice.pick(&BOXES) };
            link.boxes.push(name.to_owned());
            // a router quotes what a box has rewritten, and nobody knows the quote
            (link.forward.mtu, link.backward.mtu) = (u16::MAX, u16::MAX);
        }
    }
    let addresses = addresses(&mut dice, paths);
    let calm = dice.time(100_000, 20_000_000);
    let connections = openings(&mut dice, &addresses, calm);
    let ends = [end(&mut dice), end(&mut dice)];
    let wild = dice.percent(50);
    let count = dice.spread(4, 120) as usize;
    let mut steps: Vec<(Duration, Step)> = (0..count)
        .map(|_| {
            let at = Duration::from_micros(dice.spread(1, calm.as_micros() as u64));
            let at = if dice.percent(50) { at } else { calm.saturating_sub(at) };
            (at, step(&mut dice, &links, connections.len(), wild))
        })
        .collect();
    steps.sort_by_key(|(at, _)| *at);
    Setup { seed, links, addresses, ends, connections, steps, calm, predicting: true }
}

fn link(dice: &mut Dice) -> LinkConfig {
    let forward = lane(dice);
    // mostly the same both ways
    let backward = if dice.percent(70) { forward.clone() } else { lane(dice) };
    LinkConfig { forward, backward, boxes: Vec::new() }
}

fn lane(dice: &mut Dice) -> LaneConfig {
    let mut lane = LaneConfig { delay: dice.time(100, 200_000), ..LaneConfig::default() };
    lane.rate = dice.percent(90).then(|| dice.spread(256_000, 50_000_000));
    if dice.percent(25) {
        let shape = dice.pick(&[Shape::Uniform, Shape::Normal, Shape::Pareto]);
        lane.jitter = Jitter { amount: dice.time(100, 20_000), shape, reorders: dice.percent(50) };
    }
    lane.loss = match dice.below(10) {
        0..5 => Loss::None,
        5..8 => Loss::Bernoulli(dice.share(0.001, 0.2)),
        _ => Loss::GilbertElliott {
            to_bad: dice.share(0.001, 0.05),
            to_good: dice.share(0.05, 0.5),
            bad: dice.share(0.1, 0.9),
            good: 0.0,
        },
    };
    if dice.percent(25) {
        lane.reorder = dice.share(0.001, 0.3);
        lane.reorder_distance = dice.spread(1, 64) as u32;
    }
    if dice.percent(20) {
        lane.duplicate = dice.share(0.001, 0.3);
    }
    if dice.percent(15) {
        lane.corrupt = dice.share(0.001, 0.05);
    }
    if dice.percent(70) {
        lane.queue = QueueLimit::Packets(dice.spread(2, 200) as u32);
    }
    if dice.percent(15) {
        lane.mtu = dice.pick(&[1280, 1300, 1400, 1492]);
    }
    lane
}

fn addresses(dice: &mut Dice, paths: usize) -> [Vec<(IpAddr, usize)>; 2] {
    let mut client = Vec::new();
    for path in 0..paths {
        let six = dice.percent(25);
        let address = if six { client_address6(path) } else { client_address(path) };
        client.push((address, path));
        if dice.percent(10) {
            let other = if six { client_address(path) } else { client_address6(path) };
            client.push((other, path));
        }
    }
    let mut server: Vec<(IpAddr, usize)> = Vec::new();
    for number in 0..dice.pick(&[1, 1, 2, 3]) {
        server.push((server_address(number), 0));
        if dice.percent(50) {
            server.push((server_address6(number), 0));
        }
    }
    // somebody has to have something to connect to
    if client.iter().all(|(address, _)| address.is_ipv6()) && !server.iter().any(|s| s.0.is_ipv6())
    {
        server.push((server_address6(0), 0));
    }
    [client, server]
}

fn openings(
    dice: &mut Dice,
    [client, server]: &[Vec<(IpAddr, usize)>; 2],
    calm: Duration,
) -> Vec<Opening> {
    let reachable: Vec<IpAddr> = server
        .iter()
        .map(|(address, _)| *address)
        .filter(|address| client.iter().any(|(own, _)| own.is_ipv4() == address.is_ipv4()))
        .collect();
    (0..dice.pick(&[1, 1, 1, 1, 2, 3]))
        .map(|number| {
            let size = |dice: &mut Dice| match dice.below(10) {
                0 => 0,
                1 => 1,
                2 => dice.spread(1, 5_000) as usize,
                _ => dice.spread(5_000, 150_000) as usize,
            };
            let late = number > 0 || dice.percent(10);
            Opening {
                at: if late { calm.mul_f64(dice.share(0.01, 0.9)) } else { Duration::ZERO },
                remote: dice.pick(&reachable),
                sizes: [size(dice), size(dice)],
                eager: [dice.percent(70), dice.percent(70)],
                prompt: [dice.percent(70), dice.percent(70)],
                early: if dice.percent(10) { dice.below(EARLY_MAX) } else { 0 },
            }
        })
        .collect()
}

/// A few settings away from the defaults.
fn end(dice: &mut Dice) -> End {
    let linux = dice.percent(20);
    let profile = if linux { Profile::Linux } else { Profile::Rfc };
    let mut config = ConnectionConfig::of(profile);
    let mut words = vec![if linux { "profile linux" } else { "profile rfc" }.to_owned()];
    let mut limits = Limits::default();
    // buffers that a test can fill
    config.send_buffer = dice.spread(2_000, 300_000) as usize;
    config.receive_buffer = dice.spread(2_000, 300_000) as usize;
    words.push(format!("buffers {}/{}", config.send_buffer, config.receive_buffer));
    if dice.percent(60) {
        let name = dice.pick(SCHEDULER_NAMES);
        if let Ok(scheduler) = SchedulerSpec::parse(name) {
            config.scheduler = scheduler;
            words.push(format!("scheduler {name}"));
        }
    }
    if dice.percent(60) {
        let all: Vec<CongestionAlgorithm> = CongestionAlgorithm::all().collect();
        config.tcp.congestion = dice.pick(&all);
        words.push(config.tcp.congestion.name().to_owned());
    }
    if dice.percent(30) {
        let kinds = [
            PathManagerKind::Default,
            PathManagerKind::Fullmesh,
            PathManagerKind::Ndiffports(3),
            PathManagerKind::Binder,
        ];
        config.path_manager = dice.pick(&kinds);
        words.push(format!("{:?}", config.path_manager));
    }
    if dice.percent(20) {
        limits = Limits { subflows: dice.below(9), add_addr_accepted: dice.below(9) };
        words.push(format!("{limits:?}"));
    }
    let mut set = |chance: usize, word: &str, place: &mut bool| {
        if dice.percent(chance) {
            *place = !*place;
            words.push(format!("{word} {place}"));
        }
    };
    set(35, "checksum", &mut config.checksum);
    set(4, "mptcp", &mut config.mptcp);
    set(15, "nagle", &mut config.nagle);
    set(15, "short_data_seq", &mut config.short_data_seq);
    set(15, "server_joins", &mut config.server_joins);
    set(10, "join_announced", &mut config.join_announced);
    set(10, "join_from_local", &mut config.join_from_local);
    set(10, "allow_join_initial", &mut config.allow_join_initial_addr_port);
    set(10, "timestamps", &mut config.tcp.timestamps);
    set(10, "sack", &mut config.tcp.sack);
    set(15, "pacing", &mut config.tcp.pacing);
    set(10, "slow_start_after_idle", &mut config.tcp.slow_start_after_idle);
    if dice.percent(10) {
        let (idle, interval) = (dice.time(500_000, 5_000_000), dice.time(200_000, 2_000_000));
        config.tcp.keepalive = Some(Keepalive { idle, interval, probes: 9 });
        words.push("keepalive".to_owned());
    }
    if dice.percent(15) {
        config.fast_open = dice.pick(&[FastOpen::Cookie, FastOpen::WithoutCookie]);
        words.push(format!("{:?}", config.fast_open));
    }
    if dice.percent(10) {
        config.max_extra_subflows = dice.below(4);
        words.push(format!("{} extra subflows", config.max_extra_subflows));
    }
    End { config, limits, words }
}

fn flags(dice: &mut Dice) -> EndpointFlags {
    let signal = dice.percent(50);
    EndpointFlags {
        signal,
        subflow: dice.percent(50),
        backup: dice.percent(25),
        fullmesh: !signal && dice.percent(25),
    }
}

/// `wild`: also what may end a connection or a subflow.
fn step(dice: &mut Dice, links: &[LinkConfig], connections: usize, wild: bool) -> Step {
    let side = dice.pick(&Side::BOTH);
    let connection = dice.below(connections);
    let (path, nth, length) = (dice.below(links.len()), dice.below(5), dice.spread(1, 60_000));
    let length = length as usize;
    match dice.below(if wild { 100 } else { 78 }) {
        0..14 => Step::Write(connection, side, length),
        14..24 => Step::Read(connection, side, length),
        24..27 => Step::Shutdown(connection, side),
        27..33 => Step::Cut(path, dice.percent(75), dice.percent(75)),
        33..39 => Step::Restore(path),
        39..45 => {
            let boxes = links.get(path).map(|link| link.boxes.clone()).unwrap_or_default();
            Step::Change(path, Box::new(LinkConfig { boxes, ..link(dice) }))
        }
        45..51 => Step::OpenSubflow(connection, side, dice.below(6), dice.below(6)),
        51..56 => Step::Backup(connection, side, nth, dice.percent(50)),
        56..60 => Step::AddEndpoint(side, dice.below(6), flags(dice)),
        60..63 => Step::ChangeEndpoint(side, nth, flags(dice)),
        63..65 => {
            let limits = Limits { subflows: dice.below(9), add_addr_accepted: dice.below(9) };
            Step::Limits(side, limits)
        }
        65..68 => setting(dice, side),
        68..78 => {
            let all = [Forgery::Replay, Forgery::Blind, Forgery::Join, Forgery::Noise];
            Step::Inject(side, path, dice.pick(&all), dice.number())
        }
        78..83 => Step::CloseSubflow(connection, side, nth),
        83..86 => Step::Abort(connection, side),
        86..88 => Step::Close(connection, side),
        88..91 => Step::RemoveAddress(side, dice.below(6)),
        91..94 => Step::AddAddress(side, dice.below(6)),
        94..97 => Step::DeleteEndpoint(side, nth),
        97..98 => Step::Flush(side),
        _ => Step::Rebind(path),
    }
}

fn setting(dice: &mut Dice, side: Side) -> Step {
    let switch = ["0", "1"];
    let (name, values): (&str, &[&str]) = match dice.below(7) {
        0 => ("net.mptcp.stale_loss_cnt", &["1", "4", "9"]),
        1 => ("net.mptcp.checksum_enabled", &switch),
        2 => ("net.mptcp.allow_join_initial_addr_port", &switch),
        3 => ("net.mptcp.add_addr_timeout", &["1", "20", "120"]),
        4 => ("net.ipv4.tcp_sack", &switch),
        5 => ("mpuser.profile", &["rfc", "linux"]),
        _ => ("net.mptcp.path_manager", PathManagerKind::NAMES),
    };
    Step::Setting(side, name, dice.pick(values).to_owned())
}
