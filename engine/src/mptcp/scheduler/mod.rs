//! Which subflow carries the next bytes: the schedulers there are, one file each.

mod min_rtt;
mod receive_buffer;
mod round_robin;

use crate::config::SchedulerSpec;
use crate::scheduling::Scheduler;
use alloc::boxed::Box;

/// The scheduler this asks for, for one connection.
#[must_use]
pub fn new(spec: &SchedulerSpec) -> Box<dyn Scheduler> {
    if let Some(factory) = spec.factory() {
        return factory.build();
    }
    match spec.name() {
        "rr" => Box::new(round_robin::RoundRobin::new(spec)),
        _ => Box::new(min_rtt::MinRtt::new(spec)),
    }
}

#[cfg(test)]
mod tests;
