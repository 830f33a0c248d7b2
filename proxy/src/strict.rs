//! Clients that have to speak MPTCP.

use crate::door::{Guide, Led};
use crate::report::Refusal;
use mpuser_tun::MptcpStream;
use std::net::SocketAddr;

/// Leads MPTCP clients on as another guide does, and refuses plain TCP where that was asked for.
#[derive(Debug)]
pub struct Strict<G> {
    /// Who leads them on.
    pub guide: G,
    /// Plain TCP is refused.
    pub require_mptcp: bool,
}

impl<G: Guide<MptcpStream>> Guide<MptcpStream> for Strict<G> {
    type Far = G::Far;

    async fn lead(&self, near: &mut MptcpStream, peer: SocketAddr) -> Result<Led<G::Far>, Refusal> {
        if self.require_mptcp && !near.is_mptcp() {
            return Err(Refusal::new(
                "a client was turned away",
                "its connection is plain TCP, and --require-mptcp was given",
                "leave out --require-mptcp to serve plain TCP, too",
            ));
        }
        self.guide.lead(near, peer).await
    }
}
