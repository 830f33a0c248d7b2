//! How fast transfers are, and how evenly data leaves.

use super::pair::{Host, Network, Pair};
use super::*;
use crate::config::CongestionAlgorithm;
use crate::time::{Duration, Instant};
use crate::window::WindowScale;
use std::vec;

fn greedy(algorithm: CongestionAlgorithm) -> Host {
    let mut params = params();
    params.config.congestion = algorithm;
    params.window_scale = WindowScale::for_buffer(4 << 20);
    let mut client = Host::new(params, u64::MAX / 2);
    client.largest_chunk = 65_000;
    client.greedy = true;
    client
}

fn reader() -> Host {
    let mut params = params();
    params.iss = SeqNum(2);
    params.receive_window = 4 << 20;
    params.window_scale = WindowScale::for_buffer(4 << 20);
    let mut server = Host::new(params, 0);
    server.buffer = 4 << 20;
    server
}

/// Octets a second over five seconds.
fn goodput(seed: u64, network: Network, client: Host) -> u64 {
    let mut pair = Pair::new(seed, network, client, reader());
    pair.run_until(ms(5_000));
    pair.hosts[1].received / 5
}

/// 100 Mbit/s, an RTT of 20 ms, a queue of one bandwidth-delay product.
const FAST: Network = Network {
    delay: Duration::from_millis(10),
    loss: 0,
    reorder: 0,
    duplicate: 0,
    rate: 12_500_000,
    queue: Duration::from_millis(20),
    largest: usize::MAX,
};

#[test]
fn fills_a_clean_path() {
    // wVegas leaves slow start at the first burst, and then grows by a segment in each round trip; the other coupled
    // ones, alone, are Reno.
    let rate = goodput(3, FAST, greedy(CongestionAlgorithm::Wvegas));
    assert!(rate > 8_000_000, "{rate} octets a second");
    for algorithm in
        [CongestionAlgorithm::Cubic, CongestionAlgorithm::NewReno, CongestionAlgorithm::Bbr]
    {
        for (super_segments, pacing) in [(false, false), (true, false), (true, true)] {
            let mut client = greedy(algorithm);
            client.max_payload = if super_segments { 65_000 } else { 0 };
            client.params.config.pacing = pacing;
            let rate = goodput(3, FAST, client);
            assert!(
                rate > 11_000_000,
                "{algorithm:?} super-segments {super_segments} pacing {pacing}: {rate} octets a second"
            );
        }
    }
}

#[test]
fn keeps_a_sane_share_under_random_loss() {
    let network = Network { loss: 10, ..FAST };
    // The Mathis formula gives about 1.22 * 1448 / 20 ms / sqrt(0.01) = 880 kB/s for Reno.
    for algorithm in [CongestionAlgorithm::Cubic, CongestionAlgorithm::NewReno] {
        let rate = goodput(4, network, greedy(algorithm));
        assert!(rate > 700_000, "{algorithm:?}: {rate} octets a second");
    }
    // To BBR such loss says nothing.
    let rate = goodput(4, network, greedy(CongestionAlgorithm::Bbr));
    assert!(rate > 10_000_000, "{rate} octets a second");
}

#[test]
fn bbr_keeps_a_long_queue_short() {
    // A queue of ten bandwidth-delay products: loss-based senders fill it.
    let network = Network { queue: Duration::from_millis(200), ..FAST };
    let srtts = [CongestionAlgorithm::Bbr, CongestionAlgorithm::NewReno].map(|algorithm| {
        let mut pair = Pair::new(5, network, greedy(algorithm), reader());
        pair.run_until(ms(5_000));
        assert!(pair.hosts[1].received > 54_000_000, "{algorithm:?}");
        pair.socket(0).srtt().unwrap()
    });
    assert!(srtts[0] < Duration::from_millis(45), "{srtts:?}");
    assert!(srtts[1] > Duration::from_millis(100), "{srtts:?}");
}

#[test]
fn paced_data_leaves_evenly_and_wakes_nobody_for_nothing() {
    let mut params = params();
    params.config.pacing = true;
    let mut socket = established_with(params);
    window(&mut socket, 20, 1, 60_000);
    socket.write(Bytes::from(vec![1; 14_600]));
    let rate = socket.pacing_rate().unwrap();
    let srtt = socket.srtt().unwrap();
    assert_eq!(u128::from(rate), 2 * u128::from(socket.cwnd()) * 1_000_000_000 / srtt.as_nanos());
    // Ten segments in two thirds of a round trip or so, two at a time.
    let (start, mut now, mut bursts) = (ms(20), ms(20), 0);
    while socket.unsent() > 0 {
        let plans = drain(&mut socket, now);
        assert!((1..=3).contains(&plans.len()), "{} segments at once", plans.len());
        bursts += 1;
        if socket.unsent() > 0 {
            assert!(drain(&mut socket, now).is_empty());
            now = socket.poll_timeout().unwrap();
            socket.on_timeout(now);
        }
    }
    let took = now.saturating_since(start);
    assert!(took >= srtt * 3 / 10 && took <= srtt * 6 / 10, "{took:?} of {srtt:?}");
    assert!(bursts >= 4, "{bursts}");
    // The window is used up: the next thing to happen is not pacing's.
    assert!(socket.poll_timeout().unwrap() > now + Duration::from_millis(5));
}

#[test]
fn a_held_subflow_offers_no_room_to_the_scheduler() {
    let mut params = params();
    params.config.pacing = true;
    let mut socket = established_with(params);
    window(&mut socket, 20, 1, 60_000);
    let burst = socket.available();
    assert!(burst > 0 && burst <= 3 * 1460, "{burst}");
    socket.write(Bytes::from(vec![1; 2920]));
    drain(&mut socket, ms(20));
    assert_eq!(socket.available(), 0);
    let at = socket.poll_timeout().unwrap();
    socket.on_timeout(at);
    assert!(socket.available() > 0);
}

#[test]
fn a_reset_window_is_counted_when_it_is_used_and_can_be_switched_off() {
    for switch in [true, false] {
        let mut params = params();
        params.config.slow_start_after_idle = switch;
        let mut socket = established_with(params);
        let mut acked = 1;
        for at in 1..6 {
            socket.write(Bytes::from(vec![1; 14_600]));
            drain(&mut socket, ms(at * 20));
            acked += 14_600;
            window(&mut socket, at * 20 + 10, acked, 60_000);
        }
        let grown = socket.cwnd();
        assert!(grown > 14_600);
        // Asked about twice: one pause, one reset, and only once something is sent.
        socket.before_new_data(Instant::from_millis(60_000));
        socket.before_new_data(Instant::from_millis(61_000));
        assert_eq!(socket.idle_resets(), 0);
        assert_eq!(socket.cwnd() < grown, switch);
        socket.write(Bytes::from(vec![1; 1000]));
        drain(&mut socket, ms(61_000));
        assert_eq!(socket.idle_resets(), u64::from(switch));
    }
}
