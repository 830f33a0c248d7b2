//! Who gets how much of a link that several share: what coupled congestion control is for (RFC 6356 2.1).
#![expect(clippy::expect_used, reason = "a panic is the verdict")]

use mpuser_engine::config::CongestionAlgorithm;
use mpuser_sim::link::{Aqm, LaneConfig, LinkConfig, QueueLimit};
use mpuser_sim::metrics::Outcome;
use mpuser_sim::scenario::{FlowGroup, LinkSpec, Path, Scenario, Stack};
use mpuser_sim::world::run;
use std::time::Duration;

/// 12 Mbit/s, an RTT of 100 ms and as much queue, without the lockstep of a plain drop-tail queue.
fn bottleneck() -> LinkSpec {
    let lane = LaneConfig {
        rate: Some(12_000_000),
        delay: Duration::from_millis(50),
        queue: QueueLimit::Packets(100),
        aqm: Aqm::NearFull { places: 3, p: 0.1 },
        ..LaneConfig::default()
    };
    let config = LinkConfig { forward: lane.clone(), backward: lane, boxes: Vec::new() };
    LinkSpec { config, changes: Vec::new() }
}

fn group(
    name: &str,
    count: u32,
    stack: Stack,
    subflows: u32,
    cc: CongestionAlgorithm,
) -> FlowGroup {
    FlowGroup {
        name: name.to_owned(),
        count,
        stack,
        cc,
        paths: vec![Path { subflows, ..Path::over(&["shared"]) }],
        start_jitter: Duration::from_secs(2),
        ..FlowGroup::default()
    }
}

/// What a flow of the first group gets over what one of the second gets, the mean of two seeds.
fn ratio(first: &FlowGroup, second: &FlowGroup) -> f64 {
    let scenario = Scenario {
        duration: Duration::from_secs(60),
        warm_up: Duration::from_secs(15),
        sample: Duration::ZERO,
        links: [("shared".to_owned(), bottleneck())].into(),
        flows: vec![first.clone(), second.clone()],
        ..Scenario::default()
    };
    let mean = |outcome: &Outcome, group: &FlowGroup| {
        let flows = outcome.flows.iter().filter(|flow| flow.group == group.name);
        flows.map(|flow| flow.goodput_bps).sum::<f64>() / f64::from(group.count)
    };
    let ratios = [1, 2].map(|seed| {
        let outcome = run(&scenario, seed).expect("a scenario that runs");
        mean(&outcome, first) / mean(&outcome, second)
    });
    ratios.iter().sum::<f64>() / 2.0
}

#[test]
fn two_subflows_take_one_share_if_they_are_coupled_and_two_if_not() {
    let tcp = group("tcp", 5, Stack::Tcp, 1, CongestionAlgorithm::NewReno);
    for cc in CongestionAlgorithm::all() {
        let share = ratio(&group("mptcp", 1, Stack::Mptcp, 2, cc), &tcp);
        match cc {
            CongestionAlgorithm::NewReno => assert!((1.7..2.3).contains(&share), "{share}"),
            CongestionAlgorithm::Lia
            | CongestionAlgorithm::Olia
            | CongestionAlgorithm::Balia
            | CongestionAlgorithm::Ewtcp
            | CongestionAlgorithm::Coupled => {
                assert!((0.75..1.25).contains(&share), "{}: {share}", cc.name());
            }
            // Others measure something else than Reno, and share otherwise with it.
            _ => assert!(share > 0.0),
        }
    }
}

#[test]
fn flows_of_a_kind_share_evenly() {
    for cc in [CongestionAlgorithm::Cubic, CongestionAlgorithm::NewReno] {
        let share =
            ratio(&group("one", 2, Stack::Tcp, 1, cc), &group("other", 2, Stack::Tcp, 1, cc));
        assert!((0.75..1.33).contains(&share), "{}: {share}", cc.name());
    }
}
