//! One subflow: a TCP socket and what MPTCP knows about it. `signals` are the options it has to say, `doubt` is the
//! probing of a path whose address was withdrawn, `prediction` says what a segment needs no second look for, `silence` when
//! others take over.

mod doubt;
mod hold;
mod prediction;
mod repeats;
mod signals;
mod silence;

use super::debtor::Rhythm;
use super::decorate::{MetaView, decorate};
use super::fallback::InfiniteMapping;
use super::mapping::MappingQueue;
use super::send_queue::SendQueue;
use super::sent_mappings::{SentMapping, SentMappings};
use crate::addr::{AddressId, FourTuple, InterfaceId, SourceRoute, SubflowId};
use crate::config::ConnectionConfig;
use crate::counters::Counters;
use crate::crypto::Nonce;
use crate::endpoint::SubflowInfo;
use crate::error::{PeerReset, ResetReason};
use crate::event::SubflowEnd;
use crate::scheduling::{LossState, SubflowSet, SubflowSnapshot};
use crate::seq::{DataSeq, SubflowSeq};
use crate::tcp::{PlanKind, SegmentPlan, SendLimits, Socket, SocketEnd, State};
use crate::time::{Duration, Instant};
use crate::window::WindowScale;
use crate::wire::checksum::{Checksum, dss_checksum};
use crate::wire::mptcp::MptcpOption;
use crate::wire::source_route;
use crate::wire::tcp::{ChecksumMode, TcpHeader, emit};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use doubt::Doubt;
use prediction::Prediction;
pub(crate) use prediction::{Outline, Width};
use repeats::Repeats;
pub(crate) use signals::ROOM_BESIDE_TIMESTAMPS;

/// Longest wait for the answer to the third ACK of a join before it is repeated [JOIN-9].
const JOIN_ACK_INTERVAL: Duration = Duration::from_secs(1);

/// How far a subflow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// SYNs are being exchanged.
    Handshake,
    /// This end joined and sent the third ACK; no data before its answer [JOIN-10].
    PreEstablished,
    /// Data may flow.
    Active,
    /// Asked to close, or closed.
    Closing,
}

/// What a joining subflow remembers of its handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Join {
    pub(crate) own_nonce: Nonce,
    pub(crate) peer_nonce: Option<Nonce>,
}

/// Where a subflow's packets leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Egress {
    pub(crate) interface: InterfaceId,
    pub(crate) checksum_offload: bool,
    /// Most payload of a super-segment; 0: there are none.
    pub(crate) max_payload: u32,
    /// Gateways named in every packet (IPv4 loose source route).
    pub(crate) route: Option<SourceRoute>,
}

/// What a subflow sent, beyond its headers.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) payload: Bytes,
    pub(crate) segment_size: Option<u16>,
    /// The receive window told, in bytes; none on SYN and RST.
    pub(crate) window: Option<u32>,
}

/// One subflow of a connection.
#[derive(Debug)]
pub(crate) struct Subflow {
    pub(crate) id: SubflowId,
    pub(crate) tuple: FourTuple,
    pub(crate) egress: Egress,
    pub(crate) local_id: AddressId,
    pub(crate) remote_id: AddressId,
    /// `None` for the first subflow.
    pub(crate) join: Option<Join>,
    pub(crate) phase: Phase,
    pub(crate) tcp: Socket,
    pub(crate) sent: SentMappings,
    pub(crate) received: MappingQueue,
    pub(crate) signals: VecDeque<MptcpOption>,
    pub(crate) backup_local: bool,
    pub(crate) backup_remote: bool,
    /// No progress: gets no new data, and what it carries is reinjected elsewhere.
    pub(crate) stale: bool,
    /// What a RST of this end will say.
    pub(crate) reset_reason: ResetReason,
    /// A RST of this end will carry MP_FASTCLOSE.
    pub(crate) fast_close: bool,
    /// Its ACKs carry MP_FASTCLOSE: the connection is in FASTCLOSE_WAIT [FC-2].
    pub(crate) fast_closing: bool,
    /// A RST of this end will carry MP_FAIL with this DSN.
    pub(crate) fail: Option<DataSeq>,
    /// Plain TCP begins with this, until it is acknowledged.
    pub(crate) infinite: Option<InfiniteMapping>,
    /// A Data ACK came back with the acknowledgement of data [FB-3].
    pub(crate) proven: bool,
    /// A DSS came that shows that the peer goes on with MPTCP.
    pub(crate) heard_dss: bool,
    /// Acknowledgements of data without any option, in a row.
    pub(crate) bare_acks: u32,
    /// Keepalives the data level asked for, without an answer yet.
    asked: u32,
    /// The peer's FIN came without any option.
    pub(crate) bare_fin: bool,
    /// What the peer's RST said.
    pub(crate) peer_reset: Option<PeerReset>,
    /// Its address was withdrawn.
    pub(crate) address_removed: bool,
    /// The application has been told of its end.
    pub(crate) reported: bool,
    /// It was reset from here: nothing of what it still holds counts.
    pub(crate) aborted: bool,
    /// The keys went out on an ACK since the DATA_FIN last did; see [`Self::on_ack_sent`].
    pub(crate) keys_sent: bool,
    doubt: Option<Doubt>,
    /// ACKs with a signal and nothing else since the peer was last heard of [OPT-3] [OPT-5].
    signals_in_row: u8,
    /// When signals that were held back go on.
    signals_at: Option<Instant>,
    /// Signals to be said again.
    repeats: Repeats,
    /// Right edge of the connection's window, and the window, as they were last told here.
    pub(crate) told: Option<(u64, u32)>,
    /// A DSS went out.
    pub(crate) introduced: bool,
    join_ack_at: Option<Instant>,
    /// How often the third ACK of the join was repeated.
    join_acks: u32,
    /// Since when there has been something in flight.
    outstanding_since: Option<Instant>,
    /// Its short silence that began then proved nothing.
    waived: Option<Instant>,
    /// When the subflow is given up for want of a mapping.
    mapping_due: Option<Instant>,
    /// Joined a moment ago: rests until then (K46).
    settles_at: Option<Instant>,
    /// End of the furthest data it delivered, data offset.
    pub(crate) reached: u64,
    pub(crate) rhythm: Rhythm,
    /// What the next segment may be like.
    prediction: Option<Prediction>,
}

impl Subflow {
    pub(crate) fn new(
        id: SubflowId,
        tuple: FourTuple,
        egress: Egress,
        ids: (AddressId, AddressId),
        join: Option<Join>,
        tcp: Socket,
    ) -> Self {
        Self {
            id,
            tuple,
            egress,
            local_id: ids.0,
            remote_id: ids.1,
            join,
            phase: Phase::Handshake,
            tcp,
            sent: SentMappings::default(),
            received: MappingQueue::default(),
            signals: VecDeque::new(),
            backup_local: false,
            backup_remote: false,
            stale: false,
            reset_reason: ResetReason::Unspecified,
            fast_close: false,
            fast_closing: false,
            fail: None,
            infinite: None,
            proven: false,
            heard_dss: false,
            bare_acks: 0,
            asked: 0,
            bare_fin: false,
            reported: false,
            peer_reset: None,
            address_removed: false,
            aborted: false,
            keys_sent: false,
            doubt: None,
            signals_in_row: 0,
            signals_at: None,
            repeats: Repeats::default(),
            told: None,
            introduced: false,
            join_ack_at: None,
            join_acks: 0,
            outstanding_since: None,
            waived: None,
            mapping_due: None,
            settles_at: None,
            reached: 0,
            rhythm: Rhythm::default(),
            prediction: None,
        }
    }

    /// New data may be given to it.
    pub(crate) fn is_usable(&self) -> bool {
        let at_rest = self.doubt.is_some() || self.settles_at.is_some();
        self.phase == Phase::Active && !self.stale && !at_rest && self.tcp.can_send()
    }

    /// The join is complete; data waits until then, if another subflow can carry it.
    pub(crate) fn settle(&mut self, until: Instant) {
        self.settles_at = Some(until);
    }

    /// True if its rest ends now.
    pub(crate) fn on_settled(&mut self, now: Instant) -> bool {
        self.settles_at.is_some_and(|at| at <= now) && self.end_rest()
    }

    /// Nothing is in flight any more, or the time is over; true if it was at rest.
    pub(crate) fn end_rest(&mut self) -> bool {
        self.settles_at.take().is_some()
    }

    /// A join of the peer whose third ACK has not come.
    pub(crate) fn is_half_open(&self) -> bool {
        self.join.is_some() && self.phase == Phase::Handshake && !self.tcp.is_active_open()
    }

    /// Either side asked for it to be used only while no regular subflow is [PRIO-1] [PRIO-2] (K33).
    pub(crate) const fn is_backup(&self) -> bool {
        self.backup_local || self.backup_remote
    }

    /// The peer's identifier belongs to this subflow's address: the peer has proved itself there, nobody withdrew it,
    /// and the subflow is not at its end.
    pub(crate) fn holds(&self, id: AddressId) -> bool {
        let proved = matches!(self.phase, Phase::PreEstablished | Phase::Active);
        self.remote_id == id && proved && self.is_alive() && !self.address_removed
    }

    /// It still takes part in the connection.
    pub(crate) fn is_alive(&self) -> bool {
        !self.tcp.is_closed() && self.tcp.state() != State::TimeWait
    }

    /// What a scheduler sees of it; its send buffer is at most `send_buffer`.
    pub(crate) fn snapshot(&self, reserved_options: u8, send_buffer: u64) -> SubflowSnapshot {
        let (cwnd, write_memory) = (self.tcp.cwnd(), self.tcp.write_memory());
        // Linux lets twice the window in, counting buffers at a good deal more than the bytes in them.
        let room = cwnd.saturating_mul(3).min(send_buffer).saturating_sub(write_memory);
        let mss = self.tcp.effective_mss(reserved_options);
        // a crumb of room would become a crumb of a segment
        let room = room - room % u64::from(mss.max(1));
        let loss = match () {
            () if self.tcp.backoff_count() > 0 => LossState::Loss,
            () if self.tcp.in_recovery() => LossState::Recovery,
            () => LossState::Open,
        };
        SubflowSnapshot {
            id: self.id,
            set: SubflowSet::of(self.id),
            srtt: self.tcp.srtt(),
            min_rtt: self.tcp.min_rtt(),
            rttvar: self.tcp.rttvar(),
            rto: self.tcp.rto(),
            cwnd,
            ssthresh: self.tcp.ssthresh(),
            in_flight: self.tcp.in_flight(),
            queued: self.tcp.unsent(),
            write_memory,
            available: self.tcp.available(),
            queue_room: room,
            mss,
            peer_window: self.tcp.peer_window(),
            pacing_rate: self.tcp.pacing_rate().unwrap_or_default(),
            delivery_rate: self.tcp.delivery_rate().unwrap_or_default(),
            loss,
            timeouts: self.tcp.backoff_count(),
            backup: self.is_backup(),
            backup_here: self.backup_local,
            backup_peer: self.backup_remote,
            stale: self.stale,
            last_received: self.tcp.last_received_at(),
            last_acked: self.tcp.last_progress(),
        }
    }

    /// Gives octets of the connection to this subflow: announces a mapping and hands them to TCP.
    pub(crate) fn stage(&mut self, data: u64, payload: Bytes, meta: &MetaView) {
        let len = payload.len();
        let checksum = (meta.mptcp && meta.checksum).then(|| {
            let mut sum = Checksum::new();
            sum.add_bytes(&payload);
            let subflow_seq = SubflowSeq::from_offset(self.tcp.next_write_offset());
            let data_len = u16::try_from(len).unwrap_or(u16::MAX);
            dss_checksum(meta.data_base + data, subflow_seq, data_len, sum)
        });
        let start = self.tcp.write(payload);
        if meta.mptcp {
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            self.sent.push(SentMapping::new(start, len, data, checksum));
        }
    }

    /// Ends the subflow with a RST that gives this reason.
    pub(crate) fn reset(&mut self, reason: ResetReason) {
        self.reset_reason = reason;
        self.phase = Phase::Closing;
        self.aborted = true;
        self.forget_held();
        self.tcp.abort();
    }

    /// Ends the subflow in the way its state allows: an attempt with a RST, all else with a FIN.
    pub(crate) fn close_or_give_up(&mut self) {
        match self.phase {
            Phase::Handshake => self.reset(ResetReason::Unspecified),
            _ => self.close(),
        }
    }

    /// Queues what it carries, and nobody has acknowledged at data level, for the other subflows.
    /// What one of `others` carries as well is left to that one.
    pub(crate) fn hand_over(&mut self, queue: &mut SendQueue, others: SubflowSet) {
        for range in self.sent.take_unacknowledged(queue.una()) {
            queue.reinject_unless(range, self.id, others);
        }
    }

    /// Ends the subflow with a FIN [ADDR-28].
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closing;
        self.tcp.close();
    }

    /// The next packet of this subflow, if TCP has one to send: headers go to `headers`, the rest is returned. `windows`
    /// are the one to offer and how much of it was told already.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        windows: (u32, u32),
        meta: &MetaView,
        config: &ConnectionConfig,
        counters: &mut Counters,
        headers: &mut Vec<u8>,
    ) -> Option<Sent> {
        let mut reserved_options = meta.reserved_options();
        if self.infinite.is_some() {
            reserved_options = reserved_options.max(MetaView::LONGEST_DSS);
        }
        let (window, promised) = windows;
        let promised = meta.mptcp.then_some(promised);
        let limits =
            SendLimits { window, promised, reserved_options, max_payload: self.egress.max_payload };
        let plan = self.tcp.plan(now, &limits)?;
        let options = decorate(self, &plan, meta, config);
        let header = TcpHeader {
            src_port: self.tuple.local.port(),
            dst_port: self.tuple.remote.port(),
            seq: plan.seq,
            ack: plan.ack,
            flags: plan.flags,
            window: plan.window,
            urgent: 0, // a mapping is never broken into [DSS-10]
        };
        let mode = if self.egress.checksum_offload {
            ChecksumMode::PseudoHeaderOnly
        } else {
            ChecksumMode::Full
        };
        emit(headers, &self.tuple, &header, &options, &plan.payload, mode);
        if let Some(route) = &self.egress.route {
            source_route::insert(headers, route);
        }
        self.tcp.commit(now, &plan);
        self.count(&plan, meta, config, counters);
        self.on_sent(now, &plan, meta, counters);
        let scale = self.tcp.window_scales().map_or(WindowScale::ZERO, |(own, _)| own);
        let told = plan.ack.is_some() && !plan.flags.syn && !plan.flags.rst;
        let window = told.then(|| scale.scale_up(plan.window));
        Some(Sent { payload: plan.payload, segment_size: plan.segment_size, window })
    }

    fn count(
        &self,
        plan: &SegmentPlan,
        meta: &MetaView,
        config: &ConnectionConfig,
        counters: &mut Counters,
    ) {
        counters.tcp_out_segs += 1;
        match plan.kind {
            PlanKind::Retransmission => counters.tcp_retrans_segs += 1,
            PlanKind::Syn if self.join.is_some() => counters.mp_join_syn_tx += 1,
            PlanKind::Syn if meta.mptcp => {
                let kept = config.syn_retrans_before_tcp_fallback;
                counters.mp_capable_syn_tx += u64::from(plan.transmissions <= kept);
                // Once for the attempt, as in the kernel.
                counters.mp_capable_syn_tx_drop += u64::from(plan.transmissions == kept + 1);
            }
            PlanKind::Reset => {
                counters.tcp_out_rsts += 1;
                counters.mp_rst_tx += u64::from(meta.mptcp);
                counters.mp_fastclose_tx += u64::from(meta.mptcp && self.fast_close);
                counters.mp_fail_tx += u64::from(meta.mptcp && self.fail.is_some());
            }
            PlanKind::ResetReply => counters.tcp_out_rsts += 1,
            PlanKind::Data if self.infinite.is_some_and(|i| i.at == plan.offset) => {
                counters.infinite_map_tx += 1;
            }
            _ => {}
        }
    }

    fn on_sent(
        &mut self,
        now: Instant,
        plan: &SegmentPlan,
        meta: &MetaView,
        counters: &mut Counters,
    ) {
        if self.phase == Phase::PreEstablished && plan.payload.is_empty() {
            let interval = self.tcp.srtt().map_or(JOIN_ACK_INTERVAL, |srtt| srtt * 2);
            let interval = interval.clamp(Duration::from_millis(100), JOIN_ACK_INTERVAL);
            self.join_ack_at = Some(now + interval);
        } else if !plan.payload.is_empty() {
            // A segment with data is no duplicate ACK.
            self.signals_in_row = 0;
        } else if plan.kind.is_pure_ack() {
            self.on_ack_sent(now, meta, counters);
        }
        if self.outstanding_since.is_none() && self.tcp.una() < self.tcp.nxt() {
            self.outstanding_since = Some(now);
        }
    }

    /// A pure ACK went out, with the keys, a DATA_FIN or a signal.
    ///
    /// Before the server has confirmed, a DATA_FIN never goes without the keys before it: were the third ACK lost,
    /// the server would take the connection for plain TCP (K5).
    fn on_ack_sent(&mut self, now: Instant, meta: &MetaView, counters: &mut Counters) {
        if self.fast_closing {
            counters.mp_fastclose_tx += 1;
            return;
        }
        if self.join.is_none() && meta.client && !meta.confirmed {
            let fin = meta.keys_first && meta.data_fin.is_some();
            self.keys_sent = !(self.keys_sent && fin);
            if self.keys_sent && fin {
                self.tcp.request_ack();
            }
            return;
        }
        self.on_signal_sent(now, meta, counters);
    }

    /// It has delivered data: their offset and length. An offset in the upper half of the number range is one before the
    /// first octet.
    pub(crate) fn on_delivered(&mut self, now: Instant, (at, len): (u64, u64)) {
        let end = at.wrapping_add(len);
        if end <= i64::MAX as u64 {
            self.reached = self.reached.max(end);
            self.rhythm.on_data(now, len);
        }
    }

    /// The socket's view of progress changed.
    pub(crate) fn on_progress(&mut self, now: Instant, newly_acked: u64) {
        if self.tcp.una() >= self.tcp.nxt() {
            self.outstanding_since = None;
        } else if newly_acked > 0 {
            self.outstanding_since = Some(now);
        }
    }

    /// When the join's third ACK has to be repeated.
    pub(crate) const fn join_ack_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::PreEstablished => self.join_ack_at,
            _ => None,
        }
    }

    /// Asks for the third ACK again, at most `most` times; then the join is given up.
    pub(crate) fn repeat_join_ack(&mut self, now: Instant, most: u32) {
        if self.join_acks >= most {
            return self.reset(ResetReason::Unspecified);
        }
        self.join_acks += 1;
        self.tcp.request_ack();
        self.join_ack_at = Some(now + JOIN_ACK_INTERVAL);
    }

    /// The window a header field of the peer stands for, bytes.
    pub(crate) fn scale_window(&self, field: u16) -> u32 {
        let scale = self.tcp.window_scales().map_or(WindowScale::ZERO, |(_, peer)| peer);
        scale.scale_up(field)
    }

    /// Earliest of all its deadlines.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let own = [self.suspect_at(), self.join_ack_at(), self.doubt_at(), self.signals_at];
        own.into_iter()
            .chain([self.mapping_due(), self.settles_at, self.repeats.poll_timeout()])
            .fold(self.tcp.poll_timeout(), Instant::earliest)
    }

    /// How it ended, for the application.
    pub(crate) fn ending(&self) -> SubflowEnd {
        if self.address_removed {
            return SubflowEnd::AddressRemoved;
        }
        match self.tcp.end() {
            Some(SocketEnd::Reset | SocketEnd::Refused) => SubflowEnd::ResetByPeer(self.peer_reset),
            Some(SocketEnd::Timeout) => SubflowEnd::Timeout,
            Some(SocketEnd::CarrierLost) => SubflowEnd::CarrierLost,
            Some(SocketEnd::Aborted) => SubflowEnd::ResetHere(self.reset_reason),
            Some(SocketEnd::Finished) | None => SubflowEnd::Finished,
        }
    }

    pub(crate) fn info(&self) -> SubflowInfo {
        SubflowInfo {
            id: self.id,
            tuple: self.tuple,
            ids: (self.local_id, self.remote_id),
            state: self.tcp.state().as_str(),
            join: self.join.is_some(),
            backup: self.is_backup(),
            stale: self.stale,
            bytes_sent: self.tcp.bytes_sent(),
            bytes_received: self.tcp.bytes_received(),
            bytes_retrans: self.tcp.bytes_retransmitted(),
            srtt: self.tcp.srtt().unwrap_or_default(),
            rto: self.tcp.rto(),
            cwnd: self.tcp.cwnd(),
            ssthresh: self.tcp.ssthresh(),
            in_flight: self.tcp.in_flight(),
            idle_resets: self.tcp.idle_resets(),
            pacing_rate: self.tcp.pacing_rate().unwrap_or(0),
            mss: self.tcp.effective_mss(0),
        }
    }
}
