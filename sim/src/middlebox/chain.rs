//! Boxes one behind the other.

use super::{Emitted, Middlebox, build};
use crate::direction::Direction;
use crate::packet::TcpPacket;
use bytes::Bytes;
use mpuser_engine::time::Instant;

/// Packets that leave a chain.
#[derive(Debug, Default)]
pub struct Output {
    /// Each with the way it goes: `Forward` ones leave behind the last box, `Backward` ones before the first.
    pub packets: Vec<(Direction, Bytes)>,
}

/// Boxes, the first nearest to the end `a`.
#[derive(Debug, Default)]
pub struct Chain {
    boxes: Vec<(String, Box<dyn Middlebox>)>,
}

/// Packets one packet may become on its way through all boxes: a guard against boxes that answer each other.
const MAX_STEPS: usize = 10_000;

impl Chain {
    /// Makes boxes of their texts, see [`build`].
    ///
    /// # Errors
    /// A text cannot be understood.
    pub fn build<S: AsRef<str>>(texts: &[S], seed: u64) -> Result<Self, String> {
        let mut boxes = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let seed = seed.wrapping_add(index as u64);
            boxes.push((text.as_ref().to_owned(), build(text.as_ref(), seed)?));
        }
        Ok(Self { boxes })
    }

    /// A packet that goes in at one end of the chain.
    pub fn on_packet(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Bytes,
        out: &mut Output,
    ) {
        let parsed = if self.boxes.is_empty() { None } else { TcpPacket::parse(&packet) };
        let Some(parsed) = parsed else {
            out.packets.push((direction, packet));
            return;
        };
        let first = match direction {
            Direction::Forward => 0,
            Direction::Backward => self.boxes.len(),
        };
        self.pass(now, vec![(first, direction, parsed)], out);
    }

    /// Fires the timers that are due.
    pub fn on_timer(&mut self, now: Instant, out: &mut Output) {
        for index in 0..self.boxes.len() {
            let Some((_, one)) = self.boxes.get_mut(index) else { continue };
            if one.next().is_none_or(|at| at > now) {
                continue;
            }
            let mut emitted = Emitted::new();
            one.on_timer(now, &mut emitted);
            let work = emitted.into_iter().map(|(way, packet)| (after(index, way), way, packet));
            self.pass(now, work.collect(), out);
        }
    }

    /// When a timer is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.boxes.iter().filter_map(|(_, one)| one.next()).min()
    }

    /// Each box's text, and how many packets it has acted upon.
    pub fn acted(&self) -> impl Iterator<Item = (&str, u64)> {
        self.boxes.iter().map(|(text, one)| (text.as_str(), one.acted()))
    }

    /// Takes packets from gap to gap until they are out. Gap `n` is before box `n`.
    fn pass(&mut self, now: Instant, work: Vec<(usize, Direction, TcpPacket)>, out: &mut Output) {
        let mut work: std::collections::VecDeque<_> = work.into();
        for _ in 0..MAX_STEPS {
            let Some((gap, direction, packet)) = work.pop_front() else { return };
            let index = match direction {
                Direction::Forward => Some(gap),
                Direction::Backward => gap.checked_sub(1),
            };
            match index.and_then(|index| Some((index, self.boxes.get_mut(index)?))) {
                Some((index, (_, one))) => {
                    let mut emitted = Emitted::new();
                    one.on_packet(now, direction, packet, &mut emitted);
                    work.extend(emitted.into_iter().map(|(way, p)| (after(index, way), way, p)));
                }
                None => out.packets.push((direction, packet.emit())),
            }
        }
    }
}

/// The gap a packet enters that leaves box `index` this way.
const fn after(index: usize, direction: Direction) -> usize {
    match direction {
        Direction::Forward => index + 1,
        Direction::Backward => index,
    }
}
