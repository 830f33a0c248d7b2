//! The application at one end of a connection. It acts only when an event has told it to, as one that sleeps would.

use crate::world::{Side, World};
use bytes::Bytes;
use mpuser_engine::Event;
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::error::{ConnectionError, ReadError, WriteError};
use std::sync::LazyLock;

/// Longest stream.
pub(super) const STREAM_MAX: usize = 160_000;
/// From the beginning of one stream to that of the next.
const STRIDE: usize = 37_123;

static OCTETS: LazyLock<Bytes> =
    LazyLock::new(|| crate::world::pattern(7, STREAM_MAX + 16 * STRIDE).into());

/// What one side of a connection has to say.
pub(super) fn stream(connection: usize, side: Side) -> Bytes {
    let start = (connection % 8 * 2 + side as usize) * STRIDE;
    OCTETS.slice(start..start + STREAM_MAX)
}

/// How strictly what is read has to be what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Every octet.
    Strict,
    /// Something on the way rewrites payload, and nothing in the protocol can see it.
    None,
}

/// One end's application.
#[derive(Debug)]
pub(super) struct App {
    pub(super) connection: usize,
    pub(super) side: Side,
    /// Not before the connection is accepted.
    pub(super) id: Option<ConnectionId>,
    outgoing: Bytes,
    /// How much of it is to be written.
    pub(super) size: usize,
    pub(super) eager: bool,
    pub(super) prompt: bool,
    pub(super) written: usize,
    pub(super) read: usize,
    pub(super) shut: bool,
    /// The peer's end was read.
    pub(super) ended: bool,
    pub(super) failed: Option<ConnectionError>,
    /// It let go of the connection.
    pub(super) closed: bool,
    /// Something was done on purpose that may end the connection with an error.
    pub(super) hurt: bool,
    readable: bool,
    writable: bool,
}

impl App {
    pub(super) fn new(connection: usize, side: Side, size: usize, ways: (bool, bool)) -> Self {
        let (eager, prompt) = ways;
        Self {
            connection,
            side,
            id: None,
            outgoing: stream(connection, side),
            size: size.min(STREAM_MAX),
            eager,
            prompt,
            written: 0,
            read: 0,
            shut: false,
            ended: false,
            failed: None,
            closed: false,
            hurt: false,
            readable: true,
            writable: true,
        }
    }

    /// Octets that can go with the SYN.
    pub(super) fn early(&self, len: usize) -> Bytes {
        self.outgoing.slice(..len.min(self.size))
    }

    /// It waits for nothing any more.
    pub(super) const fn is_over(&self) -> bool {
        self.ended || self.failed.is_some() || self.closed
    }

    pub(super) fn on_event(&mut self, event: &Event) {
        self.readable |= matches!(event, Event::Readable | Event::Closed(_));
        self.writable |= matches!(event, Event::Writable | Event::Closed(_));
    }

    /// Writes so many octets, as far as there is room.
    pub(super) fn write(&mut self, world: &mut World, len: usize) {
        let end = (self.written + len).min(self.size);
        let Some(id) = self.id.filter(|_| !self.closed) else { return };
        while self.writable && !self.shut && self.written < end {
            let rest = self.outgoing.slice(self.written..end);
            let now = world.now;
            match world.endpoint(self.side).write_bytes(now, id, rest) {
                Ok(taken) => self.written += taken,
                Err(WriteError::WouldBlock) => self.writable = false,
                Err(_) => return,
            }
        }
    }

    /// Writes everything, and then ends its direction.
    pub(super) fn write_out(&mut self, world: &mut World) {
        self.write(world, usize::MAX / 2);
        if self.written == self.size {
            self.shutdown(world);
        }
    }

    pub(super) fn shutdown(&mut self, world: &mut World) {
        let Some(id) = self.id.filter(|_| !self.shut && !self.closed) else { return };
        let now = world.now;
        world.endpoint(self.side).shutdown(now, id);
        self.shut = true;
    }

    pub(super) fn close(&mut self, world: &mut World) {
        let Some(id) = self.id.filter(|_| !self.closed) else { return };
        let now = world.now;
        world.endpoint(self.side).close(now, id);
        self.closed = true;
        self.shut = true;
    }

    /// Reads at most so many octets and compares them with what the peer has written.
    pub(super) fn read(
        &mut self,
        world: &mut World,
        len: usize,
        peer: &Self,
        trust: Trust,
    ) -> Result<(), String> {
        let Some(id) = self.id else { return Ok(()) };
        let mut left = len;
        while self.readable && !self.is_over() && left > 0 {
            let now = world.now;
            match world.endpoint(self.side).read_chunk(now, id, left) {
                Ok(piece) if piece.is_empty() => {
                    self.ended = true;
                    let whole = peer.shut && self.read == peer.written;
                    if trust == Trust::Strict && !whole {
                        let (got, of) = (self.read, peer.written);
                        return self.complain(&format!("the end comes after {got} of {of} octets"));
                    }
                }
                Ok(piece) => {
                    let end = self.read + piece.len();
                    let wrong = end > peer.written || peer.outgoing[self.read..end] != piece[..];
                    if trust == Trust::Strict && wrong {
                        let (from, of) = (self.read, peer.written);
                        return self.complain(&format!("wrong octets at {from}..{end} of {of}"));
                    }
                    self.read = end;
                    left -= piece.len();
                }
                Err(ReadError::WouldBlock) => self.readable = false,
                Err(ReadError::Closed(error)) => self.failed = Some(error),
                Err(ReadError::NotFound) => return self.complain("the connection is forgotten"),
            }
        }
        Ok(())
    }

    fn complain(&self, what: &str) -> Result<(), String> {
        Err(format!("integrity: connection {}, {:?} reads: {what}", self.connection, self.side))
    }
}
