//! Seven different things called "redundant" (R1 to R7), told apart by name. Two rules: copies of what was just sent
//! (`copies`), and subflows that each go through everything in flight (`pointers`).

mod copies;
mod pointers;

use crate::config::SchedulerSpec;
use crate::scheduling::Scheduler;
use alloc::boxed::Box;
use copies::{Copies, Rule};
use pointers::{Order, Pointers};

/// The scheduler of this name, if it is one of these.
pub(super) fn new(spec: &SchedulerSpec) -> Option<Box<dyn Scheduler>> {
    Some(match spec.name() {
        "redundant-r1" => Box::new(Copies::new("redundant-r1", Rule::WhileOpen)),
        "redundant-r2" => Box::new(Pointers::new("redundant-r2", Order::InTurn)),
        "redundant-r3" => Box::new(Pointers::new("redundant-r3", Order::Fastest)),
        "redundant-r4" => Box::new(Copies::new("redundant-r4", Rule::IfOpenNow)),
        "redundant-r5" => Box::new(Pointers::new("redundant-r5", Order::WhenIdle)),
        "redundant-r6" => Box::new(Copies::new("redundant-r6", Rule::Always)),
        "redundant-r7" => Box::new(Pointers::new("redundant-r7", Order::SinceJoined)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
