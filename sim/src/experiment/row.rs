//! A run as a row of text.

use super::metrics::metrics;
use super::plan::{Plan, Run};
use crate::document::Mistake;
use crate::metrics::Outcome;
use crate::scenario::Scenario;
use std::collections::BTreeMap;

impl Plan {
    /// The row of a run: a cell for each of [`Plan::columns`], empty where there is no such number. The same run gives
    /// the same bytes wherever it is run.
    ///
    /// # Errors
    /// There is no such point.
    pub fn row(
        &self,
        run: &Run,
        scenario: &Scenario,
        outcome: &Outcome,
    ) -> Result<Vec<String>, Mistake> {
        let mut cells: BTreeMap<String, String> = BTreeMap::new();
        let mut put = |name: &str, value: String| {
            cells.insert(name.to_owned(), value);
        };
        let quantities = self.quantities(run.point, outcome);
        for (name, value) in metrics(scenario, outcome).into_iter().chain(quantities) {
            put(&name, number(value));
        }
        for (name, value) in self.values(run.point)?.iter() {
            put(name, value.to_string());
        }
        put("run", run.number.to_string());
        put("point", run.point.to_string());
        put("seed", run.seed.to_string());
        put("digest", outcome.digest.clone());
        put("ended_s", number(outcome.ended));
        put("measured_s", number(outcome.measured));
        put("data_packets", outcome.data_packets.to_string());
        put("events", outcome.events.to_string());
        let cell = |column: &String| cells.get(column).cloned().unwrap_or_default();
        Ok(self.columns().iter().map(cell).collect())
    }
}

/// The shortest text that reads as this number.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}
