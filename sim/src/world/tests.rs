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

#[test]
fn boxes_chunks_loads_and_paths_that_come_and_go() {
    let mut scenario = two_paths(20);
    let mut shared = link(8_000_000, ms(5), 40);
    let mut slower = shared.config.clone();
    slower.forward.rate = Some(2_000_000);
    shared.changes.push(LinkChange { at: ms(10_000), config: slower });
    scenario.links.insert("c".to_owned(), shared);
    let flow = &mut scenario.flows[0];
    flow.paths.push(Path {
        start: Some(ms(5_000)),
        stop: Some(ms(15_000)),
        ..Path::over(&["c", "b"])
    });
    flow.paths[1].stop = Some(ms(8_000));
    scenario.background.push(crate::scenario::Background {
        name: "noise".to_owned(),
        count: 2,
        link: "a".to_owned(),
        direction: Direction::Forward,
        rate: 1_000_000,
        packet: 500,
        on: crate::scenario::Spread::Exponential(ms(100)),
        off: crate::scenario::Spread::Pareto { mean: ms(100), index: 1.5 },
        start: ms(0),
        stop: Some(ms(18_000)),
    });
    let outcome = run(&scenario, 7).unwrap();
    check_conservation(&outcome);
    let flow = &outcome.flows[0];
    let during = |path: u32, from: usize, to: usize| -> u64 {
        let of_path = flow.subflows.iter().filter(|s| s.path == path);
        of_path
            .map(|s| {
                s.samples[from.min(s.samples.len())..to.min(s.samples.len())].iter().sum::<u64>()
            })
            .sum()
    };
    assert!(during(1, 100, 700) > 2_000_000);
    assert_eq!(during(1, 900, 2_000), 0, "the second path went after 8 s");
    assert_eq!(during(2, 0, 500), 0);
    // 5 Mbit/s are left on "b" for the third path, 2 on "c" from the tenth second on
    assert!(during(2, 850, 1_000) > 500_000, "{}", during(2, 850, 1_000));
    let slow = during(2, 1_100, 1_450) as f64 * 8.0 / 3.5;
    assert!((1_000_000.0..2_000_000.0).contains(&slow), "{slow}");
    assert_eq!(during(2, 1_600, 2_000), 0);
    for load in &outcome.background {
        assert!(load.sent > 1_000 && load.delivered > load.sent / 2, "{load:?}");
    }
}

#[test]
fn a_backup_waits_until_it_is_needed() {
    let mut scenario = two_paths(10);
    scenario.flows[0].paths[1].backup = true;
    let down = crate::link::Outages { spans: vec![(ms(5_000), ms(60_000))], every: None };
    let lanes = &mut scenario.links.get_mut("a").unwrap().config;
    (lanes.forward.outages, lanes.backward.outages) = (down.clone(), down);
    let outcome = run(&scenario, 1).unwrap();
    check_conservation(&outcome);
    let backup = outcome.flows[0].subflows.iter().find(|s| s.path == 1).unwrap();
    assert!(backup.backup);
    assert_eq!(backup.samples[..450].iter().sum::<u64>(), 0);
    assert!(backup.samples[700..].iter().sum::<u64>() > 1_000_000);
    assert!(outcome.links[0].forward.down > 0);
}

#[test]
fn boxes_stand_on_the_way() {
    let mut scenario = two_paths(5);
    scenario.links.get_mut("b").unwrap().config.boxes = vec!["nat:addr=10.9.9.9".to_owned()];
    let outcome = run(&scenario, 1).unwrap();
    check_conservation(&outcome);
    let translated = outcome.flows[0].subflows.iter().find(|s| s.path == 1).unwrap();
    assert!(translated.received_bytes > 1_000_000, "{translated:?}");
    scenario.links.get_mut("a").unwrap().config.boxes = vec!["strip-mptcp:syn".to_owned()];
    let outcome = run(&scenario, 1).unwrap();
    assert!(!outcome.flows[0].mptcp);
    assert!(outcome.flows[0].delivered_bytes > 3_000_000);
}

#[test]
fn foreign_and_own_tcp_share_a_link() {
    let ends = [
        (Stack::Smoltcp, None),
        (Stack::Tcp, Some(Stack::Smoltcp)),
        (Stack::Mptcp, Some(Stack::Smoltcp)),
    ];
    for (number, (stack, peer)) in ends.into_iter().enumerate() {
        for way in Direction::BOTH {
            let mut foreign = group("foreign", &[&["a"]]);
            (foreign.stack, foreign.peer, foreign.direction) = (stack, peer, way);
            (foreign.send_buffer, foreign.receive_buffer) = (1 << 18, 1 << 18);
            foreign.traffic = Traffic::Bulk { size: Some(1_000_000) };
            let one = scenario(&[("a", link(10_000_000, ms(10), 60))], vec![foreign], 20);
            let outcome = run(&one, 1 + number as u64).unwrap();
            check_conservation(&outcome);
            let flow = &outcome.flows[0];
            assert_eq!(flow.delivered_bytes, 1_000_000, "{stack:?} {peer:?} {way}");
            assert!(!flow.mptcp);
        }
    }
}

#[test]
fn requests_cost_a_round_trip_and_pauses_reset_the_window() {
    let mut scenario = two_paths(30);
    scenario.flows[0].paths.truncate(1);
    scenario.flows[0].direction = Direction::Backward;
    scenario.flows[0].traffic = Traffic::RequestResponse {
        request: 100,
        response: 200_000,
        every: ms(2_000),
        count: Some(10),
    };
    let outcome = run(&scenario, 1).unwrap();
    check_conservation(&outcome);
    let flow = &outcome.flows[0];
    assert_eq!(flow.completions.len(), 10);
    // 160 ms to transmit, 20 ms of round trip, and the window opening again after every pause
    assert!(flow.completions.iter().all(|c| (0.18..0.5).contains(&(c.end - c.start))));
    assert!((7..=18).contains(&flow.idle_resets), "{}", flow.idle_resets);
}

#[test]
fn several_connections_fetch_a_page() {
    let mut scenario = two_paths(30);
    scenario.flows[0].direction = Direction::Backward;
    let objects: Vec<u64> = (1..30).map(|n| n * 1_000).collect();
    scenario.flows[0].traffic = Traffic::Web { objects, connections: 6, request: 300 };
    let outcome = run(&scenario, 1).unwrap();
    check_conservation(&outcome);
    let flow = &outcome.flows[0];
    assert_eq!(flow.completions.len(), 29);
    assert!(outcome.ended < 3.0, "{}", outcome.ended);
    assert!(flow.subflows.len() >= 12, "six connections over two paths: {}", flow.subflows.len());
}

#[test]
fn mistakes_are_named() {
    let mut bad = two_paths(1);
    bad.flows[0].paths[0].links[0] = "x".to_owned();
    assert!(run(&bad, 1).unwrap_err().contains("there is no link \"x\"; the links are a, b"));
    let mut bad = two_paths(1);
    bad.warm_up = Duration::from_secs(1);
    assert!(run(&bad, 1).unwrap_err().contains("warm_up"));
}

#[test]
fn a_path_that_came_before_its_flow_is_used() {
    let mut scenario = two_paths(5);
    scenario.flows[0].start = ms(2_000);
    scenario.flows[0].paths[1].start = Some(ms(1_000));
    let outcome = run(&scenario, 1).unwrap();
    check_conservation(&outcome);
    let second = outcome.flows[0].subflows.iter().find(|subflow| subflow.path == 1);
    assert!(second.is_some_and(|subflow| subflow.received_bytes > 500_000));
    // and a flow none of whose paths is there cannot begin
    scenario.flows[0].paths.truncate(1);
    scenario.flows[0].paths[0].start = Some(ms(4_000));
    assert!(run(&scenario, 1).unwrap().flows[0].error.is_some());
}

#[test]
fn a_flow_is_stopped_and_leaves_the_link_to_others() {
    let mut one = group("one", &[&["a"]]);
    one.stop = Some(ms(5_000));
    let links = [("a", link(10_000_000, ms(10), 50))];
    let outcome = run(&scenario(&links, vec![one, group("two", &[&["a"]])], 10), 1).unwrap();
    check_conservation(&outcome);
    let [one, two] = outcome.flows.as_slice() else { panic!("two flows") };
    assert!(one.end.is_none() && one.goodput_samples[550..].iter().all(|bytes| *bytes == 0));
    let half =
        |from: usize| two.goodput_samples[from..from + 350].iter().sum::<u64>() as f64 * 8.0 / 3.5;
    assert!((2e6..7.5e6).contains(&half(150)), "{}", half(150));
    assert!(half(640) > 9e6, "{}", half(640));
}
