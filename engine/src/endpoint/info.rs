//! What can be asked of a connection: plain values, safe to keep and to print.

use crate::addr::{AddressId, FourTuple, SubflowId};
use crate::error::{ConnectionError, FallbackReason};
use crate::scheduling::SchedulerInfo;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// What became of data on the SYN (TCP Fast Open, RFC 7413).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastOpenUse {
    /// Nothing was tried.
    #[default]
    Unused,
    /// A cookie was asked for, and none came.
    CookieAsked,
    /// The server gave a cookie: the next connection to it can use it.
    CookieGiven,
    /// Data went with the SYN, and was not taken: it went again like any other.
    NotTaken,
    /// So many octets went with the SYN and were taken.
    Data(u64),
}

impl FastOpenUse {
    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::CookieAsked => "cookie_asked",
            Self::CookieGiven => "cookie_given",
            Self::NotTaken => "not_taken",
            Self::Data(_) => "data",
        }
    }
}

/// A connection at one moment. Field names follow `struct mptcp_info` where it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// MPTCP is in use (false: plain TCP).
    pub mptcp: bool,
    /// Why it is not.
    pub fallback: Option<FallbackReason>,
    /// How it ended, if it failed.
    pub error: Option<ConnectionError>,
    /// This end opened it.
    pub client: bool,
    /// Local and remote token; 0 where unknown.
    pub token: (u32, u32),
    /// DSS checksums are in use.
    pub csum_enabled: bool,
    /// Addresses this end has announced (ADD_ADDR) and not withdrawn.
    pub add_addr_signal: usize,
    /// Addresses the peer has announced and not withdrawn, as far as they are remembered.
    pub add_addr_accepted: usize,
    /// Data-level state as a word: `ESTABLISHED`, `FIN-WAIT-1`, ... (RFC 8684 Appendix D).
    pub state: &'static str,
    /// Next data sequence number to be written.
    pub write_seq: u64,
    /// Oldest data sequence number not acknowledged.
    pub snd_una: u64,
    /// Next data sequence number expected.
    pub rcv_nxt: u64,
    /// Application bytes handed to subflows for the first time.
    pub bytes_sent: u64,
    /// Application bytes received in order.
    pub bytes_received: u64,
    /// Application bytes acknowledged at data level.
    pub bytes_acked: u64,
    /// Bytes sent again on another mapping (reinjected).
    pub bytes_retrans: u64,
    /// Application bytes that wait to be read.
    pub recv_queue: u64,
    /// Octets there is room for that wait to be read, or wait for others before them: the receive buffer as it is tuned now.
    pub receive_buffer: u64,
    /// Octets that may be written and not yet acknowledged: the send buffer as it is tuned now.
    pub send_buffer: u64,
    /// Most subflows beside the first.
    pub subflows_max: usize,
    /// Endpoints that are announced to peers.
    pub add_addr_signal_max: usize,
    /// Most addresses announced by the peer that subflows are opened to.
    pub add_addr_accepted_max: usize,
    /// Addresses of this end, beside the first, that live subflows of its own opening use.
    pub local_addr_used: usize,
    /// Endpoints that subflows are opened from.
    pub local_addr_max: usize,
    /// Data-level retransmission timeouts since the peer last acknowledged something new.
    pub retransmits: u32,
    /// When application data was last given to a subflow for the first time.
    pub last_data_sent: Option<Instant>,
    /// When data last came.
    pub last_data_recv: Option<Instant>,
    /// When a Data ACK last came.
    pub last_ack_recv: Option<Instant>,
    /// What became of data on the SYN.
    pub fast_open: FastOpenUse,
    /// The scheduler, and what came of its answers.
    pub scheduler: SchedulerInfo,
    /// Every subflow there has been, in order of opening, dead ones included.
    pub subflows: Vec<SubflowInfo>,
}

/// How data came to a connection, octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveStats {
    /// Octets that wait now for others before them.
    pub out_of_order: u64,
    /// Most of them at once.
    pub out_of_order_max: u64,
    /// Octets that ever had to wait.
    pub blocked: u64,
    /// Octets that had come before.
    pub duplicate: u64,
}

/// A subflow at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubflowInfo {
    /// Which one.
    pub id: SubflowId,
    /// Its addresses.
    pub tuple: FourTuple,
    /// Local and remote address identifiers.
    pub ids: (AddressId, AddressId),
    /// TCP state in `ss` spelling: `SYN-SENT`, `ESTAB`, `FIN-WAIT-1`, ..., `CLOSED`.
    pub state: &'static str,
    /// It was opened by MP_JOIN.
    pub join: bool,
    /// Either side asked for it to be a backup.
    pub backup: bool,
    /// It makes no progress and gets no new data.
    pub stale: bool,
    /// Payload bytes sent, retransmissions not counted.
    pub bytes_sent: u64,
    /// Payload bytes received in order at subflow level.
    pub bytes_received: u64,
    /// Payload bytes sent again by this subflow's TCP.
    pub bytes_retrans: u64,
    /// Smoothed round-trip time; zero before the first sample.
    pub srtt: Duration,
    /// Retransmission timeout now.
    pub rto: Duration,
    /// Congestion window, bytes.
    pub cwnd: u64,
    /// Slow-start threshold, bytes; `u64::MAX` before the first loss.
    pub ssthresh: u64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Times the congestion window was reset after a pause (RFC 5681 4.1).
    pub idle_resets: u64,
    /// The rate data is paced at, or would be, bytes a second; 0 before the first RTT sample.
    pub pacing_rate: u64,
    /// Largest payload of one segment, bytes.
    pub mss: u32,
}
