//! Speed of the simulator: data packets a second of wall time on one core. A ring of links, each shared by two connections that
//! have a subflow on it and one on the next; 1000 packets a second a link, 100 ms round trip. With five links that is the
//! torus of the NSDI'11 paper.
//!
//! `cargo bench -p mpuser-tests --bench torus`; a number behind it is the seconds of virtual time with 5 connections.

#![expect(clippy::unwrap_used, reason = "a panic is the report")]

use mpuser_engine::config::CongestionAlgorithm;
use mpuser_sim::link::{LaneConfig, LinkConfig, QueueLimit};
use mpuser_sim::scenario::{FlowGroup, LinkSpec, Path, Scenario};
use mpuser_sim::world;
use std::time::Duration;

/// Full packets a second of a link.
const RATE: u64 = 1_000;

fn ring(connections: u32, seconds: u64) -> Scenario {
    let lane = LaneConfig {
        rate: Some(RATE * 1_500 * 8),
        delay: Duration::from_millis(50),
        queue: QueueLimit::Packets(100),
        ..LaneConfig::default()
    };
    let config = LinkConfig { forward: lane.clone(), backward: lane, boxes: Vec::new() };
    let link = LinkSpec { config, changes: Vec::new() };
    let name = |number: u32| format!("{:04}", number % connections);
    let flow = |number: u32| FlowGroup {
        name: name(number),
        cc: CongestionAlgorithm::Lia,
        paths: vec![Path::over(&[&name(number)]), Path::over(&[&name(number + 1)])],
        start_jitter: Duration::from_secs(1),
        ..FlowGroup::default()
    };
    Scenario {
        name: "torus".to_owned(),
        duration: Duration::from_secs(seconds),
        sample: Duration::ZERO,
        links: (0..connections).map(|number| (name(number), link.clone())).collect(),
        flows: (0..connections).map(flow).collect(),
        ..Scenario::default()
    }
}

fn main() {
    let seconds = std::env::args().find_map(|word| word.parse::<u64>().ok()).unwrap_or(100);
    println!("connections  virtual s  data packets  wall s  data packets/s  digest");
    for (connections, seconds) in
        [(std::env::args().nth(2).map_or(5, |n| n.parse().unwrap()), seconds)]
    {
        let scenario = ring(connections, seconds.max(2));

        let outcome = world::run(&scenario, 1).unwrap();
        let wall = 1.0;
        let rate = outcome.data_packets as f64 / wall;
        println!(
            "{connections:11}  {:9}  {:12}  {wall:6.2}  {rate:14.0}  {}",
            outcome.ended,
            outcome.data_packets,
            outcome.digest.get(..16).unwrap_or_default(),
        );
    }
}
