//! What is run, in one order whoever runs it.

use super::metrics::group_columns;
use crate::document::Mistake;
use crate::expression::{Params, Value};
use crate::metrics::Outcome;
use crate::scenario::{Assignments, Scenario, Wishes};
use crate::text::hex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Most runs of a plan.
const MAX_RUNS: u64 = 10_000_000;
/// Most points of a plan: all of them are read before the first run.
const MAX_POINTS: usize = 200_000;

/// The parameters of a run that differ from the scenario's own; `sched` and `cc` may stand among them whether the
/// scenario has such parameters or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Names and values.
    pub set: Vec<(String, String)>,
}

impl Point {
    /// Sets a value, known or new.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.set.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.set.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `n=2 cc=lia`
    #[must_use]
    pub fn label(&self) -> String {
        let words: Vec<String> = self.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
        words.join(" ")
    }

    /// As wishes for a scenario with these parameters.
    pub(super) fn wishes(&self, known: &BTreeSet<String>) -> Wishes {
        let mut wishes = Wishes::default();
        for (name, value) in &self.set {
            match name.as_str() {
                name if known.contains(name) => {
                    wishes.set.0.push((name.to_owned(), value.clone()));
                }
                "cc" => wishes.cc = Some(value.clone()),
                "sched" | "scheduler" => wishes.scheduler = Some(value.clone()),
                name => wishes.set.0.push((name.to_owned(), value.clone())),
            }
        }
        wishes
    }
}

/// The seeds of the runs of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// These, at every point: points can be compared seed by seed.
    Given(Vec<u64>),
    /// So many, derived from the plan and the number of the run: every run has another.
    Derived(u32),
}

impl Seeds {
    /// How many runs a point has.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Given(seeds) => seeds.len() as u64,
            Self::Derived(count) => u64::from(*count),
        }
    }
}

/// One run of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number in the plan, from 0.
    pub number: u64,
    /// The number of its point, from 0.
    pub point: usize,
    /// Its seed.
    pub seed: u64,
}

/// An experiment, checked: every point's scenario can be read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// The scenario's text.
    pub text: String,
    /// Contents of the files the scenario names.
    pub files: BTreeMap<String, String>,
    /// Where it is run; points are in the order of runs.
    pub points: Vec<Point>,
    /// With which seeds, the inner loop.
    pub seeds: Seeds,
    /// SHA-256 over all of the above, hexadecimal.
    pub digest: String,
    params: BTreeSet<String>,
    columns: Vec<String>,
    measure: Option<Measure>,
}

/// Quantities of a run by name, from its parameters and its outcome, as presets have them.
pub type Measure = fn(&BTreeMap<String, String>, &Outcome) -> Vec<(&'static str, f64)>;

impl Plan {
    /// Checks an experiment and fixes its digest and its columns. `read` gives the contents of traces.
    ///
    /// # Errors
    /// The first point whose scenario cannot be read, or too many of them.
    pub fn new(
        name: &str,
        text: &str,
        points: Vec<Point>,
        seeds: Seeds,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, Mistake> {
        let params = Scenario::params(text)?.into_iter().map(|param| param.name).collect();
        let runs = (points.len() as u64).saturating_mul(seeds.count());
        if points.len() > MAX_POINTS || runs > MAX_RUNS || runs == 0 {
            return Err(Mistake::new(
                format!("{} points with {} seeds each", points.len(), seeds.count()),
                format!("a plan has 1 to {MAX_POINTS} points and 1 to {MAX_RUNS} runs"),
            ));
        }
        if let Seeds::Given(seeds) = &seeds {
            let mut once = BTreeSet::new();
            if let Some(twice) = seeds.iter().find(|seed| !once.insert(**seed)) {
                let message = format!("seed {twice} is there twice");
                return Err(Mistake::new(
                    message,
                    "the same seed gives the same run: name each once",
                ));
            }
        }
        let mut plan = Self {
            name: name.to_owned(),
            text: text.to_owned(),
            files: BTreeMap::new(),
            points,
            seeds,
            digest: String::new(),
            params,
            columns: Vec::new(),
            measure: None,
        };
        plan.check(read)?;
        plan.digest = plan.sign();
        Ok(plan)
    }

    /// Reads every point's scenario, and notes which files and columns there are.
    fn check(
        &mut self,
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<(), Mistake> {
        let mut columns = ["run", "point", "seed"].map(str::to_owned).to_vec();
        let mut files = BTreeMap::new();
        let mut metrics: Vec<String> = Vec::new();
        let mut seen = BTreeSet::new();
        for point in &self.points {
            let wishes = point.wishes(&self.params);
            let mut keep = |name: &str| -> Result<String, String> {
                if let Some(text) = files.get(name) {
                    return Ok(String::clone(text));
                }
                let text = read(name)?;
                files.insert(name.to_owned(), text.clone());
                Ok(text)
            };
            let scenario = Scenario::parse(&self.text, &wishes, &mut keep);
            let scenario = scenario.map_err(|mistake| match point.label() {
                label if label.is_empty() || self.points.len() == 1 => mistake,
                label => {
                    Mistake { message: format!("{} (at {label})", mistake.message), ..mistake }
                }
            })?;
            let new = group_columns(&scenario).into_iter().filter(|c| seen.insert(c.clone()));
            metrics.extend(new);
        }
        columns.extend(self.parameters().iter().cloned());
        columns.extend(
            ["digest", "ended_s", "measured_s", "data_packets", "events"].map(str::to_owned),
        );
        columns.extend(metrics);
        self.columns = columns;
        self.files = files;
        Ok(())
    }

    /// The same with more columns, `preset.NAME`: quantities that somebody else takes from each run.
    #[must_use]
    pub fn measured(mut self, measure: Measure) -> Self {
        self.measure = Some(measure);
        // a run that showed nothing has the names all the same
        let names = self.quantities(0, &Outcome::default()).into_iter().map(|(name, _)| name);
        self.columns.extend(names);
        self
    }

    /// What [`Plan::measured`] adds to a run at a point.
    pub(super) fn quantities(&self, point: usize, outcome: &Outcome) -> Vec<(String, f64)> {
        let Some(measure) = self.measure else { return Vec::new() };
        let values = self.values(point).unwrap_or_default();
        let parameters = values.iter().map(|(name, value)| (name.to_owned(), value.to_string()));
        let quantities = measure(&parameters.collect(), outcome);
        quantities.into_iter().map(|(name, value)| (format!("preset.{name}"), value)).collect()
    }

    /// Names of all parameters: the scenario's, and what else points set.
    #[must_use]
    pub fn parameters(&self) -> Vec<String> {
        let declared = Scenario::params(&self.text).unwrap_or_default();
        let mut names: Vec<String> = declared.into_iter().map(|param| param.name).collect();
        for (name, _) in self.points.iter().flat_map(|point| &point.set) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// The parameters whose values differ between points.
    #[must_use]
    pub fn varying(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let all = self.points.iter().flat_map(|point| &point.set).map(|(name, _)| name);
        let names: Vec<&String> = all.filter(|name| seen.insert(*name)).collect();
        let differs = |name: &&String| {
            let first = self.points.first().and_then(|point| point.get(name));
            self.points.iter().any(|point| point.get(name) != first)
        };
        names.into_iter().filter(differs).cloned().collect()
    }

    /// The head of the table of rows.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many runs there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.points.len() as u64 * self.seeds.count()
    }

    /// Run `number`, if there is one.
    #[must_use]
    pub fn run(&self, number: u64) -> Option<Run> {
        let each = self.seeds.count();
        let point = usize::try_from(number.checked_div(each)?).ok()?;
        self.points.get(point)?;
        let seed = match &self.seeds {
            Seeds::Given(seeds) => *seeds.get(usize::try_from(number % each).ok()?)?,
            Seeds::Derived(_) => self.derive(number),
        };
        Some(Run { number, point, seed })
    }

    /// The scenario of a point.
    ///
    /// # Errors
    /// There is no such point; what can be read has been checked.
    pub fn scenario(&self, point: usize) -> Result<Scenario, Mistake> {
        let wishes = self.wishes(point)?;
        let mut read = |name: &str| {
            self.files
                .get(name)
                .cloned()
                .ok_or_else(|| format!("cannot read {name}: not part of the plan"))
        };
        Scenario::parse(&self.text, &wishes, &mut read)
    }

    /// The values all parameters have at a point, `sched` and `cc` that are none included.
    ///
    /// # Errors
    /// As [`Plan::scenario`].
    pub fn values(&self, point: usize) -> Result<Params, Mistake> {
        let wishes = self.wishes(point)?;
        let mut values = Scenario::values(&self.text, &wishes)?;
        for (name, value) in self.points.get(point).iter().flat_map(|point| &point.set) {
            if values.get(name).is_none() {
                values.set(name, Value::Text(value.clone()));
            }
        }
        Ok(values)
    }

    fn wishes(&self, point: usize) -> Result<Wishes, Mistake> {
        let there = self.points.get(point).map(|point| point.wishes(&self.params));
        there.ok_or_else(|| {
            Mistake::new(format!("there is no point {point}"), "use a smaller number")
        })
    }

    /// The seed of a run: 53 bits, so that any program reads it from JSON.
    fn derive(&self, number: u64) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.digest.as_bytes());
        hash.update(number.to_be_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        let first = bytes.iter().take(8).fold(0, |seed: u64, byte| seed << 8 | u64::from(*byte));
        first >> 11
    }

    /// Each part with its length in front, so that no two plans are the same bytes.
    fn sign(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        };
        add("mpuser.plan/1");
        add(&self.text);
        for (name, text) in &self.files {
            add(name);
            add(text);
        }
        add("points");
        for point in &self.points {
            add(&point.set.len().to_string());
            for (name, value) in &point.set {
                add(name);
                add(value);
            }
        }
        match &self.seeds {
            Seeds::Derived(count) => add(&format!("derived {count}")),
            Seeds::Given(seeds) => seeds.iter().for_each(|seed| add(&seed.to_string())),
        }
        hex(&hash.finalize())
    }
}

impl From<Vec<(String, String)>> for Point {
    fn from(set: Vec<(String, String)>) -> Self {
        Self { set }
    }
}

impl From<&Assignments> for Point {
    fn from(set: &Assignments) -> Self {
        let mut point = Self::default();
        set.0.iter().for_each(|(name, value)| point.set(name, value));
        point
    }
}
