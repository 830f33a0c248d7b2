//! What the next segment will be like if it carries on with the data of the last one.

use super::{Phase, Subflow};
use crate::seq::SeqNum;
use crate::tcp::{Flags, Segment, Timestamps};
use crate::time::Instant;
use crate::wire::mptcp::{DataAck, Dss, DssMapping};
use crate::wire::{OptionBytes, TcpHeader, TcpOptions};

/// What of a segment tells whether it was predicted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outline<'a> {
    pub(crate) header: &'a TcpHeader,
    pub(crate) options: &'a [u8],
    /// Octets of data.
    pub(crate) len: usize,
}

/// What a segment with data in order has said. One that says the same again, and has more data, has nothing else to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction {
    ack: SeqNum,
    window: u16,
    options: OptionBytes,
    timestamps: Option<Timestamps>,
    data_ack: Option<DataAck>,
    width: Option<Width>,
}

/// That of the data sequence number in a mapping: whether it is all 64 bits. There is none in plain TCP.
///
/// Not the mapping: it would be written and at once read in larger pieces, which waits for the memory.
pub(crate) type Width = bool;

/// What a segment says that the one before it did not say: when it was sent, and where its data go. A sender of bulk data
/// has so much to say with each super-segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    /// `None` in plain TCP.
    pub(crate) mapping: Option<DssMapping>,
    options: OptionBytes,
    timestamps: Option<Timestamps>,
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
            data_ack: options.dss.and_then(|dss| dss.data_ack),
            width: mapping.map(|mapping| mapping.data_seq.is_long()),
        })
    }

    /// Everything but the options is as it was.
    #[inline(always)]
    fn is_repeated(&self, header: &TcpHeader) -> bool {
        header.ack == Some(self.ack) && header.window == self.window && is_ordinary(header.flags)
    }

    /// What is new about these options; `None` if there may be more to it.
    fn renewal(&self, options: &[u8]) -> Option<Renewal> {
        let read = TcpOptions::parse(options);
        let TcpOptions { timestamps, dss, .. } = read;
        let mapping = match (dss, self.width) {
            (None, None) => None,
            (Some(Dss { data_ack, mapping: Some(mapping), data_fin: false }), Some(_))
                if data_ack == self.data_ack
                    && mapping.checksum.is_none()
                    && !mapping.is_infinite() =>
            {
                Some(mapping)
            }
            _ => return None,
        };
        let no_more = read == TcpOptions { timestamps, dss, ..TcpOptions::default() };
        no_more.then(|| Renewal { mapping, options: OptionBytes::of(options), timestamps })
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

    /// The stream offset of a segment's data, and the width of the mapping it repeats, if it was predicted and the subflow
    /// has nothing to do about it but to take them.
    #[inline(always)]
    pub(crate) fn predicted(&self, outline: &Outline<'_>) -> Option<(u64, Option<Width>)> {
        let (start, prediction) = self.carried_on(outline)?;
        prediction.options.are(outline.options).then_some((start, prediction.width))
    }

    /// The stream offset of a segment's data, and what it says that is new, if it would have been predicted without that.
    pub(crate) fn renewal(&self, now: Instant, outline: &Outline<'_>) -> Option<(u64, Renewal)> {
        let (start, prediction) = self.carried_on(outline)?;
        let renewal = prediction.renewal(outline.options)?;
        self.tcp.takes_option(now, renewal.timestamps).then_some((start, renewal))
    }

    /// The stream offset of a segment's data, if these carry on with the last ones and all but its options was predicted.
    #[inline(always)]
    fn carried_on(&self, outline: &Outline<'_>) -> Option<(u64, &Prediction)> {
        let Outline { header, len, .. } = *outline;
        let prediction = self.prediction.as_ref()?;
        if !prediction.is_repeated(header) || !self.is_quiet() {
            return None;
        }
        Some((self.tcp.predicts(header.seq, prediction.ack, len)?, prediction))
    }

    /// What is new has been said: segments that repeat it are predicted from now on.
    pub(crate) fn renew(&mut self, now: Instant, renewal: &Renewal) {
        let Some(prediction) = self.prediction.as_mut() else { return };
        (prediction.options, prediction.timestamps) = (renewal.options, renewal.timestamps);
        prediction.width = renewal.mapping.map(|mapping| mapping.data_seq.is_long());
        self.tcp.on_option(now, renewal.timestamps);
    }

    /// It carries data, and waits for nothing.
    #[inline(always)]
    fn is_quiet(&self) -> bool {
        self.phase == Phase::Active
            && !self.aborted
            && self.doubt.is_none()
            && self.mapping_due.is_none()
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
