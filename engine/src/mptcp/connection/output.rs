//! Segments go out: subflows are asked in turn, and when none has anything left, they are given more.
//!
//! Order: control intents and retransmissions of each subflow, then reinjections, then new data, then the
//! DATA_FIN.

use super::{Connection, Mode};
use crate::addr::{ConnectionId, SubflowId};
use crate::counters::Counters;
use crate::endpoint::Transmit;
use crate::mptcp::subflow::{Phase, Sent, Subflow};
use crate::scheduling::SubflowSet;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;

/// Most segments one mapping covers: long enough to save work, short enough to spread over subflows.
const MAX_SEGMENTS: u64 = 16;
/// The length field of a mapping is 16 bits wide.
const MAX_MAPPING: u64 = 0xffff;
/// Shortest data-level retransmission and probe interval.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

impl Connection {
    /// The next packet, headers in `headers`.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        counters: &mut Counters,
        headers: &mut Vec<u8>,
    ) -> Option<Transmit> {
        loop {
            if let Some(transmit) = self.transmit_from_subflows(now, counters, headers) {
                return Some(transmit);
            }
            if !self.fill(now, counters) {
                self.subflows.iter_mut().for_each(|subflow| subflow.tcp.note_app_limited());
                self.note_starved(now);
                self.widen_if_full();
                return None;
            }
        }
    }

    fn transmit_from_subflows(
        &mut self,
        now: Instant,
        counters: &mut Counters,
        headers: &mut Vec<u8>,
    ) -> Option<Transmit> {
        self.tune_receive(now);
        let meta = self.meta_view();
        let windows = (self.recv.window(), self.recv.promised());
        let count = self.subflows.len();
        for step in 0..count {
            let index = (self.cursor + step) % count;
            let Some(subflow) = self.subflows.get_mut(index) else { continue };
            let sent = subflow.poll_transmit(now, windows, &meta, &self.config, counters, headers);
            if let Some(Sent { payload, segment_size, window }) = sent {
                self.cursor = index;
                let syn = subflow.join.is_none() && !subflow.tcp.is_established_or_later();
                let interface = subflow.egress.interface;
                let told = &mut subflow.told;
                let subflow: (ConnectionId, SubflowId) = (self.id, subflow.id);
                if let Some(window) = window {
                    let (edge, grew) = self.recv.on_advertised(window);
                    if grew {
                        self.tuning.on_told(now, edge);
                    }
                    if let Some((old_edge, old_window)) = told.replace((edge, window)) {
                        self.recv.admit_late_window(old_window);
                        counters.rcv_wnd_shared += u64::from(old_edge < edge && !grew);
                    }
                }
                if syn && self.client {
                    self.on_syn_sent(counters);
                }
                return Some(Transmit { interface, payload, segment_size, subflow: Some(subflow) });
            }
        }
        None
    }

    /// Gives some subflow something to send; false when there is nothing to give.
    fn fill(&mut self, now: Instant, counters: &mut Counters) -> bool {
        match self.mode {
            _ if self.error.is_some() => false,
            // A server that may answer the SYN's data before the third packet.
            Mode::Offered => self.is_early() && self.fill_scheduled(now, counters),
            Mode::Tcp(_) => self.fill_plain(now),
            Mode::Mptcp => {
                self.end_with_new_data()
                    || self.fill_reinjection(now, counters)
                    || self.fill_scheduled(now, counters)
                    || self.fill_data_fin(now)
            }
        }
    }

    fn fill_plain(&mut self, now: Instant) -> bool {
        let (meta, hold) = (self.meta_view(), self.holds_short());
        let mss = self.subflows.first().map_or(1, |first| u64::from(first.tcp.effective_mss(0)));
        let allowed = self.allowed_now(mss);
        let Some(first) = self.subflows.first_mut() else { return false };
        if first.phase != Phase::Active {
            return false;
        }
        let unsent = self.send.unsent();
        if unsent == 0 {
            if self.close.is_requested() && !self.close.is_sent() {
                self.close.on_sent();
                first.close();
                return true;
            }
            return false;
        }
        first.tcp.before_new_data(now);
        // With nothing in flight something has to be staged, or TCP would have nothing to probe a closed window with.
        let idle = first.tcp.in_flight() == 0 && first.tcp.unsent() == 0;
        let available = if idle { first.tcp.available().max(mss) } else { first.tcp.available() };
        if available < mss.min(unsent) || (hold && unsent < mss && !idle) {
            return false;
        }
        let len = whole_segments(available.min(longest_mapping(first, mss)), mss).min(allowed);
        let Some((offset, payload)) = self.send.take_new(len, mss as usize) else { return false };
        if !(payload.len() as u64).is_multiple_of(mss) {
            self.send.was_short();
        }
        self.bytes_sent += payload.len() as u64;
        self.last.data_sent = Some(now);
        first.stage(offset, payload, &meta);
        true
    }

    /// [DACK-9]: what one subflow carries without success goes on another as well.
    fn fill_reinjection(&mut self, now: Instant, counters: &mut Counters) -> bool {
        let meta = self.meta_view();
        let Some(next) = self.send.next_reinjection() else { return false };
        let (range, origin) = (next.range.clone(), next.origin);
        let patience = self.interval();
        if self.scheduling.takes_reinjection(now, range.start, patience) {
            return false;
        }
        let reserved = meta.reserved_options();
        // [PRIO-1]: not on a backup while there is another.
        let is_other = |s: &Subflow| s.is_usable() && s.id != origin;
        let backup = self.subflows.iter().filter(|s| is_other(s)).all(Subflow::is_backup);
        let other = |s: &&mut Subflow| is_other(s) && s.is_backup() == backup;
        let rank = |s: &&mut Subflow| (s.tcp.srtt().unwrap_or(Duration::MAX), s.id);
        let alone = !self.subflows.iter().any(is_other);
        let target = if alone {
            // Lost at data level only: the one subflow there is has to carry it again (K30).
            self.subflows.iter_mut().find(|s| s.id == origin && s.is_usable())
        } else {
            self.subflows
                .iter_mut()
                .filter(other)
                .filter(|s| s.snapshot(reserved, 0).is_open(range.end - range.start))
                .min_by_key(rank)
        };
        let Some(target) = target else { return false };
        let mss = u64::from(target.tcp.effective_mss(reserved));
        let room = target.tcp.available().min(longest_mapping(target, mss));
        let len = (range.end - range.start).min(room);
        let len = usize::try_from(len).unwrap_or(0);
        let Some(payload) = self.send.sent_run(range.start, len) else { return false };
        self.remapped = true;
        let len = payload.len() as u64;
        self.send.reinjected(len);
        target.stage(range.start, payload, &meta);
        self.send.carried(range.start..range.start + len, SubflowSet::of(target.id));
        self.count_reinjection(now, origin, len, counters);
        true
    }

    /// The DATA_FIN leaves on every subflow (K34): whichever arrives first ends the data.
    fn fill_data_fin(&mut self, now: Instant) -> bool {
        if !self.close.is_requested() || self.close.is_sent() || self.send.unsent() > 0 {
            return false;
        }
        if self.client && !self.confirmed && self.config.behaviour.keys_before_data_fin {
            // Were the third ACK lost, the DATA_FIN would be taken for a third packet without MP_CAPABLE (K5).
            let due = now + self.interval();
            self.timers.fin.get_or_insert(due);
            return false;
        }
        if !self.request_ack_everywhere() {
            return false;
        }
        self.close.on_sent();
        self.timers.fin = Some(now + self.fin_interval());
        true
    }

    /// Asks for a pure ACK on every active subflow; false when there is none.
    pub(super) fn request_ack_everywhere(&mut self) -> bool {
        let mut any = false;
        for subflow in self.subflows.iter_mut().filter(|s| s.phase == Phase::Active) {
            subflow.tcp.request_ack();
            any = true;
        }
        any
    }

    /// A data-level interval: the longest RTO of the subflows, so that TCP goes first.
    pub(super) fn interval(&self) -> Duration {
        let active = self.subflows.iter().filter(|s| s.phase == Phase::Active && !s.stale);
        active.map(|s| s.tcp.rto()).max().unwrap_or(MIN_INTERVAL).max(MIN_INTERVAL)
    }

    /// The wait before a DATA_FIN is sent again.
    pub(super) fn fin_interval(&self) -> Duration {
        let backoff = self.timers.fin_backoff.min(8);
        if self.config.behaviour.data_fin_by_rto {
            self.interval() * (1 << backoff)
        } else {
            MIN_INTERVAL * (1 << backoff.saturating_sub(1))
        }
    }

    /// (Re)starts or stops the data-level retransmission timer [DACK-14].
    pub(super) fn restart_retransmit(&mut self, now: Instant) {
        let outstanding = self.send.una() < self.send.nxt();
        let factor = 1 << self.timers.retransmit_backoff.min(8);
        self.timers.retransmit = outstanding.then(|| now + self.interval() * factor);
    }

    pub(super) fn arm_probe(&mut self, now: Instant) {
        let idle = self.send.una() == self.send.nxt();
        if idle && self.timers.probe.is_none() {
            let factor = 1 << self.timers.probe_backoff.min(8);
            self.timers.probe = Some(now + self.interval() * factor);
        }
    }
}

/// Octets one mapping on `subflow` covers at most: with a device that cuts super-segments, all of one, so that its DSS
/// is that of every piece.
pub(super) fn longest_mapping(subflow: &Subflow, mss: u64) -> u64 {
    let whole = u64::from(subflow.egress.max_payload);
    (mss * MAX_SEGMENTS).max(whole - whole % mss.max(1)).min(MAX_MAPPING)
}

/// `len` cut to whole segments, unless it is less than one.
pub(super) fn whole_segments(len: u64, mss: u64) -> usize {
    let whole = if len > mss { len - len % mss.max(1) } else { len };
    usize::try_from(whole).unwrap_or(usize::MAX)
}
