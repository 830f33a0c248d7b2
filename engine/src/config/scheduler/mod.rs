//! Which scheduler, with which parameters: `NAME[,param=value]..`.

mod table;

use crate::scheduling::SchedulerFactory;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
pub use table::{SCHEDULER_NAMES, SCHEDULERS};

/// What is known of a scheduler without making one.
#[derive(Debug)]
pub struct SchedulerDoc {
    /// Its name.
    pub name: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [&'static str],
    /// What it does, in one line.
    pub help: &'static str,
    /// Its parameters.
    pub params: &'static [ParamDoc],
}

/// A parameter of a scheduler.
#[derive(Debug)]
pub struct ParamDoc {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in one line.
    pub help: &'static str,
    /// What it may be.
    pub kind: ParamKind,
}

/// What a parameter may be, and what it is unless it is named.
#[derive(Clone, Copy, Debug)]
pub enum ParamKind {
    /// `on` or `off`.
    Switch(bool),
    /// A number: the default, the smallest, the largest.
    Number(f64, f64, f64),
    /// Numbers from 1 to 1000, separated by colons: one for each subflow in the order of opening, the last one for all
    /// the others, too.
    Weights(&'static [u32]),
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Switch(bool),
    Number(f64),
    Weights(Vec<u32>),
}

/// A scheduler by name, with its parameters; or one made elsewhere.
///
/// ```
/// use mpuser_engine::config::SchedulerSpec;
///
/// let spec = SchedulerSpec::parse("minrtt,penalise=off")?;
/// assert_eq!((spec.name(), spec.to_string().as_str()), ("minrtt", "minrtt,penalise=off"));
/// assert!(SchedulerSpec::parse("minrt").unwrap_err().contains("did you mean `minrtt`?"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct SchedulerSpec(Choice);

#[derive(Clone, Debug)]
enum Choice {
    Built { doc: &'static SchedulerDoc, given: Vec<(&'static str, Value)> },
    Custom(Arc<dyn SchedulerFactory>),
}

impl SchedulerSpec {
    /// The scheduler this text names.
    ///
    /// # Errors
    ///
    /// Says what is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split(',').map(str::trim);
        let name = words.next().unwrap_or_default();
        let named = |doc: &&SchedulerDoc| doc.name == name || doc.aliases.contains(&name);
        let Some(doc) = SCHEDULERS.iter().find(named) else {
            let names = || {
                SCHEDULERS
                    .iter()
                    .flat_map(|d| [d.name].into_iter().chain(d.aliases.iter().copied()))
            };
            return Err(match nearest(name, names()) {
                Some(near) => format!("there is no scheduler `{name}`; did you mean `{near}`?"),
                None => format!(
                    "there is no scheduler `{name}`; there are {}",
                    SCHEDULER_NAMES.join(", ")
                ),
            });
        };
        let mut given: Vec<(&'static str, Value)> = Vec::new();
        for word in words.filter(|word| !word.is_empty()) {
            let (key, value) = doc.parse_param(word)?;
            if given.iter().any(|(before, _)| *before == key) {
                return Err(format!("`{key}` of scheduler `{}` is given twice", doc.name));
            }
            given.push((key, value));
        }
        Ok(Self(Choice::Built { doc, given }))
    }

    /// A scheduler of somebody else's.
    #[must_use]
    pub fn custom(factory: Arc<dyn SchedulerFactory>) -> Self {
        Self(Choice::Custom(factory))
    }

    /// Its name without parameters.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Choice::Built { doc, .. } => doc.name,
            Choice::Custom(factory) => factory.name(),
        }
    }

    /// What makes it, if it is none of the schedulers here.
    #[must_use]
    pub fn factory(&self) -> Option<&dyn SchedulerFactory> {
        match &self.0 {
            Choice::Built { .. } => None,
            Choice::Custom(factory) => Some(&**factory),
        }
    }

    /// The scheduler of this name, if it is one of [`SCHEDULERS`], with default parameters.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::parse(name).ok()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let Choice::Built { given, .. } = &self.0 else { return None };
        given.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn kind(&self, name: &str) -> Option<ParamKind> {
        let Choice::Built { doc, .. } = &self.0 else { return None };
        doc.params.iter().find(|param| param.name == name).map(|param| param.kind)
    }

    /// The switch of this name; false where the scheduler has none.
    #[must_use]
    pub fn switch(&self, name: &str) -> bool {
        match (self.value(name), self.kind(name)) {
            (Some(Value::Switch(value)), _) => *value,
            (None, Some(ParamKind::Switch(default))) => default,
            _ => false,
        }
    }

    /// The number of this name; 0 where the scheduler has none.
    #[must_use]
    pub fn number(&self, name: &str) -> f64 {
        match (self.value(name), self.kind(name)) {
            (Some(Value::Number(value)), _) => *value,
            (None, Some(ParamKind::Number(default, ..))) => default,
            _ => 0.0,
        }
    }

    /// The weights of this name; empty where the scheduler has none.
    #[must_use]
    pub fn weights(&self, name: &str) -> &[u32] {
        match (self.value(name), self.kind(name)) {
            (Some(Value::Weights(value)), _) => value,
            (None, Some(ParamKind::Weights(default))) => default,
            _ => &[],
        }
    }
}

impl SchedulerDoc {
    fn parse_param(&self, word: &str) -> Result<(&'static str, Value), String> {
        let (key, text) = word.split_once('=').unwrap_or((word, "on"));
        let (key, text) = (key.trim(), text.trim());
        let Some(param) = self.params.iter().find(|param| param.name == key) else {
            let names = || self.params.iter().map(|param| param.name);
            let known: Vec<&str> = names().collect();
            let remedy = match nearest(key, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "it takes none".to_owned(),
                None => format!("it takes {}", known.join(", ")),
            };
            return Err(format!("scheduler `{}` has no parameter `{key}`; {remedy}", self.name));
        };
        let value = param.kind.parse(text).ok_or_else(|| {
            format!("`{key}` of scheduler `{}` cannot be `{text}`; it is {}", self.name, param.kind)
        })?;
        Ok((param.name, value))
    }
}

impl ParamKind {
    fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Switch(_) => match text {
                "on" | "1" | "true" | "yes" => Some(Value::Switch(true)),
                "off" | "0" | "false" | "no" => Some(Value::Switch(false)),
                _ => None,
            },
            Self::Number(_, least, most) => {
                let number: f64 = text.parse().ok()?;
                (number >= least && number <= most).then_some(Value::Number(number))
            }
            Self::Weights(_) => {
                let weights: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
                let good =
                    |all: &Vec<u32>| all.len() <= 64 && all.iter().all(|w| (1..=1_000).contains(w));
                weights.ok().filter(good).map(Value::Weights)
            }
        }
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(default) => {
                write!(f, "on or off, by default {}", if *default { "on" } else { "off" })
            }
            Self::Number(default, least, most) => {
                write!(f, "a number from {least} to {most}, by default {default}")
            }
            Self::Weights(default) => {
                f.write_str("numbers from 1 to 1000 like 3:1, by default ")?;
                Value::Weights(default.to_vec()).fmt(f)
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(true) => f.write_str("on"),
            Self::Switch(false) => f.write_str("off"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Weights(weights) => {
                for (index, weight) in weights.iter().enumerate() {
                    write!(f, "{}{weight}", if index > 0 { ":" } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

/// What [`SchedulerSpec::parse`] takes.
impl fmt::Display for SchedulerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Choice::Built { given, .. } = &self.0 {
            given.iter().try_for_each(|(key, value)| write!(f, ",{key}={value}"))?;
        }
        Ok(())
    }
}

impl FromStr for SchedulerSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl PartialEq for SchedulerSpec {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Choice::Built { doc: a, given: b }, Choice::Built { doc: c, given: d }) => {
                a.name == c.name && b == d
            }
            (Choice::Custom(a), Choice::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// `minrtt`.
impl Default for SchedulerSpec {
    fn default() -> Self {
        Self(Choice::Built { doc: &SCHEDULERS[0], given: Vec::new() })
    }
}

/// The word most like `text`, if one is at most two letters away, or begins like it.
fn nearest(text: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let close = |word: &'static str| {
        let begins = text.len() >= 3 && word.starts_with(text);
        (if begins { 2 } else { distance(text, word) }, word)
    };
    words
        .map(close)
        .filter(|(far, word)| *far <= 2 && *far < word.len())
        .min()
        .map(|(_, word)| word)
}

/// Letters to put in, take out or change to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (diagonal + usize::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
