//! The table of cases.

use super::cases;
use super::probe::{Probe, Run};
use super::target::{Setup, Target};
use std::fmt;

/// What a case does, or why it cannot be done.
#[derive(Clone, Copy)]
pub enum Action {
    /// The stimulus.
    Run(fn(&mut Probe<'_>) -> Run),
    /// Not here, for this reason.
    Skip(&'static str),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(_) => f.write_str("Run"),
            Self::Skip(reason) => write!(f, "Skip({reason})"),
        }
    }
}

/// One case of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name, a letter and two digits.
    pub id: &'static str,
    /// The stimulus in a few words.
    pub title: &'static str,
    /// Where the expectation comes from: sections and requirement IDs.
    pub source: &'static str,
    /// How the stack is configured.
    pub setup: Setup,
    /// What has to be observed; alternatives that are all allowed are separated by ` | `.
    pub expected: &'static str,
    /// What is done.
    pub action: Action,
}

impl Case {
    /// The letter of its group.
    #[must_use]
    pub fn group(&self) -> char {
        self.id.chars().next().unwrap_or('?')
    }

    /// What was observed is allowed.
    #[must_use]
    pub fn allows(&self, observed: &str) -> bool {
        self.expected.split(" | ").any(|one| one == observed)
    }

    /// Runs it; `None` for a case that is skipped.
    pub fn observe(&self, target: &mut dyn Target) -> Option<String> {
        let Action::Run(run) = self.action else { return None };
        let mut probe = Probe::new(target, self.setup);
        if let Err(stop) = run(&mut probe) {
            probe.note(stop.to_string());
        }
        Some(probe.observed())
    }
}

/// A row of the table.
pub(super) const fn case(
    id: &'static str,
    title: &'static str,
    source: &'static str,
    setup: Setup,
    expected: &'static str,
    run: fn(&mut Probe<'_>) -> Run,
) -> Case {
    Case { id, title, source, setup, expected, action: Action::Run(run) }
}

/// A row of a case that cannot be run here.
pub(super) const fn skip(id: &'static str, title: &'static str, reason: &'static str) -> Case {
    let setup = super::target::SERVER;
    Case { id, title, source: "-", setup, expected: "-", action: Action::Skip(reason) }
}

/// A group of cases.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Its letter.
    pub letter: char,
    /// What it is about.
    pub title: &'static str,
    /// Its cases, table by table.
    pub tables: &'static [&'static [Case]],
}

/// Every group.
#[must_use]
pub fn groups() -> Vec<Group> {
    cases::groups()
}

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut all: Vec<Case> =
        groups().iter().flat_map(|group| group.tables).copied().flatten().copied().collect();
    all.sort_by_key(|case| position(case.id));
    all
}

/// Where a case stands: by the order of the groups, then by number.
fn position(id: &str) -> (usize, String) {
    let letter = id.chars().next().unwrap_or('?');
    (cases::ORDER.find(letter).unwrap_or(usize::MAX), id.to_owned())
}

/// The cases these words name: letters of groups (`H`) and names of cases (`J13`); all without words.
///
/// # Errors
/// The first word that names nothing.
pub fn select(words: &[String]) -> Result<Vec<Case>, String> {
    let all = all();
    let names = |word: &str, case: &Case| {
        let word = word.to_ascii_uppercase();
        case.id == word || case.id.get(..1) == Some(word.as_str())
    };
    if let Some(unknown) = words.iter().find(|word| !all.iter().any(|case| names(word, case))) {
        return Err(unknown.clone());
    }
    let wanted = |case: &Case| words.is_empty() || words.iter().any(|word| names(word, case));
    Ok(all.into_iter().filter(wanted).collect())
}
