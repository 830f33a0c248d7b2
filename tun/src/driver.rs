//! The tasks that keep a stack going: one reader per device, and one for the engine's timers.
//!
//! Sending needs no task: whoever makes the engine want to send, sends.

use crate::clock;
use crate::device::{Device, Received};
use crate::spin::{self, Spin, Waited};
use crate::stack::{Path, Shared};
use bytes::BytesMut;
use mpuser_engine::addr::InterfaceId;
use mpuser_engine::time::{Duration, Instant};
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Packets read before the engine gets them: its acknowledgements are then made per batch, and the lock is taken
/// once.
const RECEIVE_BATCH: usize = 64;

/// A TUN device that was deleted reports an error and nothing else.
const READABLE: Interest = Interest::READABLE.add(Interest::ERROR);

/// Pause after a failed read: a device that is down may be up again soon, and must not keep a core busy.
const RETRY: Duration = Duration::from_millis(100);

/// Registers a device's descriptor for reading with the current runtime.
///
/// The descriptor is a duplicate of the device's: it belongs to the registration, so it stays open and the same for
/// as long, whatever becomes of the device. Readiness is a property of the description both share.
///
/// # Errors
/// The process may have no more descriptors.
pub fn register(fd: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = fd.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` is open, always gives the same descriptor, and closes it only on drop; the `AsyncFd`
    // owns it and lends it out by shared reference only.
    unsafe { AsyncFd::register_with_interest(fd, READABLE) }.map_err(|error| error.into_parts().1)
}

/// Fires the engine's timers, and goes on sending where a batch ended.
pub(crate) async fn timers(shared: Arc<Shared>) {
    /// A runtime that ends drops this task: nobody may wait for the stack from then on.
    struct StopOnDrop(Arc<Shared>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.with(|inner, _| inner.stop());
        }
    }
    let shared = StopOnDrop(shared);
    loop {
        let deadline = shared.0.arm();
        if deadline == Some(Instant::ZERO) {
            // More to send: let others have the lock and this thread in between.
            tokio::task::yield_now().await;
        } else {
            let sleep = pin!(clock::sleep_until(deadline));
            tokio::select! {
                () = sleep => {}
                () = shared.0.timer.notified() => {}
            }
        }
        shared.0.with(|inner, now| {
            if inner.endpoint.poll_timeout().is_some_and(|deadline| deadline <= now) {
                inner.endpoint.handle_timeout(now);
            }
        });
    }
}

/// Looks at a device between two at everything else, while a reader is awake: a look is cheaper.
const LOOKS: usize = 4;

/// Most turns of a reader that is awake: a clock may stand still, in tests.
const MAX_TURNS: usize = 64;

/// How a round of reading ended.
enum Round {
    /// The device has nothing more.
    Empty,
    /// The batch is full; there may be more.
    Full,
    /// The device failed.
    Failed(io::Error),
}

/// Reads packets from a device and gives them to the engine.
pub(crate) async fn receive(
    shared: Arc<Shared>,
    path: Arc<Path>,
    device: Arc<dyn Device>,
    interface: InterfaceId,
    descriptor: AsyncFd<OwnedFd>,
) {
    let (source, batch) = (Source { path, device }, Vec::with_capacity(RECEIVE_BATCH));
    let alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
    let (arena, spin) = (BytesMut::new(), Spin::new(alone));
    let mut reader = Reader { source, descriptor, arena, batch, spin };
    while let Some(round) = reader.next().await {
        if !reader.batch.is_empty() {
            shared.with(|inner, now| {
                let batch = reader.batch.drain(..);
                batch.for_each(|received| inner.receive(now, interface, received));
            });
        }
        match round {
            Round::Empty => {}
            // Tasks woken by this batch go first: the engine's buffers would only fill otherwise.
            Round::Full => tokio::task::yield_now().await,
            Round::Failed(error) if is_gone(&error) => {
                withdraw(&shared, interface);
                return;
            }
            Round::Failed(_) => {
                let path = &reader.source.path;
                path.count_receive_error();
                tokio::time::sleep(RETRY).await;
                // Readiness was cleared and the device may not report it again: look without waiting for it.
                path.rearm.notify_one();
            }
        }
    }
}

/// A device and the path it carries.
struct Source {
    path: Arc<Path>,
    device: Arc<dyn Device>,
}

impl Source {
    /// Reads until the device has nothing more, or the batch is full.
    fn read(&self, now: Instant, arena: &mut BytesMut, batch: &mut Vec<Received>) -> Round {
        while batch.len() < RECEIVE_BATCH {
            match self.device.recv(now, arena) {
                Ok(received) => {
                    self.path.count_received(received.packet.len());
                    batch.push(received);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Round::Empty,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Round::Failed(error),
            }
        }
        Round::Full
    }
}

/// What a reading task has.
struct Reader {
    source: Source,
    descriptor: AsyncFd<OwnedFd>,
    arena: BytesMut,
    batch: Vec<Received>,
    spin: Spin,
}

impl Reader {
    /// Waits for packets and reads them into the batch, which may stay empty; `None` when the runtime goes away.
    async fn next(&mut self) -> Option<Round> {
        let deadline = self.source.path.arm(&*self.source.device);
        let begun = clock::now();
        // A device with a timer of its own is one for tests.
        if deadline.is_none()
            && self.spin.pays()
            && let Some(round) = self.stay_awake().await
        {
            self.spin.learn(Waited::Awake, self.batch.len());
            return Some(round);
        }
        let Self { source, descriptor, arena, batch, spin } = self;
        let mut ready = None;
        tokio::select! {
            outcome = descriptor.ready(READABLE) => ready = Some(outcome.ok()?),
            () = clock::sleep_until(deadline) => {}
            () = source.path.rearm.notified() => {}
        }
        let now = clock::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            source.device.handle_timeout(now);
        }
        let round = source.read(now, arena, batch);
        if let (Some(mut guard), Round::Empty | Round::Failed(_)) = (ready, &round) {
            guard.clear_ready();
        }
        spin.learn(Waited::Asleep(now.saturating_since(begun)), batch.len());
        Some(round)
    }

    /// Looks at the device until there are packets, though not for long. Readiness may be reported for them later, and
    /// is looked after in vain once.
    async fn stay_awake(&mut self) -> Option<Round> {
        let end = clock::now() + spin::LONGEST;
        for _ in 0..MAX_TURNS {
            // Whoever got the last packet answers it now. Other tasks, descriptors and timers are not kept waiting either.
            tokio::task::yield_now().await;
            for _ in 0..LOOKS {
                match self.source.read(clock::now(), &mut self.arena, &mut self.batch) {
                    Round::Empty if self.batch.is_empty() => {}
                    round => return Some(round),
                }
            }
            if clock::now() >= end {
                break;
            }
        }
        None
    }
}

/// The device was deleted under us.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADFD | libc::ENODEV))
}

/// Takes the addresses of a device that is gone out of use: subflows move to what is left.
fn withdraw(shared: &Shared, interface: InterfaceId) {
    shared.with(|inner, now| {
        let addresses: Vec<_> = inner
            .endpoint
            .addresses()
            .iter()
            .filter(|local| local.interface == interface)
            .map(|local| local.address)
            .collect();
        addresses.into_iter().for_each(|address| inner.endpoint.remove_address(now, address));
    });
}
