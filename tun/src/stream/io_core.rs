//! The operations of a stream, by shared reference: both halves of a split stream use them.

use crate::error::Error;
use crate::stack::{Conn, Handle, Inner, Phase};
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
        let budget = ready!(coop::poll_proceed(cx));
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let outcome =
            self.handle.with(|inner, now| match self.read(inner, now, buf.initialize_unfilled()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if let Some(conn) = inner.conns.get_mut(&self.id) {
                        conn.readers.set_poller(cx, &mut inner.deferred);
                    }
                    Poll::Pending
                }
                outcome => Poll::Ready(outcome),
            });
        let count = ready!(outcome)?;
        buf.advance(count);
        budget.made_progress();
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let budget = ready!(coop::poll_proceed(cx));
        let outcome = self.handle.with(|inner, now| match self.write(inner, now, slices) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Some(conn) = inner.conns.get_mut(&self.id) {
                    conn.writers.set_poller(cx, &mut inner.deferred);
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

    pub(crate) fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.handle.with(|inner, now| self.write(inner, now, &[IoSlice::new(data)]))
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
            let (ready, waiters) = match side {
                Side::Read => (conn.readable, &mut conn.readers),
                Side::Write => (conn.writable, &mut conn.writers),
            };
            if ready {
                return Poll::Ready(Ok(()));
            }
            if inner.stopped {
                return Poll::Ready(Err(Error::StackDown.into()));
            }
            waiters.add(cx, &mut inner.deferred);
            Poll::Pending
        })
    }

    fn read(&self, inner: &mut Inner, now: Instant, buf: &mut [u8]) -> io::Result<usize> {
        match inner.endpoint.read(now, self.id, buf) {
            Ok(count) => Ok(count),
            Err(ReadError::WouldBlock) => Err(self.blocked(inner, Side::Read)),
            Err(ReadError::Closed(error)) => Err(Error::from(error).into()),
            // Forgotten by the engine: everything there was to read has been read.
            Err(ReadError::NotFound) => match inner.conns.get(&self.id).map(|conn| conn.phase) {
                Some(Phase::Closed(None)) => Ok(0),
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
                Err(WriteError::WouldBlock) => return Err(self.blocked(inner, Side::Write)),
                Err(WriteError::Shutdown) => return Err(Error::WriteShutdown.into()),
                Err(WriteError::Closed(error)) => return Err(Error::from(error).into()),
                Err(WriteError::NotFound) => {
                    return Err(match inner.conns.get(&self.id).map(|conn| conn.phase) {
                        Some(Phase::Closed(None)) => ErrorKind::BrokenPipe.into(),
                        phase => gone(phase),
                    });
                }
            }
        }
        Ok(taken)
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
