use super::*;
use crate::link::{LaneConfig, LinkConfig, QueueLimit};
use crate::scenario::{FlowGroup, LinkSpec, Path, Stack, Traffic};
use mpuser_engine::config::CongestionAlgorithm;
use std::time::Duration;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A link that is the same both ways.
fn link(rate: u64, delay: Duration, queue: u32) -> LinkSpec {
    let queue = QueueLimit::Packets(queue);
    let lane = LaneConfig { rate: Some(rate), delay, queue, ..LaneConfig::default() };
    let config = LinkConfig { forward: lane.clone(), backward: lane, boxes: Vec::new() };
    LinkSpec { config, changes: Vec::new() }
}

fn group(name: &str, paths: &[&[&str]]) -> FlowGroup {
    let paths = paths.iter().map(|links| Path::over(links)).collect();
    FlowGroup { name: name.to_owned(), paths, ..FlowGroup::default() }
}

fn scenario(links: &[(&str, LinkSpec)], flows: Vec<FlowGroup>, seconds: u64) -> Scenario {
    Scenario {
        duration: Duration::from_secs(seconds),
        links: links.iter().map(|(name, link)| ((*name).to_owned(), link.clone())).collect(),
        flows,
        ..Scenario::default()
    }
}

/// Two links, one flow over both.
fn two_paths(seconds: u64) -> Scenario {
    let links = [("a", link(10_000_000, ms(10), 50)), ("b", link(5_000_000, ms(25), 50))];
    scenario(&links, vec![group("mp", &[&["a"], &["b"]])], seconds)
}

/// What went in came out, was dropped, or is still there.
fn check_conservation(outcome: &Outcome) {
    for link in &outcome.links {
        for lane in [&link.forward, &link.backward] {
            let dropped = lane.lost + lane.queue_full + lane.managed + lane.down + lane.too_big;
            let out = lane.delivered + dropped + lane.inside;
            assert_eq!(lane.received + lane.duplicated, out, "{}: {lane:?}", link.name);
        }
    }
    for flow in &outcome.flows {
        assert_eq!(flow.error, None);
        assert!(flow.delivered_bytes <= flow.written_bytes);
        if flow.ofo_delay.count() > 0 {
            assert_eq!(flow.ofo_delay.count(), flow.delivered_bytes, "each octet waited once");
        }
    }
}

#[test]
fn two_paths_are_used_together() {
    let outcome = run(&two_paths(10), 1).unwrap();
    check_conservation(&outcome);
    let flow = &outcome.flows[0];
    assert!(flow.mptcp);
    assert_eq!(flow.subflows.len(), 2, "{:?}", flow.subflows);
    // payload of 1448 in 1520 octets or so, slow start, and the start of the second subflow
    assert!(flow.goodput_bps > 0.88 * 15e6, "{}", flow.goodput_bps);
    assert!(outcome.links.iter().all(|link| link.forward.utilisation.unwrap() > 0.9));
    let sampled: u64 = flow.goodput_samples.iter().sum();
    assert!(sampled <= flow.delivered_bytes && flow.goodput_samples.len() == 1_000);
    assert!(flow.ofo_samples.iter().max() <= Some(&flow.ofo_max));
}

#[test]
fn tcp_alone_fills_its_link() {
    let mut flow = group("tcp", &[&["a"]]);
    flow.stack = Stack::Tcp;
    flow.cc = CongestionAlgorithm::NewReno;
    let mut scenario = scenario(&[("a", link(12_000_000, ms(50), 100))], vec![flow], 60);
    scenario.warm_up = Duration::from_secs(10);
    let outcome = run(&scenario, 3).unwrap();
    check_conservation(&outcome);
    let used = outcome.links[0].forward.utilisation.unwrap();
    assert!(used > 0.97, "{used}");
    assert!(!outcome.flows[0].mptcp);
    assert!(outcome.links[0].forward.queue_full > 0);
}

#[test]
fn a_transfer_is_delivered_to_the_byte_and_ends_the_run() {
    let mut scenario = two_paths(60);
    scenario.flows[0].traffic = Traffic::Bulk { size: Some(3_000_000) };
    scenario.flows[0].direction = Direction::Backward;
    let outcome = run(&scenario, 1).unwrap();
    check_conservation(&outcome);
    let flow = &outcome.flows[0];
    assert_eq!((flow.written_bytes, flow.delivered_bytes), (3_000_000, 3_000_000));
    assert_eq!(flow.completions.len(), 1);
    assert!(outcome.ended < 3.0 && flow.end == Some(flow.completions[0].end), "{}", outcome.ended);
}

#[test]
fn a_seed_makes_a_run_and_another_seed_another() {
    let mut scenario = two_paths(3);
    for link in scenario.links.values_mut() {
        link.config.forward.loss = crate::link::Loss::Bernoulli(0.01);
    }
    let digest = |seed| run(&scenario, seed).unwrap().digest;
    let here = [digest(1), digest(1), digest(2)];
    let there: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            [1, 2].map(|seed| scope.spawn(move || digest(seed))).into_iter().collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(here[0], here[1]);
    assert_ne!(here[0], here[2]);
    assert_eq!(there, [here[0].clone(), here[2].clone()]);
}
