//! What is wrong with a text, where, and what to do about it.

use std::fmt;
use std::ops::Range;

/// Why a text was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Which octets of the text are meant.
    pub at: Range<usize>,
    /// What is wrong; no full stop.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl ParseError {
    pub(crate) fn new(at: Range<usize>, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, what: what.into(), help: help.into() }
    }

    /// Line and column of its beginning in `text`, both from 1.
    #[must_use]
    pub fn place(&self, text: &str) -> (usize, usize) {
        let before = text.get(..text.floor_char_boundary(self.at.start)).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// The line of `text` it is about, with a mark below what is meant. Of a long line only the surroundings.
    #[must_use]
    pub fn caret(&self, text: &str) -> String {
        let start = text.floor_char_boundary(self.at.start);
        let (before, after) = text.split_at(start);
        let before = before.rsplit('\n').next().unwrap_or_default();
        let after = after.split('\n').next().unwrap_or_default();
        let skipped = before.chars().count().saturating_sub(SURROUNDINGS);
        let before: String = before.chars().skip(skipped).map(blank).collect();
        let rest: String = after.chars().take(SURROUNDINGS).map(blank).collect();
        let marks = after.get(..after.floor_char_boundary(self.at.len())).unwrap_or_default();
        let marks = marks.chars().count().clamp(1, SURROUNDINGS);
        format!("{before}{rest}\n{}{}", " ".repeat(before.chars().count()), "^".repeat(marks))
    }
}

/// Characters shown on each side.
const SURROUNDINGS: usize = 60;

/// Tabs and the like would shift the mark.
fn blank(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}; {}", self.at.start, self.what, self.help)
    }
}

impl std::error::Error for ParseError {}

/// "did you mean": the nearest of `known`, if it is near enough.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // nobody means a name of ten letters by a page of text
    let word: String = word.chars().take(40).collect::<String>().to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_ascii_lowercase());
    let best = known.into_iter().map(|name| (distance(name), name)).min_by_key(|(far, _)| *far)?;
    (best.0 <= best.1.len().max(3) / 3).then_some(best.1)
}
