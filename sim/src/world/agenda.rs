//! What happens when.

use mpuser_engine::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Somebody who wants to be woken; numbers are given out by [`Agenda::source`].
pub(crate) type Source = u32;

/// The moments at which sources want to be woken: each has one at a time, the earliest it asked for.
///
/// Moments asked for are not taken back: a source whose deadline moved away is woken in vain and asks again. So a timer
/// that moves with each packet costs nothing but now and then such a visit. Among equal moments the one asked for first
/// comes first.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(u64, u64, Source)>>,
    /// What each source asked for.
    wanted: Vec<u64>,
    asked: u64,
}

/// Nothing is asked for.
const NEVER: u64 = u64::MAX;

impl Agenda {
    /// A new source.
    pub(crate) fn source(&mut self) -> Source {
        self.wanted.push(NEVER);
        self.wanted.len() as Source - 1
    }

    /// The source wants to be woken at this moment at the latest.
    pub(crate) fn want(&mut self, source: Source, at: Option<Instant>) {
        let Some(at) = at.map(Instant::as_nanos) else { return };
        if let Some(wanted) = self.wanted.get_mut(source as usize).filter(|wanted| at < **wanted) {
            *wanted = at;
            self.asked += 1;
            self.heap.push(Reverse((at, self.asked, source)));
        }
    }

    /// The next source to wake, if one is to be woken by `end`.
    pub(crate) fn pop(&mut self, end: Instant) -> Option<(Instant, Source)> {
        while let Some(Reverse((at, _, source))) = self.heap.peek().copied() {
            if at > end.as_nanos() {
                return None;
            }
            self.heap.pop();
            if let Some(wanted) = self.wanted.get_mut(source as usize).filter(|w| **w == at) {
                *wanted = NEVER;
                return Some((Instant::from_nanos(at), source));
            }
        }
        None
    }

    /// When the next source is to be woken.
    pub(crate) fn next(&self) -> Option<Instant> {
        // what is at the top may have been taken back by an earlier wish
        self.wanted.iter().copied().filter(|at| *at != NEVER).min().map(Instant::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_woken_in_order_and_once() {
        let mut agenda = Agenda::default();
        let [a, b, c] = [(); 3].map(|()| agenda.source());
        let ms = Instant::from_millis;
        agenda.want(b, Some(ms(5)));
        agenda.want(a, Some(ms(5)));
        agenda.want(c, Some(ms(9)));
        agenda.want(c, Some(ms(2)));
        agenda.want(c, Some(ms(7)));
        agenda.want(a, None);
        let mut woken = Vec::new();
        while let Some(next) = agenda.pop(ms(8)) {
            woken.push(next);
        }
        assert_eq!(woken, [(ms(2), c), (ms(5), b), (ms(5), a)]);
        assert_eq!(agenda.next(), None);
        // a source that was woken has to ask again: the later wish went with the earlier one
        assert_eq!(agenda.pop(ms(100)), None);
    }
}
