//! Rows from several parts as one table.

use std::collections::BTreeMap;

/// Rows by the number of their run; each is its cells as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(BTreeMap<u64, Vec<String>>);

impl Rows {
    /// Adds a row. One that is there already has to be the same: a run does not depend on where it is run.
    ///
    /// # Errors
    /// The two rows of a run differ; says in which cell.
    pub fn add(&mut self, run: u64, cells: Vec<String>) -> Result<(), String> {
        match self.0.get(&run) {
            None => {
                self.0.insert(run, cells);
                Ok(())
            }
            Some(there) if *there == cells => Ok(()),
            Some(there) => {
                let column = there.iter().zip(&cells).position(|(a, b)| a != b);
                let shown = column.map_or_else(
                    || format!("{} and {} cells", there.len(), cells.len()),
                    |at| {
                        let of = |cells: &[String]| cells.get(at).cloned().unwrap_or_default();
                        format!("in column {}: {:?} and {:?}", at + 1, of(there), of(&cells))
                    },
                );
                Err(format!("run {run} is there twice and differs, {shown}"))
            }
        }
    }

    /// Whether a run's row is there.
    #[must_use]
    pub fn has(&self, run: u64) -> bool {
        self.0.contains_key(&run)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of runs.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[String])> {
        self.0.iter().map(|(run, cells)| (*run, cells.as_slice()))
    }
}

/// The runs of `wanted` without a row, as people write them: `0-3, 7`; `None` if nothing is missing.
pub fn missing(rows: &Rows, wanted: impl Iterator<Item = u64>) -> Option<(u64, String)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    let mut count = 0;
    for run in wanted.filter(|run| !rows.has(*run)) {
        count += 1;
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == run => *last = run,
            _ => spans.push((run, run)),
        }
    }
    let show = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let mut shown: Vec<String> = spans.iter().take(8).map(show).collect();
    if spans.len() > shown.len() {
        shown.push("...".to_owned());
    }
    (count > 0).then(|| (count, shown.join(", ")))
}
