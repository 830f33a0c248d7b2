//! Every scheduler carries a transfer to its end over two unlike paths with losses, and the bytes of one path do not
//! multiply.

use mpuser_engine::config::{SCHEDULERS, SchedulerSpec};
use mpuser_sim::metrics::Outcome;
use mpuser_sim::scenario::{Scenario, Wishes};

const SIZE: u64 = 1_500_000;

fn run(scheduler: &str, paths: &str) -> Outcome {
    let text = format!(
        "name = \"schedulers\"\nduration = \"60s\"\nsample = \"1s\"\n\
         links.wifi = {{ rate = \"20mbit\", delay = \"10ms\", queue = \"50p\", loss = \"0.5%\" }}\n\
         links.lte = {{ rate = \"5mbit\", delay = \"60ms\", queue = \"100p\" }}\n\
         [[flows]]\npaths = {paths}\nscheduler = \"{scheduler}\"\nreceive_buffer = \"256KiB\"\n\
         traffic = {{ kind = \"bulk\", size = \"{SIZE}\" }}\n"
    );
    let mut read = |name: &str| match name {
        "late.rhai" => Ok(LATE.to_owned()),
        "rr.rhai" => Ok(include_str!("../data/schedulers/rr.rhai").to_owned()),
        other => Err(format!("there is no file {other}")),
    };
    let scenario = Scenario::parse(&text, &Wishes::default(), &mut read);
    let scenario = scenario.unwrap_or_else(|mistake| unreachable!("{scheduler}: {mistake}"));
    mpuser_sim::world::run(&scenario, 7)
        .unwrap_or_else(|error| unreachable!("{scheduler}: {error}"))
}

/// It works for a while, and then it loops for ever.
const LATE: &str = "fn schedule(view) {
    if view.una > 300000 { loop { } }
    for s in view.subflows { if s.open { return send(s); } }
    wait()
}";

#[test]
fn every_scheduler_delivers_everything() {
    for doc in SCHEDULERS {
        let outcome = run(doc.name, "[\"wifi\", \"lte\"]");
        assert_eq!(outcome.flows[0].delivered_bytes, SIZE, "{}", doc.name);
    }
}

/// The out-of-tree kernels sent everything twice over one subflow.
#[test]
fn redundant_over_one_path_sends_the_payload_once() {
    for doc in SCHEDULERS.iter().filter(|doc| doc.name.starts_with("redundant")) {
        let outcome = run(doc.name, "[\"wifi\"]");
        let sent: u64 = outcome.flows[0].subflows.iter().map(|s| s.sent_bytes).sum();
        assert_eq!((outcome.flows[0].delivered_bytes, sent), (SIZE, SIZE), "{}", doc.name);
    }
}

#[test]
fn scripts_are_schedulers_and_a_broken_one_is_replaced() {
    for script in ["rr.rhai", "late.rhai"] {
        let outcome = run(script, "[\"wifi\", \"lte\"]");
        assert_eq!(outcome.flows[0].delivered_bytes, SIZE, "{script}");
    }
    assert!(SchedulerSpec::parse("rr.rhai").is_err(), "the engine reads no files");
}
