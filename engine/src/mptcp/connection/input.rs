//! A segment comes in: TCP first, then its options, then its data.

use super::{Connection, Mode};
use crate::config::OnlySubflow;
use crate::counters::Counters;
use crate::error::{ConnectionError, FallbackReason, ResetReason};
use crate::event::Event;
use crate::mptcp::fallback::{Trigger, Verdict};
use crate::mptcp::handshake;
use crate::mptcp::lesson::Lesson;
use crate::mptcp::mapping::Mapped;
use crate::mptcp::recv_queue::Received;
use crate::mptcp::subflow::Phase;
use crate::scheduling::SchedulerEvent;
use crate::tcp::{Disposition, Segment, State};
use crate::time::{Duration, Instant};
use crate::wire::TcpOptions;
use bytes::Bytes;

/// Most octets without a mapping that a subflow holds.
const MOST_UNMAPPED: usize = 128 << 10;

impl Connection {
    /// Takes in a segment of the subflow at `index`; true if the next one may be like it ([`Subflow::predict`]).
    ///
    /// [`Subflow::predict`]: crate::mptcp::subflow::Subflow::predict
    pub(crate) fn on_segment(
        &mut self,
        now: Instant,
        index: usize,
        segment: &Segment,
        options: &TcpOptions,
        counters: &mut Counters,
    ) -> bool {
        let Some(subflow) = self.subflows.get(index) else { return false };
        let (before, repairing) = (subflow.tcp.state(), subflow.tcp.in_recovery());
        // RFC 8684 3 [OPT-6]: TCP's acceptance tests come before any MPTCP option is acted upon.
        let disposition = self.tcp_on_segment(now, index, segment);
        let Some(subflow) = self.subflows.get_mut(index) else { return false };
        subflow.on_progress(now, disposition.newly_acked);
        subflow.on_heard(&disposition);
        let id = subflow.id;
        if disposition.newly_acked > 0 {
            self.scheduling
                .note(SchedulerEvent::Ack { subflow: id, bytes: disposition.newly_acked });
        }
        if !repairing && subflow.tcp.in_recovery() {
            self.scheduling.note(SchedulerEvent::Loss(id));
        }
        let syn_again = subflow.tcp.is_syn_again(segment);
        let recovered = subflow.stale && disposition.newly_acked > 0;
        let answered = before == State::SynSent && disposition.acceptable && !disposition.reset;
        if subflow.join.is_none() && (answered || disposition.syn_data_acked > 0) {
            self.on_syn_acked(disposition.syn_data_acked, segment, options, counters);
        }
        if before == State::SynSent && disposition.reset {
            self.on_refused(now);
        }
        if recovered {
            self.on_recovered(index, counters);
        }
        if syn_again {
            self.on_syn_again(options);
        }
        self.on_handshake(now, index, before, &disposition, segment, options, counters);
        // A join whose proof failed was reset just now: nothing of its segment counts [SEC-5].
        let refused = self.subflows.get(index).is_none_or(|s| s.aborted);
        if self.is_mptcp() && !refused && (disposition.acceptable || disposition.reset) {
            self.on_options(now, index, &disposition, segment, options, counters);
        }
        if disposition.acceptable && self.contradicts_silence(index, segment, options) {
            self.fail(ConnectionError::Protocol, ResetReason::MptcpError, false);
        }
        self.drain(now, index, counters);
        if disposition.peer_fin {
            self.on_subflow_fin(now, index, counters);
        }
        self.settle(now);
        disposition.acceptable && disposition.new_data
    }

    fn on_handshake(
        &mut self,
        now: Instant,
        index: usize,
        before: State,
        disposition: &Disposition,
        segment: &Segment,
        options: &TcpOptions,
        counters: &mut Counters,
    ) {
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        if before == State::SynSent && subflow.tcp.state() == State::SynReceived {
            // Simultaneous open: roles are undefined, so a first subflow falls back and a join is given up (K10).
            if subflow.join.is_some() {
                subflow.reset(ResetReason::MptcpError);
            } else {
                counters.simult_connect_fallback += 1;
                let trigger = Trigger::Handshake(FallbackReason::SimultaneousOpen);
                self.question(now, index, trigger, counters);
            }
            return;
        }
        if !disposition.established {
            return;
        }
        let joining = subflow.join.is_some();
        match (before, joining) {
            (State::SynSent, false) => self.on_syn_ack(now, segment, options, counters),
            (State::SynSent, true) => self.on_join_syn_ack(index, options, counters),
            (_, false) => self.on_third_packet(now, segment, options, counters),
            (_, true) => self.on_join_ack(index, options, counters),
        }
    }

    /// The client's SYN once more. When it comes without MP_CAPABLE (perhaps no SYN/ACK with it gets through, M09),
    /// so does the answer from now on [INI-34] [INI-37].
    fn on_syn_again(&mut self, options: &TcpOptions) {
        if self.mode == Mode::Offered
            && self.offer.is_some()
            && let Err(reason) =
                handshake::on_syn(&options.signals, self.config.behaviour.other_algorithms)
        {
            self.set_plain(reason);
        }
    }

    /// A RST answered the SYN. Some middleboxes refuse options they do not know (M11), so a first SYN that had one is
    /// followed by one without [HEU-8].
    fn on_refused(&mut self, now: Instant) {
        let [first] = self.subflows.as_mut_slice() else { return };
        let offered = self.mode == Mode::Offered
            && first.tcp.syn_transmissions() <= self.config.syn_retrans_before_tcp_fallback + 1;
        // On a stream nobody looks at options.
        let looked_at = !first.tcp.is_carried();
        if first.join.is_none() && offered && looked_at && self.config.retry_refused_as_tcp {
            first.tcp.reconnect(now);
            self.set_plain(FallbackReason::SynRefused);
        }
    }

    fn on_syn_ack(
        &mut self,
        now: Instant,
        segment: &Segment,
        options: &TcpOptions,
        counters: &mut Counters,
    ) {
        if self.mode == Mode::Offered {
            match handshake::on_syn_ack(&options.signals, self.config.checksum) {
                Ok(agreement) => {
                    // Also when SYNs without the option went out meanwhile: the answer says which one arrived first, and the
                    // third packet agrees with it [INI-37].
                    counters.mp_capable_syn_ack_rx += 1;
                    self.lessons.push(Lesson::Reached);
                    return self.adopt(agreement, now, u32::from(segment.window));
                }
                Err(reason) => self.on_plain_syn_ack(now, reason, counters),
            }
        } else if self.mode == Mode::Tcp(FallbackReason::SynRefused) {
            counters.mp_capable_fallback_syn_ack += 1;
            self.lessons.push(Lesson::Blackhole);
        }
        self.establish_plain();
    }

    /// [INI-33]: the SYN/ACK has no usable MP_CAPABLE.
    fn on_plain_syn_ack(&mut self, now: Instant, reason: FallbackReason, counters: &mut Counters) {
        counters.mp_capable_fallback_syn_ack += 1;
        let sent = self.subflows.first().map_or(0, |s| s.tcp.syn_transmissions());
        // The first SYN is no retransmission.
        let gave_up = sent > self.config.syn_retrans_before_tcp_fallback.saturating_add(1);
        if gave_up {
            self.lessons.push(Lesson::Blackhole);
        }
        let reason = if gave_up { FallbackReason::SynTimeout } else { reason };
        self.question(now, 0, Trigger::Handshake(reason), counters);
    }

    fn on_third_packet(
        &mut self,
        now: Instant,
        segment: &Segment,
        options: &TcpOptions,
        counters: &mut Counters,
    ) {
        let (Mode::Offered, Some(offer)) = (self.mode, self.offer) else {
            return self.establish_plain();
        };
        let (key, checksum) = (self.own_key, self.checksum);
        match handshake::on_third_packet(&options.signals, key, offer, checksum) {
            Ok(agreement) => {
                counters.mp_capable_ack_rx += 1;
                let window = self.subflows.first().map_or(0, |s| s.scale_window(segment.window));
                self.adopt(agreement, now, window);
                // A kernel client adds subflows only after a DSS from the server (K11).
                if let Some(first) = self.subflows.first_mut()
                    && self.config.behaviour.answer_third_packet
                {
                    first.tcp.request_ack();
                }
            }
            Err(reason) => {
                counters.mp_capable_fallback_ack += 1;
                self.question(now, 0, Trigger::Handshake(reason), counters);
                self.establish_plain();
            }
        }
    }

    fn establish_plain(&mut self) {
        if let Some(first) = self.subflows.first_mut() {
            first.phase = Phase::Active;
        }
        if !self.established {
            self.established = true;
            self.emit(Event::Established { mptcp: false, token: 0 });
        }
    }

    /// RFC 8684 3.2 [JOIN-12] [JOIN-13] [JOIN-15] [JOIN-16] [HEU-9]: a wrong or missing answer resets the subflow
    /// with reason 0x01, and nothing but the subflow [JOIN-19].
    fn on_join_syn_ack(&mut self, index: usize, options: &TcpOptions, counters: &mut Counters) {
        let peer_key = self.peer.map(|p| p.key);
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        let (Some(join), Some(peer_key)) = (subflow.join.as_mut(), peer_key) else { return };
        let signals = &options.signals;
        match handshake::on_join_syn_ack(signals, self.own_key, peer_key, join.own_nonce) {
            Ok((nonce, remote_id, backup)) => {
                counters.mp_join_syn_ack_rx += 1;
                counters.mp_join_syn_ack_backup_rx += u64::from(backup);
                let usual = self.paths.first_remote().port() == subflow.tuple.remote.port();
                counters.mp_join_port_syn_ack_rx += u64::from(!usual);
                join.peer_nonce = Some(nonce);
                subflow.remote_id = remote_id;
                subflow.backup_remote = backup;
                subflow.phase = Phase::PreEstablished;
            }
            Err(failure) => {
                let bad_hmac = failure == handshake::JoinFailure::BadHmac;
                counters.mp_join_syn_ack_hmac_failure += u64::from(bad_hmac);
                subflow.reset(ResetReason::MptcpError);
            }
        }
    }

    /// RFC 8684 3.2 [JOIN-8] [JOIN-13] [JOIN-14] [HEU-9].
    fn on_join_ack(&mut self, index: usize, options: &TcpOptions, counters: &mut Counters) {
        let (peer_key, room) = (self.peer.map(|p| p.key), self.is_joinable());
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        let (Some(join), Some(peer)) = (subflow.join, peer_key) else { return };
        let Some(peer_nonce) = join.peer_nonce else { return };
        let signals = &options.signals;
        match handshake::on_join_ack(signals, self.own_key, peer, join.own_nonce, peer_nonce) {
            Ok(()) if !room => {
                // Others were faster (J13, K18).
                counters.mp_join_rejected += 1;
                subflow.reset(ResetReason::AdministrativelyProhibited);
            }
            Ok(()) => {
                counters.mp_join_ack_rx += 1;
                let usual = self.paths.first_local().port() == subflow.tuple.local.port();
                counters.mp_join_port_ack_rx += u64::from(!usual);
                subflow.tcp.request_ack();
                self.on_joined(index);
            }
            Err(failure) => {
                let bad_hmac = failure == handshake::JoinFailure::BadHmac;
                counters.mp_join_ack_hmac_failure += u64::from(bad_hmac);
                subflow.reset(ResetReason::MptcpError);
            }
        }
    }

    /// A join is complete: the subflow may carry data.
    pub(super) fn on_joined(&mut self, index: usize) {
        self.joined = true;
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        let left = self.paths.on_joined(&subflow.tuple);
        subflow.phase = Phase::Active;
        self.timers.give_up = if self.released { self.timers.give_up } else { None };
        self.timers.resume = None;
        self.timers.resume_interval = Duration::ZERO;
        let (id, tuple, ids) = (subflow.id, subflow.tuple, (subflow.local_id, subflow.remote_id));
        let backup = subflow.is_backup();
        self.scheduling.note(SchedulerEvent::PathAdded(id));
        self.emit(Event::SubflowEstablished { subflow: id, tuple, ids, backup });
        if let Some(local) = left {
            self.leave(local, tuple.remote);
        }
    }

    /// Plain TCP: what the one subflow's peer acknowledged is acknowledged [FB-18].
    pub(super) fn on_plain_progress(&mut self, now: Instant) {
        let Some(first) = self.subflows.first_mut() else { return };
        if first.infinite.is_some_and(|infinite| first.tcp.una() > infinite.at) {
            first.infinite = None;
        }
        let acked = first.tcp.una().saturating_sub(self.plain.send).min(self.send.nxt());
        if self.send.on_data_ack(acked, u64::MAX) > 0 {
            self.note_drained(now);
            self.on_room();
        }
    }

    /// The send queue has room again.
    pub(super) fn on_room(&mut self) {
        self.tune_send();
        if self.write_blocked && self.send.room() > 0 {
            self.write_blocked = false;
            self.emit(Event::Writable);
        }
    }

    /// Moves what the subflow received in order to the data level. Its TCP has acknowledged it, mapped or not
    /// [DSS-12].
    pub(super) fn drain(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        self.take_mapped(now, index, counters);
        while !matches!(self.mode, Mode::Tcp(_))
            && let Some(subflow) = self.subflows.get_mut(index).filter(|s| !s.aborted)
            && let Some((offset, data)) = subflow.tcp.read()
        {
            subflow.received.push(offset, data);
            self.take_mapped(now, index, counters);
            self.check_raw(index);
        }
        if matches!(self.mode, Mode::Tcp(_)) {
            self.drain_plain(now, index, counters);
        }
    }

    fn take_mapped(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        while let Some(piece) = self.next_mapped(index) {
            self.on_mapped(now, index, piece, counters);
        }
    }

    /// Plain TCP: what was kept back before, and then the stream.
    fn drain_plain(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        while let Some(subflow) = self.subflows.get_mut(index).filter(|s| !s.aborted)
            && let Some((offset, data)) = subflow.received.take_raw().or_else(|| subflow.tcp.read())
        {
            self.receive_plain(now, offset, data, counters);
        }
    }

    /// What plain TCP has taken and acknowledged is taken, wherever the window of the connection ended.
    fn receive_plain(&mut self, now: Instant, offset: u64, data: Bytes, counters: &mut Counters) {
        let offset = offset.wrapping_sub(self.plain.recv);
        self.recv.admit(offset.wrapping_add(data.len() as u64));
        self.receive(now, offset, data, counters);
    }

    /// What is kept back until the infinite mapping comes is bounded like all that waits to be read.
    fn check_raw(&mut self, index: usize) {
        let kept = self.subflows.get(index).map_or(0, |s| s.received.raw_len());
        if kept > self.config.receive_buffer {
            self.reset_subflow(index, ResetReason::LackOfResources);
        }
    }

    /// The next piece of a subflow that was not reset meanwhile.
    fn next_mapped(&mut self, index: usize) -> Option<Mapped> {
        self.subflows.get_mut(index).filter(|s| !s.aborted)?.received.pop()
    }

    fn on_mapped(&mut self, now: Instant, index: usize, piece: Mapped, counters: &mut Counters) {
        match piece {
            Mapped::Data(offset, data) => {
                if let Some(subflow) = self.subflows.get_mut(index) {
                    subflow.on_delivered(now, (offset, data.len() as u64));
                }
                self.receive(now, offset, data, counters);
            }
            Mapped::DataFin(offset) => {
                if self.recv.set_fin(offset) {
                    self.on_data_fin_progress();
                }
            }
            Mapped::Unmapped(offset, data) => {
                self.on_unmapped(now, index, offset, data, counters);
            }
            Mapped::ChecksumFailed { data, start } => {
                self.on_checksum_failed(now, index, data, start, counters);
            }
        }
    }

    /// Octets without a mapping: they are held, or MPTCP or the subflow ends (K24).
    fn on_unmapped(
        &mut self,
        now: Instant,
        index: usize,
        offset: u64,
        data: Bytes,
        counters: &mut Counters,
    ) {
        let ahead = self.subflows.get(index).is_some_and(|s| s.received.expects_mapped());
        let trigger = Trigger::Unmapped { ahead };
        let held = !matches!(self.mode, Mode::Tcp(_))
            && self.question_at(now, index, trigger, offset, counters) == Verdict::Hold;
        if held {
            self.hold(now, index, offset, data, counters);
        } else if matches!(self.mode, Mode::Tcp(_)) {
            self.receive_plain(now, offset, data, counters);
        }
    }

    /// Keeps octets without a mapping, up to about a window of them [DSS-12] [DSS-13] [DSS-14]. Behind the DATA_FIN
    /// there is nothing to wait for.
    fn hold(
        &mut self,
        now: Instant,
        index: usize,
        offset: u64,
        data: Bytes,
        counters: &mut Counters,
    ) {
        let bound = self.config.receive_buffer.min(MOST_UNMAPPED);
        if !self.close.is_received()
            && let Some(subflow) = self.subflows.get_mut(index)
            && !subflow.hold(now, offset, data, bound)
        {
            self.on_never_mapped(now, index, counters);
        }
    }

    pub(super) fn receive(
        &mut self,
        now: Instant,
        offset: u64,
        data: Bytes,
        counters: &mut Counters,
    ) {
        if self.error.is_some() {
            return;
        }
        self.last.data_recv = Some(now);
        let received = self.recv.insert_at(now, offset, data);
        if self.released && matches!(received, Received::InOrder | Received::OutOfOrder { .. }) {
            // RFC 1122 4.2.2.13: a RST says that data was lost.
            return self.abort(now);
        }
        match received {
            Received::InOrder => {
                self.watch.on_progress(now);
                self.emit(Event::Readable);
            }
            Received::OutOfOrder { tail, merges } => {
                self.on_hole(now);
                counters.ofo_queue += 1;
                counters.ofo_queue_tail += u64::from(tail);
                counters.ofo_merge += u64::from(merges);
            }
            Received::Duplicate => counters.duplicate_data += 1,
            Received::OutOfWindow => counters.no_dss_in_window += 1,
        }
        if self.recv.has_fin() {
            self.on_data_fin_progress();
        }
    }

    /// The peer's DATA_FIN may have become in-order.
    pub(super) fn on_data_fin_progress(&mut self) {
        if self.recv.fin_reached() && !self.close.is_received() {
            self.close.on_received();
            self.emit(Event::Readable);
            for subflow in &mut self.subflows {
                subflow.forget_held();
            }
            // Told on every subflow: one of them may be dead without knowing it.
            for subflow in self.subflows.iter_mut().filter(|s| s.phase == Phase::Active) {
                subflow.tcp.request_ack();
            }
        }
    }

    /// The peer closed one subflow. Without DATA_FIN that ends this subflow only [FIN-8] (K36), unless the peer has
    /// gone on as plain TCP.
    fn on_subflow_fin(&mut self, now: Instant, index: usize, counters: &mut Counters) {
        if self.is_mptcp()
            && let Some(subflow) = self.subflows.get(index)
            && subflow.bare_fin
            && !(subflow.heard_dss && self.close.is_received())
            && !subflow.fast_closing
        {
            let early = match self.config.behaviour.options_vanish {
                OnlySubflow::Reset => !self.has_said_all(),
                OnlySubflow::FallBack => self.send.unsent() > 0,
            };
            let trigger = Trigger::BareFin { heard: subflow.heard_dss, early };
            self.question(now, index, trigger, counters);
            self.drain(now, index, counters);
        }
        if matches!(self.mode, Mode::Tcp(_)) {
            let end = self.subflows.get(index).map_or(0, |s| s.tcp.bytes_received());
            self.recv.set_fin(end.wrapping_sub(self.plain.recv));
            return self.on_data_fin_progress();
        }
        if !self.close.is_received()
            && let Some(subflow) = self.subflows.get_mut(index)
            && !subflow.fast_closing
            && !subflow.aborted
        {
            subflow.close();
        }
    }
}
