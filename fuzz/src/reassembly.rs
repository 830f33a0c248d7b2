//! The receive queue of a connection beside a model that has one slot for each octet of the window.

use crate::draw::Draw;
use arbitrary::{Result, Unstructured};
use mpuser_engine::mptcp::internals::{Arrival, Reassembly};

/// Steps of one input.
const STEPS: usize = 96;
/// Offsets reach a little beyond this.
const SPACE: usize = 4_096;

struct Model {
    /// The first copy of every octet.
    octets: Vec<Option<u8>>,
    nxt: usize,
    read: usize,
    edge: usize,
    fin: Option<usize>,
}

impl Model {
    fn insert(&mut self, offset: u64, bytes: &[u8]) -> Arrival {
        // the upper half of the numbers stands before the first octet
        let start = offset as i64;
        let end = start.saturating_add(bytes.len() as i64);
        let edge = self.fin.map_or(self.edge, |fin| fin.min(self.edge)) as i64;
        if end <= self.nxt as i64 {
            return Arrival::Duplicate;
        }
        if start.max(0) >= edge {
            return Arrival::OutOfWindow;
        }
        let mut new = 0;
        for (at, byte) in (start..end.min(edge)).zip(bytes) {
            let Some(slot) = usize::try_from(at).ok().and_then(|at| self.octets.get_mut(at)) else {
                continue;
            };
            new += usize::from(slot.is_none());
            slot.get_or_insert(*byte);
        }
        let before = self.nxt;
        while self.octets.get(self.nxt).is_some_and(Option::is_some) {
            self.nxt += 1;
        }
        match (self.nxt > before, new) {
            (true, _) => Arrival::InOrder,
            (_, 0) => Arrival::Duplicate,
            _ => Arrival::OutOfOrder,
        }
    }

    fn set_fin(&mut self, offset: u64) -> bool {
        let known = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(fin) = self.fin {
            return fin == known;
        }
        let last = self.octets.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
        if known < last.max(self.nxt) {
            return false;
        }
        self.fin = Some(known);
        true
    }
}

/// Draws arrivals, reads and windows from `data`.
pub(crate) fn run(data: &[u8]) {
    // too few octets are no finding
    let _ = steps(&mut Unstructured::new(data));
}

fn steps(u: &mut Unstructured<'_>) -> Result<()> {
    let capacity = 1 + u.below(256)? * 8;
    let mut queue = Reassembly::new(capacity);
    let mut model = Model { octets: vec![None; SPACE], nxt: 0, read: 0, edge: capacity, fin: None };
    for step in 0..STEPS {
        if u.is_empty() {
            break;
        }
        match u.below(8)? {
            0..5 => {
                let back = u.below(3)? == 0;
                let distance = u64::from(u.length()?);
                let at = model.nxt as u64;
                let offset = if back { at.wrapping_sub(distance) } else { at + distance };
                let len = u.below(256)?;
                // every copy of an octet is another one
                let bytes: Vec<u8> = (0..len).map(|i| (step * 31 + i) as u8).collect();
                let expected = model.insert(offset, &bytes);
                assert_eq!(queue.insert(offset, bytes.into()), expected);
            }
            5 => {
                let piece = queue.read(u.below(256)?);
                let end = model.read + piece.len();
                assert!(end <= model.nxt);
                let expected = model.octets[model.read..end].iter().copied();
                assert!(
                    expected.eq(piece.iter().map(|byte| Some(*byte))),
                    "other octets were read"
                );
                model.read = end;
            }
            6 => {
                let window = queue.window().min((SPACE - model.nxt.min(SPACE)) as u32);
                queue.advertise(window);
                model.edge =
                    model.edge.max(queue.acknowledged() as usize + window as usize).min(SPACE);
            }
            _ => {
                let offset = model.nxt as u64 + u64::from(u.length()?) - 2.min(model.nxt as u64);
                assert_eq!(queue.set_fin(offset), model.set_fin(offset), "DATA_FIN at {offset}");
            }
        }
        let reached = model.fin == Some(model.nxt);
        assert_eq!(queue.acknowledged(), (model.nxt + usize::from(reached)) as u64);
        assert_eq!(queue.check_invariants(), Ok(()));
    }
    let rest = queue.read(usize::MAX);
    assert!(rest.len() <= model.nxt - model.read);
    Ok(())
}
