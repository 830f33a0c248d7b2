//! What the application and the driver are told. Names follow the kernel's path-manager events.

use crate::addr::{AddressId, FourTuple, SubflowId};
use crate::error::{ConnectionError, FallbackReason, PeerReset, ResetReason};
use alloc::string::String;
use core::net::SocketAddr;

/// Something that happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is done: data can flow. `mptcp` is false after a fallback at the handshake.
    Established {
        /// MPTCP was agreed.
        mptcp: bool,
        /// This end's token (RFC 8684 3.2), 0 for plain TCP.
        token: u32,
    },
    /// MPTCP is confirmed by the peer (a DSS or the third ACK arrived); subflows may be added.
    FullyEstablished,
    /// A subflow finished its handshake and may carry data.
    SubflowEstablished {
        /// Which one.
        subflow: SubflowId,
        /// Its addresses.
        tuple: FourTuple,
        /// Local and remote address identifiers.
        ids: (AddressId, AddressId),
        /// It was asked to be a backup.
        backup: bool,
    },
    /// A subflow is gone.
    SubflowClosed {
        /// Which one.
        subflow: SubflowId,
        /// Its addresses.
        tuple: FourTuple,
        /// What ended it.
        cause: SubflowEnd,
    },
    /// A subflow makes no progress (`true`) or makes progress again (`false`).
    SubflowStale {
        /// Which one.
        subflow: SubflowId,
        /// It is stale.
        stale: bool,
    },
    /// The peer changed a subflow's priority (MP_PRIO).
    SubflowPriority {
        /// Which one.
        subflow: SubflowId,
        /// It is a backup now.
        backup: bool,
    },
    /// The peer announced an address (ADD_ADDR with a good HMAC).
    AddressAnnounced {
        /// Its identifier.
        id: AddressId,
        /// The address; the port is the announced one or the first subflow's.
        address: SocketAddr,
    },
    /// The peer withdrew an address (REMOVE_ADDR).
    AddressRemoved {
        /// Its identifier.
        id: AddressId,
    },
    /// There is data, or the end of it, to read.
    Readable,
    /// There is room to write again.
    Writable,
    /// The connection runs as plain TCP from here.
    Fallback(FallbackReason),
    /// The scheduler gave up, and why; `minrtt` takes its place.
    SchedulerFailed(String),
    /// Both directions are closed and acknowledged, or the connection failed.
    Closed(Option<ConnectionError>),
}

/// How a subflow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubflowEnd {
    /// FINs were exchanged.
    Finished,
    /// The peer reset it; what it said about it, if anything (MP_TCPRST).
    ResetByPeer(Option<PeerReset>),
    /// This end reset it.
    ResetHere(ResetReason),
    /// Nobody answered.
    Timeout,
    /// Its address was removed.
    AddressRemoved,
    /// The stream that carried it ended.
    CarrierLost,
}
