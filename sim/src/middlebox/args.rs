//! The arguments of a box: words and `key=value` between commas.

use crate::direction::Direction;

/// Arguments, taken one by one; what nobody took is a mistake.
#[derive(Clone, Debug)]
pub(super) struct Args<'a>(Vec<&'a str>);

impl<'a> Args<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text.split(',').filter(|word| !word.is_empty()).collect())
    }

    /// The word is there.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| *word != name);
        self.0.len() < before
    }

    /// The value of `key`, understood by `read`.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let found =
            self.0.iter().position(|word| word.split_once('=').is_some_and(|(k, _)| k == key));
        let Some(word) = found.map(|at| self.0.remove(at)) else { return Ok(None) };
        let value = word.split_once('=').map_or("", |(_, value)| value);
        read(value).map(Some).map_err(|error| format!("{key}: {error}"))
    }

    /// `fwd` or `back`; `None` is both.
    pub(super) fn direction(&mut self) -> Option<Direction> {
        match (self.flag("fwd"), self.flag("back")) {
            (true, false) => Some(Direction::Forward),
            (false, true) => Some(Direction::Backward),
            _ => None,
        }
    }

    /// The first word nobody took.
    pub(super) fn unused(&self) -> Option<&'a str> {
        self.0.first().copied()
    }
}
