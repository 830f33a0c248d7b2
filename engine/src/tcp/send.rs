//! The sending half: what is written, sent and acknowledged, and what may go next.

use super::carrier::Carrier;
use super::chunks::Chunks;
use super::congestion::{self, CongestionControl};
use super::pacing::{Pacer, linux_rate, quantum};
use super::plan::SendLimits;
use super::prr::Prr;
use super::recovery::{LossRecovery, TailProbe};
use super::rtt::RttEstimator;
use super::segment::Segment;
use super::timestamps;
use crate::config::TcpConfig;
use crate::seq::SeqNum;
use crate::time::{Duration, Instant};
use crate::window::WindowScale;
use alloc::boxed::Box;
use bytes::Bytes;

/// MSS of a peer that announced none (RFC 9293 3.7.1 [MUST-15]).
const DEFAULT_MSS: u16 = 536;
/// Smallest MSS believed, of a peer or of an ICMP message: with all options there is still room for data.
const MIN_MSS: u16 = 88;

/// Data and FIN of the segment to be sent next.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) payload: Bytes,
    pub(super) fin: bool,
    /// It goes to the end of what is written.
    pub(super) push: bool,
    pub(super) retransmission: bool,
    pub(super) mss: u32,
}

/// The send sequence space (RFC 9293 3.3.1), in stream offsets, with loss recovery and congestion control.
#[derive(Debug)]
pub(super) struct Send {
    /// Initial send sequence number.
    pub(super) iss: SeqNum,
    /// The peer's window scale, as negotiated.
    pub(super) scale: WindowScale,
    pub(super) una: u64,
    pub(super) nxt: u64,
    pub(super) chunks: Chunks,
    fin_queued: bool,
    /// Right edge of the peer's window: SND.UNA + SND.WND of the last update. Of a subflow it is the subflow's own
    /// (RFC 8684 3.3.5 [SND-4]).
    pub(super) edge: u64,
    wl1: SeqNum,
    wl2: SeqNum,
    max_window: u64,
    pub(super) peer_mss: u16,
    path_mss: u16,
    /// Octets of this layer's options in every segment.
    option_len: u8,
    /// What the layer above last wanted for its options.
    pub(super) reserved: u8,
    pub(super) rtt: RttEstimator,
    pub(super) loss: LossRecovery,
    /// The stream its segments travel in, if they do.
    pub(super) carrier: Option<Carrier>,
    pub(super) congestion: Box<dyn CongestionControl>,
    pub(super) prr: Option<Prr>,
    /// Pacing is asked for, whatever congestion control says.
    pacing: bool,
    pacer: Pacer,
    restart_after_idle: bool,
    /// The window was reset since the last segment went out.
    idle_reset: bool,
    /// Window resets after a pause.
    pub(super) idle_resets: u64,
    pub(super) tail_probe: Option<TailProbe>,
    /// The window was full when the octets up to here were in flight: their ACKs may open it further.
    pub(super) limited_until: u64,
    /// Retransmission timeouts without progress.
    pub(super) timeouts: u32,
    last_sent: Option<Instant>,
    pub(super) last_progress: Instant,
    pub(super) sent: u64,
    pub(super) retransmitted: u64,
    /// Octets a second, as last measured.
    pub(super) delivery_rate: Option<u64>,
}

impl Send {
    pub(super) fn new(
        now: Instant,
        iss: SeqNum,
        mss: u16,
        config: &TcpConfig,
        carried: bool,
    ) -> Self {
        let segment = u32::from(mss.max(MIN_MSS));
        Self {
            iss,
            scale: WindowScale::ZERO,
            una: 0,
            nxt: 0,
            chunks: Chunks::default(),
            fin_queued: false,
            edge: 0,
            wl1: SeqNum(0),
            wl2: SeqNum(0),
            max_window: 0,
            peer_mss: DEFAULT_MSS,
            path_mss: mss.max(MIN_MSS),
            option_len: 0,
            reserved: 0,
            rtt: RttEstimator::new(config.min_rto, config.max_rto),
            loss: LossRecovery::new(segment, config.sack, carried),
            carrier: carried.then(Carrier::new),
            congestion: congestion::new(config.congestion, segment),
            prr: None,
            pacing: config.pacing,
            pacer: Pacer::default(),
            restart_after_idle: config.slow_start_after_idle,
            idle_reset: false,
            idle_resets: 0,
            tail_probe: None,
            limited_until: 0,
            timeouts: 0,
            last_sent: None,
            last_progress: now,
            sent: 0,
            retransmitted: 0,
            delivery_rate: None,
        }
    }

    pub(super) const fn una(&self) -> u64 {
        self.una
    }

    pub(super) const fn nxt(&self) -> u64 {
        self.nxt
    }

    /// The sequence number of a stream offset.
    pub(super) fn seq(&self, offset: u64) -> SeqNum {
        self.iss + (offset as u32).wrapping_add(1)
    }

    /// Stream offset of an ACK field, the one nearest to SND.UNA; negative before the first octet.
    pub(super) fn ack_offset(&self, ack: SeqNum) -> i64 {
        (self.una as i64).saturating_add(i64::from(ack.since(self.seq(self.una))))
    }

    /// Largest window the peer ever offered (RFC 5961 MAX.SND.WND).
    pub(super) const fn max_window(&self) -> u64 {
        self.max_window
    }

    /// Where the stream ends, FIN included.
    fn end(&self) -> u64 {
        self.chunks.end() + u64::from(self.fin_queued)
    }

    pub(super) fn write(&mut self, data: Bytes) -> u64 {
        if self.fin_queued { self.chunks.end() } else { self.chunks.push(data) }
    }

    pub(super) const fn fin_queued(&self) -> bool {
        self.fin_queued
    }

    pub(super) fn queue_fin(&mut self) {
        self.fin_queued = true;
    }

    /// The FIN is all that is left to send.
    pub(super) fn is_fin_next(&self) -> bool {
        self.fin_queued && self.nxt == self.chunks.end()
    }

    pub(super) fn fin_acked(&self) -> bool {
        self.fin_queued && self.una == self.end()
    }

    /// Octets written and not sent, FIN not counted.
    pub(super) fn unsent(&self) -> u64 {
        self.chunks.end().saturating_sub(self.nxt)
    }

    pub(super) const fn is_outstanding(&self) -> bool {
        self.una < self.nxt
    }

    /// Largest payload of a segment in which the layer above takes `reserved` octets for options (RFC 6691).
    pub(super) fn effective_mss(&self, reserved: u8) -> u32 {
        let options = u32::from(self.option_len) + u32::from(reserved);
        let segment = u32::from(self.peer_mss.max(MIN_MSS).min(self.path_mss));
        segment.saturating_sub(options).max(u32::from(MIN_MSS) - 40)
    }

    /// Takes what the peer's SYN says about sending to it. Its window is never scaled.
    pub(super) fn on_peer_syn(&mut self, syn: &Segment, timestamps: bool, sack: bool) {
        // RFC 9293 3.7.1: at least what every host must take is not assumed of a SYN that says less.
        self.peer_mss = syn.options.mss.unwrap_or(DEFAULT_MSS);
        self.option_len = if timestamps { timestamps::OPTION_LEN } else { 0 };
        self.edge = u64::from(syn.window);
        self.max_window = self.edge;
        self.wl1 = syn.seq;
        self.wl2 = syn.ack.unwrap_or(self.iss);
        self.loss.set_sack(sack);
        self.apply_mss();
    }

    fn apply_mss(&mut self) {
        let mss = self.effective_mss(0);
        self.loss.set_mss(mss);
        self.congestion.set_mss(mss);
    }

    /// The handshake is complete; its SYN or SYN/ACK went out `transmissions` times.
    pub(super) fn on_established(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        transmissions: u32,
    ) {
        // The first timer, of 1 s, may just have been impatient: as in Linux it takes two (RFC 5681 3.1).
        if transmissions > 2 {
            self.congestion.on_handshake_loss();
        }
        if let Some(rtt) = rtt {
            self.rtt.on_sample(rtt);
        }
        self.last_progress = now;
    }

    /// ICMP reported a smaller path MTU. Everything in flight that no longer fits is taken for lost, but not as a
    /// sign of congestion (RFC 9293 3.7.5, RFC 8201 5.4).
    pub(super) fn on_path_mss(&mut self, mss: u16) {
        let mss = mss.max(MIN_MSS);
        if mss < self.path_mss {
            self.path_mss = mss;
            self.apply_mss();
            self.loss.mark_all_lost();
        }
    }

    /// Takes SEG.WND of a valid ACK at `offset`, if it is news (RFC 9293 3.10.7.4 fifth step).
    pub(super) fn update_window(&mut self, offset: u64, seq: SeqNum, ack: SeqNum, field: u16) {
        let news = self.wl1.before(seq) || (self.wl1 == seq && self.wl2.before_or_eq(ack));
        if !news {
            return;
        }
        let window = u64::from(self.scale.scale_up(field));
        self.edge = offset + window;
        self.max_window = self.max_window.max(window);
        self.wl1 = seq;
        self.wl2 = ack;
        if window == 0 {
            // A peer that answers with a closed window lives, however long it stays closed (RFC 9293 3.8.6.1).
            self.timeouts = 0;
        }
    }

    /// Octets the congestion window and the carrier allow now.
    fn budget(&self) -> u64 {
        let window = match &self.prr {
            Some(prr) => prr.budget(),
            None => self.congestion.window().saturating_sub(self.loss.pipe()),
        };
        self.carrier.map_or(window, |carrier| window.min(carrier.left()))
    }

    /// The carrier takes no segment now, whatever it is.
    pub(super) fn is_held(&self) -> bool {
        self.carrier.is_some_and(|carrier| carrier.is_full())
    }

    /// Octets the peer's window allows now.
    const fn window_room(&self) -> u64 {
        self.edge.saturating_sub(self.nxt)
    }

    /// How much of a piece of `want` octets the peer's window takes: all, whole segments, or enough of it to be worth
    /// a segment (sender silly-window avoidance, RFC 9293 3.8.6.2.1). `insist`: whatever fits.
    fn window_takes(&self, want: u64, mss: u64, insist: bool) -> u64 {
        let room = self.window_room();
        if want <= room {
            want
        } else if room >= mss {
            room - room % mss
        } else if insist || room >= (self.max_window / 2).max(1) {
            room
        } else {
            0
        }
    }

    /// New data or the FIN waits, and the peer's window is why.
    pub(super) fn is_blocked_by_window(&self) -> bool {
        if self.nxt >= self.end() {
            return false;
        }
        let mss = u64::from(self.effective_mss(self.reserved));
        let rest = self.chunks.rest_len(self.nxt);
        self.window_takes(rest.clamp(1, mss), mss, false) == 0
    }

    /// New octets that may be written now and would go at once.
    pub(super) fn available(&self) -> u64 {
        let mss = u64::from(self.effective_mss(self.reserved));
        let lost = self.loss.lost_bytes();
        let unsent = self.unsent();
        let room = self.budget().saturating_sub(lost).saturating_sub(unsent);
        // Part of a segment waits until there is room for a whole one, unless nothing would bring that about.
        let idle = self.loss.pipe() == 0 && lost == 0 && unsent == 0 && !self.is_held();
        let room = if idle { room.max(mss) } else { room - room % mss };
        let room = room.min(self.burst_left(unsent, mss));
        let window = self.window_takes(unsent.saturating_add(room), mss, false);
        room.min(window.saturating_sub(unsent))
    }

    /// New octets that fit in the next burst, if pacing holds.
    fn burst_left(&self, unsent: u64, mss: u64) -> u64 {
        match self.pace() {
            None => u64::MAX,
            Some(_) if self.pacer.is_held() => 0,
            Some((_, burst)) => (burst - burst % mss).saturating_sub(unsent),
        }
    }

    /// What goes next, by order of need: a tail probe, what is lost, new data.
    pub(super) fn next(&self, limits: &SendLimits, insist: bool) -> Option<Piece> {
        let mss = self.effective_mss(limits.reserved_options);
        let many = limits.max_payload - limits.max_payload % mss;
        let burst = self.pace().map_or(u64::MAX, |(_, burst)| burst - burst % u64::from(mss));
        let cap = u64::from(many.max(mss)).min(burst.max(u64::from(mss)));
        if let Some(probe) = &self.tail_probe {
            if probe.new_data
                && let Some(piece) = self.fresh(u64::from(mss), mss, u64::MAX, insist)
            {
                return Some(piece);
            }
            let range = probe.last_segment.clone();
            if range.start >= self.una && range.end <= self.nxt {
                let len = (range.end - range.start).min(u64::from(mss));
                return Some(self.again(range.end - len, len, mss));
            }
        }
        if let Some(range) = self.loss.next_lost(cap) {
            return self.lost(range.start, range.end - range.start, mss);
        }
        self.fresh(cap, mss, self.budget(), insist)
    }

    /// How much of `len` octets the congestion window lets go: all or whole segments; one in any case when nothing
    /// is in flight.
    fn allowed(&self, len: u64, mss: u64, budget: u64) -> u64 {
        let whole = if len <= budget { len } else { budget - budget % mss };
        if whole == 0 && self.loss.pipe() == 0 { len.min(mss) } else { whole }
    }

    /// A retransmission. Beyond the edge of a window that shrank only the first octets go, as a probe.
    fn lost(&self, start: u64, len: u64, mss: u32) -> Option<Piece> {
        if start != self.una && start + len > self.edge {
            return None;
        }
        let len = self.allowed(len, u64::from(mss), self.budget());
        (len > 0).then(|| self.again(start, len, mss))
    }

    /// Up to `len` octets of sequence space from `start`, sent before.
    fn again(&self, start: u64, len: u64, mss: u32) -> Piece {
        let mut payload = self.chunks.rest(start);
        payload.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let end = start + payload.len() as u64;
        let last = end == self.chunks.end();
        let fin = last && self.fin_queued && self.nxt > end && start + len > end;
        let push = last && !payload.is_empty();
        Piece { offset: start, payload, fin, push, retransmission: true, mss }
    }

    /// New data, with the FIN if that is next.
    fn fresh(&self, cap: u64, mss: u32, budget: u64, insist: bool) -> Option<Piece> {
        if self.nxt >= self.end() {
            return None;
        }
        let mut payload = self.chunks.rest(self.nxt);
        let wide = u64::from(mss);
        let want = self.window_takes((payload.len() as u64).min(cap), wide, insist);
        let len = self.allowed(want, wide, budget);
        if len == 0 && !payload.is_empty() {
            return None;
        }
        payload.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let end = self.nxt + payload.len() as u64;
        let last = end == self.chunks.end();
        // The FIN takes an octet of the window, but none of the congestion window.
        let fin = last && self.fin_queued && end < self.edge;
        if payload.is_empty() && !fin {
            return None;
        }
        let push = last && !payload.is_empty();
        Some(Piece { offset: self.nxt, payload, fin, push, retransmission: false, mss })
    }

    /// A long pause says that the window's size is no longer known to fit the path (RFC 5681 4.1). Called when there
    /// is something to send again.
    pub(super) fn restart_after_idle(&mut self, now: Instant) {
        let Some(last) =
            self.last_sent.filter(|_| self.restart_after_idle && !self.is_outstanding())
        else {
            return;
        };
        let (idle, rto) = (now.saturating_since(last), self.rtt.rto());
        if idle > rto {
            let before = self.congestion.window();
            self.congestion.on_idle_restart(idle, rto);
            self.idle_reset = self.congestion.window() < before;
            // Once only.
            self.last_sent = None;
        }
    }

    /// Octets a second: what congestion control asks for, else what Linux would pace at; `None` before the first RTT
    /// sample.
    pub(super) fn pacing_rate(&self) -> Option<u64> {
        let srtt = self.rtt.srtt();
        self.congestion.pacing_rate(srtt).or_else(|| {
            Some(linux_rate(self.congestion.window(), self.congestion.ssthresh(), srtt?))
        })
    }

    /// The rate that holds, and the burst it allows.
    fn pace(&self) -> Option<(u64, u64)> {
        let rate = if self.pacing {
            self.pacing_rate()?
        } else {
            self.congestion.pacing_rate(self.rtt.srtt())?
        };
        Some((rate, quantum(rate, u64::from(self.effective_mss(self.reserved)))))
    }

    /// Data has to wait for its time. Tail probes do not.
    pub(super) fn check_pace(&mut self, now: Instant) -> bool {
        self.pacer.check(now) && self.tail_probe.is_none()
    }

    /// When paced data may go on, if nothing else holds it back.
    pub(super) fn pacing_deadline(&self) -> Option<Instant> {
        let room = self.budget() >= u64::from(self.effective_mss(self.reserved));
        self.pacer.deadline().filter(|_| room)
    }

    /// Nothing is left to send: rate samples of what is in flight say too little of the path.
    pub(super) fn note_app_limited(&mut self) {
        let idle = self.nxt == self.end() && !self.pacer.is_held();
        // a window with part of a segment left is full
        let room = self.budget() >= u64::from(self.effective_mss(self.reserved));
        if idle && self.is_outstanding() && room {
            self.loss.mark_app_limited();
        }
    }

    /// Octets `[offset, offset + len + fin)` went out.
    pub(super) fn on_sent(&mut self, now: Instant, offset: u64, len: u64, fin: bool) {
        let end = offset + len + u64::from(fin);
        let retransmission = offset < self.nxt;
        self.loss.on_transmit(now, offset..end, retransmission);
        if let Some(prr) = &mut self.prr {
            prr.on_sent(len);
        }
        if retransmission {
            self.retransmitted += len;
        } else {
            self.sent += len;
            self.nxt = end;
        }
        self.tail_probe = None;
        self.last_sent = Some(now);
        self.idle_resets += u64::from(core::mem::take(&mut self.idle_reset));
        if let Some((rate, burst)) = self.pace().filter(|_| len > 0) {
            self.pacer.on_sent(now, len, rate, burst);
        }
        let (pipe, window) = (self.loss.pipe(), self.congestion.window());
        let slow_start = window < self.congestion.ssthresh();
        let mss = u64::from(self.effective_mss(self.reserved));
        // RFC 7661 4.1 in its simple form: in slow start half a window is enough to go on growing.
        if pipe + mss > window || (slow_start && 2 * pipe >= window) {
            self.limited_until = self.nxt;
        }
        self.rearm(now);
    }

    pub(super) fn rearm(&mut self, now: Instant) {
        let can_send_new = self.nxt < self.end() && !self.is_blocked_by_window();
        self.loss.rearm(now, &self.rtt, can_send_new);
    }

    /// RTO without back-off, for timers that back off on their own.
    pub(super) fn base_rto(&self) -> Duration {
        self.rtt.rto()
    }

    /// The socket is over: nothing will be sent or timed again.
    pub(super) fn abandon(&mut self) {
        self.chunks.clear();
        self.tail_probe = None;
    }

    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        if self.una > self.nxt {
            return Err("una is after nxt");
        }
        if self.nxt > self.end() {
            return Err("nxt is after the end of what was written");
        }
        if self.loss.una() != self.una || self.loss.nxt() != self.nxt {
            return Err("loss recovery disagrees about una or nxt");
        }
        if self.loss.pipe() > self.nxt - self.una {
            return Err("more in flight than was sent");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mss_leaves_room_for_options() {
        let mut send = Send::new(Instant::ZERO, SeqNum(0), 1460, &TcpConfig::default(), false);
        let mut syn = Segment::default();
        syn.options.mss = Some(1400);
        send.on_peer_syn(&syn, true, true);
        assert_eq!((send.effective_mss(0), send.effective_mss(20)), (1388, 1368));
        // A hostile MSS leaves 48 octets for data, with all options.
        syn.options.mss = Some(0);
        send.on_peer_syn(&syn, true, true);
        assert_eq!(send.effective_mss(28), 48);
    }
}
