//! Streams: connections as tokio's users know them.

mod events;
mod io_core;
mod split;

pub use events::Events;
pub(crate) use io_core::Io;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};

use crate::error::Error;
use crate::stack::{Handle, Inner, Phase};
use bytes::Bytes;
use mpuser_engine::addr::{ConnectionId, IpAddr, SocketAddr, SubflowId};
use mpuser_engine::config::Via;
use mpuser_engine::error::FallbackReason;
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A Multipath TCP connection, used like tokio's `TcpStream`. After a fallback it is plain TCP, see
/// [`MptcpStream::is_mptcp`].
///
/// Reading and writing are cancel safe. Dropping closes gracefully in the background and never blocks: what was
/// written is still delivered. `shutdown` (of `AsyncWriteExt`) ends this direction by a DATA_FIN; reading goes on.
#[derive(Debug)]
pub struct MptcpStream {
    io: Arc<Io>,
}

impl MptcpStream {
    /// A stream for a connection of `inner`, which is the one behind `handle`.
    pub(crate) fn new(
        handle: Arc<Handle>,
        inner: &Inner,
        id: ConnectionId,
        remote: Option<SocketAddr>,
    ) -> Self {
        let first = inner.info(id).and_then(|info| info.subflows.first().map(|first| first.tuple));
        let local = first.map(|tuple| tuple.local);
        let remote = remote.or(first.map(|tuple| tuple.remote));
        Self { io: Arc::new(Io { handle, id, local, remote }) }
    }

    /// Waits for the end of the handshake. What a peer did right after it is for the first read or write to say, however
    /// early it was seen: whether this task or the packets were faster makes no difference.
    pub(crate) async fn established(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            self.io.handle.with(|inner, _| {
                let Some(conn) = inner.conns.get_mut(&self.io.id) else {
                    return Poll::Ready(Err(Error::NotConnected.into()));
                };
                match conn.phase {
                    Phase::Closed(Some(error)) if !conn.opened => {
                        Poll::Ready(Err(Error::from(error).into()))
                    }
                    Phase::Connecting if inner.stopped => Poll::Ready(Err(Error::StackDown.into())),
                    Phase::Connecting => {
                        conn.writers.add(cx, &mut inner.deferred);
                        Poll::Pending
                    }
                    _ => Poll::Ready(Ok(())),
                }
            })
        })
        .await
    }

    /// The peer's address as connected to: the one of the first subflow.
    ///
    /// # Errors
    /// `NotConnected` if it was never known.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr()
    }

    /// This end's address: the one of the first subflow.
    ///
    /// # Errors
    /// `NotConnected` if it was never known.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// The connection runs Multipath TCP, not plain TCP.
    #[must_use]
    pub fn is_mptcp(&self) -> bool {
        self.info().is_some_and(|info| info.mptcp)
    }

    /// Why it runs plain TCP, if it does.
    #[must_use]
    pub fn fallback_reason(&self) -> Option<FallbackReason> {
        self.info()?.fallback
    }

    /// All subflows there have been, dead ones included.
    #[must_use]
    pub fn subflows(&self) -> Vec<SubflowInfo> {
        self.info().map_or_else(Vec::new, |info| info.subflows)
    }

    /// The state of the connection; the last one known if it is gone.
    #[must_use]
    pub fn info(&self) -> Option<ConnectionInfo> {
        self.io.handle.with(|inner, _| inner.info(self.io.id))
    }

    /// The engine's number for this connection, as in capture comments.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.io.id
    }

    /// Opens a subflow; [`Event::SubflowEstablished`](mpuser_engine::Event) or `SubflowClosed` tells what became of
    /// it.
    ///
    /// # Errors
    /// [`Error::Subflow`] as source says why not.
    pub fn add_subflow(&self, local: IpAddr, remote: SocketAddr) -> io::Result<SubflowId> {
        self.io.handle.with(|inner, now| {
            let id = self.io.id;
            Ok(inner.endpoint.open_subflow(now, id, local, remote).map_err(Error::from)?)
        })
    }

    /// Closes a subflow; its data moves to the others.
    ///
    /// # Errors
    /// [`Error::Subflow`] as source says why not.
    pub fn remove_subflow(&self, subflow: SubflowId) -> io::Result<()> {
        self.io.handle.with(|inner, now| {
            Ok(inner.endpoint.close_subflow(now, self.io.id, subflow).map_err(Error::from)?)
        })
    }

    /// Leads the connection through another forwarder, too: a subflow goes through it as soon as there can be one, and
    /// when it breaks another is opened after a while.
    ///
    /// # Errors
    /// [`Error::Subflow`] as source says why not.
    pub fn add_via(&self, via: Via) -> io::Result<()> {
        self.io.handle.with(|inner, now| {
            Ok(inner.endpoint.add_via(now, self.io.id, via).map_err(Error::from)?)
        })
    }

    /// Has the subflow through this forwarder come from another address of the stack's: another is opened, and the old one
    /// closes once it is there.
    ///
    /// # Errors
    /// [`Error::Subflow`] as source says why not.
    pub fn relocate_via(&self, remote: SocketAddr, local: IpAddr) -> io::Result<()> {
        self.io.handle.with(|inner, now| {
            let id = self.io.id;
            Ok(inner.endpoint.relocate_via(now, id, remote, local).map_err(Error::from)?)
        })
    }

    /// Leads the connection through this forwarder no longer: its subflow closes, its data moves to the others.
    ///
    /// # Errors
    /// [`Error::Subflow`] as source says why not.
    pub fn remove_via(&self, remote: SocketAddr) -> io::Result<()> {
        self.io.handle.with(|inner, now| {
            Ok(inner.endpoint.remove_via(now, self.io.id, remote).map_err(Error::from)?)
        })
    }

    /// Makes a subflow a backup or a regular one, and tells the peer (MP_PRIO).
    ///
    /// # Errors
    /// [`Error::Subflow`] as source says why not.
    pub fn set_backup(&self, subflow: SubflowId, backup: bool) -> io::Result<()> {
        self.io.handle.with(|inner, now| {
            let id = self.io.id;
            Ok(inner.endpoint.set_backup(now, id, subflow, backup).map_err(Error::from)?)
        })
    }

    /// What happens to the connection, from its beginning on as far as kept (the last 256 events). Every call gives
    /// a receiver of its own.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.io)
    }

    /// Ends the connection at once (RST with MP_FASTCLOSE). What was written may be lost.
    pub fn abort(&self) {
        self.io.handle.with(|inner, now| inner.abort(now, self.io.id));
    }

    /// Waits until [`MptcpStream::try_read`] is worth a try. May return in vain. Cancel safe.
    ///
    /// # Errors
    /// [`Error::StackDown`].
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Reads what is there; `Ok(0)` is the end of the peer's data.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is, or what ended the connection.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.try_read(buf)
    }

    /// Waits until [`MptcpStream::try_write`] is worth a try. May return in vain. Cancel safe.
    ///
    /// # Errors
    /// [`Error::StackDown`].
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, or what ended the connection.
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.io.try_write(data)
    }

    /// Reads what is there without copying it, at most `max` octets of one packet; empty is the end of the peer's data.
    /// Cancel safe. What comes back keeps the packet's memory: keep a copy of what is needed for long.
    ///
    /// # Errors
    /// What ended the connection.
    pub async fn read_chunk(&mut self, max: usize) -> io::Result<Bytes> {
        std::future::poll_fn(|cx| self.io.poll_read_chunk(cx, max)).await
    }

    /// As [`MptcpStream::read_chunk`], of what is there now.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is, or what ended the connection.
    pub fn try_read_chunk(&self, max: usize) -> io::Result<Bytes> {
        self.io.try_read_chunk(max)
    }

    /// Writes what there is room for, of the beginning of `data`, without copying it: `data` is left with the rest, and
    /// the memory of what was taken is used until the peer has acknowledged it. Returns how many octets that were.
    /// Pieces below 4 KiB are copied, as keeping them would cost more. Cancel safe.
    ///
    /// ```no_run
    /// # async fn send(mut stream: mpuser_tun::MptcpStream, file: Vec<u8>) -> std::io::Result<()> {
    /// let mut data = bytes::Bytes::from(file);
    /// while !data.is_empty() {
    ///     stream.write_bytes(&mut data).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What ended the connection, or this direction.
    pub async fn write_bytes(&mut self, data: &mut Bytes) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.io.poll_write_bytes(cx, data)).await
    }

    /// As [`MptcpStream::write_bytes`], what there is room for now.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, or as there.
    pub fn try_write_bytes(&self, data: &mut Bytes) -> io::Result<usize> {
        self.io.try_write_bytes(data)
    }

    /// Two halves that borrow the stream: one task reads and writes at a time, or both in one `join!`.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Two halves for two tasks. Dropping the write half ends this direction; dropping both closes the connection.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let read = Self { io: Arc::clone(&self.io) };
        (OwnedReadHalf::new(read), OwnedWriteHalf::new(self))
    }
}

impl AsyncRead for MptcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io.poll_read(cx, buf)
    }
}

impl AsyncWrite for MptcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was taken is under way already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.shutdown();
        Poll::Ready(Ok(()))
    }
}
