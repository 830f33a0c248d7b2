//! How fast packets leave: at a rate, or at the moments of a trace.

use mpuser_engine::time::{Duration, Instant};

/// Bytes one delivery opportunity of a mahimahi trace carries.
const OPPORTUNITY: u64 = 1504;

/// Moments at which 1504 bytes may leave, in milliseconds from the start, as mahimahi writes them: one per line,
/// in order. After the last one it begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    millis: Vec<u64>,
}

impl Trace {
    /// Reads the lines of a trace file.
    ///
    /// # Errors
    /// A line is no number, or they are out of order, or the last one is 0 (the trace would have no length).
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut millis = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let at = line.parse::<u64>().ok().filter(|at| *at < 1 << 40);
            let at = at.ok_or_else(|| {
                format!("line {}: {line:?} is no number of milliseconds", number + 1)
            })?;
            if millis.last().is_some_and(|before| *before > at) {
                return Err(format!("line {}: {at} is earlier than the line before", number + 1));
            }
            millis.push(at);
        }
        match millis.last() {
            Some(1..) => Ok(Self { millis }),
            _ => Err("a trace needs at least one moment after 0".to_owned()),
        }
    }

    /// Bits per second on average.
    #[must_use]
    pub fn mean_rate(&self) -> u64 {
        let period = self.millis.last().copied().unwrap_or(1).max(1);
        self.millis.len() as u64 * OPPORTUNITY * 8 * 1_000 / period
    }

    /// The moment of opportunity `number` since the start.
    fn at(&self, number: u64) -> Duration {
        let count = self.millis.len().max(1) as u64;
        let period = self.millis.last().copied().unwrap_or(1);
        let within = usize::try_from(number % count).unwrap_or_default();
        let at = self.millis.get(within).copied().unwrap_or_default();
        Duration::from_millis((number / count).saturating_mul(period).saturating_add(at))
    }

    /// The first opportunity not before `elapsed`.
    fn first_from(&self, elapsed: Duration) -> u64 {
        let count = self.millis.len().max(1) as u64;
        let period = u128::from(self.millis.last().copied().unwrap_or(1).max(1));
        let rounds = u64::try_from(elapsed.as_millis() / period).unwrap_or(u64::MAX / count / 2);
        // the round may begin with opportunities at the very end of the one before
        let mut number = rounds.saturating_sub(1) * count;
        while self.at(number) < elapsed {
            number += 1;
        }
        number
    }
}

/// The place in a trace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TraceState {
    next: u64,
    /// Bytes left of the opportunity before `next`, and its moment.
    left: u64,
    at: Duration,
}

impl TraceState {
    /// When a packet of `len` bytes that stands at the front at `now` has left.
    pub(crate) fn departure(
        &mut self,
        trace: &Trace,
        start: Instant,
        now: Instant,
        len: u64,
    ) -> Instant {
        let elapsed = now.saturating_since(start);
        if self.at < elapsed {
            // opportunities nobody used are gone
            self.left = 0;
            self.next = self.next.max(trace.first_from(elapsed));
        }
        let mut needed = len;
        while needed > self.left {
            needed -= self.left;
            self.at = trace.at(self.next);
            self.next += 1;
            self.left = OPPORTUNITY;
        }
        self.left -= needed;
        start + self.at
    }
}

/// How long `len` bytes take at `rate` bits per second.
pub(crate) fn transmission(len: usize, rate: u64) -> Duration {
    Duration::from_nanos((len as u128 * 8 * 1_000_000_000 / u128::from(rate.max(1))) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_kept() {
        let trace = Trace::parse("5\n10\n10\n20\n").unwrap();
        assert_eq!(trace.mean_rate(), 4 * 1504 * 8 * 50);
        let mut state = TraceState::default();
        let mut leave = |now, len| {
            state.departure(&trace, Instant::ZERO, Instant::from_millis(now), len).as_millis()
        };
        assert_eq!(leave(0, 1504), 5);
        // two small ones share an opportunity; a third needs the next
        assert_eq!((leave(5, 752), leave(5, 752), leave(5, 752)), (10, 10, 10));
        assert_eq!(leave(10, 1504), 20);
        // what nobody used is lost, and after the end it begins anew
        assert_eq!(leave(24, 1504), 25);
        assert_eq!(leave(1_001, 100), 1_005);
    }

    #[test]
    fn broken_traces_are_refused() {
        for text in ["", "0\n", "a\n", "5\n4\n", "-1\n", "99999999999999999999\n"] {
            assert!(Trace::parse(text).is_err(), "{text:?}");
        }
    }
}
