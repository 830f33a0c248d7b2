//! Which subflow carries the next bytes: the schedulers there are, one file each.

mod apple;
mod blest;
mod daps;
mod dems;
mod ecf;
mod fixed;
mod linux;
mod min_rtt;
mod otias;
mod peekaboo;
mod qaware;
mod receive_buffer;
mod redundant;
mod round_robin;
mod stms;

use crate::config::SchedulerSpec;
use crate::scheduling::Scheduler;
use alloc::boxed::Box;

/// The scheduler this asks for, for one connection.
#[must_use]
pub fn new(spec: &SchedulerSpec) -> Box<dyn Scheduler> {
    if let Some(factory) = spec.factory() {
        return factory.build();
    }
    if let Some(redundant) = redundant::new(spec) {
        return redundant;
    }
    match spec.name() {
        "linux" => Box::new(linux::Linux::new(spec)),
        "first" => Box::new(fixed::First),
        "backup" => Box::new(fixed::Backup),
        "rr" => Box::new(round_robin::RoundRobin::new(spec)),
        "wrr" => Box::new(round_robin::RoundRobin::weighted(spec)),
        "blest-paper" => Box::new(blest::Paper::new(spec)),
        "blest-linux" => Box::new(blest::Kernel::new(spec)),
        "ecf-paper" => Box::new(ecf::Ecf::new(spec, false)),
        "ecf-linux" => Box::new(ecf::Ecf::new(spec, true)),
        "daps" => Box::new(daps::Daps::new(spec)),
        "otias" => Box::new(otias::Otias),
        "stms" => Box::new(stms::Stms::new(spec)),
        "dems" => Box::new(dems::Dems::new(spec)),
        "qaware" => Box::new(qaware::QAware),
        "handover" => Box::new(apple::Handover),
        "interactive" => Box::new(apple::Interactive::new(spec)),
        "peekaboo" => Box::new(peekaboo::Peekaboo::new(spec)),
        _ => Box::new(min_rtt::MinRtt::new(spec)),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
