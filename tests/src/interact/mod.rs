//! The random interaction suite: whatever two applications, two administrators, the network, its middleboxes and a
//! stranger do, the promises hold (integrity, liveness, no storm, nothing left behind).
//!
//! A seed draws a [`Setup`]: paths with rates, delays, loss, disorder and middleboxes; settings of both ends; operations
//! and faults at random times. After every event the invariants are checked, from the outside by what is on the wire,
//! from the inside by what both ends say of themselves. Then the faults stop: every connection comes to a defined end,
//! and both ends forget it.

mod app;
mod dice;
mod draw;
mod forge;
mod run;
mod setup;
mod shrink;
mod state;
mod steps;
mod wire;

pub use draw::draw;
pub use run::{Shown, Violation, run};
pub use setup::{Part, Setup};
pub use shrink::shrink;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a setup; a panic is a violation, too.
///
/// # Errors
/// The first violation.
pub fn run_caught(setup: &Setup, trace: bool) -> Result<Shown, Violation> {
    catch_unwind(AssertUnwindSafe(|| run(setup, trace))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("panic: {}", text.unwrap_or_default());
        Err(Violation { at: mpuser_engine::time::Instant::ZERO, what, trace: Vec::new() })
    })
}
