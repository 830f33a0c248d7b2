//! Changes of interfaces, addresses and routes, as the kernel tells them (rtnetlink).
//!
//! A change is a reason to look, not news in itself: whoever waits compares what there is with what there was. So
//! nothing is lost when the kernel had more to tell than the socket could hold.

use super::error::{NetError, Result};
use bytes::BytesMut;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkFlags;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, SocketAddr, TokioSocket};
use std::time::Duration;
use tokio::time::timeout;

/// Multicast groups (`RTMGRP_*` of linux/rtnetlink.h): links, addresses and routes of both families.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// How long there must be silence before a change is told: an interface comes up in several steps.
const SETTLE: Duration = Duration::from_millis(30);
/// The longest a change may be held back by others that follow it.
const MOST_SETTLES: u32 = 10;
/// Room for one message.
const MESSAGE: usize = 32 * 1024;

/// Tells when interfaces, addresses or routes of this network namespace change.
pub struct Watch {
    socket: TokioSocket,
    buffer: BytesMut,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches the namespace of the calling thread from now on. Call it inside the runtime, and look at what there is
    /// after it: a change in between is told.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start() -> Result<Self> {
        let cannot = |error| NetError::io("cannot watch interfaces", &error);
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(cannot)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS)).map_err(cannot)?;
        Ok(Self { socket, buffer: BytesMut::with_capacity(MESSAGE) })
    }

    /// Waits until something has changed and is quiet again; what was lost is told at once. Cancel safe.
    pub async fn changed(&mut self) {
        let mut lost = self.message().await;
        for _ in 0..MOST_SETTLES {
            if lost {
                return;
            }
            let Ok(next) = timeout(SETTLE, self.message()).await else { return };
            lost = next;
        }
    }

    /// True if it tells of something that is no longer there.
    async fn message(&mut self) -> bool {
        self.buffer.clear();
        self.buffer.reserve(MESSAGE);
        if self.socket.recv(&mut self.buffer).await.is_err() {
            // ENOBUFS: more happened than fits, which is a change, too; anything else must not keep a core busy
            tokio::time::sleep(SETTLE).await;
        }
        tells_of_a_loss(&self.buffer)
    }
}

/// A link that went down, or a link, an address or a route that is gone, among the messages in `octets`.
fn tells_of_a_loss(mut octets: &[u8]) -> bool {
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(octets) {
        let lost = match &message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                !link.header.flags.contains(LinkFlags::Running)
            }
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::DelLink(_)
                | RouteNetlinkMessage::DelAddress(_)
                | RouteNetlinkMessage::DelRoute(_),
            ) => true,
            _ => false,
        };
        if lost {
            return true;
        }
        // Each begins at a multiple of four octets.
        let length = message.header.length.next_multiple_of(4).max(4) as usize;
        octets = octets.get(length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::NetlinkHeader;
    use netlink_packet_route::address::AddressMessage;
    use netlink_packet_route::link::LinkMessage;

    fn octets(messages: Vec<RouteNetlinkMessage>) -> Vec<u8> {
        let octets = messages.into_iter().map(|message| {
            let mut whole = NetlinkMessage::new(NetlinkHeader::default(), message.into());
            whole.finalize();
            let mut octets = vec![0; whole.buffer_len()];
            whole.serialize(&mut octets);
            octets
        });
        octets.collect::<Vec<_>>().concat()
    }

    fn link(flags: LinkFlags) -> RouteNetlinkMessage {
        let mut link = LinkMessage::default();
        link.header.flags = flags;
        RouteNetlinkMessage::NewLink(link)
    }

    #[test]
    fn what_is_lost_is_told_from_what_is_new() {
        let address = AddressMessage::default;
        let (new, gone) = (RouteNetlinkMessage::NewAddress, RouteNetlinkMessage::DelAddress);
        let runs = LinkFlags::Up | LinkFlags::Running;
        assert!(!tells_of_a_loss(&octets(vec![new(address()), link(runs)])));
        assert!(tells_of_a_loss(&octets(vec![gone(address())])));
        assert!(tells_of_a_loss(&octets(vec![new(address()), link(LinkFlags::Up)])), "no carrier");
        assert!(!tells_of_a_loss(&[]) && !tells_of_a_loss(&[7; 40]));
    }
}
