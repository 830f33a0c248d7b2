//! Errors by audience: what the application asked for and did not get, why a connection ended, what went on the
//! wire.

use core::fmt;

/// Reason codes of MP_TCPRST (RFC 8684 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// 0x00
    Unspecified,
    /// 0x01: an error in MPTCP processing (bad HMAC, unknown token, missing option).
    MptcpError,
    /// 0x02
    LackOfResources,
    /// 0x03: policy or a limit.
    AdministrativelyProhibited,
    /// 0x04
    TooMuchOutstandingData,
    /// 0x05
    UnacceptablePerformance,
    /// 0x06
    MiddleboxInterference,
    /// 0x07 to 0xff, not assigned.
    Unassigned(u8),
}

impl ResetReason {
    /// The reason a code byte stands for.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Unspecified,
            1 => Self::MptcpError,
            2 => Self::LackOfResources,
            3 => Self::AdministrativelyProhibited,
            4 => Self::TooMuchOutstandingData,
            5 => Self::UnacceptablePerformance,
            6 => Self::MiddleboxInterference,
            other => Self::Unassigned(other),
        }
    }

    /// Whether the trouble will pass, as flag T tells the peer [RST-4]: what resources, queues and speed are like
    /// changes; policy, errors and middleboxes stay.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(
            self,
            Self::LackOfResources | Self::TooMuchOutstandingData | Self::UnacceptablePerformance
        )
    }

    /// The code byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::MptcpError => 1,
            Self::LackOfResources => 2,
            Self::AdministrativelyProhibited => 3,
            Self::TooMuchOutstandingData => 4,
            Self::UnacceptablePerformance => 5,
            Self::MiddleboxInterference => 6,
            Self::Unassigned(code) => code,
        }
    }
}

/// What the MP_TCPRST of a peer's RST said (RFC 8684 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerReset {
    /// The reason.
    pub reason: ResetReason,
    /// T: the trouble passes, and the path may be tried again.
    pub transient: bool,
}

/// Why a connection runs as plain TCP (RFC 8684 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FallbackReason {
    /// The peer's SYN carried no MP_CAPABLE: a plain TCP client.
    SynWithoutCapable,
    /// The SYN/ACK carried no MP_CAPABLE: no MPTCP at the peer, or a middlebox took it out.
    SynAckWithoutCapable,
    /// The third packet carried no MP_CAPABLE.
    AckWithoutCapable,
    /// MP_CAPABLE asked for something this end does not speak (version, algorithm, flag B).
    NotUnderstood,
    /// Several SYNs with MP_CAPABLE went unanswered and one without was answered.
    SynTimeout,
    /// A SYN with MP_CAPABLE was answered by a RST, one without was not.
    SynRefused,
    /// MPTCP did not get through to this destination a short while ago.
    Blackhole,
    /// Data was acknowledged without any DSS.
    NoDssInAck,
    /// Both ends opened at once.
    SimultaneousOpen,
    /// No unique key could be drawn.
    NoUniqueToken,
    /// The application asked for plain TCP.
    Requested,
    /// A mapping was broken on the only subflow.
    BrokenMapping,
    /// The peer sent an infinite mapping.
    InfiniteMapping,
    /// A checksum failed on the only subflow.
    ChecksumFailed,
    /// The peer reported a failed checksum (MP_FAIL).
    PeerFailed,
}

impl FallbackReason {
    /// The word used in JSON and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SynWithoutCapable => "syn_without_capable",
            Self::SynAckWithoutCapable => "syn_ack_without_capable",
            Self::AckWithoutCapable => "ack_without_capable",
            Self::NotUnderstood => "not_understood",
            Self::SynTimeout => "syn_timeout",
            Self::SynRefused => "syn_refused",
            Self::Blackhole => "blackhole",
            Self::NoDssInAck => "no_dss_in_ack",
            Self::SimultaneousOpen => "simultaneous_open",
            Self::NoUniqueToken => "no_unique_token",
            Self::Requested => "requested",
            Self::BrokenMapping => "broken_mapping",
            Self::InfiniteMapping => "infinite_mapping",
            Self::ChecksumFailed => "checksum_failed",
            Self::PeerFailed => "peer_failed",
        }
    }
}

/// Why [`Endpoint::connect`](crate::Endpoint::connect) refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No local address of the remote's family is configured.
    NoLocalAddress,
    /// The remote is unspecified, multicast or has port 0.
    InvalidRemote,
    /// Every local port towards this remote is taken.
    PortsExhausted,
    /// The endpoint's connection limit is reached.
    TooManyConnections,
}

/// Why [`Endpoint::listen`](crate::Endpoint::listen) refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// Another listener has this address and port.
    AddressInUse,
    /// Port 0 cannot be listened on.
    InvalidPort,
}

/// Why a subflow could not be opened by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubflowError {
    /// No such connection or subflow.
    NotFound,
    /// The connection is not (or not yet, or no longer) able to carry more than one subflow.
    NotJoinable,
    /// The connection is plain TCP: its one subflow ends with it.
    PlainTcp,
    /// The connection has as many subflows as its limits allow.
    LimitReached,
    /// The address is not one of this endpoint's.
    NoLocalAddress,
    /// One address is of IPv4 and the other of IPv6. (Subflows of one connection may differ, K43.)
    MixedFamilies,
    /// A subflow with these addresses exists.
    AlreadyOpen,
}

/// Why an endpoint (a local address with flags) was not added, changed or deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PmError {
    /// The address cannot be that of a host, or the port is 0.
    InvalidAddress,
    /// Identifier 0 is the address of each connection's first subflow.
    InvalidId,
    /// Another endpoint has this identifier.
    IdInUse,
    /// Another endpoint has this address (and port).
    AddressInUse,
    /// A port is announced, so it goes with `signal`, and not with `subflow`.
    PortWithoutSignal,
    /// `signal` and `fullmesh` exclude each other.
    SignalWithFullmesh,
    /// All 255 identifiers are in use.
    TooMany,
    /// No endpoint has this identifier.
    NotFound,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer refused (RST in answer to the SYN).
    Refused,
    /// A router said that the peer cannot be reached (ICMP).
    Unreachable,
    /// No answer to any SYN.
    ConnectTimeout,
    /// Every subflow was reset by the peer.
    Reset,
    /// The peer sent MP_FASTCLOSE.
    FastClosed,
    /// This end aborted.
    Aborted,
    /// No subflow made progress for as long as the limits allow.
    Timeout,
    /// A subflow-level protocol violation that left no subflow to go on with.
    Protocol,
}

/// Why a read gave no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing has arrived; [`Event::Readable`](crate::Event::Readable) will say when.
    WouldBlock,
    /// The connection ended without DATA_FIN.
    Closed(ConnectionError),
    /// No such connection.
    NotFound,
}

/// Why a write took no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The send queue is full; [`Event::Writable`](crate::Event::Writable) will say when there is room.
    WouldBlock,
    /// This end has sent its DATA_FIN.
    Shutdown,
    /// The connection ended.
    Closed(ConnectionError),
    /// No such connection.
    NotFound,
}

macro_rules! messages {
    ($type:ident { $($pattern:pat => $text:expr,)* }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($pattern => $text,)* })
            }
        }
        impl core::error::Error for $type {}
    };
}

messages!(ConnectError {
    Self::NoLocalAddress => "no local address of the remote's address family",
    Self::InvalidRemote => "the remote address cannot be connected to",
    Self::PortsExhausted => "no local port is free towards this remote",
    Self::TooManyConnections => "the endpoint's connection limit is reached",
});
messages!(ListenError {
    Self::AddressInUse => "the address and port are already listened on",
    Self::InvalidPort => "port 0 cannot be listened on",
});
messages!(SubflowError {
    Self::NotFound => "no such connection or subflow",
    Self::NotJoinable => "the connection cannot take another subflow",
    Self::PlainTcp => "the connection is plain TCP and ends with its one subflow",
    Self::LimitReached => "the connection's subflow limit is reached",
    Self::NoLocalAddress => "not a local address of this endpoint",
    Self::MixedFamilies => "a subflow has two addresses of one family",
    Self::AlreadyOpen => "a subflow with these addresses exists",
});
messages!(PmError {
    Self::InvalidAddress => "not an address and port a host can have",
    Self::InvalidId => "identifiers of endpoints are 1 to 255",
    Self::IdInUse => "another endpoint has this identifier",
    Self::AddressInUse => "another endpoint has this address",
    Self::PortWithoutSignal => "a port goes with the flag signal, and not with subflow",
    Self::SignalWithFullmesh => "the flags signal and fullmesh exclude each other",
    Self::TooMany => "all 255 identifiers are in use",
    Self::NotFound => "no endpoint has this identifier",
});
messages!(ConnectionError {
    Self::Refused => "connection refused by the peer",
    Self::Unreachable => "the peer cannot be reached",
    Self::ConnectTimeout => "no answer from the peer",
    Self::Reset => "connection reset by the peer",
    Self::FastClosed => "connection aborted by the peer (MP_FASTCLOSE)",
    Self::Aborted => "connection aborted here",
    Self::Timeout => "the peer stopped answering",
    Self::Protocol => "the peer broke the protocol",
});
messages!(ReadError {
    Self::WouldBlock => "no data yet",
    Self::Closed(_) => "the connection ended before the end of its data",
    Self::NotFound => "no such connection",
});
messages!(WriteError {
    Self::WouldBlock => "the send queue is full",
    Self::Shutdown => "this end has closed its direction",
    Self::Closed(_) => "the connection ended",
    Self::NotFound => "no such connection",
});

#[cfg(test)]
mod tests {
    use super::ResetReason;

    #[test]
    fn reset_reason_codes_are_a_bijection() {
        for code in 0..=255 {
            assert_eq!(ResetReason::from_code(code).code(), code);
        }
    }
}
