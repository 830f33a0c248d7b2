//! HyStart: leave slow start before the queue overflows, by two signs.
//!
//! The rising delay of HyStart++ (RFC 9406), and the ACK train of the original HyStart, which Linux has: when the
//! ACKs of one round arrive back to back for half of the smallest RTT, the pipe is full. Without the second, a path
//! of a short RTT and a long queue gets the whole queue before the first sign is beyond doubt.

use super::AckSample;
use crate::time::{Duration, Instant};

/// The delay must rise by an eighth of the RTT, within these bounds (RFC 9406 4.3).
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u64 = 4;
const CSS_ROUNDS: u32 = 5;
/// ACKs further apart than this end a train.
const TRAIN_GAP: Duration = Duration::from_millis(2);
/// Segments below which a train says nothing.
const TRAIN_WINDOW: u64 = 16;

/// The initial slow start of one connection.
///
/// The RFC's limit L of eight segments per ACK is for senders whose ACKs are not merged; ours acknowledge
/// super-segments, where it would throttle slow start itself, so there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct HyStart {
    delivered: u64,
    /// The round ends when this much is delivered.
    round_end: u64,
    last_round_min: Option<Duration>,
    current_round_min: Option<Duration>,
    samples: u32,
    css: Option<Css>,
    train: Option<Train>,
}

/// ACKs of one round that came back to back.
#[derive(Clone, Copy, Debug)]
struct Train {
    start: Instant,
    last: Instant,
}

/// Conservative slow start: was the delay a passing one?
#[derive(Clone, Copy, Debug)]
struct Css {
    baseline: Duration,
    rounds: u32,
}

/// What an ACK allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Grow the window by this many octets.
    By(u64),
    /// Slow start is over: the threshold is the present window.
    Done,
}

impl HyStart {
    /// An ACK in slow start; `window` is the congestion window in segments.
    pub(super) fn on_ack(&mut self, sample: &AckSample, window: u64) -> Growth {
        let acked = sample.newly_delivered;
        if self.delivered >= self.round_end {
            self.train = Some(Train { start: sample.now, last: sample.now });
            if self.start_round(sample.in_flight_before) {
                return Growth::Done;
            }
        }
        if window >= TRAIN_WINDOW && self.train_fills_the_pipe(sample) {
            return Growth::Done;
        }
        self.delivered += acked;
        if let Some(rtt) = sample.rtt_latest {
            self.current_round_min = Some(self.current_round_min.map_or(rtt, |min| min.min(rtt)));
            self.samples = self.samples.saturating_add(1);
        }
        if let (Some(current), true) = (self.current_round_min, self.samples >= N_RTT_SAMPLE) {
            self.judge(current);
        }
        Growth::By(if self.css.is_some() { acked / CSS_GROWTH_DIVISOR } else { acked })
    }

    fn train_fills_the_pipe(&mut self, sample: &AckSample) -> bool {
        let (Some(train), Some(min_rtt)) = (&mut self.train, sample.min_rtt) else { return false };
        if sample.now.saturating_since(train.last) > TRAIN_GAP {
            train.start = sample.now;
        }
        train.last = sample.now;
        sample.now.saturating_since(train.start) > min_rtt / 2
    }

    /// True when conservative slow start has lasted long enough; the round it began in counts.
    fn start_round(&mut self, in_flight: u64) -> bool {
        self.round_end = self.delivered + in_flight;
        self.last_round_min = self.current_round_min.take();
        self.samples = 0;
        let Some(css) = self.css.as_mut() else { return false };
        css.rounds += 1;
        css.rounds >= CSS_ROUNDS
    }

    fn judge(&mut self, current: Duration) {
        match (self.css, self.last_round_min) {
            (Some(css), _) if current < css.baseline => self.css = None,
            (None, Some(last)) => {
                let thresh = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if current >= last + thresh {
                    self.css = Some(Css { baseline: current, rounds: 0 });
                }
            }
            _ => {}
        }
    }
}
