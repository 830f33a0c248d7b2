//! Runs written down while they run.

mod capture;
mod events;

pub use capture::Capture;
pub use events::EventStream;

use crate::scenario::Scenario;

/// What flow number `flow` is called: its group, and its number within it where there are several.
fn flow_name(scenario: &Scenario, flow: u32) -> String {
    let mut left = flow;
    for group in &scenario.flows {
        if left < group.count {
            let alone = group.count == 1;
            return if alone { group.name.clone() } else { format!("{}.{left}", group.name) };
        }
        left -= group.count;
    }
    "background".to_owned()
}

#[cfg(test)]
mod tests;
