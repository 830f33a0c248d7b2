//! A stream in memory that gives its octets in pieces and then ends.

use mpuser_proxy::relay::Abort;
use std::cell::OnceCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

/// What is read and what was said.
#[derive(Debug)]
pub(crate) struct Pieces {
    octets: Vec<u8>,
    read: usize,
    /// How the next pieces are cut; 0 not at all.
    cut: u8,
    /// What was written.
    pub(crate) said: Vec<u8>,
}

impl Pieces {
    pub(crate) fn new(octets: &[u8], cut: u8) -> Self {
        Self { octets: octets.to_vec(), read: 0, cut, said: Vec::new() }
    }

    /// What nobody has read.
    pub(crate) fn rest(&self) -> &[u8] {
        self.octets.get(self.read..).unwrap_or_default()
    }
}

/// The length of the next piece: 1 to 32, or all there is.
pub(crate) fn piece(cut: &mut u8) -> usize {
    if *cut == 0 {
        return usize::MAX;
    }
    // through all odd numbers in some order
    *cut = cut.wrapping_mul(5).wrapping_add(2) | 1;
    usize::from(*cut >> 3) + 1
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = piece(&mut self.cut).min(room.remaining());
        let next = self.rest();
        let next = next.get(..most).unwrap_or(next);
        room.put_slice(next);
        let len = next.len();
        self.read += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.said.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Abort for Pieces {
    fn abort(self) {}
}

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// Runs a conversation to its end; nothing in it waits, so no time passes.
pub(crate) fn done<F: Future>(conversation: F) -> F::Output {
    RUNTIME.with(|cell| {
        let runtime = cell.get_or_init(|| {
            let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
            built.unwrap_or_else(|error| panic!("no runtime: {error}"))
        });
        runtime.block_on(conversation)
    })
}
