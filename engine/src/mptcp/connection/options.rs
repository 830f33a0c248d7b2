//! What the MPTCP options of an accepted segment do.

use super::Connection;
use crate::counters::Counters;
use crate::error::{PeerReset, ResetReason};
use crate::mptcp::fallback::Trigger;
use crate::mptcp::mapping::{Mapping, MappingChecksum, MappingVerdict};
use crate::mptcp::subflow::Phase;
use crate::scheduling::SchedulerEvent;
use crate::seq::{DataSeq, SubflowSeq};
use crate::tcp::{Disposition, Segment};
use crate::time::{Duration, Instant};
use crate::wire::TcpOptions;
use crate::wire::checksum::{Checksum, dss_checksum_valid};
use crate::wire::mptcp::{Dss, DssMapping, MpCapable, MptcpOption, WireDataSeq};

/// Least time between answers to a repeated DATA_FIN.
const FIN_ANSWER_INTERVAL: Duration = Duration::from_millis(100);

impl Connection {
    pub(super) fn on_options(
        &mut self,
        now: Instant,
        index: usize,
        disposition: &Disposition,
        segment: &Segment,
        options: &TcpOptions,
        counters: &mut Counters,
    ) {
        if let Some(dss) = &options.dss {
            self.on_dss(now, index, dss, segment, counters);
        }
        for option in options.signals.iter() {
            self.on_signal(now, index, &option, segment, counters);
        }
        let bare = options.dss.is_none() && options.signals.is_empty();
        if let Some(subflow) = self.subflows.get_mut(index) {
            let answer = disposition.acceptable && subflow.take_answer();
            if !bare {
                subflow.bare_acks = 0;
            } else if answer && disposition.newly_acked == 0 {
                // The next segment, or the timer that asked, tells.
                subflow.bare_acks += 1;
            }
        }
        if segment.flags.fin
            && disposition.acceptable
            && let Some(subflow) = self.subflows.get_mut(index)
        {
            subflow.bare_fin = bare;
        }
        if disposition.newly_acked > 0 {
            self.on_acknowledged(now, index, options, counters);
        }
        let Some(subflow) = self.subflows.get(index) else { return };
        // The answer to the third ACK: any acceptable segment shows that the peer took the join [JOIN-9].
        if subflow.phase == Phase::PreEstablished
            && disposition.acceptable
            && !disposition.reset
            && !segment.flags.syn
        {
            self.settle_join(now, index);
            self.on_joined(index);
        }
    }

    /// A Linux receiver may give what comes first on a new subflow the wrong place while its application is reading; it is
    /// while data is on its way (K46).
    fn settle_join(&mut self, now: Instant, index: usize) {
        let rest = self.config.behaviour.settle_joins;
        if rest > Duration::ZERO
            && self.send.una() < self.send.nxt()
            && self.has_usable_beside(index)
            && let Some(subflow) = self.subflows.get_mut(index)
        {
            subflow.settle(now + rest);
        }
    }

    /// Data was acknowledged on the subflow at `index`. With a Data ACK beside it options get through both ways
    /// [FB-3]; without any option they do not, or the peer has fallen back. Going on with MPTCP would then be worse
    /// than useless: what a data-level retransmission repeats is new data to a plain receiver.
    fn on_acknowledged(
        &mut self,
        now: Instant,
        index: usize,
        options: &TcpOptions,
        counters: &mut Counters,
    ) {
        if options.dss.is_some_and(|dss| dss.data_ack.is_some()) {
            if let Some(subflow) = self.subflows.get_mut(index) {
                subflow.proven = true;
            }
        } else if options.dss.is_none()
            && options.signals.is_empty()
            && let Some(subflow) = self.subflows.get_mut(index)
        {
            subflow.bare_acks += 1;
            // Some segments may lose their options on a path that has carried them; more of them, or a timer, tell. On
            // the only subflow, once plain TCP is out of the question, it is the timer: segments with data may still
            // have options, or an infinite mapping is on its way.
            let trigger = subflow.bare_ack(self.send.una());
            let Trigger::BareAck { holding, crossing } = trigger else { return };
            let patient = subflow.join.is_none() && !holding && (crossing || subflow.proven);
            if !patient && (!subflow.proven || subflow.bare_acks > 1) {
                self.question(now, index, trigger, counters);
            }
        }
    }

    fn on_dss(
        &mut self,
        now: Instant,
        index: usize,
        dss: &Dss,
        segment: &Segment,
        counters: &mut Counters,
    ) {
        // Without a Data ACK it says nothing of our key: a server let in by a Fast Open cookie may send before the third
        // packet, and the keys have to go out all the same [INI-16].
        if dss.data_ack.is_some() {
            self.confirm(now);
        }
        if let Some(subflow) = self.subflows.get_mut(index) {
            // A client sends its DATA_FIN before it knows that the server speaks MPTCP.
            subflow.heard_dss |= self.client || !dss.data_fin;
        }
        if let Some(ack) = dss.data_ack {
            let near = self.send_base() + self.send.una();
            self.on_data_ack(now, index, ack.expand(near), segment.window);
        }
        let Some(mapping) = dss.mapping else { return };
        if mapping.is_infinite() {
            // Without data, or as DATA_FIN, a length of 0 means nothing (K34).
            if !segment.payload.is_empty() && !dss.data_fin {
                self.on_infinite_mapping(now, index, &mapping, counters);
            }
            return;
        }
        self.on_seq_width(mapping.data_seq.is_long(), !segment.payload.is_empty());
        // A DATA_FIN alone has length 1; any other length would announce data that nobody knows (K34) [FIN-2].
        if !dss.data_fin || mapping.data_len == 1 || !segment.payload.is_empty() {
            self.on_mapping(now, index, &mapping, dss.data_fin, counters);
        }
    }

    /// [SND-1] [SND-2] [SND-3]: the window counts only together with a Data ACK [DACK-3], only forwards, and the
    /// widest of all subflows is the one in force. Data ACKs that come only on progress do as well [DACK-7], in
    /// either width [DACK-2].
    fn on_data_ack(&mut self, now: Instant, index: usize, ack: DataSeq, window: u16) {
        let Some(subflow) = self.subflows.get(index) else { return };
        let window = u64::from(subflow.scale_window(window));
        let Ok(mut offset) = u64::try_from(ack.since(self.send_base())) else { return };
        self.last.ack_recv = Some(now);
        if self.close.is_sent() && offset == self.send.end() + 1 {
            self.close.on_acked();
            self.timers.fin = None;
            offset = self.send.end();
        }
        let newly = self.send.on_data_ack(offset, offset.saturating_add(window));
        if self.send.window() > 0 {
            self.timers.probe = None;
            self.timers.probe_backoff = 0;
        }
        if newly > 0 {
            self.timers.retransmit_backoff = 0;
            self.timers.fin_backoff = 0;
            self.scheduling.note(SchedulerEvent::DataAck { una: self.send.una() });
            self.restart_retransmit(now);
            self.repair_next();
            self.note_drained(now);
            self.on_room();
        }
        let una = self.send.una();
        let idle = una == self.send.nxt();
        for subflow in &mut self.subflows {
            subflow.sent.on_ack(subflow.tcp.una(), una);
            if idle && subflow.end_rest() {
                self.scheduling.note(SchedulerEvent::PathChanged(subflow.id));
            }
        }
    }

    /// Offsets may be negative in 64 bits: a mapping from before the first octet is an old one, see
    /// `RecvQueue::insert`.
    pub(super) fn on_mapping(
        &mut self,
        now: Instant,
        index: usize,
        mapping: &DssMapping,
        fin: bool,
        counters: &mut Counters,
    ) {
        let near = self.recv_base() + self.recv.received();
        let data_seq = mapping.data_seq.expand(near);
        let data = data_seq.since(self.recv_base()) as u64;
        if mapping.checksum.is_some() != self.checksum {
            self.question(now, index, Trigger::ChecksumDisagreement, counters);
            return;
        }
        let len = u32::from(mapping.data_len) - u32::from(fin);
        // With data and a checksum the DATA_FIN is believed when the checksum is verified.
        let deferred = fin && len > 0 && mapping.checksum.is_some();
        if fin && !deferred {
            self.on_data_fin(mapping, data_seq, data.wrapping_add(u64::from(len)), counters);
        }
        if fin {
            self.answer_data_fin(now, index);
        }
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        let near = subflow.tcp.bytes_received();
        let from = mapping.subflow_seq.to_offset(near);
        let (start, len, data) = match from {
            Some(start) => (start, len, data),
            // It counts from the SYN, which has number 0 and is no octet of data.
            None if mapping.subflow_seq == SubflowSeq(0) && mapping.checksum.is_none() => {
                (0, len.saturating_sub(1), data.wrapping_add(1))
            }
            None => return,
        };
        let checksum = mapping.checksum.map(|value| MappingChecksum {
            value,
            data_seq,
            subflow_seq: mapping.subflow_seq,
            data_len: mapping.data_len,
        });
        match subflow.on_mapping(now, Mapping { start, len, data, checksum, data_fin: deferred }) {
            MappingVerdict::Accepted => {}
            MappingVerdict::Conflict => {
                self.question(now, index, Trigger::MappingConflict, counters);
            }
            MappingVerdict::Overflow => {
                self.reset_subflow(index, ResetReason::LackOfResources);
            }
        }
    }

    /// A DATA_FIN at data offset `at` [FIN-1]. Alone it carries SSN 0 and, if agreed, a checksum over nothing but
    /// the pseudo-header [FIN-2].
    fn on_data_fin(
        &mut self,
        mapping: &DssMapping,
        data_seq: DataSeq,
        at: u64,
        counters: &mut Counters,
    ) {
        if mapping.data_len == 1
            && let Some(checksum) = mapping.checksum
            && !dss_checksum_valid(data_seq, mapping.subflow_seq, 1, Checksum::new(), checksum)
        {
            counters.data_csum_err += 1;
            return;
        }
        if self.recv.set_fin(at) {
            self.on_data_fin_progress();
        }
    }

    /// A repeated DATA_FIN may mean that its acknowledgement was lost. Not each is answered: the kernel puts it on
    /// every ACK while this end still sends (K34), and every segment there has a Data ACK.
    fn answer_data_fin(&mut self, now: Instant, index: usize) {
        let recently = self.timers.fin_answered.is_some_and(|at| now < at + FIN_ANSWER_INTERVAL);
        if !self.close.is_received() || recently {
            return;
        }
        self.timers.fin_answered = Some(now);
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.tcp.request_ack();
        }
    }

    fn on_signal(
        &mut self,
        now: Instant,
        index: usize,
        option: &MptcpOption,
        segment: &Segment,
        counters: &mut Counters,
    ) {
        match option {
            MptcpOption::Capable(MpCapable::AckData { data_len, checksum, .. }) => {
                self.on_capable_data(now, index, *data_len, *checksum, segment, counters);
            }
            MptcpOption::AddAddr(add) => self.on_add_addr(now, index, add, counters),
            MptcpOption::RemoveAddr(remove) => self.on_remove_addr(now, remove, counters),
            MptcpOption::Prio(prio) => self.on_prio(index, *prio, counters),
            MptcpOption::FastClose(close) => {
                self.on_fast_close(close.receiver_key, counters);
            }
            MptcpOption::TcpRst(rst) if segment.flags.rst => {
                counters.mp_rst_rx += 1;
                self.on_peer_reset(
                    now,
                    index,
                    PeerReset { reason: rst.reason, transient: rst.transient },
                );
            }
            MptcpOption::Fail(_) => self.on_peer_fail(now, index, segment.flags.rst, counters),
            _ => {}
        }
    }

    /// First data under MP_CAPABLE: it maps to the first octet of both spaces [INI-13] [INI-14].
    fn on_capable_data(
        &mut self,
        now: Instant,
        index: usize,
        data_len: u16,
        checksum: Option<u16>,
        segment: &Segment,
        counters: &mut Counters,
    ) {
        let first = self.subflows.get(index).is_some_and(|s| s.join.is_none());
        if !first || segment.payload.is_empty() {
            return;
        }
        let mapping = DssMapping {
            data_seq: WireDataSeq::Long(self.recv_base().0),
            subflow_seq: SubflowSeq(1),
            data_len,
            checksum,
        };
        self.on_seq_width(mapping.data_seq.is_long(), true);
        self.on_mapping(now, index, &mapping, false, counters);
    }

    /// How long Data ACKs are from now on [DACK-1].
    pub(super) fn on_seq_width(&mut self, long: bool, with_data: bool) {
        if self.config.behaviour.long_data_ack {
            self.long_ack |= long;
        } else if with_data {
            self.long_ack = long;
        }
    }

    pub(super) fn reset_subflow(&mut self, index: usize, reason: ResetReason) {
        if let Some(subflow) = self.subflows.get_mut(index) {
            subflow.reset(reason);
        }
    }
}
