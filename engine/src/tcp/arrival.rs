//! SEGMENT ARRIVES in SYN-RECEIVED and the synchronized states (RFC 9293 3.10.7.4).

use super::acceptance::Acceptance;
use super::ack_policy::Urgency;
use super::congestion::CoupledView;
use super::plan::Disposition;
use super::segment::Segment;
use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::time::Instant;

impl Socket {
    pub(super) fn on_segment_synchronized(
        &mut self,
        now: Instant,
        seg: &Segment,
        coupled: &CoupledView<'_>,
    ) -> Disposition {
        let answer = self.state == State::SynReceived
            && seg.flags.syn
            && seg.ack.is_some()
            && seg.seq == self.handshake.peer_syn;
        if !answer {
            return self.on_checked(now, seg, coupled);
        }
        // The SYN/ACK of a simultaneous open: its SYN was taken before, the rest is new. The window of a SYN is not
        // scaled, the one of what remains is.
        let mut rest = Segment { seq: seg.seq + 1, ..seg.clone() };
        rest.flags.syn = false;
        rest.window = self.send.scale.scale_down(u32::from(seg.window));
        let disposition = self.on_checked(now, &rest, coupled);
        if disposition.established {
            self.ack.demand(Urgency::Now);
        }
        disposition
    }

    fn on_checked(
        &mut self,
        now: Instant,
        seg: &Segment,
        coupled: &CoupledView<'_>,
    ) -> Disposition {
        let mut disposition = Disposition::default();
        if self.state == State::SynReceived && seg.flags.syn && self.on_syn_received_syn(seg) {
            return disposition;
        }
        match self.check_acceptance(now, seg) {
            Acceptance::Accept => {}
            Acceptance::Reset => return self.on_reset(),
            Acceptance::Drop => {
                let end = self.recv.offset(seg.seq).saturating_add(seg.payload.len() as i64);
                disposition.duplicate = !seg.payload.is_empty() && end <= self.recv.nxt() as i64;
                return disposition;
            }
        }
        let Some(ack) = seg.ack else { return disposition };
        if self.state == State::SynReceived {
            let Some(syn_data_acked) = self.on_syn_received_ack(now, seg, ack) else {
                return disposition;
            };
            disposition.syn_data_acked = syn_data_acked;
            disposition.established = true;
        }
        let offset = self.send.ack_offset(ack);
        if !self.check_ack(now, offset) {
            return disposition;
        }
        disposition.acceptable = true;
        self.last_received_at = now;
        self.probe.on_received();
        if self.recv.offset(seg.seq) <= self.last_ack_sent as i64 {
            self.timestamps.on_segment(now, seg);
        }
        let echoed = self.timestamps.echoed_at(now, seg.options.timestamps);
        if let Some(echoed) = echoed.filter(|_| !seg.payload.is_empty()) {
            self.receiver_rtt.on_data(now, echoed);
        }
        disposition.newly_acked = self.send.on_ack(now, offset, seg, echoed, coupled);
        self.on_send_progress(now);
        let start = self.recv.offset(seg.seq);
        self.take_text(now, seg, start, &mut disposition);
        disposition
    }

    /// RFC 9293 3.10.7.4 second step, with the sequence number checked.
    fn on_reset(&mut self) -> Disposition {
        let over = self.recv.fin_received() && self.send.fin_acked();
        self.finish(match self.state {
            State::SynReceived if self.handshake.active => SocketEnd::Refused,
            _ if over => SocketEnd::Finished,
            _ => SocketEnd::Reset,
        });
        Disposition { acceptable: true, reset: true, ..Disposition::default() }
    }

    /// Data and FIN of an acceptable segment whose payload starts at stream offset `start`.
    pub(super) fn take_text(
        &mut self,
        now: Instant,
        seg: &Segment,
        start: i64,
        disposition: &mut Disposition,
    ) {
        if !self.state.can_receive() || (seg.payload.is_empty() && !seg.flags.fin) {
            return;
        }
        let arrival = self.recv.on_data(start, &seg.payload, seg.flags.fin);
        self.ack.on_arrival(now, seg.payload.len(), arrival);
        disposition.new_data = arrival.in_order;
        disposition.duplicate = arrival.duplicate;
        if arrival.fin {
            disposition.peer_fin = true;
            self.on_peer_fin(now);
        }
    }
}
