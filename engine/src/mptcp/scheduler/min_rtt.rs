//! The subflow with the lowest smoothed RTT whose window is open: the default of the v0.9x kernels, with what they do
//! about a receive buffer that is too small.

use super::receive_buffer::ReceiveBuffer;
use crate::config::SchedulerSpec;
use crate::scheduling::{Action, Interest, Scheduler, SchedulerView};

#[derive(Debug)]
pub(super) struct MinRtt {
    buffer: ReceiveBuffer,
}

impl MinRtt {
    pub(super) fn new(spec: &SchedulerSpec) -> Self {
        Self { buffer: ReceiveBuffer::new(spec) }
    }
}

impl Scheduler for MinRtt {
    fn name(&self) -> &str {
        "minrtt"
    }

    fn interest(&self) -> Interest {
        Interest { in_flight: self.buffer.is_on(), ..Interest::default() }
    }

    fn schedule(&mut self, view: &SchedulerView<'_>) -> Action {
        if view.sendable() == 0 {
            return self.buffer.action(view).unwrap_or(Action::Wait);
        }
        match view.fastest_open() {
            Some(s) => Action::Send { subflow: s.id, len: s.available },
            None => Action::Wait,
        }
    }
}
