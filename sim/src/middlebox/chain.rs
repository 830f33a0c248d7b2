//! Boxes one behind the other.

use super::{Middlebox, Turn, build};
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

#[derive(Debug)]
struct Stage {
    text: String,
    middlebox: Box<dyn Middlebox>,
    /// Packets it has acted upon so far: 0 means that it might as well not be there.
    acted: u64,
}

/// Boxes, the first nearest to the end `a`.
#[derive(Debug, Default)]
pub struct Chain {
    boxes: Vec<Stage>,
}

/// Packets one packet may become on its way through all boxes: a guard against boxes that answer each other.
const MAX_STEPS: usize = 10_000;

impl Stage {
    /// What leaves the box, which is number `index`, when it acts now: packets and the gaps they enter.
    fn turn<A: FnOnce(&mut dyn Middlebox, &mut Turn)>(
        &mut self,
        index: usize,
        now: Instant,
        act: A,
    ) -> impl Iterator<Item = (usize, Direction, TcpPacket)> + use<A> {
        let mut turn = Turn::new(now);
        act(self.middlebox.as_mut(), &mut turn);
        self.acted += turn.acted;
        turn.emitted.into_iter().map(move |(way, packet)| (after(index, way), way, packet))
    }
}

impl Chain {
    /// Makes boxes of their texts, see [`build`].
    ///
    /// # Errors
    /// A text cannot be understood.
    pub fn build<S: AsRef<str>>(texts: &[S], seed: u64) -> Result<Self, String> {
        let mut boxes = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let seed = seed.wrapping_add(index as u64);
            let (text, middlebox) = (text.as_ref().to_owned(), build(text.as_ref(), seed)?);
            boxes.push(Stage { text, middlebox, acted: 0 });
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
            let Some(stage) = self.boxes.get_mut(index) else { continue };
            if stage.middlebox.next().is_none_or(|at| at > now) {
                continue;
            }
            let work = stage.turn(index, now, |one, turn| one.on_timer(turn)).collect();
            self.pass(now, work, out);
        }
    }

    /// When a timer is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.boxes.iter().filter_map(|stage| stage.middlebox.next()).min()
    }

    /// Each box's text, and how many packets it has acted upon.
    pub fn acted(&self) -> impl Iterator<Item = (&str, u64)> {
        self.boxes.iter().map(|stage| (stage.text.as_str(), stage.acted))
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
                Some((index, stage)) => {
                    let turn = |one: &mut dyn Middlebox, turn: &mut Turn| {
                        one.on_packet(direction, packet, turn);
                    };
                    work.extend(stage.turn(index, now, turn));
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
