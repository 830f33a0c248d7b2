//! A machine that several threads use: one moves it, others may wait in a call.

use crate::errno::Answer;
use crate::machine::{Machine, Options};
use crate::wait::{Call, Reply};
use mpuser_engine::time::{Duration, Instant};
use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

thread_local! {
    /// When the last call of this thread that had to wait came back, until the thread asks what time it is. The clock
    /// may have moved on before the thread ran.
    static CAME_BACK: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The machine, its lock, and who may move it.
#[derive(Debug)]
pub struct Shared {
    machine: Mutex<Machine>,
    changed: Condvar,
    /// The thread that moves the clock: it cannot wait for others to do so.
    mover: ThreadId,
}

impl Shared {
    /// A machine; the thread that makes it is the one that moves its clock.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let machine = Mutex::new(Machine::new(options));
        Self { machine, changed: Condvar::new(), mover: thread::current().id() }
    }

    /// Does something with the machine, and wakes those whose call has been answered by it.
    pub fn with<T>(&self, action: impl FnOnce(&mut Machine) -> T) -> T {
        let answer = action(&mut self.lock());
        self.changed.notify_all();
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // A panic elsewhere leaves a machine that is as good as before.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call that may have to wait.
    ///
    /// # Errors
    ///
    /// The call's own, and `EDEADLK` when it would wait for ever for the very thread it holds up.
    pub fn call(&self, call: Call) -> Answer<Reply> {
        let mut machine = self.lock();
        let ticket = match machine.call(call) {
            Ok(answer) => {
                drop(machine);
                self.changed.notify_all();
                return answer;
            }
            Err(ticket) => ticket,
        };
        if thread::current().id() == self.mover {
            let finished = machine.run_until_finished(ticket);
            drop(machine);
            self.changed.notify_all();
            return finished.answer;
        }
        loop {
            if let Some(finished) = machine.finished(ticket) {
                CAME_BACK.set(Some(finished.at));
                return finished.answer;
            }
            machine = self.changed.wait(machine).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The time. Asking takes a microsecond: the driver may wait by asking again and again.
    pub fn time(&self) -> Instant {
        if let Some(at) = CAME_BACK.take() {
            return at;
        }
        self.with(|machine| {
            let now = machine.now();
            machine.sleep(Duration::from_micros(1));
            now
        })
    }
}
