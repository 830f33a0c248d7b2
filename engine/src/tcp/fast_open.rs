//! Data on the SYN (RFC 7413).
//!
//! The octets of a SYN that the peer took count as part of it: the initial sequence number moves behind them, so that
//! stream offset 0 is the first octet after them, as RFC 8684 B.3 has it for the layer above [TFO-3].

use super::plan::SegmentPlan;
use super::socket::Socket;
use super::state::State;
use crate::seq::SeqNum;
use bytes::Bytes;

/// A Fast Open cookie: empty (a request) or 4 to 16 octets, an even number (RFC 7413 4.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FastOpenCookie {
    len: u8,
    bytes: [u8; 16],
}

impl FastOpenCookie {
    /// The request for a cookie.
    pub const REQUEST: Self = Self { len: 0, bytes: [0; 16] };

    /// A cookie of these bytes; `None` if it cannot have that length.
    #[must_use]
    pub fn new(cookie: &[u8]) -> Option<Self> {
        if !Self::is_length(cookie.len()) {
            return None;
        }
        let mut bytes = [0; 16];
        for (slot, byte) in bytes.iter_mut().zip(cookie) {
            *slot = *byte;
        }
        Some(Self { len: cookie.len() as u8, bytes })
    }

    /// A cookie may have so many bytes.
    #[must_use]
    pub const fn is_length(len: usize) -> bool {
        matches!(len, 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16)
    }

    /// The cookie's bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Asks for a cookie instead of bearing one.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.len == 0
    }
}

/// What a handshake has to do with Fast Open.
#[derive(Debug, Default)]
pub(super) struct FastOpen {
    /// The option of the first SYN, or of every SYN/ACK.
    pub(super) cookie: Option<FastOpenCookie>,
    /// Data of the first SYN.
    data: Bytes,
    /// Octets the SYN carried when it went out.
    sent: u32,
    /// This end took the peer's SYN for proof of its address: data may be sent before the third packet.
    pub(super) proved: bool,
}

impl Socket {
    /// Puts `data` on the first SYN, with this cookie if there is one. Retransmissions carry neither (RFC 7413 4.1.3).
    pub fn offer_syn_data(&mut self, cookie: Option<FastOpenCookie>, data: Bytes) {
        if self.state == State::SynSent && self.handshake.transmissions == 0 {
            self.handshake.fast_open.cookie = cookie;
            self.handshake.fast_open.data = data;
        }
    }

    /// The SYN that opened this socket came with a good cookie: the first `len` octets of its data count as received,
    /// and data may be sent at once (RFC 7413 4.2.2).
    pub fn take_syn_data(&mut self, len: u32) {
        if self.state == State::SynReceived && self.handshake.transmissions == 0 {
            self.recv.irs += len;
            self.handshake.fast_open.proved = true;
        }
    }

    /// Every SYN/ACK gives the peer this cookie.
    pub fn give_cookie(&mut self, cookie: FastOpenCookie) {
        self.handshake.fast_open.cookie = Some(cookie);
    }

    /// The SYN went out with data, of which nobody has acknowledged anything so far.
    #[must_use]
    pub fn has_syn_data_in_flight(&self) -> bool {
        self.state == State::SynSent && self.handshake.fast_open.sent > 0
    }

    /// Data may be sent although the third packet has not come.
    pub(super) fn may_send_early(&self) -> bool {
        let sent = self.handshake.transmissions > 0;
        self.state == State::SynReceived && self.handshake.fast_open.proved && sent
    }

    /// Cookie and data of the SYN or SYN/ACK planned next.
    pub(super) fn plan_fast_open(&self, plan: &mut SegmentPlan, answer: bool) {
        let first = self.handshake.transmissions == 0;
        if answer || first {
            plan.options.fast_open = self.handshake.fast_open.cookie;
        }
        if !answer && first {
            plan.payload = self.handshake.fast_open.data.clone();
        }
    }

    /// The SYN went out.
    pub(super) fn on_syn_data_sent(&mut self, plan: &SegmentPlan) {
        if !plan.payload.is_empty() {
            self.handshake.fast_open.sent = plan.payload.len() as u32;
        }
        self.handshake.fast_open.data = Bytes::new();
    }

    /// How many octets of the SYN's data this ACK field acknowledges; `None` when it does not acknowledge the SYN.
    pub(super) fn syn_data_acked(&self, ack: SeqNum) -> Option<u32> {
        let acked = u32::try_from(ack.since(self.send.iss + 1)).ok()?;
        let sent = self.handshake.transmissions > 0;
        (sent && acked <= self.handshake.fast_open.sent).then_some(acked)
    }

    /// The peer took `len` octets of the SYN's data.
    pub(super) fn on_syn_data_acked(&mut self, len: u32) {
        self.send.iss += len;
        self.handshake.fast_open.sent = 0;
    }

    /// The ACK field of a third packet: the SYN/ACK, and perhaps data that was sent before. Octets of the SYN's own
    /// data it acknowledges in a simultaneous open.
    pub(super) fn third_packet_acks(&self, ack: SeqNum) -> Option<u32> {
        if self.handshake.active {
            return self.syn_data_acked(ack);
        }
        let offset = self.send.ack_offset(ack);
        let sent = self.handshake.transmissions > 0;
        (sent && offset >= 0 && offset <= self.send.nxt() as i64).then_some(0)
    }
}
