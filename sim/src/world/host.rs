//! What a flow needs of an end, whoever implements it.

use super::packet::Packet;
use bytes::Bytes;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{ReceiveStats, SubflowInfo};

/// What an end tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A connection can be used. At a server it is a new one, from this port of the client.
    Open {
        /// Its number, counted from 0.
        number: usize,
        /// The client's port.
        port: u16,
        /// MPTCP is in use.
        mptcp: bool,
    },
    /// More subflows can be opened.
    Joinable(usize),
    /// There is something to read.
    Readable(usize),
    /// A subflow over this path is gone though the path is there.
    Lost(usize, u32),
    /// The connection is over; the error that ended it, if one did.
    Closed(usize, Option<String>),
}

/// One end of a flow: TCP or MPTCP, and the connections it has.
pub(crate) trait Host {
    /// Opens a connection; they are numbered from 0.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn connect(&mut self, now: Instant) -> Result<(), String>;

    /// The local port of a connection.
    fn port(&self, number: usize) -> u16;

    /// Takes in a packet that came over this path. Its payload may be taken out of it.
    fn handle(&mut self, now: Instant, path: u32, packet: &mut Packet);

    /// Fills in the next packet to send: everything but `route`, `direction` and `hop`. Returns its path.
    fn transmit(&mut self, now: Instant, packet: &mut Packet) -> Option<u32>;

    /// The next thing to tell the application.
    fn told(&mut self, now: Instant) -> Option<Told>;

    /// When [`Self::on_timer`] is to be called.
    fn next(&mut self, now: Instant) -> Option<Instant>;

    /// Time has passed.
    fn on_timer(&mut self, now: Instant);

    /// Octets that can be written to a connection.
    fn room(&self, number: usize) -> usize;

    /// Writes; returns how much was taken.
    fn write(&mut self, now: Instant, number: usize, data: Bytes) -> usize;

    /// The next piece that can be read; empty if there is none.
    fn read(&mut self, now: Instant, number: usize) -> Bytes;

    /// Nothing more will be written.
    fn shut(&mut self, now: Instant, number: usize);

    /// Ends a connection at once.
    fn abort(&mut self, now: Instant, number: usize);

    /// A path is there: subflows over it are opened.
    fn path_up(&mut self, _now: Instant, _path: u32) {}

    /// A path is gone.
    fn path_down(&mut self, _now: Instant, _path: u32) {}

    /// Opens the subflows of a connection over a path that are missing.
    fn open_subflows(&mut self, _now: Instant, _number: usize, _path: u32) {}

    /// What must hold at any time.
    ///
    /// # Errors
    /// What does not.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Connections there have been.
    fn connections(&self) -> usize;

    /// How data came, of all connections.
    fn receive_stats(&self) -> ReceiveStats {
        ReceiveStats::default()
    }

    /// Appends how long octets waited for others before them, of all connections.
    fn take_waits(&mut self, _out: &mut Vec<(Duration, u64)>) {}

    /// Each subflow of a connection with its path, and octets given to a second subflow.
    fn subflows(&self, _number: usize) -> (Vec<(u32, SubflowInfo)>, u64) {
        (Vec::new(), 0)
    }

    /// Appends what the engine told, with the numbers of connections.
    fn take_engine_events(&mut self, _out: &mut Vec<(usize, mpuser_engine::Event)>) {}
}
