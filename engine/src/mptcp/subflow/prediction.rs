//! What the next segment will be like if it carries on with the data of the last one.

use super::{Phase, Subflow};
use crate::seq::SeqNum;
use crate::tcp::{Flags, Segment, Timestamps};
use crate::time::Instant;
use crate::wire::mptcp::DssMapping;
use crate::wire::{OptionBytes, TcpHeader, TcpOptions};

/// What a segment with data in order has said. One that says the same again, and has more data, has nothing else to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction {
    ack: SeqNum,
    window: u16,
    options: OptionBytes,
    timestamps: Option<Timestamps>,
    /// `None` in plain TCP.
    mapping: Option<DssMapping>,
}

impl Prediction {
    /// From a segment whose data were taken in order; `None` if it had anything out of the ordinary to say.
    fn of(segment: &Segment, options: &TcpOptions, bytes: &OptionBytes) -> Option<Self> {
        let ordinary = !segment.payload.is_empty()
            && is_ordinary(segment.flags)
            && options.sack.is_empty()
            && options.signals.is_empty()
            && !options.malformed;
        let mapping = options.dss.and_then(|dss| dss.mapping.filter(|_| !dss.data_fin));
        let maps = mapping.is_some_and(|mapping| !mapping.is_infinite());
        let (ack, window) = (segment.ack?, segment.window);
        (ordinary && maps == options.dss.is_some()).then_some(Self {
            ack,
            window,
            options: *bytes,
            timestamps: options.timestamps,
            mapping,
        })
    }
}

/// Neither the beginning nor the end of anything, but for a piece of the sender's data.
const fn is_ordinary(flags: Flags) -> bool {
    let Flags { syn, fin, rst, psh: _, urg, ece, cwr } = flags;
    !(syn || fin || rst || urg || ece || cwr)
}

impl Subflow {
    /// A segment whose data were taken in order has been dealt with: the next one may be like it.
    pub(crate) fn predict(&mut self, segment: &Segment, options: &TcpOptions, bytes: &OptionBytes) {
        self.prediction = Prediction::of(segment, options, bytes);
    }

    /// Whatever comes next has to be looked at.
    pub(crate) fn predict_nothing(&mut self) {
        self.prediction = None;
    }

    /// The stream offset of a segment's data, and the mapping it repeats, if it was predicted and the subflow has nothing
    /// to do about it but to take them.
    pub(crate) fn predicted(
        &self,
        header: &TcpHeader,
        options: &[u8],
        len: usize,
    ) -> Option<(u64, Option<DssMapping>)> {
        let prediction = self.prediction.as_ref()?;
        let same = header.ack == Some(prediction.ack)
            && header.window == prediction.window
            && is_ordinary(header.flags)
            && options == prediction.options.as_slice();
        let quiet = self.phase == Phase::Active
            && !self.aborted
            && self.doubt.is_none()
            && self.mapping_due.is_none();
        if !same || !quiet {
            return None;
        }
        let start = self.tcp.predicts(header.seq, prediction.ack, len)?;
        Some((start, prediction.mapping))
    }

    /// Takes a predicted segment: the peer is there, and says what it said before.
    pub(crate) fn on_predicted(&mut self, now: Instant, header: &TcpHeader, len: usize) {
        let timestamps = self.prediction.as_ref().and_then(|prediction| prediction.timestamps);
        self.tcp.on_predicted(now, (header.seq, header.window), timestamps, len);
        self.asked = 0;
        self.bare_acks = 0;
        self.resume_signals();
    }
}
