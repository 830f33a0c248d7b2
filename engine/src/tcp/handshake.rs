//! The three-way handshake: options agreed on, SYN-SENT and SYN-RECEIVED (RFC 9293 3.5, 3.10.7.3).

use super::ack_policy::Urgency;
use super::fast_open::FastOpen;
use super::plan::Disposition;
use super::recv::Recv;
use super::segment::{Segment, SegmentOptions};
use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::config::TcpConfig;
use crate::seq::SeqNum;
use crate::time::{Duration, Instant};
use crate::window::WindowScale;

/// Retransmission timeout of the first SYN (RFC 6298 2.1).
const INITIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The SYN or SYN/ACK of this end.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    /// This end opened.
    pub(super) active: bool,
    /// It goes out once: what is slow is the making of its path, and that has a limit of its own.
    carried: bool,
    /// A SYN or SYN/ACK is to be sent.
    pub(super) pending: bool,
    /// How often one went out.
    pub(super) transmissions: u32,
    /// How often the timer ran out.
    timeouts: u32,
    first_sent: Instant,
    /// Nobody knows when the answer went out.
    untimed: bool,
    /// Sequence number of the peer's SYN.
    pub(super) peer_syn: SeqNum,
    pub(super) fast_open: FastOpen,
    pub(super) deadline: Option<Instant>,
}

impl Handshake {
    pub(super) fn new(active: bool, carried: bool) -> Self {
        Self { active, carried, pending: true, ..Self::default() }
    }

    pub(super) fn on_sent(&mut self, now: Instant, config: &TcpConfig) {
        if self.transmissions == 0 {
            self.first_sent = now;
        }
        self.transmissions = self.transmissions.saturating_add(1);
        self.pending = false;
        let linear = if self.active { config.syn_linear_timeouts } else { 0 };
        let doublings = self.timeouts.saturating_sub(linear).min(16);
        let timeout = INITIAL_TIMEOUT.saturating_mul(1 << doublings).min(config.max_rto);
        self.deadline = Some(now + timeout).filter(|_| !self.carried);
    }

    /// Round-trip time, when it is clear which transmission was answered (Karn).
    fn rtt(&self, now: Instant) -> Option<Duration> {
        (self.transmissions == 1 && !self.untimed).then(|| now.saturating_since(self.first_sent))
    }
}

impl Socket {
    /// Options of a SYN or SYN/ACK.
    pub(super) fn handshake_options(&self, now: Instant, answer: bool) -> SegmentOptions {
        let config = &self.params.config;
        let scaling = if answer { self.scales.is_some() } else { true };
        SegmentOptions {
            mss: Some(self.params.mss),
            window_scale: scaling.then_some(self.params.window_scale.shift()),
            sack_permitted: if answer { self.sack } else { config.sack },
            timestamps: (if answer { self.timestamps.enabled } else { config.timestamps })
                .then(|| self.timestamps.option(now)),
            ..SegmentOptions::default()
        }
    }

    /// Takes the peer's SYN: its sequence number and what it offers.
    pub(super) fn on_peer_syn(&mut self, now: Instant, syn: &Segment) {
        let options = &syn.options;
        self.recv = Recv::new(self.params.receive_window);
        self.recv.irs = syn.seq;
        self.handshake.peer_syn = syn.seq;
        self.timestamps.enabled = self.params.config.timestamps && options.timestamps.is_some();
        self.timestamps.on_segment(now, syn);
        self.sack = self.params.config.sack && options.sack_permitted;
        self.scales = options
            .window_scale
            .map(|shift| (self.params.window_scale, WindowScale::from_wire(shift)));
        if let Some((ours, theirs)) = self.scales {
            self.recv.scale = ours;
            self.send.scale = theirs;
        }
        self.send.on_peer_syn(syn, self.timestamps.enabled, self.sack);
        self.last_received_at = now;
    }

    /// SYN-SENT (RFC 9293 3.10.7.3).
    pub(super) fn on_segment_syn_sent(&mut self, now: Instant, seg: &Segment) -> Disposition {
        let acked = seg.ack.map(|ack| self.syn_data_acked(ack));
        if acked == Some(None) {
            if !seg.flags.rst {
                self.reset_reply = seg.ack;
            }
            return Disposition::default();
        }
        if seg.flags.rst {
            if acked.is_none() {
                return Disposition::default();
            }
            self.finish(SocketEnd::Refused);
            return Disposition { acceptable: true, reset: true, ..Disposition::default() };
        }
        if !seg.flags.syn {
            return Disposition::default();
        }
        let syn_data_acked = acked.flatten().unwrap_or(0);
        self.on_syn_data_acked(syn_data_acked);
        self.on_peer_syn(now, seg);
        let mut disposition =
            Disposition { acceptable: true, syn_data_acked, ..Disposition::default() };
        // What was promised in the SYN; unscaled there.
        let promised = self.params.receive_window.min(u32::from(u16::MAX));
        self.recv.on_advertised(promised, u32::from(self.params.mss), promised as u16, true);
        if acked.is_none() {
            // Simultaneous open (RFC 9293 3.5 figure 7).
            self.state = State::SynReceived;
            self.handshake.pending = true;
            return disposition;
        }
        self.on_handshake_acked(now, seg);
        disposition.established = true;
        self.ack.demand(Urgency::Now);
        self.take_text(now, seg, 0, &mut disposition);
        disposition
    }

    /// The segment is the SYN this socket was made of, again.
    pub(crate) fn is_syn_again(&self, seg: &Segment) -> bool {
        self.state == State::SynReceived
            && seg.flags.syn
            && seg.ack.is_none()
            && seg.seq == self.recv.irs
    }

    /// A SYN for a socket in SYN-RECEIVED. `true`: it was dealt with.
    pub(super) fn on_syn_received_syn(&mut self, seg: &Segment) -> bool {
        if seg.seq != self.handshake.peer_syn || seg.flags.rst {
            return false;
        }
        if seg.ack.is_none() {
            // The peer has not seen the SYN/ACK.
            self.handshake.pending = true;
            return true;
        }
        false
    }

    /// The ACK field in SYN-RECEIVED: anything but an acknowledgement of the SYN is answered with a RST. Octets of the
    /// SYN's own data it acknowledges.
    pub(super) fn on_syn_received_ack(
        &mut self,
        now: Instant,
        seg: &Segment,
        ack: SeqNum,
    ) -> Option<u32> {
        let Some(syn_data_acked) = self.third_packet_acks(ack) else {
            self.reset_reply = Some(ack);
            return None;
        };
        self.on_syn_data_acked(syn_data_acked);
        self.on_handshake_acked(now, seg);
        Some(syn_data_acked)
    }

    /// The peer acknowledged the SYN: ESTABLISHED, or FIN-WAIT-1 when this end closed meanwhile.
    fn on_handshake_acked(&mut self, now: Instant, seg: &Segment) {
        self.state = if self.send.fin_queued() { State::FinWait1 } else { State::Established };
        self.handshake.pending = false;
        self.handshake.deadline = None;
        let rtt = self.handshake.rtt(now).or_else(|| {
            Some(now.saturating_since(self.timestamps.echoed_at(now, seg.options.timestamps)?))
        });
        self.send.on_established(now, rtt, self.handshake.transmissions);
        self.send.rearm(now);
    }

    /// The SYN/ACK of this passive open went out earlier, by hands that kept nothing of it.
    pub fn assume_answered(&mut self) {
        self.handshake.pending = false;
        self.handshake.transmissions = 1;
        self.handshake.untimed = true;
        let (window, field) = (self.params.receive_window, self.syn_window());
        self.recv.on_advertised(window, u32::from(self.params.mss), field, true);
    }

    /// This end opened.
    #[must_use]
    pub fn is_active_open(&self) -> bool {
        self.handshake.active
    }

    /// Opens anew after the peer refused: the SYN that follows may look different to it. The sequence number is the one
    /// the clock of RFC 6528 would give now, so that what the first SYN is still answered with fits nothing.
    pub fn reconnect(&mut self, now: Instant) {
        let ticks = now.saturating_since(self.handshake.first_sent).as_micros() / 4;
        let mut params = self.params.clone();
        params.iss += (ticks as u32).wrapping_add(1);
        *self = Self::connect(now, params);
    }

    /// The SYN's timer ran out.
    pub(super) fn on_handshake_timeout(&mut self, now: Instant) {
        if self.handshake.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.handshake.deadline = None;
        let config = &self.params.config;
        let linear = if self.handshake.active { config.syn_linear_timeouts } else { 0 };
        if self.handshake.timeouts >= config.max_syn_retransmits.saturating_add(linear) {
            self.finish(SocketEnd::Timeout);
            return;
        }
        self.handshake.timeouts += 1;
        self.handshake.pending = true;
    }
}
