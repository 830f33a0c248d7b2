//! Plan and commit: which segment goes next, and what changes once it has gone.

use super::ack_policy::Urgency;
use super::plan::{PlanKind, SegmentPlan, SendLimits};
use super::segment::{Flags, SackBlocks, SegmentOptions};
use super::send::Piece;
use super::socket::Socket;
use super::state::{SocketEnd, State};
use crate::seq::SeqNum;
use crate::time::Instant;
use bytes::Bytes;

/// Room for options in a TCP header.
const OPTION_SPACE: u8 = 40;

impl Socket {
    /// What would be sent next, if anything. Changes nothing the peer or the caller could see.
    ///
    /// Call it, and [`Self::commit`] what went out, until it gives nothing.
    pub fn plan(&mut self, now: Instant, limits: &SendLimits) -> Option<SegmentPlan> {
        if self.send.is_held() {
            return None;
        }
        if self.state == State::Closed {
            return self.plan_reset_reply();
        }
        if self.reset_pending {
            return Some(self.plan_reset(now));
        }
        self.offer = limits.window;
        self.recv.on_promised(limits.promised);
        self.send.reserved = limits.reserved_options;
        self.plan_reset_reply().or_else(|| match self.state {
            State::SynSent => self.plan_syn(now),
            State::SynReceived => self
                .plan_syn(now)
                .or_else(|| self.plan_pure_ack(now))
                .or_else(|| self.plan_early_data(now, limits)),
            _ => self.plan_synchronized(now, limits),
        })
    }

    /// Nothing more comes from above, though there may be room for it. Who hands data over piece by piece says so when
    /// it has no piece left, or every sample of the rate would count as too small.
    pub(crate) fn note_app_limited(&mut self) {
        self.send.note_app_limited();
    }

    fn plan_synchronized(&mut self, now: Instant, limits: &SendLimits) -> Option<SegmentPlan> {
        if !(self.fin_first && self.send.is_fin_next())
            && let Some(plan) = self.plan_pure_ack(now)
        {
            return Some(plan);
        }
        if self.send.unsent() > 0 {
            self.send.restart_after_idle(now);
        }
        let held = self.send.check_pace(now);
        if !held && let Some(piece) = self.send.next(limits, self.probe.persist_due) {
            return Some(self.plan_piece(now, piece));
        }
        self.refresh_persist(now);
        if self.probe.persist_due {
            return Some(self.plan_probe(now, PlanKind::WindowProbe));
        }
        if self.probe.keepalive_due {
            return Some(self.plan_keepalive(now));
        }
        let update = self.state.can_receive()
            && self.recv.wants_window_update(limits.window, u32::from(self.params.mss));
        (update || self.ack.urgency(now) > Urgency::None).then(|| self.plan_ack(now))
    }

    /// Data before the third packet; what gets lost of it waits for that, and so does the FIN.
    fn plan_early_data(&mut self, now: Instant, limits: &SendLimits) -> Option<SegmentPlan> {
        let piece = if self.may_send_early() { self.send.next(limits, false) } else { None };
        let piece = piece.filter(|p| !p.payload.is_empty() && !p.retransmission)?;
        Some(self.plan_piece(now, Piece { fin: false, ..piece }))
    }

    /// An acknowledgement that must not ride on data: a duplicate ACK counts only alone, and SACK blocks would take
    /// room from the payload.
    fn plan_pure_ack(&self, now: Instant) -> Option<SegmentPlan> {
        let urgency = self.ack.urgency(now);
        let pure = urgency == Urgency::Pure
            || (urgency == Urgency::Now && self.sack && self.recv.has_sack());
        pure.then(|| self.plan_ack(now))
    }

    fn plan_ack(&self, now: Instant) -> SegmentPlan {
        let kind = if self.ack.is_challenge() { PlanKind::ChallengeAck } else { PlanKind::Ack };
        let mut plan = self.blank(now, kind, self.acceptable_seq());
        if self.sack {
            // Kind, length and two octets of padding; eight octets a block.
            let used = if self.timestamps.enabled { super::timestamps::OPTION_LEN } else { 0 };
            plan.options.sack = self.recv.sack_blocks(usize::from((OPTION_SPACE - used - 4) / 8));
        }
        plan
    }

    /// SND.NXT, or the right edge of a window that shrank: beyond it the peer would drop the segment.
    fn acceptable_seq(&self) -> SeqNum {
        let send = &self.send;
        send.seq(send.nxt().min(send.edge.max(send.una())))
    }

    fn plan_piece(&self, now: Instant, piece: Piece) -> SegmentPlan {
        let kind = match (piece.retransmission, piece.payload.is_empty()) {
            (true, _) => PlanKind::Retransmission,
            (false, true) => PlanKind::Fin,
            (false, false) => PlanKind::Data,
        };
        let mut plan = self.blank(now, kind, self.send.seq(piece.offset));
        plan.flags = Flags { fin: piece.fin, psh: piece.push, ..Flags::default() };
        plan.offset = piece.offset;
        let many = piece.payload.len() as u64 > u64::from(piece.mss);
        plan.segment_size = u16::try_from(piece.mss).ok().filter(|_| many);
        plan.payload = piece.payload;
        plan
    }

    /// No data and an old sequence number: the peer has to answer (RFC 9293 3.8.4). A window probe in this form
    /// needs no octet of the stream, for which there would be no mapping and no room.
    fn plan_probe(&self, now: Instant, kind: PlanKind) -> SegmentPlan {
        self.blank(now, kind, self.send.seq(self.send.una()) - 1)
    }

    /// A probe, or the last acknowledged octet once more: the peer has to answer either.
    fn plan_keepalive(&self, now: Instant) -> SegmentPlan {
        let mut plan = self.plan_probe(now, PlanKind::Keepalive);
        plan.payload = self.probe.question.clone();
        if !plan.payload.is_empty() {
            plan.offset = self.send.una().saturating_sub(1);
        }
        plan
    }

    fn plan_syn(&self, now: Instant) -> Option<SegmentPlan> {
        if !self.handshake.pending {
            return None;
        }
        let answer = self.state == State::SynReceived;
        let kind = if answer { PlanKind::SynAck } else { PlanKind::Syn };
        let mut plan = self.blank(now, kind, self.send.iss);
        plan.flags.syn = true;
        plan.ack = plan.ack.filter(|_| answer);
        plan.window = self.syn_window();
        plan.options = self.handshake_options(now, answer);
        plan.transmissions = self.handshake.transmissions;
        self.plan_fast_open(&mut plan, answer);
        Some(plan)
    }

    /// The window in a SYN, which is never scaled (RFC 7323 2.2).
    pub(super) fn syn_window(&self) -> u16 {
        u16::try_from(self.params.receive_window).unwrap_or(u16::MAX)
    }

    fn plan_reset(&self, now: Instant) -> SegmentPlan {
        let mut plan = self.blank(now, PlanKind::Reset, self.acceptable_seq());
        plan.flags.rst = true;
        plan.window = 0;
        plan
    }

    /// For an unacceptable ACK: a RST with its number, and nothing else the peer would have to believe.
    fn plan_reset_reply(&self) -> Option<SegmentPlan> {
        let seq = self.reset_reply?;
        Some(SegmentPlan {
            kind: PlanKind::ResetReply,
            seq,
            ack: None,
            flags: Flags { rst: true, ..Flags::default() },
            window: 0,
            options: SegmentOptions::default(),
            offset: 0,
            payload: Bytes::new(),
            segment_size: None,
            transmissions: 0,
        })
    }

    fn blank(&self, now: Instant, kind: PlanKind, seq: SeqNum) -> SegmentPlan {
        let timestamps = self.timestamps.enabled.then(|| self.timestamps.option(now));
        SegmentPlan {
            kind,
            seq,
            ack: Some(self.recv.nxt_seq()),
            flags: Flags::default(),
            window: self.recv.window_field(self.offer, u32::from(self.params.mss)),
            options: SegmentOptions { timestamps, ..SegmentOptions::default() },
            offset: self.send.nxt(),
            payload: Bytes::new(),
            segment_size: None,
            transmissions: 0,
        }
    }

    /// The planned segment went out. The plan must be the last one [`Self::plan`] gave.
    pub fn commit(&mut self, now: Instant, plan: &SegmentPlan) {
        let max_rto = self.params.config.max_rto;
        if let Some(carrier) = &mut self.send.carrier {
            carrier.on_sent(plan.payload.len());
        }
        match plan.kind {
            PlanKind::Syn | PlanKind::SynAck => {
                self.handshake.on_sent(now, &self.params.config);
                if plan.kind == PlanKind::Syn {
                    self.on_syn_data_sent(plan);
                }
            }
            PlanKind::Data | PlanKind::Fin | PlanKind::Retransmission => {
                let len = plan.payload.len() as u64;
                self.send.on_sent(now, plan.offset, len, plan.flags.fin);
                self.ack.on_data_sent(now);
                self.probe.stop_persist();
            }
            PlanKind::WindowProbe => {
                self.probe.on_window_probe_sent(now, self.send.base_rto(), max_rto);
            }
            PlanKind::Keepalive => {
                self.probe.keepalive_due = false;
                if !core::mem::take(&mut self.probe.question).is_empty() {
                    self.send.loss.on_question(plan.offset);
                }
            }
            PlanKind::Ack | PlanKind::ChallengeAck => {}
            PlanKind::Reset => {
                self.finish(SocketEnd::Aborted);
                return;
            }
            PlanKind::ResetReply => {
                self.reset_reply = None;
                return;
            }
        }
        if plan.ack.is_some() {
            self.on_ack_sent(plan);
        }
        debug_assert_eq!(self.check_invariants(), Ok(()));
    }

    fn on_ack_sent(&mut self, plan: &SegmentPlan) {
        let mss = u32::from(self.params.mss);
        let window = if plan.flags.syn { self.params.receive_window } else { self.offer };
        self.recv.on_advertised(window, mss, plan.window, plan.flags.syn);
        self.last_ack_sent = self.recv.nxt();
        self.ack.on_ack_sent(plan.kind.is_pure_ack() || plan.kind == PlanKind::SynAck);
        if plan.options.sack != SackBlocks::new() {
            self.recv.on_sack_sent();
        }
    }
}
