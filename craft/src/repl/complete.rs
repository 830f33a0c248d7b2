//! What could stand where the cursor is.

use super::METHODS;
use crate::table::{Kind, SPECS};

/// Where the word at the end of `line` begins, and what it could become. `names` are those that have a meaning.
#[must_use]
pub fn complete<'n>(line: &str, names: impl IntoIterator<Item = &'n str>) -> (usize, Vec<String>) {
    let word_char = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let start = line.trim_end_matches(word_char).len();
    let (before, word) = line.split_at(start);
    let fits = |name: &str| name.to_ascii_lowercase().starts_with(&word.to_ascii_lowercase());
    let ended = |names: Vec<&str>, end: &str| -> Vec<String> {
        names.into_iter().filter(|name| fits(name)).map(|name| format!("{name}{end}")).collect()
    };
    if before.ends_with('.') {
        return (start, ended(METHODS.into_iter().chain(["show", "hex"]).collect(), "("));
    }
    if let Some(kind) = open_layer(before) {
        let fields = kind.spec().fields.iter().map(|field| field.name).collect();
        return (start, ended(fields, "="));
    }
    let mut all = ended(SPECS.iter().map(|spec| spec.name).collect(), "");
    if before.trim().is_empty() {
        all.extend(ended(names.into_iter().chain(["help", "layers", "quit"]).collect(), ""));
    } else if before.trim_end().ends_with('=') {
        all.extend(ended(vec!["session"], "("));
    } else {
        all.extend(ended(names.into_iter().collect(), ""));
    }
    (start, all)
}

/// The layer whose bracket is open at the end of `text`, if a field is to be named there.
fn open_layer(text: &str) -> Option<Kind> {
    let inside = text.trim_end();
    if !inside.ends_with(['(', ',']) {
        return None;
    }
    let open = inside.rfind('(')?;
    if inside.get(open..)?.contains(')') {
        return None;
    }
    let before = inside.get(..open)?;
    let start = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    Kind::from_name(before.get(start..)?)
}
