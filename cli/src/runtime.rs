//! The tokio runtime, made only by commands that need one.

use crate::error::Failure;
use std::future::Future;

/// Runs a future to its end. Threads of the runtime inherit the namespace of the calling thread.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the runtime", &error))?;
    let outcome = runtime.block_on(future);
    // a thread that reads standard input may never come back
    runtime.shutdown_background();
    outcome
}
