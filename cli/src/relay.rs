//! Between the user's streams and the peer: netcat's loop, with half closes and limits.

use crate::error::Code;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

const CHUNK: usize = 64 * 1024;

/// What the relay is to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// Do not read the input.
    pub(crate) recv_only: bool,
    /// The end of the input is the end of it all.
    pub(crate) send_only: bool,
    /// Do not write the output: it is not wanted, or a capture goes there.
    pub(crate) mute: bool,
    /// End after this long without a byte.
    pub(crate) idle: Option<Duration>,
    /// The input is a person at a terminal: the peer's end ends it.
    pub(crate) interactive: bool,
}

/// How a relay ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both directions came to their end.
    Finished,
    /// Whoever reads the output is gone.
    OutputClosed,
    /// Nothing moved for as long as was asked.
    Idle,
    /// A signal ended it; the connection was closed in order.
    Closed(Code),
    /// A second signal: the connection is to be aborted.
    Abort(Code),
    /// The connection failed.
    Lost(io::Error),
    /// The user's own streams failed.
    Local(&'static str, io::Error),
}

/// The four streams.
pub(crate) struct Ends<R, W, I, O> {
    /// From the peer.
    pub(crate) reader: R,
    /// To the peer.
    pub(crate) writer: W,
    /// The user's input.
    pub(crate) input: I,
    /// The user's output.
    pub(crate) output: O,
}

/// Moves bytes until both directions are done. `stop` yields [`Code::Interrupted`] or [`Code::Terminated`] for
/// each signal: the first ends the input, the second asks for an abort.
pub(crate) async fn relay<R, W, I, O>(
    ends: Ends<&mut R, &mut W, I, O>,
    wishes: Wishes,
    stop: &mut mpsc::Receiver<Code>,
) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    let moved = Activity::new();
    let (closing, closed) = tokio::sync::watch::channel(false);
    let up = outward(ends.writer, ends.input, wishes, closed, &moved);
    let down = inward(ends.reader, ends.output, wishes, &moved);
    tokio::pin!(up, down);
    let (mut up_done, mut down_done) = (false, false);
    let mut signal = None;
    loop {
        if up_done && down_done {
            return signal.map_or(End::Finished, End::Closed);
        }
        tokio::select! {
            // signals first: a fast peer must not starve Ctrl-C
            biased;
            Some(code) = stop.recv() => match signal {
                Some(_) => return End::Abort(code),
                None => {
                    signal = Some(code);
                    let _ = closing.send(true);
                }
            },
            end = &mut down, if !down_done => match end {
                Ok(()) => {
                    down_done = true;
                    // with recv_only nothing was ever to be sent, and a person has seen the end
                    if wishes.interactive || wishes.recv_only {
                        let _ = closing.send(true);
                    }
                }
                Err(end) => return end,
            },
            end = &mut up, if !up_done => match end {
                Ok(()) if wishes.send_only => return signal.map_or(End::Finished, End::Closed),
                Ok(()) => up_done = true,
                Err(end) => return end,
            },
            () = silence(wishes.idle, &moved) => return End::Idle,
        }
    }
}

/// Input to the peer; ends with the half close.
async fn outward<W, I>(
    writer: &mut W,
    mut input: I,
    wishes: Wishes,
    mut closed: tokio::sync::watch::Receiver<bool>,
    moved: &Activity,
) -> Result<(), End>
where
    W: AsyncWrite + Unpin,
    I: AsyncRead + Unpin,
{
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = if wishes.recv_only {
            // nothing to send, but the direction stays open until the peer's end or a signal
            let _ = closed.wait_for(|closed| *closed).await;
            0
        } else {
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => 0,
                read = input.read(&mut buffer) => {
                    read.map_err(|error| End::Local("cannot read standard input", error))?
                }
            }
        };
        if length == 0 {
            break;
        }
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let taken = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => break,
                taken = writer.write(rest) => taken.map_err(End::Lost)?,
            };
            if taken == 0 {
                return Err(End::Lost(io::ErrorKind::WriteZero.into()));
            }
            rest = rest.get(taken..).unwrap_or_default();
            moved.note();
        }
        if !rest.is_empty() {
            break;
        }
    }
    writer.shutdown().await.map_err(End::Lost)
}

/// The peer to output, to its end.
async fn inward<R, O>(
    reader: &mut R,
    mut output: O,
    wishes: Wishes,
    moved: &Activity,
) -> Result<(), End>
where
    R: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
{
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe => End::OutputClosed,
        _ => End::Local("cannot write standard output", error),
    };
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = reader.read(&mut buffer).await.map_err(End::Lost)?;
        if length == 0 {
            return output.flush().await.map_err(failed);
        }
        moved.note();
        if !wishes.mute {
            let data = buffer.get(..length).unwrap_or_default();
            output.write_all(data).await.map_err(failed)?;
            output.flush().await.map_err(failed)?;
        }
    }
}

/// When bytes moved last.
struct Activity {
    start: Instant,
    /// Microseconds since the start.
    last: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }

    fn note(&self) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(micros, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_micros(self.last.load(Ordering::Relaxed))
    }
}

/// Ends when nothing has moved for `limit`; never without one.
async fn silence(limit: Option<Duration>, moved: &Activity) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let due = moved.last() + limit;
        if due <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(due).await;
    }
}

/// What [`reflect`] is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Send the bytes back; else forget them.
    pub(crate) echo: bool,
    /// End after this long without a byte.
    pub(crate) idle: Option<Duration>,
}

/// The peer's bytes back to the peer, or nowhere; to its end, then the half close.
pub(crate) async fn reflect<R, W>(reader: &mut R, writer: &mut W, limits: Limits) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let moved = Activity::new();
    let all = async {
        let mut buffer = vec![0; 4 * CHUNK];
        loop {
            let length = reader.read(&mut buffer).await?;
            if length == 0 {
                return writer.shutdown().await;
            }
            moved.note();
            if limits.echo {
                writer.write_all(buffer.get(..length).unwrap_or_default()).await?;
            }
        }
    };
    tokio::select! {
        outcome = all => outcome.map_or_else(End::Lost, |()| End::Finished),
        () = silence(limits.idle, &moved) => End::Idle,
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
