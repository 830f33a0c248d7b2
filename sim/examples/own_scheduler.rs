//! A scheduler of one's own in a simulation: the same object would do over TUN devices, by
//! `ConnectionConfig::scheduler`.
//!
//! `cargo run -p mpuser-sim --example own_scheduler`

use mpuser_engine::config::SchedulerSpec;
use mpuser_engine::scheduling::{Action, Scheduler, SchedulerFactory, SchedulerView};
use mpuser_sim::scenario::{Scenario, Wishes};
use std::sync::Arc;

/// The subflow that has delivered fastest of late.
#[derive(Debug)]
struct Quickest;

impl Scheduler for Quickest {
    fn name(&self) -> &str {
        "quickest"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        match view.candidates().max_by_key(|s| (s.delivery_rate, s.cwnd)) {
            Some(s) => Action::Send { subflow: s.id, len: s.available },
            None => Action::Wait,
        }
    }
}

impl SchedulerFactory for Quickest {
    fn name(&self) -> &str {
        "quickest"
    }

    fn build(&self) -> Box<dyn Scheduler> {
        Box::new(Self)
    }
}

const SCENARIO: &str = r#"
name = "two-paths"
duration = "5s"
links.wifi = { rate = "20mbit", delay = "10ms", queue = "50p" }
links.lte = { rate = "10mbit", delay = "40ms", queue = "100p" }
[[flows]]
paths = ["wifi", "lte"]
"#;

fn main() -> Result<(), String> {
    let mut no_files = |name: &str| Err(format!("there is no file {name}"));
    let scenario = Scenario::parse(SCENARIO, &Wishes::default(), &mut no_files);
    let mut scenario = scenario.map_err(|mistake| mistake.to_string())?;
    for spec in [SchedulerSpec::default(), SchedulerSpec::custom(Arc::new(Quickest))] {
        scenario.flows[0].scheduler = spec.clone();
        let outcome = mpuser_sim::world::run(&scenario, 1)?;
        println!("{spec}: {:.1} Mbit/s", outcome.flows[0].goodput_bps / 1e6);
    }
    Ok(())
}
