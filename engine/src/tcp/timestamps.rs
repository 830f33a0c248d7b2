//! The timestamps option and protection against wrapped sequence numbers (RFC 7323).

use super::segment::{Segment, Timestamps};
use crate::time::{Duration, Instant};

/// A connection idle for longer may have seen the peer's clock wrap: its last value proves nothing (RFC 7323 5.5).
const RECENT_LIFETIME: Duration = Duration::from_secs(24 * 24 * 3600);

/// Octets the option takes in a segment, padding included.
pub(super) const OPTION_LEN: u8 = 12;

/// The clock of one connection and what it knows of the peer's. One tick is a millisecond.
#[derive(Debug)]
pub(super) struct TimestampClock {
    /// Both ends offered the option.
    pub(super) enabled: bool,
    offset: u32,
    /// TS.Recent and when it was taken.
    recent: Option<(u32, Instant)>,
}

impl TimestampClock {
    pub(super) const fn new(offset: u32) -> Self {
        Self { enabled: false, offset, recent: None }
    }

    fn ticks(&self, now: Instant) -> u32 {
        // Truncation is the point: the clock wraps.
        (now.as_millis() as u32).wrapping_add(self.offset)
    }

    /// The option of a segment sent now.
    pub(super) fn option(&self, now: Instant) -> Timestamps {
        Timestamps { value: self.ticks(now), echo: self.recent.map_or(0, |(value, _)| value) }
    }

    /// PAWS: the segment was sent before one that has arrived already (RFC 7323 5.3 R1).
    ///
    /// A segment without the option passes, as with Linux: RFC 7323 3.2 would drop it, but peers leave the option
    /// out where another one needs its room.
    pub(super) fn is_old(&self, now: Instant, option: Option<Timestamps>) -> bool {
        let (Some((recent, at)), Some(option)) = (self.recent, option) else {
            return false;
        };
        let older = (option.value.wrapping_sub(recent) as i32) < 0;
        self.enabled && older && now.saturating_since(at) < RECENT_LIFETIME
    }

    /// The segment's clock is later than the last one seen; `None` when one of them has none.
    pub(super) fn is_newer(&self, seg: &Segment) -> Option<bool> {
        let (recent, _) = self.recent.filter(|_| self.enabled)?;
        Some((seg.options.timestamps?.value.wrapping_sub(recent) as i32) > 0)
    }

    /// Takes the peer's clock from a segment that spans the last acknowledgement (RFC 7323 4.3).
    pub(super) fn on_segment(&mut self, now: Instant, seg: &Segment) {
        if !self.is_old(now, seg.options.timestamps) {
            self.on_option(now, seg.options.timestamps);
        }
    }

    /// [`Self::on_segment`] for one that is known not to be old.
    pub(super) fn on_option(&mut self, now: Instant, option: Option<Timestamps>) {
        if let (true, Some(option)) = (self.enabled, option) {
            self.recent = Some((option.value, now));
        }
    }

    /// The latest moment at which the segment the peer echoes can have been sent: the end of its tick.
    pub(super) fn echoed_at(&self, now: Instant, option: Option<Timestamps>) -> Option<Instant> {
        let echo = option.filter(|_| self.enabled)?.echo;
        let age = self.ticks(now).wrapping_sub(echo);
        if echo == 0 || age > i32::MAX as u32 {
            return None;
        }
        let tick = now.as_millis().checked_sub(u64::from(age))?;
        Some(Instant::from_millis(tick.saturating_add(1)).min(now))
    }
}
