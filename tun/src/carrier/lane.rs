//! One stream: frames that wait to be written, and the task that reads and writes.

use super::Streams;
use super::dial::{DialError, Dialer, PATIENCE, words};
use crate::device::Received;
use crate::stack::Shared;
use bytes::{Bytes, BytesMut};
use mpuser_engine::addr::FourTuple;
use mpuser_engine::tcp::CARRIER_SEGMENT;
use mpuser_engine::wire::frame::{Answer, Decoder, Preface};
use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::timeout;

/// Octets gathered for one write.
const WRITE_BATCH: usize = 64 << 10;
/// Octets asked for in one read.
const READ_BATCH: usize = 64 << 10;
/// How long the last frames may take, and the peer's end of the stream.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Frames that wait. Their number is bounded by the credit the engine has (`mpuser_engine::tcp::CARRIER_CREDIT`).
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<(Vec<u8>, Bytes)>,
    /// Nothing follows: the stream ends when all is written.
    closing: bool,
}

/// What the engine's side holds of a stream.
#[derive(Debug, Default)]
pub(super) struct Lane {
    queue: Mutex<Queue>,
    wake: Notify,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more frame; a RST is the last one.
    pub(super) fn push(&self, head: Vec<u8>, payload: Bytes, last: bool) {
        let mut queue = self.lock();
        queue.frames.push_back((head, payload));
        queue.closing |= last;
        drop(queue);
        self.wake.notify_one();
    }

    /// The subflow is over: what waits is written, then the stream ends.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// Frames for one write, in `batch`, and what they cost. `None`: there are none and will be none.
    fn take(&self, batch: &mut BytesMut) -> Option<u32> {
        let mut queue = self.lock();
        let mut cost = 0;
        while batch.len() < WRITE_BATCH
            && let Some((head, payload)) = queue.frames.pop_front()
        {
            batch.extend_from_slice(&head);
            batch.extend_from_slice(&payload);
            cost += CARRIER_SEGMENT + u32::try_from(payload.len()).unwrap_or(u32::MAX);
        }
        (cost > 0 || !queue.closing).then_some(cost)
    }
}

/// A stream under way, at either end.
pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    pub(super) streams: Arc<Streams>,
    pub(super) tuple: FourTuple,
    pub(super) lane: Arc<Lane>,
    /// A place among those that have not proved themselves.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Run {
    /// From the dial to the end.
    pub(super) async fn connect(mut self, dialer: Dialer) {
        let outcome = match dialer.dial().await {
            Err(error) => Err(error),
            Ok((mut stream, early)) => {
                let preface = Preface { answer: Answer::Welcome, port: dialer.wanted }.emit();
                let mut decoder = Decoder::default();
                decoder.buffer().extend_from_slice(&early);
                match stream.write_all(&preface).await {
                    Ok(()) => self.serve(stream, decoder, true).await,
                    Err(error) => Err(broken(&error)),
                }
            }
        };
        self.end(outcome);
    }

    /// After both prefaces, to the end.
    pub(super) async fn accepted(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        decoder: Decoder,
    ) {
        let outcome = self.serve(stream, decoder, false).await;
        self.end(outcome);
    }

    fn end(&self, outcome: Result<(), DialError>) {
        self.streams.forget(&self.tuple, &self.lane);
        self.shared.with(|inner, now| {
            inner.carrier_ended(now, &self.streams, &self.tuple, outcome.err().as_ref());
        });
    }

    /// Reads and writes until the stream or the subflow ends.
    async fn serve(
        &mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        decoder: Decoder,
        client: bool,
    ) -> Result<(), DialError> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let place = self.place.take();
        let mut write = pin!(self.write(&mut writer));
        tokio::select! {
            outcome = self.read(&mut reader, decoder, client, place) => {
                if outcome.is_ok() {
                    // what the engine had to say to the last frame
                    self.lane.close();
                    let _ = timeout(LAST_WORDS, &mut write).await;
                }
                outcome
            }
            outcome = &mut write => {
                outcome.map_err(|error| broken(&error))?;
                let _ = timeout(LAST_WORDS, drain(&mut reader)).await;
                Ok(())
            }
        }
    }

    async fn write(&self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut batch = BytesMut::new();
        while let Some(cost) = self.lane.take(&mut batch) {
            if cost == 0 {
                self.lane.wake.notified().await;
                continue;
            }
            writer.write_all(&batch).await?;
            batch.clear();
            self.shared.with(|inner, now| inner.endpoint.grant(now, &self.tuple, cost));
        }
        writer.shutdown().await
    }

    async fn read(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        mut decoder: Decoder,
        client: bool,
        mut place: Option<OwnedSemaphorePermit>,
    ) -> Result<(), DialError> {
        let mut greeted = !client;
        // a client has its answer with the first frame; a server is sure of a client with the second
        let mut unproved = if client { 1_u32 } else { 2 };
        let mut packets = Vec::new();
        loop {
            let (mut over, first) = (false, unproved > 0);
            if !greeted {
                greeted = welcome(&mut decoder)?;
            }
            if greeted {
                while let Some(frame) = decoder.frame().map_err(|error| lied(&error))? {
                    over |= frame.header.flags.rst;
                    unproved = unproved.saturating_sub(1);
                    packets.extend(frame.packet(&self.tuple));
                }
            }
            let refusal = (over && first && client).then(refused);
            if let Some(refusal) = &refusal {
                // before the engine's word for it reaches anybody
                self.shared.with(|inner, _| inner.trouble(&self.streams, refusal));
            }
            self.deliver(&mut packets);
            if unproved == 0 {
                drop(place.take());
            }
            if over {
                return refusal.map_or(Ok(()), Err);
            }
            let room = decoder.buffer();
            room.reserve(READ_BATCH);
            let read = reader.read_buf(room);
            let read = if unproved > 0 {
                timeout(PATIENCE, read).await.map_err(|_| silent())?
            } else {
                read.await
            };
            if read.map_err(|error| broken(&error))? == 0 {
                return if unproved > 0 { Err(ended_early(client)) } else { Ok(()) };
            }
        }
    }

    fn deliver(&self, packets: &mut Vec<Bytes>) {
        if packets.is_empty() {
            return;
        }
        let interface = self.streams.interface;
        self.shared.with(|inner, now| {
            for packet in packets.drain(..) {
                inner.count_received(interface, packet.len());
                inner.receive(now, interface, Received::plain(packet));
            }
        });
    }
}

/// The server's preface: true once it is there.
fn welcome(decoder: &mut Decoder) -> Result<bool, DialError> {
    match decoder.preface().map_err(|error| lied(&error))? {
        None => Ok(false),
        Some(Preface { answer: Answer::Welcome, .. }) => Ok(true),
        Some(Preface { answer: Answer::Busy, .. }) => Err(DialError::new(
            "the server has too many streams that have not proved themselves",
            "it is tried again",
        )),
    }
}

/// Until the peer has ended, too: its kernel would take a close with octets unread for a failure.
async fn drain(reader: &mut (impl AsyncRead + Unpin)) {
    let mut waste = [0; 4096];
    while reader.read(&mut waste).await.is_ok_and(|read| read > 0) {}
}

pub(super) fn lied(error: &mpuser_engine::wire::frame::FrameError) -> DialError {
    let help = "the proxy has to lead to the port of `mpuser listen --stream PORT`";
    DialError::new(error.to_string(), help)
}

pub(super) fn broken(error: &io::Error) -> DialError {
    DialError::new(format!("the stream broke: {}", words(error)), "it is tried again")
}

fn refused() -> DialError {
    let help = "check the port of `mpuser listen`, and whether it still has the connection";
    DialError::new("the server answered with a RST", help)
}

fn silent() -> DialError {
    DialError::new(
        "nothing comes out of it within 10 s",
        "check that it leads to the port of `mpuser listen --stream PORT`",
    )
}

fn ended_early(client: bool) -> DialError {
    let cause = if client {
        "it was closed before the server said anything"
    } else {
        "it was closed before the client had proved itself"
    };
    DialError::new(cause, "check that it leads to the port of `mpuser listen --stream PORT`")
}
