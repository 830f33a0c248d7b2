//! Listeners: connections coming in, as tokio's users know them.

use crate::error::Error;
use crate::stack::{Handle, Stack, Waiters};
use crate::stream::MptcpStream;
use mpuser_engine::addr::{ListenerId, SocketAddr};
use mpuser_engine::config::ConnectionConfig;
use mpuser_engine::error::ListenError;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::ToSocketAddrs;

/// Connections waiting for `accept` unless said otherwise; as std's listeners have it on Linux.
const DEFAULT_BACKLOG: usize = 128;
/// Ports tried for "any port": the range connections draw from is left alone.
const ANY_PORT: std::ops::Range<u16> = 20_000..32_768;

/// Takes in Multipath TCP and plain TCP connections, used like tokio's `TcpListener`.
#[derive(Debug)]
pub struct MptcpListener {
    handle: Arc<Handle>,
    id: ListenerId,
    local: SocketAddr,
}

impl MptcpListener {
    /// Listens on an address of the stack; an unspecified one means all of them, port 0 a free one.
    ///
    /// # Errors
    /// `AddrInUse`, or what a name look-up says.
    pub async fn bind(stack: &Stack, local: impl ToSocketAddrs) -> io::Result<Self> {
        let config = stack.handle.connection().clone();
        Self::bind_with(stack, local, config, DEFAULT_BACKLOG).await
    }

    /// As [`MptcpListener::bind`], with settings for its connections and the number of them that may wait for
    /// [`MptcpListener::accept`].
    ///
    /// # Errors
    /// As there.
    pub async fn bind_with(
        stack: &Stack,
        local: impl ToSocketAddrs,
        config: ConnectionConfig,
        backlog: usize,
    ) -> io::Result<Self> {
        let mut last: io::Error = Error::from(ListenError::InvalidPort).into();
        for local in tokio::net::lookup_host(local).await? {
            match Self::bind_one(stack, local, &config, backlog) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    fn bind_one(
        stack: &Stack,
        mut local: SocketAddr,
        config: &ConnectionConfig,
        backlog: usize,
    ) -> Result<Self, Error> {
        stack.handle.with(|inner, now| {
            if inner.stopped {
                return Err(Error::StackDown);
            }
            let ports = match local.port() {
                0 => ANY_PORT,
                port => port..port.saturating_add(1),
            };
            let mut outcome = Err(ListenError::InvalidPort);
            // 65 535 is not in a half-open range of u16.
            for port in ports.chain((local.port() == u16::MAX).then_some(u16::MAX)) {
                local.set_port(port);
                outcome = inner.endpoint.listen(config.clone(), local, backlog);
                if outcome != Err(ListenError::AddressInUse) {
                    break;
                }
            }
            let id = outcome?;
            inner.feed.listener(now, true, local);
            inner.acceptors.insert(id, Waiters::default());
            Ok(Self { handle: Arc::clone(&stack.handle), id, local })
        })
    }

    /// The next connection and its peer's address. Plain TCP clients come here too; see
    /// [`MptcpStream::is_mptcp`]. Cancel safe.
    ///
    /// # Errors
    /// [`Error::StackDown`].
    pub async fn accept(&self) -> io::Result<(MptcpStream, SocketAddr)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`MptcpListener::accept`], to be polled. Every task that polls is woken, not only the last.
    pub fn poll_accept(&self, cx: &Context<'_>) -> Poll<io::Result<(MptcpStream, SocketAddr)>> {
        loop {
            let stream = self.handle.with(|inner, _| {
                if let Some(id) = inner.endpoint.accept(self.id) {
                    inner.adopt(id);
                    let handle = Arc::clone(&self.handle);
                    return Poll::Ready(Ok(MptcpStream::new(handle, inner, id, None)));
                }
                if inner.stopped {
                    return Poll::Ready(Err(io::Error::from(Error::StackDown)));
                }
                if let Some(waiters) = inner.acceptors.get_mut(&self.id) {
                    waiters.add(cx, &mut inner.deferred);
                }
                Poll::Pending
            });
            let stream = std::task::ready!(stream)?;
            // One that is gone without a trace is of no use to anybody; dropping it takes the lock, so not above.
            if let Ok(peer) = stream.peer_addr() {
                return Poll::Ready(Ok((stream, peer)));
            }
        }
    }

    /// The address listened on.
    ///
    /// # Errors
    /// None today; the signature is tokio's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Drop for MptcpListener {
    fn drop(&mut self) {
        self.handle.with(|inner, now| {
            inner.endpoint.unlisten(now, self.id);
            inner.feed.listener(now, false, self.local);
            if let Some(mut waiters) = inner.acceptors.remove(&self.id) {
                waiters.wake(&mut inner.deferred);
            }
            inner.sweep();
        });
    }
}
