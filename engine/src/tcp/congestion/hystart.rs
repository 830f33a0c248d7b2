//! HyStart++ (RFC 9406): leave slow start when the delay rises, before the queue overflows.

use crate::time::Duration;

/// The delay must rise by an eighth of the RTT, within these bounds (RFC 9406 4.3).
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u64 = 4;
const CSS_ROUNDS: u32 = 5;

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
    /// An ACK of `acked` octets in slow start, with `in_flight` octets under way before it.
    pub(super) fn on_ack(&mut self, acked: u64, in_flight: u64, rtt: Option<Duration>) -> Growth {
        if self.delivered >= self.round_end && self.start_round(in_flight) {
            return Growth::Done;
        }
        self.delivered += acked;
        if let Some(rtt) = rtt {
            self.current_round_min = Some(self.current_round_min.map_or(rtt, |min| min.min(rtt)));
            self.samples = self.samples.saturating_add(1);
        }
        if let (Some(current), true) = (self.current_round_min, self.samples >= N_RTT_SAMPLE) {
            self.judge(current);
        }
        Growth::By(if self.css.is_some() { acked / CSS_GROWTH_DIVISOR } else { acked })
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
