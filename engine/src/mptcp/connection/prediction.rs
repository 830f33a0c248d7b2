//! Header prediction: the short way for a segment that says what the one before it said, and has the data that come next.
//! Most segments of a bulk transfer are like that.
//!
//! In every case of doubt a segment goes the long way, `on_segment`. The outcome is the same.

use super::{Connection, Mode};
use crate::addr::SubflowId;
use crate::counters::Counters;
use crate::error::FallbackReason;
use crate::mptcp::subflow::{Outline, Width};
use crate::tcp::Segment;
use crate::time::Instant;
use crate::wire::{OptionBytes, TcpHeader, TcpOptions};
use bytes::Bytes;

/// What is to be done about a predicted segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicted {
    /// Stream offset and data offset of its first octet.
    start: u64,
    data: u64,
    /// That of the mapping it repeats; `None` in plain TCP.
    width: Option<Width>,
}

impl Connection {
    /// Whether this segment of the subflow at `index`, whose checksums are right, was predicted. One that would have been, had
    /// it not something new to say, is once that is noted: each super-segment begins with one.
    #[inline(always)]
    pub(crate) fn predicted(
        &mut self,
        now: Instant,
        index: usize,
        outline: &Outline<'_>,
        counters: &mut Counters,
    ) -> Option<Predicted> {
        let predicted = self.repeated(index, outline);
        if predicted.is_some() { predicted } else { self.renewed(now, index, outline, counters) }
    }

    /// It says what the one before it said.
    #[inline(always)]
    fn repeated(&self, index: usize, outline: &Outline<'_>) -> Option<Predicted> {
        let subflow = self.subflows.get(index).filter(|_| self.is_predictable())?;
        let (start, width) = subflow.predicted(outline)?;
        let plain = matches!(self.mode, Mode::Tcp(_));
        let data = match width {
            Some(_) if plain => None,
            Some(_) => subflow.received.maps_next(start, outline.len as u64),
            None if plain && subflow.received.raw_len() == 0 => {
                Some(start.wrapping_sub(self.plain.recv))
            }
            None => None,
        };
        Some(Predicted { start, data: data?, width })
    }

    /// It does so once it is noted what it says that is new. Should it not be predicted in spite of that, nothing is lost: the
    /// long way finds the mapping known.
    #[inline(never)]
    fn renewed(
        &mut self,
        now: Instant,
        index: usize,
        outline: &Outline<'_>,
        counters: &mut Counters,
    ) -> Option<Predicted> {
        let subflow = self.subflows.get(index).filter(|_| self.is_predictable())?;
        let (start, renewal) = subflow.renewal(now, outline)?;
        let comes_next = renewal.mapping.is_none_or(|mapping| {
            let begins = mapping.subflow_seq.to_offset(start) == Some(start);
            let whole = outline.len <= mapping.data_len.into();
            begins && whole && subflow.received.is_between_mappings()
        });
        if !comes_next || self.checksum {
            return None;
        }
        if let Some(mapping) = &renewal.mapping {
            self.on_mapping(now, index, mapping, false, counters);
        }
        self.subflows.get_mut(index)?.renew(now, &renewal);
        self.repeated(index, outline)
    }

    /// Takes in a segment of the subflow at `index` that was found predicted just now, and its `payload` with it. That was cut
    /// out of a packet right before: what moves it, waits for that, unless there is something else to be done first.
    pub(crate) fn on_predicted(
        &mut self,
        now: Instant,
        index: usize,
        predicted: &Predicted,
        header: &TcpHeader,
        payload: &mut Bytes,
        counters: &mut Counters,
    ) {
        let Some(subflow) = self.subflows.get_mut(index) else { return };
        let Predicted { start, data, width } = *predicted;
        let len = payload.len();
        counters.tcp_hp_hits += 1;
        subflow.on_predicted(now, header, len);
        if let Some(long) = width {
            subflow.received.take_next(start + len as u64);
            subflow.on_delivered(now, (data, len as u64));
            self.last.ack_recv = Some(now);
            self.on_seq_width(long, true);
        } else {
            self.recv.admit(data.wrapping_add(len as u64));
        }
        self.receive(now, data, core::mem::take(payload), counters);
    }

    /// A segment went the long way; `regular`: the next one may be like it.
    pub(crate) fn predict(
        &mut self,
        id: SubflowId,
        regular: bool,
        segment: &Segment,
        options: &TcpOptions,
        bytes: &OptionBytes,
    ) {
        match self.subflows.iter_mut().find(|subflow| subflow.id == id) {
            Some(subflow) if regular => subflow.predict(segment, options, bytes),
            Some(subflow) => subflow.predict_nothing(),
            None => {}
        }
    }

    /// Nothing is going on for which every segment has to be looked at.
    fn is_predictable(&self) -> bool {
        let settled = match self.mode {
            Mode::Offered => false,
            Mode::Mptcp => !self.exchange.is_active() && self.timers.probe.is_none(),
            // A mapping may show that it was taken for plain TCP in error.
            Mode::Tcp(reason) => reason != FallbackReason::NoDssInAck,
        };
        settled && self.error.is_none() && !self.released && !self.recv.has_fin()
    }
}
