//! A preset run: jobs that can be done in any order, and the table they make together.

use super::check::{Check, Parameters, Results, Row, show};
use super::preset::{Preset, Variant};
use crate::document::Mistake;
use crate::report::Table;
use crate::scenario::Scenario;
use crate::world;
use std::collections::BTreeMap;

/// A preset with what is set, ready to run.
pub struct Campaign {
    preset: &'static Preset,
    rows: Vec<(Variant, Parameters, Scenario)>,
    seeds: Vec<u64>,
}

/// One run of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which row.
    pub row: usize,
    /// Its seed.
    pub seed: u64,
}

impl Campaign {
    /// `preset` with parameters as they are `set`, with these seeds.
    ///
    /// # Errors
    /// A parameter has another name or cannot have this value.
    pub fn new(
        preset: &'static Preset,
        set: &[(String, String)],
        seeds: &[u64],
    ) -> Result<Self, Mistake> {
        let prepare = |variant: Variant| {
            let (scenario, parameters) = preset.scenario(&variant)?;
            Ok((variant, parameters, scenario))
        };
        let rows: Result<Vec<_>, Mistake> =
            preset.variants_with(set).into_iter().map(prepare).collect();
        Ok(Self { preset, rows: rows?, seeds: seeds.to_vec() })
    }

    /// Which preset it is.
    pub const fn preset(&self) -> &'static Preset {
        self.preset
    }

    /// All there is to run, in no particular order.
    pub fn jobs(&self) -> Vec<Job> {
        let rows = 0..self.rows.len();
        rows.flat_map(|row| self.seeds.iter().map(move |&seed| Job { row, seed })).collect()
    }

    /// Does one of them; gives its quantities.
    ///
    /// # Errors
    /// The scenario makes no sense.
    pub fn run(&self, job: Job) -> Result<BTreeMap<&'static str, f64>, String> {
        let missing = || format!("{} has no row {}", self.preset.name, job.row);
        let (variant, parameters, scenario) = self.rows.get(job.row).ok_or_else(missing)?;
        let outcome = world::run(scenario, job.seed)
            .map_err(|error| format!("{}: {error}", variant.label()))?;
        Ok((self.preset.measure)(parameters, &outcome).into_iter().collect())
    }

    /// The table of what the jobs gave; `done` has the quantities of each.
    pub fn judge(&self, done: &[(Job, BTreeMap<&'static str, f64>)]) -> Vec<Check> {
        let rows = self.rows.iter().enumerate().map(|(row, (variant, parameters, _))| {
            let of = |seed: &u64| {
                let job = Job { row, seed: *seed };
                done.iter().find(|(other, _)| *other == job).map(|(_, values)| values.clone())
            };
            let runs = self.seeds.iter().map(|seed| of(seed).unwrap_or_default()).collect();
            Row { variant: variant.clone(), parameters: parameters.clone(), runs }
        });
        (self.preset.judge)(&Results { rows: rows.collect() })
    }
}

/// `PASS`, `FAIL`, or nothing of what only informs.
pub fn verdict(check: &Check) -> &'static str {
    match check.pass {
        Some(true) => "PASS",
        Some(false) => "FAIL",
        None => "",
    }
}

/// Checks as a table.
pub fn table(checks: &[Check]) -> Table {
    let mut table = Table::new(&["case", "quantity", "ours", "reference", "asked", "verdict"]);
    for check in checks {
        let each = check.band.is_some_and(|band| band.each);
        let ours = if each && check.seeds > 1 {
            format!("{} to {}", show(check.min), show(check.max))
        } else if check.seeds > 1 {
            format!("{} ± {}", show(check.mean), show(check.ci95))
        } else {
            show(check.mean)
        };
        let reference =
            check.reference.zip(check.source).map_or_else(String::new, |(value, source)| {
                format!("{} ({})", show(value), source.word())
            });
        let band = check.band.map_or_else(String::new, |band| band.to_string());
        let cells = [check.case.clone(), check.quantity.clone(), ours, reference, band];
        let mut cells = cells.to_vec();
        cells.push(verdict(check).to_owned());
        table.rows.push(cells);
    }
    table
}
