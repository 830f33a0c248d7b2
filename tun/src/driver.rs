//! The tasks that keep a stack going: one reader per device, and one for the engine's timers.
//!
//! Sending needs no task: whoever makes the engine want to send, sends.

use crate::clock;
use crate::device::{Device, Received};
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
    let mut arena = BytesMut::new();
    let mut batch = Vec::with_capacity(RECEIVE_BATCH);
    loop {
        let deadline = path.arm(&*device);
        let mut ready = None;
        tokio::select! {
            outcome = descriptor.ready(READABLE) => match outcome {
                Ok(guard) => ready = Some(guard),
                // The runtime is going away.
                Err(_) => return,
            },
            () = clock::sleep_until(deadline) => {}
            () = path.rearm.notified() => {}
        }
        let now = clock::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            device.handle_timeout(now);
        }
        let round = read_batch(&path, &*device, now, &mut arena, &mut batch);
        if let (Some(mut guard), Round::Empty | Round::Failed(_)) = (ready, &round) {
            guard.clear_ready();
        }
        if !batch.is_empty() {
            shared.with(|inner, now| {
                batch.drain(..).for_each(|received| inner.receive(now, interface, received));
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
                path.count_receive_error();
                tokio::time::sleep(RETRY).await;
                // Readiness was cleared and the device may not report it again: look without waiting for it.
                path.rearm.notify_one();
            }
        }
    }
}

fn read_batch(
    path: &Path,
    device: &dyn Device,
    now: Instant,
    arena: &mut BytesMut,
    batch: &mut Vec<Received>,
) -> Round {
    while batch.len() < RECEIVE_BATCH {
        match device.recv(now, arena) {
            Ok(received) => {
                path.count_received(received.packet.len());
                batch.push(received);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Round::Empty,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Round::Failed(error),
        }
    }
    Round::Full
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
