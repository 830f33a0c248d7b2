//! Video in chunks, at the bit rate the network seems to carry.

use super::{Desk, Traffic, seconds};
use crate::direction::Direction;
use crate::metrics::PlayerOutcome;
use crate::scenario::Chunks;
use mpuser_engine::time::{Duration, Instant};
use std::collections::VecDeque;

/// Chunks whose throughput is remembered.
const REMEMBERED: usize = 3;

/// A player.
#[derive(Debug)]
pub(super) struct Player {
    config: Chunks,
    /// Bits a second of the last chunks.
    seen: VecDeque<f64>,
    /// The chunk under way: bit rate, bytes, and when it was asked for.
    asked: Option<(u64, u64, Instant)>,
    came: u32,
    /// Seconds of video in the buffer, at the time of `since`.
    buffer: f64,
    since: Instant,
    playing: bool,
    /// Since when it stands still, once it has begun to play.
    stalled: Option<Instant>,
    outcome: PlayerOutcome,
}

impl Player {
    pub(super) fn new(config: Chunks) -> Self {
        Self {
            config,
            seen: VecDeque::new(),
            asked: None,
            came: 0,
            buffer: 0.0,
            since: Instant::ZERO,
            playing: false,
            stalled: None,
            outcome: PlayerOutcome::default(),
        }
    }

    /// Lets the video play up to `now`.
    fn play(&mut self, now: Instant) {
        let passed = now.saturating_since(self.since).as_secs_f64();
        let all = self.config.count.is_some_and(|count| self.came >= count);
        if self.playing && passed >= self.buffer && !all {
            self.playing = false;
            self.stalled = Some(self.since + Duration::from_secs_f64(self.buffer));
            self.outcome.stalls += 1;
            self.buffer = 0.0;
        } else if self.playing {
            self.buffer = (self.buffer - passed).max(0.0);
        }
        self.since = now;
    }

    /// By the buffer: a line from the lowest to the highest rate, left only when it passes a neighbour.
    fn rate_by_buffer(&self, reservoir: f64) -> u64 {
        let rates = &self.config.rates;
        let (Some(&lowest), Some(&highest)) = (rates.first(), rates.last()) else { return 1 };
        let last = self.outcome.rates.last().copied().unwrap_or(lowest);
        // a chunk is asked for when there is room for it: the buffer is never full then
        let most = self.config.buffer.saturating_sub(self.config.length).as_secs_f64();
        let span = (0.9 * most - reservoir).max(1e-3);
        let part = ((self.buffer - reservoir) / span).clamp(0.0, 1.0);
        let line = lowest as f64 + part * (highest - lowest) as f64;
        let up = rates.iter().copied().find(|rate| *rate > last).unwrap_or(highest);
        let down = rates.iter().copied().rfind(|rate| *rate < last).unwrap_or(lowest);
        if line >= up as f64 {
            rates.iter().copied().rfind(|rate| *rate as f64 <= line).unwrap_or(last)
        } else if line <= down as f64 {
            rates.iter().copied().find(|rate| *rate as f64 >= line).unwrap_or(last)
        } else {
            last
        }
    }

    /// The highest rate that is likely to come in time, or the lowest there is.
    fn rate(&self) -> u64 {
        if let Some(reservoir) = self.config.reservoir {
            return self.rate_by_buffer(reservoir.as_secs_f64());
        }
        let slowness: f64 = self.seen.iter().map(|rate| 1.0 / rate.max(1.0)).sum();
        // the harmonic mean, so that one lucky chunk does not count for much
        let expected = if slowness > 0.0 { self.seen.len() as f64 / slowness } else { 0.0 };
        let limit = expected * self.config.caution;
        let fits = self.config.rates.iter().rfind(|rate| **rate as f64 <= limit);
        fits.or(self.config.rates.first()).copied().unwrap_or(1)
    }

    fn ask(&mut self, now: Instant, desk: &mut Desk) {
        if self.asked.is_some() || self.config.count.is_some_and(|count| self.came >= count) {
            return;
        }
        let length = self.config.length.as_secs_f64();
        let too_much = self.buffer + length - self.config.buffer.as_secs_f64();
        if too_much > 0.0 && self.playing {
            // rounded up: woken early it would wait for nothing once more
            desk.wake = Some(now + Duration::from_secs_f64(too_much) + Duration::from_micros(1));
            return;
        }
        let rate = self.rate();
        let bytes = ((rate as f64 * length / 8.0) as u64).max(1);
        self.asked = Some((rate, bytes, now));
        desk.ask(0, self.config.request);
    }

    fn on_chunk(&mut self, now: Instant, desk: &mut Desk) {
        let Some((rate, bytes, since)) = self.asked.take() else { return };
        let took = now.saturating_since(since).as_secs_f64().max(1e-6);
        self.seen.push_back(bytes as f64 * 8.0 / took);
        if self.seen.len() > REMEMBERED {
            self.seen.pop_front();
        }
        self.came += 1;
        self.outcome.rates.push(rate);
        desk.complete(bytes, since, now, None);
        self.play(now);
        self.buffer += self.config.length.as_secs_f64();
        let full =
            self.buffer + self.config.length.as_secs_f64() > self.config.buffer.as_secs_f64();
        if !self.playing && (full || self.buffer >= self.config.prebuffer.as_secs_f64()) {
            self.playing = true;
            self.end_stall(now);
        }
        if self.config.count == Some(self.came) {
            desk.done = true;
        }
        self.ask(now, desk);
    }

    fn end_stall(&mut self, now: Instant) {
        if let Some(since) = self.stalled.take() {
            self.outcome.stalled += seconds(now) - seconds(since);
        }
    }
}

impl Traffic for Player {
    fn on_open(&mut self, now: Instant, _connection: usize, desk: &mut Desk) {
        self.since = now;
        self.ask(now, desk);
    }

    fn on_read(&mut self, now: Instant, connection: usize, way: Direction, desk: &mut Desk) {
        if way == desk.way {
            let data = desk.data(connection);
            if data.delivered == data.goal {
                self.on_chunk(now, desk);
            }
        } else if let Some((_, bytes, _)) = self.asked {
            let asked = desk.pipe(connection, way).copied().unwrap_or_default();
            if asked.delivered == asked.goal {
                desk.send(connection, bytes);
            }
        }
    }

    fn on_wake(&mut self, now: Instant, desk: &mut Desk) {
        self.play(now);
        self.ask(now, desk);
    }

    fn on_end(&mut self, now: Instant, desk: &mut Desk) {
        self.play(now);
        self.end_stall(now);
        let rates = &self.outcome.rates;
        let sum: f64 = rates.iter().map(|rate| *rate as f64).sum();
        self.outcome.mean_rate = if rates.is_empty() { 0.0 } else { sum / rates.len() as f64 };
        desk.player = Some(self.outcome.clone());
    }
}
