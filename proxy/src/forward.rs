//! A fixed destination for every client, over MPTCP.

use crate::dial::Dialler;
use crate::door::{Guide, Led};
use crate::health::words;
use crate::report::Refusal;
use mpuser_tun::MptcpStream;
use std::net::SocketAddr;

/// Leads every client to one destination.
#[derive(Debug)]
pub struct Forward {
    /// How it is reached.
    pub dialler: Dialler,
    /// Its addresses, the first one that answers is taken.
    pub remote: Vec<SocketAddr>,
    /// What it is called in reports.
    pub name: String,
}

impl<N: Send> Guide<N> for Forward {
    type Far = MptcpStream;

    async fn lead(&self, _: &mut N, _: SocketAddr) -> Result<Led<MptcpStream>, Refusal> {
        match self.dialler.dial(&self.remote[..]).await {
            Ok(far) => Ok(Led::new(far, &self.name)),
            Err(error) => Err(Refusal::new(
                format!("cannot connect to {}", self.name),
                words(&error),
                "check that the server listens there; `mpuser connect -z` says more",
            )),
        }
    }
}
