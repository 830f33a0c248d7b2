//! The operations of a stream, by shared reference: both halves of a split stream use them.

use crate::error::Error;
use crate::stack::{Conn, Handle, Inner, Phase, Waiters};
use bytes::{Buf as _, Bytes};
use mpuser_engine::addr::{ConnectionId, SocketAddr};
use mpuser_engine::error::{ReadError, WriteError};
use mpuser_engine::time::Instant;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
use tokio::task::coop;

/// A connection in the hands of the application. Dropping it closes the connection in the background.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) handle: Arc<Handle>,
    pub(crate) id: ConnectionId,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
}

impl Drop for Io {
    fn drop(&mut self) {
        self.handle.with(|inner, now| inner.disown(now, self.id));
    }
}

/// Which readiness is meant.
#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

impl Side {
    const fn waiters(self, conn: &mut Conn) -> &mut Waiters {
        match self {
            Self::Read => &mut conn.readers,
            Self::Write => &mut conn.writers,
        }
    }
}

impl Io {
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.remote.ok_or_else(|| Error::NotConnected.into())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local.ok_or_else(|| Error::NotConnected.into())
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let read = |inner: &mut Inner, now| self.read(inner, now, buf.initialize_unfilled());
        let count = ready!(self.poll(cx, Side::Read, read))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read_chunk(
        &self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<io::Result<Bytes>> {
        self.poll(cx, Side::Read, |inner, now| self.read_chunk(inner, now, max))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, Side::Write, |inner, now| self.write(inner, now, slices))
    }

    pub(crate) fn poll_write_bytes(
        &self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, Side::Write, |inner, now| self.write_bytes(inner, now, data))
    }

    /// Does `work`, or has the task woken when it is worth another try.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        side: Side,
        work: impl FnOnce(&mut Inner, Instant) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let budget = ready!(coop::poll_proceed(cx));
        let outcome = self.handle.with(|inner, now| match work(inner, now) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Some(conn) = inner.conns.get_mut(&self.id) {
                    side.waiters(conn).set_poller(cx, &mut inner.deferred);
                }
                Poll::Pending
            }
            outcome => Poll::Ready(outcome),
        });
        let outcome = ready!(outcome);
        budget.made_progress();
        Poll::Ready(outcome)
    }

    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.handle.with(|inner, now| self.read(inner, now, buf))
    }

    pub(crate) fn try_read_chunk(&self, max: usize) -> io::Result<Bytes> {
        self.handle.with(|inner, now| self.read_chunk(inner, now, max))
    }

    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.handle.with(|inner, now| self.write(inner, now, &[IoSlice::new(data)]))
    }

    pub(crate) fn try_write_bytes(&self, data: &mut Bytes) -> io::Result<usize> {
        self.handle.with(|inner, now| self.write_bytes(inner, now, data))
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_ready(cx, Side::Read)).await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_ready(cx, Side::Write)).await
    }

    pub(crate) fn shutdown(&self) {
        self.handle.with(|inner, now| inner.endpoint.shutdown(now, self.id));
    }

    fn poll_ready(&self, cx: &Context<'_>, side: Side) -> Poll<io::Result<()>> {
        self.handle.with(|inner, _| {
            let Some(conn) = inner.conns.get_mut(&self.id) else { return Poll::Ready(Ok(())) };
            let ready = match side {
                Side::Read => conn.readable,
                Side::Write => conn.writable,
            };
            if ready {
                return Poll::Ready(Ok(()));
            }
            if inner.stopped {
                return Poll::Ready(Err(Error::StackDown.into()));
            }
            side.waiters(conn).add(cx, &mut inner.deferred);
            Poll::Pending
        })
    }

    fn read(&self, inner: &mut Inner, now: Instant, buf: &mut [u8]) -> io::Result<usize> {
        let outcome = inner.endpoint.read(now, self.id, buf);
        outcome.or_else(|error| self.unread(inner, error))
    }

    fn read_chunk(&self, inner: &mut Inner, now: Instant, max: usize) -> io::Result<Bytes> {
        if max == 0 {
            return Ok(Bytes::new());
        }
        let outcome = inner.endpoint.read_chunk(now, self.id, max);
        outcome.or_else(|error| self.unread(inner, error))
    }

    /// What a read without octets comes to.
    fn unread<R: Default>(&self, inner: &mut Inner, error: ReadError) -> io::Result<R> {
        match error {
            ReadError::WouldBlock => Err(self.blocked(inner, Side::Read)),
            ReadError::Closed(error) => Err(Error::from(error).into()),
            // Forgotten by the engine: everything there was to read has been read.
            ReadError::NotFound => match inner.conns.get(&self.id).map(|conn| conn.phase) {
                Some(Phase::Closed(None)) => Ok(R::default()),
                phase => Err(gone(phase)),
            },
        }
    }

    fn write(&self, inner: &mut Inner, now: Instant, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        for data in slices.iter().filter(|data| !data.is_empty()) {
            match inner.endpoint.write(now, self.id, data) {
                Ok(count) => {
                    taken += count;
                    if count < data.len() {
                        break;
                    }
                }
                // Reported by the next write, if it lasts.
                Err(_) if taken > 0 => break,
                Err(error) => return Err(self.unwritten(inner, error)),
            }
        }
        Ok(taken)
    }

    fn write_bytes(&self, inner: &mut Inner, now: Instant, data: &mut Bytes) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        let outcome = inner.endpoint.write_bytes(now, self.id, data);
        let taken = outcome.map_err(|error| self.unwritten(inner, error))?;
        data.advance(taken);
        Ok(taken)
    }

    /// What a write that took nothing comes to.
    fn unwritten(&self, inner: &mut Inner, error: WriteError) -> io::Error {
        match error {
            WriteError::WouldBlock => self.blocked(inner, Side::Write),
            WriteError::Shutdown => Error::WriteShutdown.into(),
            WriteError::Closed(error) => Error::from(error).into(),
            WriteError::NotFound => match inner.conns.get(&self.id).map(|conn| conn.phase) {
                Some(Phase::Closed(None)) => ErrorKind::BrokenPipe.into(),
                phase => gone(phase),
            },
        }
    }

    /// Notes that the engine has to announce readiness first.
    fn blocked(&self, inner: &mut Inner, side: Side) -> io::Error {
        if inner.stopped {
            return Error::StackDown.into();
        }
        if let Some(conn) = inner.conns.get_mut(&self.id) {
            let Conn { readable, writable, .. } = conn;
            match side {
                Side::Read => *readable = false,
                Side::Write => *writable = false,
            }
        }
        ErrorKind::WouldBlock.into()
    }
}

fn gone(phase: Option<Phase>) -> io::Error {
    match phase {
        Some(Phase::Closed(Some(error))) => Error::from(error).into(),
        _ => Error::NotConnected.into(),
    }
}
