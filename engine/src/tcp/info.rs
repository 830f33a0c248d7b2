//! What can be asked of a socket.

use super::congestion::SiblingView;
use super::segment::Segment;
use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::time::{Duration, Instant};
use crate::window::WindowScale;

impl Socket {
    /// Connection state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The socket is over; see [`Self::end`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The handshake is done (also when the socket is closing).
    #[must_use]
    pub fn is_established_or_later(&self) -> bool {
        self.state.is_synchronized()
    }

    /// ESTABLISHED or CLOSE-WAIT, and not closed by this end: new data may be written and sent.
    #[must_use]
    pub fn can_send(&self) -> bool {
        (self.state.can_send() || self.may_send_early()) && !self.reset_pending
    }

    /// How the socket ended.
    #[must_use]
    pub fn end(&self) -> Option<SocketEnd> {
        self.end
    }

    /// New bytes that congestion window and peer's window allow now, less what is written but not sent: what a
    /// scheduler may write.
    #[must_use]
    pub fn available(&self) -> u64 {
        if self.state.can_send() || self.may_send_early() { self.send.available() } else { 0 }
    }

    /// Bytes written but not sent.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.send.unsent()
    }

    /// Bytes written and not acknowledged, sent or not.
    #[must_use]
    pub fn write_memory(&self) -> u64 {
        self.send.unsent() + (self.send.nxt() - self.send.una())
    }

    /// Fast recovery is under way.
    #[must_use]
    pub fn in_recovery(&self) -> bool {
        self.send.loss.in_recovery()
    }

    /// Multiplies the congestion window by `factor`, from 0.1 to 1, down to one segment at least; outside of slow start the
    /// threshold, too. For a layer above that knows better than the path's losses say.
    pub fn penalise(&mut self, factor: f64) {
        self.send.congestion.penalise(factor.clamp(0.1, 1.0));
    }

    /// Bytes in flight (RFC 6675 pipe).
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.send.loss.pipe()
    }

    /// Oldest stream offset not acknowledged.
    #[must_use]
    pub fn una(&self) -> u64 {
        self.send.una()
    }

    /// Next stream offset to be sent for the first time.
    #[must_use]
    pub fn nxt(&self) -> u64 {
        self.send.nxt()
    }

    /// Congestion window, bytes.
    #[must_use]
    pub fn cwnd(&self) -> u64 {
        self.send.congestion.window()
    }

    /// Slow-start threshold, bytes; `u64::MAX` before the first loss.
    #[must_use]
    pub fn ssthresh(&self) -> u64 {
        self.send.congestion.ssthresh()
    }

    /// What coupled congestion control of the sibling subflows has to know; `None` while there is nothing to couple
    /// with: before the handshake is done and measured, and once this end closes.
    #[must_use]
    pub fn sibling_view(&self) -> Option<SiblingView> {
        let srtt = self.srtt().filter(|srtt| !srtt.is_zero() && self.state.can_send())?;
        let congestion = &self.send.congestion;
        let mut view = SiblingView {
            cwnd: congestion.window(),
            ssthresh: congestion.ssthresh(),
            srtt,
            min_rtt: self.min_rtt().unwrap_or(srtt),
            mss: self.send.effective_mss(0),
            in_recovery: self.send.loss.in_recovery(),
            ..SiblingView::default()
        };
        congestion.tell(&mut view);
        Some(view)
    }

    /// Delivery rate as last measured, bytes a second.
    #[must_use]
    pub fn delivery_rate(&self) -> Option<u64> {
        self.send.delivery_rate
    }

    /// The rate data is paced at, or would be: what congestion control asks for, else Linux's formula (twice a window
    /// in each round trip in slow start, 1.2 times afterwards). Octets a second; `None` before the first RTT sample.
    #[must_use]
    pub fn pacing_rate(&self) -> Option<u64> {
        self.send.pacing_rate()
    }

    /// How often the congestion window was reset after a pause (RFC 5681 4.1).
    #[must_use]
    pub fn idle_resets(&self) -> u64 {
        self.send.idle_resets
    }

    /// Smoothed round-trip time; `None` before the first sample.
    #[must_use]
    pub fn srtt(&self) -> Option<Duration> {
        self.send.rtt.srtt()
    }

    /// The round-trip time as data echo it that have come: no less than it, and nearer to it with each call, which ends a
    /// period of samples. `None` while no data have echoed anything (RFC 7323).
    pub fn settle_receiver_rtt(&mut self) -> Option<Duration> {
        self.receiver_rtt.settle(self.send.rtt.srtt())
    }

    /// What [`Self::settle_receiver_rtt`] returned last.
    #[must_use]
    pub const fn receiver_rtt(&self) -> Option<Duration> {
        self.receiver_rtt.estimate()
    }

    /// Variation of the round-trip time.
    #[must_use]
    pub fn rttvar(&self) -> Duration {
        self.send.rtt.rttvar()
    }

    /// Smallest round-trip time of late; `None` before the first sample.
    #[must_use]
    pub fn min_rtt(&self) -> Option<Duration> {
        self.send.rtt.min_rtt()
    }

    /// Retransmission timeout, backoff included.
    #[must_use]
    pub fn rto(&self) -> Duration {
        self.send.rtt.rto()
    }

    /// Retransmission timeouts since the peer last acknowledged something new.
    #[must_use]
    pub fn backoff_count(&self) -> u32 {
        self.send.timeouts
    }

    /// Largest payload of a segment with `reserved_option_bytes` of the upper layer's options.
    #[must_use]
    pub fn effective_mss(&self, reserved_option_bytes: u8) -> u32 {
        self.send.effective_mss(reserved_option_bytes)
    }

    /// The peer's receive window, bytes from [`Self::una`].
    #[must_use]
    pub fn peer_window(&self) -> u64 {
        self.send.edge.saturating_sub(self.send.una())
    }

    /// Payload bytes sent, retransmissions not counted.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.send.sent
    }

    /// Payload bytes received in order.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.recv.received()
    }

    /// Payload bytes sent again.
    #[must_use]
    pub fn bytes_retransmitted(&self) -> u64 {
        self.send.retransmitted
    }

    /// When an acceptable segment last arrived.
    #[must_use]
    pub fn last_received_at(&self) -> Instant {
        self.last_received_at
    }

    /// When the peer last acknowledged something new.
    #[must_use]
    pub fn last_progress(&self) -> Instant {
        self.send.last_progress
    }

    /// The peer's FIN arrived in order.
    #[must_use]
    pub fn peer_fin_received(&self) -> bool {
        self.recv.fin_received()
    }

    /// The peer acknowledged this end's FIN.
    #[must_use]
    pub fn fin_acked(&self) -> bool {
        self.send.fin_acked()
    }

    /// How often the SYN or SYN/ACK went out.
    #[must_use]
    pub fn syn_transmissions(&self) -> u32 {
        self.handshake.transmissions
    }

    /// MSS the peer announced (536 where it did not, RFC 9293 3.7.1).
    #[must_use]
    pub fn peer_mss(&self) -> u16 {
        self.send.peer_mss
    }

    /// Timestamps are in use.
    #[must_use]
    pub fn timestamps_enabled(&self) -> bool {
        self.timestamps.enabled
    }

    /// Selective acknowledgements are in use.
    #[must_use]
    pub fn sack_enabled(&self) -> bool {
        self.sack
    }

    /// Window scales in use: of this end's window and of the peer's; `None` when scaling is not.
    #[must_use]
    pub fn window_scales(&self) -> Option<(WindowScale, WindowScale)> {
        self.scales
    }

    /// TIME-WAIT would let this SYN open the connection anew: it is surely younger (RFC 9293 3.6.1, RFC 6191).
    #[must_use]
    pub fn may_reopen(&self, syn: &Segment) -> bool {
        let beyond = self.recv.offset(syn.seq) >= self.recv.nxt() as i64;
        let newer = self.timestamps.is_newer(syn).unwrap_or(beyond);
        self.state == State::TimeWait && syn.flags.syn && !syn.flags.rst && newer
    }
}
