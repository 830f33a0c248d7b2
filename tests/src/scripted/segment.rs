//! What the peer sends.

use mpuser_engine::tcp::{Flags, SegmentOptions, Timestamps};
use mpuser_engine::wire::{Dss, FastOpenCookie, MptcpOption};

/// A segment the peer is about to send.
#[derive(Clone, Debug, Default)]
pub struct Seg {
    pub(super) flags: Flags,
    pub(super) no_ack: bool,
    pub(super) offset: Option<u64>,
    pub(super) ack: Option<u64>,
    pub(super) window: Option<u16>,
    pub(super) urgent: u16,
    pub(super) tcp: SegmentOptions,
    pub(super) fast_open: Option<FastOpenCookie>,
    pub(super) options: Vec<MptcpOption>,
    pub(super) dss: Option<Dss>,
    pub(super) payload: Vec<u8>,
}

/// An empty segment with an ACK.
#[must_use]
pub fn seg() -> Seg {
    Seg::default()
}

impl Seg {
    /// SYN.
    #[must_use]
    pub fn syn(mut self) -> Self {
        self.flags.syn = true;
        self
    }

    /// FIN.
    #[must_use]
    pub fn fin(mut self) -> Self {
        self.flags.fin = true;
        self
    }

    /// RST.
    #[must_use]
    pub fn rst(mut self) -> Self {
        self.flags.rst = true;
        self
    }

    /// No ACK field.
    #[must_use]
    pub fn no_ack(mut self) -> Self {
        self.no_ack = true;
        self
    }

    /// Payload.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Self {
        self.payload = data.to_vec();
        self
    }

    /// URG, with this urgent pointer.
    #[must_use]
    pub fn urgent(mut self, pointer: u16) -> Self {
        self.flags.urg = true;
        self.urgent = pointer;
        self
    }

    /// Starts at this offset of the peer's stream and not at the next one.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Acknowledges up to this offset of the endpoint's stream and not everything seen.
    #[must_use]
    pub fn acking(mut self, offset: u64) -> Self {
        self.ack = Some(offset);
        self
    }

    /// The window field.
    #[must_use]
    pub fn window(mut self, window: u16) -> Self {
        self.window = Some(window);
        self
    }

    /// Timestamps (RFC 7323).
    #[must_use]
    pub fn stamp(mut self, value: u32, echo: u32) -> Self {
        self.tcp.timestamps = Some(Timestamps { value, echo });
        self
    }

    /// Window scale, on a SYN.
    #[must_use]
    pub fn scale(mut self, shift: u8) -> Self {
        self.tcp.window_scale = Some(shift);
        self
    }

    /// SACK permitted, on a SYN.
    #[must_use]
    pub fn sack_permitted(mut self) -> Self {
        self.tcp.sack_permitted = true;
        self
    }

    /// An MSS other than 1 460, on a SYN.
    #[must_use]
    pub fn mss(mut self, mss: u16) -> Self {
        self.tcp.mss = Some(mss);
        self
    }

    /// A Fast Open cookie, or the request for one (RFC 7413).
    #[must_use]
    pub fn fast_open(mut self, cookie: FastOpenCookie) -> Self {
        self.fast_open = Some(cookie);
        self
    }

    /// An MPTCP option other than DSS.
    #[must_use]
    pub fn option(mut self, option: MptcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// A DSS.
    #[must_use]
    pub fn dss(mut self, dss: Dss) -> Self {
        self.dss = Some(dss);
        self
    }
}
