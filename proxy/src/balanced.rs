//! A proxy for plain servers: each client to one of a pool, by the kernel's TCP.

use crate::door::{Guide, Led};
use crate::health::words;
use crate::pool::Pool;
use crate::report::Refusal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Leads clients to the servers of a pool.
pub struct Balanced {
    /// The servers.
    pub pool: Arc<Pool>,
    /// How long an address may take to answer before the next one is tried.
    pub patience: Duration,
}

impl<N: Send> Guide<N> for Balanced {
    type Far = TcpStream;

    /// The client waits unread: when a server does not answer, nothing is lost.
    async fn lead(&self, _: &mut N, _: SocketAddr) -> Result<Led<TcpStream>, Refusal> {
        let mut last = String::from("there is none");
        for server in self.pool.order() {
            let lease = self.pool.lease(&server);
            match server.dial(self.patience).await {
                Ok(far) => {
                    self.pool.took(&server);
                    let lease: Option<Box<dyn Send>> = Some(Box::new(lease));
                    return Ok(Led { lease, ..Led::new(far, &server.name) });
                }
                Err(error) => {
                    last = format!("{}: {}", server.name, words(&error));
                    self.pool.refused(&server, &words(&error));
                }
            }
        }
        Err(Refusal::new(
            "no server answers",
            last,
            "start one of them, or check that this machine reaches them",
        ))
    }
}
