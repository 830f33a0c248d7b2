//! The socket: one TCP connection as the layer above sees it.

use super::plan::{Disposition, SegmentPlan, SendLimits};
use super::segment::Segment;
use super::state::{SocketEnd, State};
use crate::config::TcpConfig;
use crate::seq::SeqNum;
use crate::time::{Duration, Instant};
use crate::window::WindowScale;
use bytes::Bytes;

/// What a socket is opened with.
#[derive(Clone, Debug)]
pub struct OpenParams {
    /// Initial send sequence number (RFC 9293 3.4.1).
    pub iss: SeqNum,
    /// Settings.
    pub config: TcpConfig,
    /// MSS to announce: what the interface's MTU leaves, options not subtracted (RFC 6691).
    pub mss: u16,
    /// Receive window at the start, bytes.
    pub receive_window: u32,
    /// Window scale to offer.
    pub window_scale: WindowScale,
    /// Added to the clock of the timestamps option (RFC 7323 5.4).
    pub timestamp_offset: u32,
}

/// One TCP connection.
#[derive(Debug)]
pub struct Socket {
    state: State,
    end: Option<SocketEnd>,
    params: OpenParams,
}

impl Socket {
    /// An active open: SYN-SENT, a SYN is planned next.
    #[must_use]
    pub fn connect(_now: Instant, params: OpenParams) -> Self {
        Self { state: State::SynSent, end: None, params }
    }
    /// A passive open for the SYN a listener took: SYN-RECEIVED, a SYN/ACK is planned next.
    #[must_use]
    pub fn accept(_now: Instant, params: OpenParams, _syn: &Segment) -> Self {
        Self { state: State::SynReceived, end: None, params }
    }
    /// Takes a received segment (RFC 9293 3.10.7).
    pub fn on_segment(&mut self, _now: Instant, _seg: &Segment) -> Disposition {
        Disposition::default()
    }
    /// What would be sent next, if anything. Changes nothing the peer or the caller could see.
    pub fn plan(&mut self, _now: Instant, _limits: &SendLimits) -> Option<SegmentPlan> {
        None
    }
    /// The planned segment went out. The plan must be the last one [`Self::plan`] gave.
    pub fn commit(&mut self, _now: Instant, _plan: &SegmentPlan) {}
    /// When [`Self::on_timeout`] wants to be called; `None`: no timer runs.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// Runs every timer that is due.
    pub fn on_timeout(&mut self, _now: Instant) {}
    /// Appends a chunk to the send buffer and returns its stream offset. No segment spans two chunks.
    pub fn write(&mut self, _data: Bytes) -> u64 {
        0
    }
    /// Stream offset the next chunk will get.
    #[must_use]
    pub fn next_write_offset(&self) -> u64 {
        0
    }
    /// The next piece received in order, with its stream offset.
    pub fn read(&mut self) -> Option<(u64, Bytes)> {
        None
    }
    /// Sends a FIN after everything written.
    pub fn close(&mut self) {}
    /// Gives up: a RST is planned next where the peer knows the connection, then the socket is CLOSED.
    pub fn abort(&mut self) {}
    /// Plans a pure ACK next, whether TCP needs one or not.
    pub fn request_ack(&mut self) {}
    /// ICMP said that the path takes only segments of `mss` (options not subtracted); `seq` is the sequence number
    /// of the segment that was too big.
    pub fn on_path_mtu(&mut self, _now: Instant, _mss: u16, _seq: SeqNum) {}

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
        self.state.can_send()
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
        0
    }
    /// Bytes written but not sent.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        0
    }
    /// Bytes in flight (RFC 6675 pipe).
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        0
    }
    /// Oldest stream offset not acknowledged.
    #[must_use]
    pub fn una(&self) -> u64 {
        0
    }
    /// Next stream offset to be sent for the first time.
    #[must_use]
    pub fn nxt(&self) -> u64 {
        0
    }
    /// Congestion window, bytes.
    #[must_use]
    pub fn cwnd(&self) -> u64 {
        0
    }
    /// Slow-start threshold, bytes; `u64::MAX` before the first loss.
    #[must_use]
    pub fn ssthresh(&self) -> u64 {
        0
    }
    /// Smoothed round-trip time; `None` before the first sample.
    #[must_use]
    pub fn srtt(&self) -> Option<Duration> {
        None
    }
    /// Variation of the round-trip time.
    #[must_use]
    pub fn rttvar(&self) -> Duration {
        Duration::ZERO
    }
    /// Smallest round-trip time of late; `None` before the first sample.
    #[must_use]
    pub fn min_rtt(&self) -> Option<Duration> {
        None
    }
    /// Retransmission timeout, backoff included.
    #[must_use]
    pub fn rto(&self) -> Duration {
        Duration::ZERO
    }
    /// Retransmission timeouts since the peer last acknowledged something new.
    #[must_use]
    pub fn backoff_count(&self) -> u32 {
        0
    }
    /// Largest payload of a segment with `reserved_option_bytes` of the upper layer's options.
    #[must_use]
    pub fn effective_mss(&self, _reserved_option_bytes: u8) -> u32 {
        u32::from(self.params.mss)
    }
    /// The peer's receive window, bytes from [`Self::una`].
    #[must_use]
    pub fn peer_window(&self) -> u64 {
        0
    }
    /// Payload bytes sent, retransmissions not counted.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        0
    }
    /// Payload bytes received in order.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        0
    }
    /// Payload bytes sent again.
    #[must_use]
    pub fn bytes_retransmitted(&self) -> u64 {
        0
    }
    /// When an acceptable segment last arrived.
    #[must_use]
    pub fn last_received_at(&self) -> Instant {
        Instant::ZERO
    }
    /// When the peer last acknowledged something new.
    #[must_use]
    pub fn last_progress(&self) -> Instant {
        Instant::ZERO
    }
    /// The peer's FIN arrived in order.
    #[must_use]
    pub fn peer_fin_received(&self) -> bool {
        false
    }
    /// The peer acknowledged this end's FIN.
    #[must_use]
    pub fn fin_acked(&self) -> bool {
        false
    }
    /// How often the SYN or SYN/ACK went out.
    #[must_use]
    pub fn syn_transmissions(&self) -> u32 {
        0
    }
    /// MSS the peer announced (536 where it did not, RFC 9293 3.7.1).
    #[must_use]
    pub fn peer_mss(&self) -> u16 {
        536
    }
    /// Timestamps are in use.
    #[must_use]
    pub fn timestamps_enabled(&self) -> bool {
        false
    }
    /// Selective acknowledgements are in use.
    #[must_use]
    pub fn sack_enabled(&self) -> bool {
        false
    }
    /// Window scales in use: of this end's window and of the peer's; `None` when scaling is not.
    #[must_use]
    pub fn window_scales(&self) -> Option<(WindowScale, WindowScale)> {
        None
    }
    /// Holds between calls; for tests and fuzzers.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        Ok(())
    }
}
