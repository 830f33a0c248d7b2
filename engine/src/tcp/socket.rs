//! The socket: one TCP connection as the layer above sees it.

use super::acceptance::RateLimit;
use super::ack_policy::{AckPolicy, Urgency};
use super::carrier;
use super::congestion::CoupledView;
use super::handshake::Handshake;
use super::plan::Disposition;
use super::probe::Probe;
use super::receiver_rtt::ReceiverRtt;
use super::recv::Recv;
use super::segment::Segment;
use super::send::Send;
use super::state::{SocketEnd, State};
use super::timestamps::TimestampClock;
use crate::config::TcpConfig;
use crate::seq::SeqNum;
use crate::time::Instant;
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
    /// Its segments travel in a stream of their own: reliable, in order, and bounded by credit ([`Socket::grant`]).
    pub carried: bool,
}

/// One TCP connection: the parts, and the calls that go through them.
#[derive(Debug)]
pub struct Socket {
    pub(super) params: OpenParams,
    pub(super) state: State,
    pub(super) end: Option<SocketEnd>,
    pub(super) send: Send,
    pub(super) recv: Recv,
    pub(super) ack: AckPolicy,
    pub(super) handshake: Handshake,
    pub(super) timestamps: TimestampClock,
    pub(super) probe: Probe,
    /// Selective acknowledgements are in use.
    pub(super) sack: bool,
    /// Window scales in use: ours and the peer's.
    pub(super) scales: Option<(WindowScale, WindowScale)>,
    /// Receive window the layer above offered at the last plan.
    pub(super) offer: u32,
    /// RCV.NXT as last told to the peer (RFC 7323 Last.ACK.sent).
    pub(super) last_ack_sent: u64,
    pub(super) last_received_at: Instant,
    pub(super) receiver_rtt: ReceiverRtt,
    /// The socket was aborted; a RST is to be sent.
    /// A pure ACK that is due waits until the FIN has gone.
    pub(super) fin_first: bool,
    pub(super) reset_pending: bool,
    /// An unacceptable ACK is to be answered with a RST of its number.
    pub(super) reset_reply: Option<SeqNum>,
    pub(super) time_wait: Option<Instant>,
    /// Challenge ACKs (RFC 5961 7).
    pub(super) challenge_limit: RateLimit,
    /// Answers to empty segments out of the window.
    pub(super) stray_limit: RateLimit,
}

impl Socket {
    fn new(now: Instant, mut params: OpenParams, state: State) -> Self {
        if params.carried {
            params.config = carrier::config(params.config);
        }
        Self {
            state,
            end: None,
            send: Send::new(now, params.iss, params.mss, &params.config, params.carried),
            recv: Recv::new(params.receive_window),
            ack: AckPolicy::new(params.config.delayed_ack, params.config.quick_acks, params.mss),
            handshake: Handshake::new(state == State::SynSent, params.carried),
            timestamps: TimestampClock::new(params.timestamp_offset),
            probe: Probe::default(),
            sack: false,
            scales: None,
            offer: params.receive_window,
            last_ack_sent: 0,
            last_received_at: now,
            receiver_rtt: ReceiverRtt::default(),
            fin_first: false,
            reset_pending: false,
            reset_reply: None,
            time_wait: None,
            challenge_limit: RateLimit::challenges(),
            stray_limit: RateLimit::strays(),
            params,
        }
    }

    /// An active open: SYN-SENT, a SYN is planned next.
    #[must_use]
    pub fn connect(now: Instant, params: OpenParams) -> Self {
        Self::new(now, params, State::SynSent)
    }

    /// A passive open for the SYN a listener took: SYN-RECEIVED, a SYN/ACK is planned next. Data on the SYN is left
    /// to the peer's retransmission.
    #[must_use]
    pub fn accept(now: Instant, params: OpenParams, syn: &Segment) -> Self {
        let mut socket = Self::new(now, params, State::SynReceived);
        socket.on_peer_syn(now, syn);
        socket
    }

    /// Takes a received segment (RFC 9293 3.10.7).
    pub fn on_segment(&mut self, now: Instant, seg: &Segment) -> Disposition {
        self.on_segment_coupled(now, seg, &CoupledView::NONE)
    }

    /// [`Self::on_segment`] for congestion control that looks at the sibling subflows.
    pub fn on_segment_coupled(
        &mut self,
        now: Instant,
        seg: &Segment,
        coupled: &CoupledView<'_>,
    ) -> Disposition {
        if self.is_closed() || self.reset_pending {
            return Disposition::default();
        }
        let mut disposition = match self.state {
            State::SynSent => self.on_segment_syn_sent(now, seg),
            _ => self.on_segment_synchronized(now, seg, coupled),
        };
        disposition.closed = self.is_closed();
        debug_assert_eq!(self.check_invariants(), Ok(()));
        disposition
    }

    /// Appends a chunk to the send buffer and returns its stream offset. No segment spans two chunks.
    ///
    /// The chunk is held by reference until it is acknowledged. After [`Self::close`] data is thrown away.
    pub fn write(&mut self, data: Bytes) -> u64 {
        self.send.write(data)
    }

    /// The layer above has data, and is about to choose who sends it: a window that has been idle for too long is
    /// reset before it is looked at (RFC 5681 4.1).
    pub fn before_new_data(&mut self, now: Instant) {
        if self.state.can_send() {
            self.send.restart_after_idle(now);
        }
    }

    /// Stream offset the next chunk will get.
    #[must_use]
    pub fn next_write_offset(&self) -> u64 {
        self.send.chunks.end()
    }

    /// The next piece received in order, with its stream offset.
    pub fn read(&mut self) -> Option<(u64, Bytes)> {
        self.recv.read()
    }

    /// Plans a pure ACK next, whether TCP needs one or not.
    pub fn request_ack(&mut self) {
        self.ack.demand(Urgency::Pure);
    }

    /// ICMP said that the path takes only segments of `mss` octets (options not subtracted). `seq` is the sequence
    /// number of the segment that was too big; a message about anything not in flight is a forgery (RFC 5927 7).
    pub fn on_path_mtu(&mut self, now: Instant, mss: u16, seq: SeqNum) {
        if self.state.is_synchronized() && self.is_in_flight(seq) {
            self.send.on_path_mss(mss);
            self.send.rearm(now);
        }
    }

    /// A segment with this number is on its way: what an ICMP error quotes has to be (RFC 5927 4).
    #[must_use]
    pub fn is_in_flight(&self, seq: SeqNum) -> bool {
        if !self.state.is_synchronized() {
            return seq == self.params.iss;
        }
        let offset = self.send.ack_offset(seq);
        offset >= self.send.una() as i64 && offset < self.send.nxt() as i64
    }

    /// Holds between calls; for tests and fuzzers.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.recv.check_invariants()?;
        if self.state == State::Closed {
            return if self.end.is_some() { Ok(()) } else { Err("closed for no reason") };
        }
        self.send.check_invariants()?;
        if self.end.is_some() {
            return Err("ended, but not closed");
        }
        if self.state == State::TimeWait && self.time_wait.is_none() {
            return Err("TIME-WAIT without a timer");
        }
        Ok(())
    }
}
