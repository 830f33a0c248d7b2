//! What was observed, held against the expectation, and one stack against the other.

use super::case::{Action, Case};
use super::counters::{CounterDifference, Observation, differences};
use mpuser_engine::config::Profile;
use std::collections::{BTreeMap, BTreeSet};

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every column is as expected.
    Pass,
    /// Not as expected, but both stacks agree; and why, if the reviewed file says so.
    SameAsKernel(Option<String>),
    /// The stacks differ or the engine is not as expected, and the reviewed file says why.
    Explained(String),
    /// The same, and nobody has said why.
    Differs,
    /// Not run, for this reason.
    Skip(&'static str),
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::SameAsKernel(_) => "same-as-kernel",
            Self::Explained(_) => "differs-as-reviewed",
            Self::Differs => "differs",
            Self::Skip(_) => "skip",
        }
    }
}

/// One row of the result.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// What the engine did.
    pub engine: Option<String>,
    /// What the kernel did, if it was asked.
    pub kernel: Option<String>,
    /// What that means.
    pub verdict: Verdict,
    /// Counters the two have not alike.
    pub counters: Vec<CounterDifference>,
}

/// An entry of the reviewed file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// With the `linux` profile, too, we do not follow the kernel.
    both: bool,
    engine: String,
    kernel: String,
    reason: String,
    section: String,
}

/// A counter of which the reviewed file says why the two have it not alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CounterEntry {
    /// In these cases; in every one if there are none.
    cases: BTreeSet<String>,
    reason: String,
}

/// The reviewed file of expected differences.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    entries: BTreeMap<String, Entry>,
    counters: BTreeMap<String, Vec<CounterEntry>>,
}

/// Its text, as it stands in the repository.
const REVIEWED: &str = include_str!("../../data/expected-differences.txt");

impl Differences {
    /// The reviewed file of this version.
    ///
    /// # Errors
    /// As [`Differences::parse`].
    pub fn reviewed() -> Result<Self, String> {
        Self::parse(REVIEWED)
    }

    /// What is expected of an engine with this profile: with `linux` it is to do what the kernel does, unless the entry
    /// says `profile: both`.
    #[must_use]
    pub fn of(mut self, profile: Profile) -> Self {
        if profile == Profile::Linux {
            for entry in self.entries.values_mut().filter(|entry| !entry.both) {
                entry.engine.clone_from(&entry.kernel);
            }
        }
        self
    }

    /// Reads paragraphs of `case:`, `engine:`, `kernel:`, perhaps `profile: both`, `reason:` and `section:`, or of
    /// `counter:`, perhaps `cases:`, and `reason:`; `#` begins a comment.
    ///
    /// # Errors
    /// Which line is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut entries = BTreeMap::new();
        let mut counters: BTreeMap<String, Vec<CounterEntry>> = BTreeMap::new();
        for paragraph in text.split("\n\n") {
            let mut fields = BTreeMap::new();
            for line in paragraph.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
                let (name, value) = line.split_once(": ").ok_or(format!("no field: {line}"))?;
                if fields.insert(name, value.trim().to_owned()).is_some() {
                    return Err(format!("{name} stands twice: {line}"));
                }
            }
            if fields.is_empty() {
                continue;
            }
            let mut take =
                |name: &str| fields.remove(name).ok_or(format!("no {name}: {paragraph}"));
            if let Ok(name) = take("counter") {
                let cases = take("cases").unwrap_or_default();
                let cases = cases.split_whitespace().map(str::to_owned).collect();
                let entry = CounterEntry { cases, reason: take("reason")? };
                counters.entry(name).or_default().push(entry);
                continue;
            }
            let id = take("case")?;
            let (engine, kernel) = (take("engine")?, take("kernel")?);
            let both = match take("profile").ok().as_deref() {
                None => false,
                Some("both") => true,
                Some(other) => return Err(format!("{id}: profile: {other}, and not both")),
            };
            let (reason, section) = (take("reason")?, take("section")?);
            let entry = Entry { both, engine, kernel, reason, section };
            if let Some(unknown) = fields.keys().next() {
                return Err(format!("{id}: unknown field {unknown}"));
            }
            if entries.insert(id.clone(), entry).is_some() {
                return Err(format!("{id} stands twice"));
            }
        }
        Ok(Self { entries, counters })
    }

    /// Why this difference is expected, if the file describes exactly it; and whether the stacks agree.
    fn reason(&self, id: &str, engine: &str, kernel: Option<&str>) -> Option<(String, bool)> {
        let entry = self.entries.get(id)?;
        let same = entry.engine == engine && kernel.is_none_or(|kernel| kernel == entry.kernel);
        same.then(|| {
            (format!("{} ({})", entry.reason, entry.section), entry.engine == entry.kernel)
        })
    }

    /// Why this counter was expected to differ in this case.
    fn counter_reason(&self, case: &str, counter: &str) -> Option<String> {
        let entries = self.counters.get(counter)?;
        let applies = |e: &&CounterEntry| e.cases.is_empty() || e.cases.contains(case);
        entries.iter().find(applies).map(|entry| entry.reason.clone())
    }

    /// Cases the file has an entry for although their row passed and not as the entry says, or is not known. (With the
    /// `linux` profile the kernel's answer may be the expected one.)
    #[must_use]
    pub fn stale(&self, rows: &[Row], whole: bool) -> Vec<String> {
        let stale = |id: &&String| match rows.iter().find(|row| row.case.id == id.as_str()) {
            // One column alone says nothing of an entry about the other.
            Some(Row { case, engine: Some(ours), kernel: Some(theirs), verdict, .. }) => {
                *verdict == Verdict::Pass && self.reason(case.id, ours, Some(theirs)).is_none()
            }
            Some(_) => false,
            None => whole,
        };
        self.entries.keys().filter(stale).cloned().collect()
    }
}

/// Judges one case by what was observed.
#[must_use]
pub fn judge(
    case: Case,
    engine: Option<String>,
    kernel: Option<String>,
    known: &Differences,
) -> Row {
    let verdict = match (&case.action, &engine) {
        (Action::Skip(reason), _) => Verdict::Skip(reason),
        (Action::Run(_), None) => Verdict::Differs,
        (Action::Run(_), Some(ours)) => {
            let theirs = kernel.as_deref();
            let as_expected = case.allows(ours) && theirs.is_none_or(|seen| case.allows(seen));
            match known.reason(case.id, ours, theirs) {
                _ if as_expected => Verdict::Pass,
                Some((reason, true)) => Verdict::SameAsKernel(Some(reason)),
                Some((reason, false)) => Verdict::Explained(reason),
                None if theirs == Some(ours) => Verdict::SameAsKernel(None),
                None => Verdict::Differs,
            }
        }
    };
    Row { case, engine, kernel, verdict, counters: Vec::new() }
}

/// Judges one case by what was observed, the counters included where both stacks were asked.
#[must_use]
pub fn judge_with_counters(
    case: Case,
    engine: Option<Observation>,
    kernel: Option<Observation>,
    known: &Differences,
) -> Row {
    let mut counters = Vec::new();
    if let (Some(ours), Some(theirs)) = (&engine, &kernel) {
        counters = differences(&ours.counters, &theirs.counters);
        for difference in &mut counters {
            difference.reason = known.counter_reason(case.id, &difference.name);
        }
    }
    let text = |observed: Option<Observation>| observed.map(|o| o.text);
    let mut row = judge(case, text(engine), text(kernel), known);
    // Where the stacks act differently they count differently, and the row says so already.
    if row.verdict == Verdict::Pass && counters.iter().any(|d| d.reason.is_none()) {
        row.verdict = Verdict::Differs;
    }
    Row { counters, ..row }
}

#[cfg(test)]
mod tests;
