//! Looking on while a run runs.

use crate::direction::Direction;
use crate::scenario::Scenario;
use mpuser_engine::time::Instant;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An end sent it.
    Sent = 1,
    /// It arrived at the other end.
    Arrived = 2,
    /// A link dropped it.
    Dropped = 3,
}

/// A packet as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Number of the flow, counted over all groups in their order; background loads follow the flows.
    pub flow: u32,
    /// Path of the flow.
    pub path: u32,
    /// Which way.
    pub direction: Direction,
    /// IP and TCP headers. Their TCP checksum covers the pseudo-header only, unless there are middleboxes. Empty where
    /// `payload` is the whole packet.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
}

/// Sees what happens in a run, in order. It cannot change anything.
pub trait Observer {
    /// The run begins.
    fn begin(&mut self, _scenario: &Scenario, _seed: u64) {}

    /// Something became of a packet.
    fn packet(&mut self, _now: Instant, _what: What, _packet: &Packet<'_>) {}

    /// The application at the end of this direction has read `octets` from a connection of a flow.
    fn read(&mut self, _now: Instant, _flow: u32, _connection: u32, _way: Direction, _octets: u64) {
    }

    /// The engine told the application something; `side` is the direction in which that end sends.
    fn engine(
        &mut self,
        _now: Instant,
        _flow: u32,
        _connection: u32,
        _side: Direction,
        _event: &mpuser_engine::Event,
    ) {
    }

    /// How a subflow stands, every [`Scenario::sample`]; of the sending end.
    fn subflow(
        &mut self,
        _now: Instant,
        _flow: u32,
        _connection: u32,
        _info: &mpuser_engine::SubflowInfo,
    ) {
    }

    /// Whether [`Self::subflow`] is wanted: it costs a little.
    fn wants_subflows(&self) -> bool {
        false
    }
}
