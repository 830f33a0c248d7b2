//! Options that wait for a pure ACK: ADD_ADDR and its echo, REMOVE_ADDR, MP_PRIO, MP_FAIL.

use super::{Phase, Subflow};
use crate::addr::AddressId;
use crate::counters::Counters;
use crate::mptcp::decorate::MetaView;
use crate::time::{Duration, Instant};
use crate::wire::mptcp::{AddAddr, MptcpOption};
use alloc::vec::Vec;

/// Most of them that wait.
const MAX_SIGNALS: usize = 8;
/// Most ACKs in a row that only carry a signal [OPT-3] [OPT-5] [ADDR-19].
const MAX_IN_ROW: u8 = 2;
/// Shortest and longest pause after that, unless the peer is heard of.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// Option octets of a segment, and those beside timestamps.
const ROOM: usize = 40;
pub(crate) const ROOM_BESIDE_TIMESTAMPS: usize = 28;

impl Subflow {
    /// Queues an option for the next pure ACK and asks for one; false when too many wait.
    pub(crate) fn signal(&mut self, option: MptcpOption) -> bool {
        if self.signals.len() >= MAX_SIGNALS {
            return false;
        }
        self.signals.push_back(option);
        if self.may_signal() {
            self.tcp.request_ack();
        }
        true
    }

    /// The option of the next pure ACK. The server's DSS goes first: a client may wait for it [INI-16].
    pub(crate) fn next_signal(&self, meta: &MetaView) -> Option<&MptcpOption> {
        let ready = self.may_signal() && (self.introduced || meta.client || !meta.dss_first);
        self.signals.front().filter(|_| ready)
    }

    const fn may_signal(&self) -> bool {
        self.signals_in_row < MAX_IN_ROW
    }

    /// A pure ACK went out: with the first signal, if there was one.
    pub(super) fn on_signal_sent(
        &mut self,
        now: Instant,
        meta: &MetaView,
        counters: &mut Counters,
    ) {
        let sent = self.next_signal(meta).copied();
        self.introduced |= !matches!(sent, Some(MptcpOption::AddAddr(_)));
        if let Some(sent) = sent {
            self.signals.pop_front();
            self.signals_in_row += 1;
            count(&sent, counters);
            if meta.repeat_signals {
                self.repeats.on_sent(now, &sent, self.tcp.rto());
            }
        }
        // With a signal there is no room for a DATA_FIN; it follows.
        let fin = sent.is_some() && meta.data_fin.is_some();
        if fin || (self.may_signal() && !self.signals.is_empty()) {
            self.tcp.request_ack();
        }
        if !self.may_signal() && self.signals_at.is_none() {
            let pause = self.tcp.srtt().unwrap_or(PAUSE.1).clamp(PAUSE.0, PAUSE.1);
            self.signals_at = Some(now + pause);
        }
    }

    /// The pause is over, or something has to be said again.
    pub(crate) fn on_signal_time(&mut self, now: Instant) {
        while let Some(again) = self.repeats.take_due(now) {
            if self.phase != Phase::Active || !self.signal(again) {
                self.repeats.clear();
            }
        }
        if self.signals_at.is_some_and(|at| at <= now) {
            self.resume_signals();
        }
    }

    /// The peer was heard of, or time has passed: more may be said.
    pub(crate) fn resume_signals(&mut self) {
        self.signals_at = None;
        self.signals_in_row = 0;
        if !self.signals.is_empty() {
            self.tcp.request_ack();
        }
    }

    /// An ACK of this subflow can carry the option: beside the timestamps, or instead of them if `drop_timestamps`.
    pub(crate) fn has_room_for(&self, add: &AddAddr, drop_timestamps: bool) -> bool {
        let beside = self.tcp.timestamps_enabled() && !drop_timestamps;
        add.wire_len() <= if beside { ROOM_BESIDE_TIMESTAMPS } else { ROOM }
    }

    /// What was said, or is to be said, of this subflow's priority is no longer true.
    pub(crate) fn forget_priority(&mut self) {
        self.signals.retain(|signal| !matches!(signal, MptcpOption::Prio(_)));
        self.repeats.forget_priority();
    }

    /// The identifier stands for an address again: its withdrawal is not repeated.
    pub(crate) fn forget_removal(&mut self, id: AddressId) {
        self.repeats.forget_removal(id);
    }

    /// Withdrawals that were to be said here and cannot be any more.
    pub(crate) fn unsaid_withdrawals(&mut self) -> Vec<AddressId> {
        let mut ids = Vec::new();
        for signal in self.signals.drain(..) {
            if let MptcpOption::RemoveAddr(remove) = signal {
                ids.extend_from_slice(remove.ids());
            }
        }
        ids
    }
}

fn count(sent: &MptcpOption, counters: &mut Counters) {
    match sent {
        MptcpOption::AddAddr(add) if add.echo => counters.echo_add_tx += 1,
        MptcpOption::AddAddr(_) => counters.add_addr_tx += 1,
        MptcpOption::RemoveAddr(remove) => counters.rm_addr_tx += remove.ids().len() as u64,
        MptcpOption::Prio(_) => counters.mp_prio_tx += 1,
        MptcpOption::Fail(_) => counters.mp_fail_tx += 1,
        _ => {}
    }
}
