//! Halves of a stream: borrowed for one task, owned for two.

use super::MptcpStream;
use bytes::Bytes;
use mpuser_engine::addr::SocketAddr;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read half of [`MptcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a MptcpStream);

/// Write half of [`MptcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a MptcpStream);

/// Read half of [`MptcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf {
    stream: MptcpStream,
}

/// Write half of [`MptcpStream::into_split`]. Dropping it ends this direction (DATA_FIN), as tokio's does.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: MptcpStream,
    shutdown_on_drop: bool,
}

/// The halves given to [`OwnedReadHalf::reunite`] are not of one stream. Gives them back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not of the same stream")
    }
}

impl std::error::Error for ReuniteError {}

macro_rules! shared {
    ($type:ty, $stream:tt) => {
        impl $type {
            /// As [`MptcpStream::peer_addr`].
            ///
            /// # Errors
            /// As there.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.$stream.peer_addr()
            }

            /// As [`MptcpStream::local_addr`].
            ///
            /// # Errors
            /// As there.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.$stream.local_addr()
            }
        }
        impl AsRef<MptcpStream> for $type {
            fn as_ref(&self) -> &MptcpStream {
                &self.$stream
            }
        }
    };
}

macro_rules! reader {
    ($type:ty, $stream:tt) => {
        shared!($type, $stream);
        impl $type {
            /// As [`MptcpStream::read_chunk`].
            ///
            /// # Errors
            /// As there.
            pub async fn read_chunk(&mut self, max: usize) -> io::Result<Bytes> {
                std::future::poll_fn(|cx| self.$stream.io.poll_read_chunk(cx, max)).await
            }
        }
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.$stream.io.poll_read(cx, buf)
            }
        }
    };
}

macro_rules! writer {
    ($type:ty, $stream:tt) => {
        shared!($type, $stream);
        impl $type {
            /// As [`MptcpStream::write_bytes`].
            ///
            /// # Errors
            /// As there.
            pub async fn write_bytes(&mut self, data: &mut Bytes) -> io::Result<usize> {
                std::future::poll_fn(|cx| self.$stream.io.poll_write_bytes(cx, data)).await
            }
        }
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                data: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.$stream.io.poll_write(cx, &[IoSlice::new(data)])
            }
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.$stream.io.poll_write(cx, slices)
            }
            fn is_write_vectored(&self) -> bool {
                true
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.$stream.io.shutdown();
                Poll::Ready(Ok(()))
            }
        }
    };
}

reader!(ReadHalf<'_>, 0);
writer!(WriteHalf<'_>, 0);
reader!(OwnedReadHalf, stream);
writer!(OwnedWriteHalf, stream);

impl OwnedReadHalf {
    pub(super) const fn new(stream: MptcpStream) -> Self {
        Self { stream }
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// The halves are of two streams; they come back.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<MptcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.stream.io, &write.stream.io) {
            return Err(ReuniteError(self, write));
        }
        write.forget();
        Ok(self.stream)
    }
}

impl OwnedWriteHalf {
    pub(super) const fn new(stream: MptcpStream) -> Self {
        Self { stream, shutdown_on_drop: true }
    }

    /// Drops this half without ending the direction.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            self.stream.io.shutdown();
        }
    }
}
