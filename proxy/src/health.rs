//! Health checks: is somebody listening?

use crate::pool::{Pool, Server};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How servers are checked.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// From one check to the next.
    pub every: Duration,
    /// How long each address of a server may take to answer.
    pub patience: Duration,
}

/// Connects to each server again and again, and tells the pool; never ends.
pub async fn watch(pool: Arc<Pool>, check: Check) {
    let mut tasks = tokio::task::JoinSet::new();
    for server in pool.servers() {
        let (pool, server) = (Arc::clone(&pool), Arc::clone(server));
        tasks.spawn(async move {
            let mut ticks = interval(check.every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                once(&pool, &server, check.patience).await;
            }
        });
    }
    // as long as this is waited for, they run
    while tasks.join_next().await.is_some() {}
    std::future::pending().await
}

async fn once(pool: &Pool, server: &Server, patience: Duration) {
    match server.dial(patience).await {
        // no data, so the server has nothing to log but a client that thought better of it
        Ok(_) => pool.answered(server),
        Err(error) => pool.silent(server, &words(&error)),
    }
}

/// Connects by the kernel's TCP.
pub(crate) async fn dial(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(address);
    let stream = timeout(patience, connecting).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {patience:?}"))
    })??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An error as the end of a sentence: without the number of the operating system, and without a capital.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        // "MPTCP ..." stays
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}
