//! Two streams joined: what one says, the other hears, to the end of each direction.
//!
//! One task serves both directions with one bounded buffer each: a slow reader slows its writer down. The end of one
//! direction is passed on as a half close and leaves the other one running.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use mpuser_tun::MptcpStream;

/// Bytes each direction holds at most.
const BUFFER: usize = 64 * 1024;
/// How long what comes too late is read, so that its sender hears the answer before the reset.
const LINGER: Duration = Duration::from_secs(1);

/// What a relay may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// End after this long without a byte either way. Default: never.
    pub idle: Option<Duration>,
}

/// Bytes a relay has passed on so far; to be read while it runs.
#[derive(Debug, Default)]
pub struct Moved {
    up: AtomicU64,
    down: AtomicU64,
}

impl Moved {
    /// Bytes of the near stream written to the far one.
    #[must_use]
    pub fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Bytes of the far stream written to the near one.
    #[must_use]
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }
}

/// One of the two streams of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first one: whoever came to us.
    Near,
    /// The second one: whom we went to.
    Far,
}

impl Side {
    /// A word for reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Near => "client",
            Self::Far => "server",
        }
    }
}

/// How a relay ended.
#[derive(Debug)]
pub enum End {
    /// Both directions came to their end, and both were told.
    Finished,
    /// Nothing moved for as long as was allowed.
    Idle,
    /// One of the streams failed. What it had said before was passed on.
    Lost(Side, io::Error),
    /// Whoever runs the relay ended it.
    Stopped,
}

/// A stream that can be ended at once, so that its peer knows that something is missing.
pub trait Abort {
    /// Ends the connection with a reset; what was not delivered is lost.
    fn abort(self);
}

impl Abort for MptcpStream {
    fn abort(self) {
        Self::abort(&self);
    }
}

impl Abort for TcpStream {
    fn abort(self) {
        // without it the peer would take what it has for everything there was
        let _ = self.set_zero_linger();
    }
}

/// Moves bytes both ways until both directions are done, one stream fails, nothing moves for too long, or `stop`. The far
/// stream hears `head` first, which was read from the near one before. The streams are closed in order, or aborted if it
/// did not end well.
pub async fn join<N, F>(
    mut near: N,
    mut far: F,
    head: Vec<u8>,
    limits: Limits,
    moved: &Moved,
    stop: impl Future<Output = ()>,
) -> End
where
    N: AsyncRead + AsyncWrite + Abort + Unpin,
    F: AsyncRead + AsyncWrite + Abort + Unpin,
{
    let end = tokio::select! {
        end = relay(&mut near, &mut far, head, limits, moved) => end,
        () = stop => End::Stopped,
    };
    if !matches!(end, End::Finished) {
        near.abort();
        far.abort();
    }
    end
}

/// Reads and forgets what a stream still says, until its end or for a moment: a reset, which is what unread bytes make of
/// a close, would overtake the last words it is to hear.
pub async fn linger<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut nothing = [0; 4_096];
    let reading = async { while stream.read(&mut nothing).await.is_ok_and(|length| length > 0) {} };
    let _ = tokio::time::timeout(LINGER, reading).await;
}

/// As [`join`], with streams that stay the caller's. After anything but [`End::Finished`] they should be aborted.
///
/// When one stream no longer takes bytes, what it still says is passed on until it ends: a server that refuses a request
/// answers, closes, and resets what comes late. So that the answer survives, what comes late is read and forgotten for a
/// moment.
pub async fn relay<N, F>(
    near: &mut N,
    far: &mut F,
    head: Vec<u8>,
    limits: Limits,
    moved: &Moved,
) -> End
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new(head);
    let mut down = Direction::new(Vec::new());
    let mut patience = pin!(tokio::time::sleep(LINGER));
    let mut waiting = false;
    let both = poll_fn(|cx| {
        let first = up.poll(cx, Pin::new(near), Pin::new(far), &moved.up);
        let second = down.poll(cx, Pin::new(far), Pin::new(near), &moved.down);
        // who cannot be read will not say the rest, and takes nothing more either
        if let Poll::Ready(Err(Stop::Read(error))) = first {
            return Poll::Ready(End::Lost(Side::Near, error));
        }
        if let Poll::Ready(Err(Stop::Read(error))) = second {
            return Poll::Ready(End::Lost(Side::Far, error));
        }
        if first.is_ready() && second.is_ready() {
            return Poll::Ready(end(&up, &down));
        }
        let late = (up.refused.is_some() && second.is_ready())
            || (down.refused.is_some() && first.is_ready());
        if late && !waiting {
            waiting = true;
            patience.as_mut().reset(Instant::now() + LINGER);
        }
        match waiting && patience.as_mut().poll(cx).is_ready() {
            true => Poll::Ready(end(&up, &down)),
            false => Poll::Pending,
        }
    });
    tokio::select! {
        end = both => end,
        () = silence(limits.idle, moved) => End::Idle,
    }
}

/// How it ended, once there is nothing left to be read.
fn end(up: &Direction, down: &Direction) -> End {
    match (up.refused, down.refused) {
        (Some(kind), _) => End::Lost(Side::Far, kind.into()),
        (_, Some(kind)) => End::Lost(Side::Near, kind.into()),
        (None, None) => End::Finished,
    }
}

/// Ends when nothing has moved for `limit`; never without one.
async fn silence(limit: Option<Duration>, moved: &Moved) {
    let Some(limit) = limit else { return std::future::pending().await };
    let mut seen = (moved.up(), moved.down());
    let mut since = Instant::now();
    // looked at four times within the limit: a quarter late at most
    let mut ticks = tokio::time::interval((limit / 4).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        let now = (moved.up(), moved.down());
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= limit {
            return;
        }
    }
}

/// Why a direction ended before its end.
enum Stop {
    Read(io::Error),
    Refused,
}

/// What a direction does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Read,
    Write,
    /// Nothing may wait in a writer's own buffer while this end waits for more.
    Flush,
    /// The reader has said its last byte.
    Shut,
    Done,
    /// The writer takes nothing more: read and forget.
    Discard,
}

/// One direction and what is under way in it.
#[derive(Debug)]
struct Direction {
    buffer: Box<[u8]>,
    /// What of the buffer is to be written.
    from: usize,
    to: usize,
    step: Step,
    /// Why the writer takes nothing more.
    refused: Option<io::ErrorKind>,
}

impl Direction {
    /// With bytes to be written first.
    fn new(head: Vec<u8>) -> Self {
        let (to, step) = (head.len(), if head.is_empty() { Step::Read } else { Step::Write });
        let mut buffer = head;
        buffer.resize(to.max(BUFFER), 0);
        Self { buffer: buffer.into_boxed_slice(), from: 0, to, step, refused: None }
    }

    /// Moves what can be moved; ready when nothing more will come.
    fn poll<R: AsyncRead, W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
        count: &AtomicU64,
    ) -> Poll<Result<(), Stop>> {
        loop {
            let outcome = match self.step {
                Step::Done if self.refused.is_some() => return Poll::Ready(Err(Stop::Refused)),
                Step::Done => return Poll::Ready(Ok(())),
                Step::Read | Step::Discard => ready!(self.read(cx, reader.as_mut())).map(Ok)?,
                Step::Write => ready!(self.write(cx, writer.as_mut(), count)),
                Step::Flush => ready!(writer.as_mut().poll_flush(cx)).map(|()| Step::Read),
                Step::Shut => ready!(writer.as_mut().poll_shutdown(cx)).map(|()| Step::Done),
            };
            self.step = outcome.unwrap_or_else(|error| self.refuse(&error));
        }
    }

    /// The writer failed. One that is gone after everything was said and its own end was read has missed nothing.
    fn refuse(&mut self, error: &io::Error) -> Step {
        if self.step == Step::Shut && error.kind() == io::ErrorKind::NotConnected {
            return Step::Done;
        }
        self.refused = Some(error.kind());
        if self.step == Step::Shut { Step::Done } else { Step::Discard }
    }

    fn read<R: AsyncRead>(
        &mut self,
        cx: &mut Context<'_>,
        reader: Pin<&mut R>,
    ) -> Poll<Result<Step, Stop>> {
        let mut space = ReadBuf::new(&mut self.buffer);
        let outcome = ready!(reader.poll_read(cx, &mut space));
        let length = space.filled().len();
        Poll::Ready(match outcome {
            Ok(()) if self.refused.is_some() => {
                Ok(if length == 0 { Step::Done } else { Step::Discard })
            }
            // its peer is gone already, that is the reason
            Err(_) if self.refused.is_some() => Ok(Step::Done),
            Ok(()) if length == 0 => Ok(Step::Shut),
            Ok(()) => {
                (self.from, self.to) = (0, length);
                Ok(Step::Write)
            }
            Err(error) => Err(Stop::Read(error)),
        })
    }

    fn write<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        writer: Pin<&mut W>,
        count: &AtomicU64,
    ) -> Poll<io::Result<Step>> {
        let rest = self.buffer.get(self.from..self.to).unwrap_or_default();
        let taken = ready!(writer.poll_write(cx, rest))?;
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.from = self.to.min(self.from + taken);
        count.fetch_add(taken as u64, Ordering::Relaxed);
        Poll::Ready(Ok(if self.from < self.to { Step::Write } else { Step::Flush }))
    }
}

#[cfg(test)]
mod tests;
