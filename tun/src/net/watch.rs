//! Changes of interfaces, addresses and routes, as the kernel tells them (rtnetlink).
//!
//! A change is a reason to look, not news in itself: whoever waits compares what there is with what there was. So
//! nothing is lost when the kernel had more to tell than the socket could hold.

use super::error::{NetError, Result};
use bytes::BytesMut;
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

    /// Waits until something has changed and is quiet again. Cancel safe.
    pub async fn changed(&mut self) {
        self.message().await;
        for _ in 0..MOST_SETTLES {
            if timeout(SETTLE, self.message()).await.is_err() {
                return;
            }
        }
    }

    async fn message(&mut self) {
        self.buffer.clear();
        self.buffer.reserve(MESSAGE);
        if self.socket.recv(&mut self.buffer).await.is_err() {
            // ENOBUFS: more happened than fits, which is a change, too; anything else must not keep a core busy
            tokio::time::sleep(SETTLE).await;
        }
    }
}
