//! Whole transfers: nothing is lost, repeated or left over, whatever the network does.

use super::pair::{Host, Network, Pair};
use super::*;
use crate::config::CongestionAlgorithm;
use crate::time::Duration;
use proptest::prelude::*;

fn host(iss: u32, total: u64) -> Host {
    let mut params = params();
    params.iss = SeqNum(iss);
    Host::new(params, total)
}

#[test]
fn a_clean_network_needs_no_retransmission() {
    let mut pair = Pair::new(1, Network::default(), host(7, 300_000), host(9, 200_000));
    pair.finish();
    for at in 0..2 {
        assert_eq!(pair.socket(at).bytes_retransmitted(), 0);
    }
    assert_eq!(pair.socket(0).bytes_sent(), 300_000);
    assert_eq!(pair.socket(0).bytes_received(), 200_000);
}

#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    network: Network,
    totals: (u64, u64),
    iss: (u32, u32),
    sack: (bool, bool),
    timestamps: (bool, bool),
    scale: (u32, u32),
    reserved: u8,
    max_payload: u32,
    algorithm: CongestionAlgorithm,
    pacing: bool,
    read_every: u64,
}

fn network() -> impl Strategy<Value = Network> {
    let loss = prop_oneof![Just(0u64), 0u64..30, 0u64..200];
    (1u64..200, loss, 0u64..300, 0u64..150).prop_map(|(delay, loss, reorder, duplicate)| Network {
        delay: Duration::from_millis(delay),
        loss,
        reorder,
        duplicate,
        ..Network::default()
    })
}

/// CUBIC is what most use.
fn algorithm() -> impl Strategy<Value = CongestionAlgorithm> {
    let all: std::vec::Vec<_> = CongestionAlgorithm::all().collect();
    prop_oneof![Just(CongestionAlgorithm::Cubic), prop::sample::select(all)]
}

prop_compose! {
    fn case()(
        seed: u64,
        network in network(),
        totals in (0u64..120_000, 0u64..120_000),
        iss in (prop_oneof![any::<u32>(), (u32::MAX - 60_000)..=u32::MAX], any::<u32>()),
        sack: (bool, bool),
        timestamps: (bool, bool),
        scale in (1_000u32..600_000, 1_000u32..600_000),
        reserved in prop_oneof![Just(0u8), Just(20), Just(28)],
        max_payload in prop_oneof![Just(0u32), Just(65_000)],
        algorithm in algorithm(),
        pacing: bool,
        read_every in prop_oneof![Just(0u64), 1u64..1_500],
    ) -> Case {
        Case {
            seed, network, totals, iss, sack, timestamps, scale, reserved, max_payload, algorithm, pacing,
            read_every,
        }
    }
}

fn build(case: &Case, client: bool) -> Host {
    let pick = |pair: (bool, bool)| if client { pair.0 } else { pair.1 };
    let (iss, total, window) = if client {
        (case.iss.0, case.totals.0, case.scale.0)
    } else {
        (case.iss.1, case.totals.1, case.scale.1)
    };
    let mut params = params();
    params.iss = SeqNum(iss);
    params.receive_window = window;
    params.window_scale = WindowScale::for_buffer(window as usize);
    params.config.sack = pick(case.sack);
    params.config.timestamps = pick(case.timestamps);
    params.config.max_retransmits = 40;
    params.config.max_syn_retransmits = 20;
    // Well below TIME-WAIT, or a FIN whose ACKs are lost finds nobody who would answer.
    params.config.max_rto = Duration::from_secs(5);
    params.config.congestion = case.algorithm;
    params.config.pacing = case.pacing;
    let mut host = Host::new(params, total);
    host.reserved = case.reserved;
    host.max_payload = case.max_payload;
    host.read_every = Duration::from_millis(case.read_every);
    host
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// The property the whole of TCP is for.
    #[test]
    fn data_arrives_intact_and_both_sides_close(case in case()) {
        let mut pair = Pair::new(case.seed, case.network, build(&case, true), build(&case, false));
        pair.finish();
    }
}

#[test]
fn tiny_windows_and_a_slow_reader() {
    for (seed, window, loss) in [(1, 1u32, 0), (2, 100, 0), (3, 1_000, 50), (4, 3_000, 100)] {
        let mut server = host(1, 0);
        server.params.receive_window = window;
        server.buffer = window;
        server.read_every = Duration::from_millis(700);
        let network = Network { loss, ..Network::default() };
        let total = u64::from(window) * 20;
        let mut pair = Pair::new(seed, network, host(2, total), server);
        pair.finish();
        // One window a reading is what the application asks for; probes must not make it much slower.
        if loss == 0 {
            assert!(pair.now < ms(86_400_001));
        }
    }
}

#[test]
fn both_ends_may_open_and_close_at_once() {
    for seed in 0..50 {
        let network = Network { loss: seed * 4, reorder: 100, ..Network::default() };
        let mut pair = Pair::new(seed, network, host(1, 9_000), host(2, 9_000));
        let params = pair.hosts[1].params.clone();
        pair.hosts[1].socket = Some(Socket::connect(ms(0), params));
        pair.finish();
    }
    let mut pair = Pair::new(0, Network::default(), host(1, 0), host(2, 0));
    pair.hosts.iter_mut().for_each(|host| host.keep_open = true);
    pair.run_until(ms(100));
    pair.hosts.iter_mut().for_each(|host| host.keep_open = false);
    pair.run_until(ms(115));
    assert_eq!(pair.socket(0).state(), State::Closing);
    pair.finish();
}

#[test]
fn half_close_lets_the_other_direction_go_on() {
    let mut pair = Pair::new(5, Network::default(), host(1, 1_000), host(2, 400_000));
    pair.hosts[1].keep_open = true;
    pair.run_until(ms(20_000));
    assert_eq!(pair.socket(0).state(), State::FinWait2);
    assert_eq!(pair.socket(1).state(), State::CloseWait);
    assert_eq!(pair.hosts[0].received, 400_000);
    pair.hosts[1].keep_open = false;
    pair.finish();
}
