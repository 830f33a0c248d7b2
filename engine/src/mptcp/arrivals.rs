//! In which order data came: counted always, timed on request.

use crate::endpoint::ReceiveStats;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Most times kept for somebody to fetch; older ones are given up for newer ones.
const MAX_WAITS: usize = 1 << 16;

/// When pieces came that wait, and how long others have waited.
#[derive(Debug, Default)]
struct Waits {
    /// Start, end and time of arrival of what is out of order, by start.
    pieces: VecDeque<(u64, u64, Instant)>,
    /// How long how many octets waited.
    over: Vec<(Duration, u64)>,
}

impl Waits {
    fn arrived(&mut self, now: Instant, start: u64, end: u64) {
        let at = self.pieces.partition_point(|piece| piece.0 < start);
        self.pieces.insert(at, (start, end, now));
    }

    /// Everything before `next` is in order, `advanced` octets of it since the last time.
    fn in_order(&mut self, now: Instant, next: u64, advanced: u64) {
        let mut at_once = advanced;
        // What lies before has been counted; overlapping copies count once.
        let mut from = next - advanced;
        while let Some((start, end, since)) = self.pieces.front().copied().filter(|p| p.0 < next) {
            let waited = end.min(next).saturating_sub(start.max(from));
            self.add(now.saturating_since(since), waited);
            from = from.max(end.min(next));
            at_once = at_once.saturating_sub(waited);
            self.pieces.pop_front();
            if end > next {
                self.pieces.push_front((next, end, since));
                break;
            }
        }
        self.add(Duration::ZERO, at_once);
    }

    fn add(&mut self, waited: Duration, octets: u64) {
        match self.over.last_mut() {
            _ if octets == 0 => {}
            Some((last, count)) if *last == waited => *count += octets,
            _ => {
                if self.over.len() >= MAX_WAITS {
                    self.over.clear();
                }
                self.over.push((waited, octets));
            }
        }
    }
}

/// The account of a receive queue.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    stats: ReceiveStats,
    waits: Option<Box<Waits>>,
}

/// The state of the queue before or after a piece: octets in order, and octets that wait out of order.
pub(crate) type Level = (u64, u64);

impl Arrivals {
    /// Keeps times from now on.
    pub(crate) fn keep_times(&mut self) {
        self.waits.get_or_insert_default();
    }

    /// A piece of `len` octets at `offset` has been taken in.
    pub(crate) fn on_piece(
        &mut self,
        now: Instant,
        (offset, len): (u64, u64),
        before: Level,
        after: Level,
    ) {
        let advanced = after.0 - before.0;
        let new = (advanced + after.1).saturating_sub(before.1);
        self.stats.duplicate += len.saturating_sub(new);
        self.stats.out_of_order = after.1;
        if advanced == 0 {
            self.stats.blocked += new;
            self.stats.out_of_order_max = self.stats.out_of_order_max.max(after.1);
        }
        if let Some(waits) = &mut self.waits {
            match advanced {
                0 if new > 0 => waits.arrived(now, offset, offset + len),
                0 => {}
                _ => waits.in_order(now, after.0, advanced),
            }
        }
    }

    pub(crate) const fn stats(&self) -> ReceiveStats {
        self.stats
    }

    /// Moves the times kept to `out`.
    pub(crate) fn take_waits(&mut self, out: &mut Vec<(Duration, u64)>) {
        if let Some(waits) = &mut self.waits {
            out.append(&mut waits.over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn octets_wait_from_their_first_copy_until_the_hole_is_filled() {
        let mut arrivals = Arrivals::default();
        arrivals.keep_times();
        let at = Instant::from_millis;
        arrivals.on_piece(at(0), (0, 10), (0, 0), (10, 0));
        arrivals.on_piece(at(1), (20, 10), (10, 0), (10, 10));
        // a copy changes nothing but the count of copies
        arrivals.on_piece(at(2), (20, 10), (10, 10), (10, 10));
        arrivals.on_piece(at(3), (40, 10), (10, 10), (10, 20));
        arrivals.on_piece(at(5), (10, 10), (10, 20), (30, 10));
        arrivals.on_piece(at(9), (30, 10), (30, 10), (50, 0));
        let mut waits = Vec::new();
        arrivals.take_waits(&mut waits);
        let ms = Duration::from_millis;
        assert_eq!(waits, vec![(ms(0), 10), (ms(4), 10), (ms(0), 10), (ms(6), 10), (ms(0), 10)]);
        let expected =
            ReceiveStats { out_of_order: 0, out_of_order_max: 20, blocked: 20, duplicate: 10 };
        assert_eq!(arrivals.stats(), expected);
    }
}
