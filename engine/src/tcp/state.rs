//! The states of RFC 9293 3.3.2, and the ways a socket ends.

/// A connection state (RFC 9293 3.3.2). LISTEN is missing: it is the endpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// A SYN was or will be sent.
    SynSent,
    /// A SYN was received and answered with SYN/ACK.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// This end closed; its FIN is not acknowledged.
    FinWait1,
    /// This end closed and its FIN is acknowledged.
    FinWait2,
    /// The peer closed.
    CloseWait,
    /// Both closed at once; this end's FIN is not acknowledged.
    Closing,
    /// Both closed, the peer first; this end's FIN is not acknowledged.
    LastAck,
    /// Both closed; late segments are still answered.
    TimeWait,
    /// Over.
    Closed,
}

impl State {
    /// The name `ss` prints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECV",
            Self::Established => "ESTAB",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// The handshake is done (and the socket is not over).
    #[must_use]
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::SynSent | Self::SynReceived | Self::Closed)
    }

    /// The peer may still send data.
    #[must_use]
    pub const fn can_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// This end may still send data it has not sent before.
    #[must_use]
    pub const fn can_send(self) -> bool {
        matches!(self, Self::Established | Self::CloseWait)
    }
}

/// How a socket came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketEnd {
    /// Both directions were closed in order.
    Finished,
    /// The peer sent a RST.
    Reset,
    /// The peer answered the SYN with a RST.
    Refused,
    /// The peer stopped answering.
    Timeout,
    /// The stream that carried its segments ended.
    CarrierLost,
    /// This end gave up: [`Socket::abort`](super::Socket::abort), or `close` before there was a connection.
    Aborted,
}
