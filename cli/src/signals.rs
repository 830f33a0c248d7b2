//! SIGINT and SIGTERM as messages, so that everything is taken down in order.

use crate::error::{Code, Failure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Starts listening; each signal becomes one message.
pub(crate) fn listen() -> Result<mpsc::Receiver<Code>, Failure> {
    let failed = |error: std::io::Error| Failure::io("cannot listen to signals", &error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                Some(()) = interrupt.recv() => Code::Interrupted,
                Some(()) = terminate.recv() => Code::Terminated,
                else => break,
            };
            if sender.send(code).await.is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}
