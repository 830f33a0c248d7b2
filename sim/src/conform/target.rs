//! The stack under test, as a case sees it.

use mpuser_engine::addr::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::time::Duration;

/// The port the stack under test, or the probe as server, listens on.
pub const PORT: u16 = 80;

/// Address number `index` of the stack under test.
#[must_use]
pub fn stack_address(index: u8, ipv6: bool) -> IpAddr {
    if ipv6 {
        IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(index) + 1])
    } else {
        IpAddr::from([10, 0, 0, index + 1])
    }
}

/// Address number `index` of the probe, which plays any number of hosts.
#[must_use]
pub fn probe_address(index: u8, ipv6: bool) -> IpAddr {
    if ipv6 {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(index) + 1])
    } else {
        IpAddr::from([192, 0, 2, index + 1])
    }
}

/// How the stack under test is configured before the case begins. Every target applies all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// It connects; without, it listens on [`PORT`] of every address.
    pub client: bool,
    /// It asks for DSS checksums.
    pub checksum: bool,
    /// Most subflows beside the first.
    pub subflows: u8,
    /// Most announced addresses it connects to.
    pub add_addr_accepted: u8,
    /// Local addresses.
    pub addresses: u8,
    /// The second address is announced to the peer.
    pub signal: bool,
    /// The port that is announced with it.
    pub signal_port: Option<u16>,
    /// The second address opens a subflow by itself.
    pub subflow: bool,
    /// It also has IPv6 addresses, and its listener takes both families.
    pub ipv6: bool,
    /// Sets C: no joins to the initial address and port.
    pub deny_join_initial: bool,
    /// Seconds a connection without subflows can be resumed.
    pub close_timeout: u32,
    /// Bytes the data-level receive window may cover.
    pub receive_buffer: u32,
    /// The most seconds between two transmissions of an ADD_ADDR.
    pub add_addr_timeout: u32,
    /// Seconds MPTCP is not tried after a path turned out to drop it.
    pub blackhole_timeout: u32,
}

/// A server with two addresses and room for many subflows.
pub const SERVER: Setup = Setup {
    client: false,
    checksum: false,
    subflows: 8,
    add_addr_accepted: 0,
    addresses: 2,
    signal: false,
    signal_port: None,
    subflow: false,
    ipv6: false,
    deny_join_initial: false,
    close_timeout: 60,
    receive_buffer: 4 << 20,
    add_addr_timeout: 120,
    blackhole_timeout: 3_600,
};

/// A client with one address.
pub const CLIENT: Setup = Setup { client: true, addresses: 1, ..SERVER };

/// Why the application's call failed; the same words for every target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppError {
    /// Not now.
    WouldBlock,
    /// The peer reset the connection.
    Reset,
    /// The peer refused it.
    Refused,
    /// Nobody answered.
    TimedOut,
    /// There is no way to the peer.
    Unreachable,
    /// This end has closed its direction.
    Pipe,
    /// There is no connection.
    NotConnected,
    /// Anything else.
    Other,
}

impl AppError {
    /// The word of `errno`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::WouldBlock => "EAGAIN",
            Self::Reset => "ECONNRESET",
            Self::Refused => "ECONNREFUSED",
            Self::TimedOut => "ETIMEDOUT",
            Self::Unreachable => "EHOSTUNREACH",
            Self::Pipe => "EPIPE",
            Self::NotConnected => "ENOTCONN",
            Self::Other => "error",
        }
    }
}

/// A stack under test with one application on top.
///
/// Time is the target's own: virtual for the engine, the wall clock for a kernel. Only [`Target::next_packet`] lets
/// it pass.
pub trait Target {
    /// Time since the start.
    fn now(&self) -> Duration;

    /// Time costs nothing here, so a case may let hours pass.
    fn is_virtual(&self) -> bool;

    /// Hands the stack an IP packet.
    fn inject(&mut self, packet: &[u8]);

    /// The next IP packet with TCP the stack sent; time passes until there is one, at most `limit`.
    fn next_packet(&mut self, limit: Duration) -> Option<Vec<u8>>;

    /// The application connects.
    ///
    /// # Errors
    /// When the stack refuses at once.
    fn connect(&mut self, remote: SocketAddr) -> Result<(), AppError>;

    /// The application takes the next connection of the listener; it is the one all other calls mean. Waits a little
    /// where that takes time.
    fn accept(&mut self) -> bool;

    /// The application reads at most `limit` bytes; nothing is the end of data.
    ///
    /// # Errors
    /// As [`AppError`] says; [`AppError::WouldBlock`] when nothing has arrived.
    fn read(&mut self, limit: usize) -> Result<Vec<u8>, AppError>;

    /// The application writes; returns how many bytes were taken.
    ///
    /// # Errors
    /// As [`AppError`] says.
    fn write(&mut self, data: &[u8]) -> Result<usize, AppError>;

    /// The application ends its direction.
    fn shutdown(&mut self);

    /// The application closes.
    fn close(&mut self);

    /// The application aborts (`SO_LINGER` 0 and close).
    fn abort(&mut self);

    /// The endpoint with the second address is withdrawn (`ip mptcp endpoint delete`).
    ///
    /// # Errors
    /// Why it cannot be.
    fn delete_endpoint(&mut self) -> Result<(), String>;

    /// Counters since the start that are not zero, under the kernel's names without their section (`MPJoinSynRx`).
    fn counters(&self) -> BTreeMap<String, u64>;
}
