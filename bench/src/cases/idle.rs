//! Connections that do nothing: what they cost, and whom they slow down.

use super::memory::{goodput, ours};
use crate::case::{Ask, Case, Contender, Watch};
use crate::memory::mpuser::{Options, Pair};
use std::fs;
use std::process::Command;

const MANY: usize = 10_000;
/// Linux tells memory in pages.
const PAGE: u64 = 4_096;

/// P18.
pub(super) const CASES: &[Case] = &[
    Case {
        id: "P18",
        what: "memory of an idle connection that has had 1 KiB of data, one end",
        unit: "octets",
        ask: Ask::AtMost(8_192.0),
        watch: Watch::Throughout,
        prepare: |_| Ok(vec![Contender::new("mpuser", |_| in_a_child())]),
    },
    goodput("P18", "in memory: one busy beside 10 000 idle connections / alone", 0.95, |_| {
        let beside = Options { idle: MANY, ..Options::default() };
        Ok(vec![ours("beside", &beside)?, ours("alone", &Options::default())?])
    }),
];

/// A process of its own: what earlier cases gave back to the allocator would hide what is needed.
fn in_a_child() -> Result<f64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(own)
        .args(["--resident-of-idle", &MANY.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = || format!("a child said {text:?} {:?}", String::from_utf8_lossy(&output.stderr));
    text.trim().parse().map_err(|_| said())
}

/// Resident octets of this process.
fn resident() -> Result<u64, String> {
    let text = fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    pages.map(|pages| pages * PAGE).ok_or_else(|| format!("/proc/self/statm says {text:?}"))
}

/// Resident octets that each end of `count` idle connections adds, the allocator's share included.
///
/// # Errors
/// They do not come about.
pub fn resident_of_idle(count: usize) -> Result<f64, String> {
    let few = Pair::open(&Options::default())?;
    let before = resident()?;
    let pair = Pair::open(&Options { idle: count, ..Options::default() })?;
    let grown = resident()?.saturating_sub(before);
    drop((few, pair));
    Ok(grown as f64 / (2 * count.max(1)) as f64)
}
