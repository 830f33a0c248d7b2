//! A rate that changes with time.

use crate::text;
use mpuser_engine::time::{Duration, Instant};

/// Bits per second from moments on, counted from the start of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateSchedule {
    /// By time, the first at 0.
    steps: Vec<(Duration, u64)>,
    /// The whole begins anew after this long.
    every: Option<Duration>,
}

impl RateSchedule {
    /// Steps by time; before the first one its rate holds already.
    ///
    /// # Errors
    /// There are none, they are out of order, they never let anything through, or the last begins after `every`.
    pub fn new(mut steps: Vec<(Duration, u64)>, every: Option<Duration>) -> Result<Self, String> {
        if steps.windows(2).any(|pair| matches!(pair, [a, b] if a.0 >= b.0)) {
            return Err("the times of a schedule of rates have to ascend".to_owned());
        }
        let Some(first) = steps.first_mut() else {
            return Err("a schedule of rates needs at least one".to_owned());
        };
        first.0 = Duration::ZERO;
        if every.is_some_and(|every| steps.iter().any(|(at, _)| *at >= every)) {
            return Err("a schedule of rates begins anew before its last rate".to_owned());
        }
        if steps.iter().all(|(_, rate)| *rate == 0) {
            return Err("a schedule of rates lets nothing through".to_owned());
        }
        Ok(Self { steps, every })
    }

    /// Reads lines `TIME,RATE`: times like `1.5s`, or plain numbers of seconds; rates like `20mbit`, or plain numbers
    /// of bits per second. A first line without numbers is a heading, `#` begins a comment. After the last line it
    /// begins anew; the last rate holds as long as the one before it, or for a second.
    ///
    /// # Errors
    /// Says which line cannot be understood.
    pub fn parse_csv(content: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        for (number, line) in content.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            match parse_line(line) {
                Some(step) => steps.push(step),
                None if steps.is_empty() && !line.contains(|c: char| c.is_ascii_digit()) => {}
                None => {
                    let say = "is no TIME,RATE: write for example 1.5,20mbit";
                    return Err(format!("line {}: {line:?} {say}", number + 1));
                }
            }
        }
        let last = steps.last().map_or(Duration::ZERO, |(at, _)| *at);
        let hold = match steps.as_slice() {
            [.., (before, _), (at, _)] => at.saturating_sub(*before),
            _ => Duration::from_secs(1),
        };
        Self::new(steps, Some(last + hold.max(Duration::from_nanos(1))))
    }

    /// Where in the steps a time stands: the index, and how long the step still lasts.
    fn place(&self, elapsed: Duration) -> (u64, Option<Duration>) {
        let within = match self.every {
            Some(every) => {
                Duration::from_nanos((elapsed.as_nanos() % every.as_nanos().max(1)) as u64)
            }
            None => elapsed,
        };
        let index = self.steps.partition_point(|(at, _)| *at <= within);
        let rate =
            index.checked_sub(1).and_then(|i| self.steps.get(i)).map_or(0, |(_, rate)| *rate);
        let end = self.steps.get(index).map(|(at, _)| *at).or(self.every);
        (rate, end.map(|end| end.saturating_sub(within)))
    }

    /// Bits per second at a time since the start.
    #[must_use]
    pub fn at(&self, elapsed: Duration) -> u64 {
        self.place(elapsed).0
    }

    /// Bits that can leave between two times since the start.
    #[must_use]
    pub fn bits(&self, from: Duration, to: Duration) -> f64 {
        let (mut at, mut bits) = (from, 0.0);
        while at < to {
            let (rate, lasts) = self.place(at);
            let until = lasts.map_or(to, |lasts| (at + lasts).min(to));
            bits += rate as f64 * until.saturating_sub(at).as_secs_f64();
            at = until;
        }
        bits
    }

    /// When `len` bytes have left that begin to leave at `now`.
    pub(super) fn departure(&self, start: Instant, now: Instant, len: u64) -> Instant {
        let mut at = now.saturating_since(start);
        // in units of a bit for a nanosecond, so that nothing is rounded on the way
        let mut left = u128::from(len) * 8 * 1_000_000_000;
        loop {
            let (rate, lasts) = self.place(at);
            let enough = lasts.is_none_or(|lasts| u128::from(rate) * lasts.as_nanos() >= left);
            if enough && rate > 0 {
                let nanos = left.div_ceil(u128::from(rate));
                return start + at + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            }
            let Some(lasts) = lasts else { return Instant::FAR_FUTURE };
            left -= u128::from(rate) * lasts.as_nanos();
            at += lasts;
        }
    }
}

fn parse_line(line: &str) -> Option<(Duration, u64)> {
    let (time, rate) = line.split_once(',')?;
    let (time, rate) = (time.trim(), rate.trim());
    let seconds = |text: &str| Duration::try_from_secs_f64(text.parse().ok()?).ok();
    let time = seconds(time).or_else(|| text::duration(time).ok())?;
    let bits = |text: &str| {
        let bits = text.parse::<f64>().ok().filter(|bits| (0.0..1e13).contains(bits))?;
        Some(bits as u64)
    };
    Some((time, bits(rate).or_else(|| text::rate(rate).ok())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_csv_is_kept() {
        let schedule = RateSchedule::parse_csv("time,rate\n0,8mbit\n1s,0 # a hole\n1.5,16000000\n");
        let schedule = schedule.unwrap();
        let at = |ms| schedule.at(Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(999), at(1_000), at(1_500), at(1_999)],
            [8_000_000, 8_000_000, 0, 16_000_000, 16_000_000]
        );
        // and anew
        assert_eq!((at(2_000), at(3_200)), (8_000_000, 0));
        let leave =
            |ms, len| schedule.departure(Instant::ZERO, Instant::from_millis(ms), len).as_millis();
        assert_eq!(leave(0, 1_000), 1);
        // half of it before the hole, half after it at twice the rate
        assert_eq!(leave(995, 10_000), 1_502);
    }

    #[test]
    fn broken_ones_are_refused() {
        for text in
            ["", "0,0\n", "0,1mbit\n0,2mbit", "1,1mbit\n0.5,1mbit", "0,1mbit\nx,y\n", "0;5\n"]
        {
            assert!(RateSchedule::parse_csv(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        /// What has left by the departure is what the rates let through until then.
        #[test]
        fn departures_agree_with_the_integral(
            rates in prop::collection::vec(0u64..20_000_000, 1..6), from in 0u64..10_000, len in 1u64..100_000,
        ) {
            prop_assume!(rates.iter().any(|rate| *rate > 1_000));
            let step = |(at, rate): (usize, &u64)| (Duration::from_millis(at as u64 * 100), *rate);
            let steps: Vec<_> = rates.iter().enumerate().map(step).collect();
            let every = Duration::from_millis(rates.len() as u64 * 100);
            let schedule = RateSchedule::new(steps, Some(every)).unwrap();
            let from = Duration::from_millis(from);
            let done = schedule.departure(Instant::ZERO, Instant::ZERO + from, len);
            let bits = schedule.bits(from, done.saturating_since(Instant::ZERO));
            prop_assert!((bits - len as f64 * 8.0).abs() < 1.0, "{} for {}", bits, len * 8);
        }
    }
}
