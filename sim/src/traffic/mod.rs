//! What flows carry: each kind says when how many bytes are written at which end, and what counts as done.
//!
//! A kind thinks in bytes alone. Both ends of a flow are here, so a request needs no contents: who has read all of its
//! bytes knows what it asks for.

mod bulk;
mod cbr;
mod chunks;
mod on_off;
mod request;
mod spread;
mod web;

use crate::direction::{Direction, PerDirection};
use crate::metrics::{Completion, PlayerOutcome};
use crate::scenario;
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
pub(crate) use spread::draw;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pipe {
    /// Bytes to write in all.
    pub(crate) goal: u64,
    /// Bytes written.
    pub(crate) written: u64,
    /// Bytes read at the other end.
    pub(crate) delivered: u64,
}

/// What a kind of traffic works on.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Connections that are open or being opened.
    pub(crate) pipes: Vec<PerDirection<Pipe>>,
    /// Which way the data goes.
    pub(crate) way: Direction,
    /// When the flow began to connect.
    pub(crate) begun: Instant,
    /// When to be woken next.
    pub(crate) wake: Option<Instant>,
    /// What came.
    pub(crate) completions: Vec<Completion>,
    /// What a player saw.
    pub(crate) player: Option<PlayerOutcome>,
    /// All is done.
    pub(crate) done: bool,
    pub(crate) rng: Rng,
}

impl Desk {
    pub(crate) fn new(connections: u32, way: Direction, begun: Instant, rng: Rng) -> Self {
        Self {
            pipes: vec![PerDirection::default(); connections as usize],
            way,
            begun,
            wake: None,
            completions: Vec::new(),
            player: None,
            done: false,
            rng,
        }
    }

    /// One direction of a connection.
    pub(crate) fn pipe(&mut self, connection: usize, way: Direction) -> Option<&mut Pipe> {
        self.pipes.get_mut(connection).map(|pipes| pipes.of_mut(way))
    }

    /// The data of a connection that there are.
    fn data(&mut self, connection: usize) -> Pipe {
        let way = self.way;
        self.pipe(connection, way).copied().unwrap_or_default()
    }

    /// Writes more data.
    fn send(&mut self, connection: usize, bytes: u64) {
        let way = self.way;
        if let Some(pipe) = self.pipe(connection, way) {
            pipe.goal = pipe.goal.saturating_add(bytes);
        }
    }

    /// Writes more against the data.
    fn ask(&mut self, connection: usize, bytes: u64) {
        let way = self.way.reverse();
        if let Some(pipe) = self.pipe(connection, way) {
            pipe.goal = pipe.goal.saturating_add(bytes);
        }
    }

    fn complete(&mut self, size: u64, start: Instant, now: Instant, deadline: Option<Duration>) {
        self.completions.push(Completion {
            size,
            start: seconds(start),
            end: seconds(now),
            deadline_met: deadline.map(|deadline| now.saturating_since(start) <= deadline),
        });
    }
}

/// A moment as seconds since the beginning.
pub(crate) fn seconds(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e9
}

/// A kind of traffic at work.
pub(crate) trait Traffic {
    /// A connection can be used.
    fn on_open(&mut self, now: Instant, connection: usize, desk: &mut Desk);

    /// More has been read at the end of this direction of a connection.
    fn on_read(&mut self, now: Instant, connection: usize, way: Direction, desk: &mut Desk);

    /// The time asked for has come.
    fn on_wake(&mut self, _now: Instant, _desk: &mut Desk) {}

    /// The run, or the flow, is over.
    fn on_end(&mut self, _now: Instant, _desk: &mut Desk) {}
}

/// Connections a kind of traffic uses.
pub(crate) fn connections(traffic: &scenario::Traffic) -> u32 {
    match traffic {
        scenario::Traffic::Web { connections, .. } => *connections,
        _ => 1,
    }
}

/// A kind of traffic from its description.
pub(crate) fn build(traffic: &scenario::Traffic) -> Box<dyn Traffic> {
    use scenario::Traffic as Kind;
    match traffic {
        Kind::Bulk { size } => Box::new(bulk::Bulk::new(*size)),
        Kind::RequestResponse { request, response, every, count } => {
            Box::new(request::RequestResponse::new(*request, *response, *every, *count))
        }
        Kind::Cbr { rate, message, deadline } => {
            Box::new(cbr::Cbr::new(*rate, *message, *deadline))
        }
        Kind::Chunks(chunks) => Box::new(chunks::Player::new(chunks.clone())),
        Kind::Web { objects, request, .. } => Box::new(web::Web::new(objects.clone(), *request)),
        Kind::OnOff { on, off, rate } => Box::new(on_off::OnOff::new(*on, *off, *rate)),
    }
}

#[cfg(test)]
mod tests;
