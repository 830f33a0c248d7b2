//! The simplest of the kernel's BPF schedulers: the first subflow, and the first that is no backup.

use crate::scheduling::{Action, Scheduler, SchedulerView};

/// Always the first subflow (`bpf_first`).
#[derive(Debug)]
pub(super) struct First;

/// The first subflow that is no backup, else the first (`bpf_bkup`).
#[derive(Debug)]
pub(super) struct Backup;

impl Scheduler for First {
    fn name(&self) -> &str {
        "first"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        match view.subflows.iter().min_by_key(|s| s.id) {
            Some(s) if s.is_open(view.sendable()) => {
                Action::Send { subflow: s.id, len: s.available }
            }
            _ => Action::Wait,
        }
    }
}

impl Scheduler for Backup {
    fn name(&self) -> &str {
        "backup"
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        match view.regular().min_by_key(|s| s.id) {
            Some(s) if s.is_open(view.sendable()) => {
                Action::Send { subflow: s.id, len: s.available }
            }
            _ => Action::Wait,
        }
    }
}
