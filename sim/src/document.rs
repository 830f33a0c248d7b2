//! A TOML file whose every value knows where it stands, so that a mistake is reported with its line, its column and
//! what to write instead. Strings may hold `${expressions}` over parameters.

use crate::expression::{self, Params, Value};
use crate::text;
use mpuser_engine::time::Duration;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a file, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file it is in; `None` if it is the one that was handed in.
    pub file: Option<String>,
    /// Line and column, from 1; `None` if it is no place in the file (an override, a parameter from outside).
    pub at: Option<(usize, usize)>,
    /// What is wrong, with the key it is about.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Mistake {
    /// A mistake outside the file's text.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: None, at: None, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// "did you mean", or the list of what there is.
#[must_use]
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let likeness = |name: &&&str| strsim::normalized_damerau_levenshtein(word, name);
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|name| likeness(name) > 0.5) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is none here".to_owned(),
        None => format!("known: {}", known.join(", ")),
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Takes a text apart.
pub(crate) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Mistake> {
    DeTable::parse(text).map_err(|error| Mistake {
        file: None,
        at: error.span().map(|span| place(text, span.start)),
        message: error.message().to_owned(),
        help: "this is not TOML: values are written like name = \"text\", tables like [links.wifi]"
            .to_owned(),
    })
}

/// What a value needs beside itself: the text, for places, and the parameters, for expressions.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The whole file.
    pub(crate) text: &'a str,
    /// For expressions.
    pub(crate) params: &'a Params,
}

/// A table of the file.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    context: Context<'a>,
    path: String,
    start: usize,
    entries: Vec<(&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)>,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(crate) fn root(context: Context<'a>, table: &'a DeTable<'a>) -> Self {
        Self::new(context, String::new(), 0, table)
    }

    fn new(context: Context<'a>, path: String, start: usize, table: &'a DeTable<'a>) -> Self {
        let entries = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value));
        let mut entries: Vec<_> = entries.collect();
        // as they stand in the file, not by the alphabet
        entries.sort_by_key(|(_, span, _)| span.start);
        Self { context, path, start, entries }
    }

    /// Nothing but these keys.
    pub(crate) fn only(&self, keys: &[&str]) -> Result<(), Mistake> {
        let unknown = self.entries.iter().find(|(key, ..)| !keys.contains(key));
        let Some((key, span, _)) = unknown else { return Ok(()) };
        let whose = if self.path.is_empty() { "" } else { " in " };
        Err(Mistake {
            file: None,
            at: Some(place(self.context.text, span.start)),
            message: format!("there is no key `{key}`{whose}{}", self.path),
            help: suggest(key, keys.iter().copied()),
        })
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<Item<'a>> {
        self.items().find(|(name, _)| *name == key).map(|(_, item)| item)
    }

    /// The value under `key`, which has to be there; `example` says how.
    pub(crate) fn need(&self, key: &str, example: &str) -> Result<Item<'a>, Mistake> {
        self.get(key).ok_or_else(|| {
            let whose = if self.path.is_empty() { "the file" } else { self.path.as_str() };
            self.mistake(format!("{whose} lacks `{key}`"), format!("write for example {example}"))
        })
    }

    /// Everything, in the order of the file.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        self.entries.iter().map(|(key, _, value)| {
            let dot = if self.path.is_empty() { "" } else { "." };
            let path = format!("{}{dot}{key}", self.path);
            (*key, Item { context: self.context, path, value })
        })
    }

    /// A mistake of the table as a whole.
    pub(crate) fn mistake(&self, message: impl Into<String>, help: impl Into<String>) -> Mistake {
        let at = Some(place(self.context.text, self.start));
        Mistake { file: None, at, message: message.into(), help: help.into() }
    }
}

/// A value of the file.
#[derive(Clone)]
pub(crate) struct Item<'a> {
    context: Context<'a>,
    path: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Item<'a> {
    /// A mistake of this value.
    pub(crate) fn mistake(&self, message: impl fmt::Display, help: impl Into<String>) -> Mistake {
        let at = Some(place(self.context.text, self.value.span().start));
        Mistake { file: None, at, message: format!("{}: {message}", self.path), help: help.into() }
    }

    /// What it is after its expressions have been worked out.
    pub(crate) fn value(&self) -> Result<Value, Mistake> {
        match self.value.get_ref() {
            DeValue::String(text) => {
                let value = expression::expand(text, self.context.params);
                value.map_err(|error| {
                    self.mistake(error, "expressions are written like ${2 * n} over [params]")
                })
            }
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                let value = i64::from_str_radix(&digits, number.radix()).ok();
                let value = value.filter(|value| value.unsigned_abs() <= 1 << 53);
                let wrong = || self.mistake(format!("{digits} is too large"), "at most 2^53");
                value.map(|value| Value::Number(value as f64)).ok_or_else(wrong)
            }
            DeValue::Float(number) => {
                let value = number.as_str().replace('_', "").parse::<f64>().ok();
                let value = value.filter(|value| value.is_finite());
                let wrong = || self.mistake("this is no number", "write for example 0.5");
                value.map(Value::Number).ok_or_else(wrong)
            }
            DeValue::Boolean(truth) => Ok(Value::Truth(*truth)),
            other => {
                let found = other.type_str();
                Err(self.mistake(
                    format!("here stands {}, not a single value", article(found)),
                    "write a text, a number, or true or false",
                ))
            }
        }
    }

    /// It as text, numbers included.
    pub(crate) fn text(&self) -> Result<String, Mistake> {
        Ok(self.value()?.to_string())
    }

    /// It as text, turned into something; the reader's message says what would be right.
    pub(crate) fn read<T>(
        &self,
        reader: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Mistake> {
        let text = self.text()?;
        reader(&text).map_err(|error| match error.split_once(": ") {
            Some((message, help)) => self.mistake(message, help),
            None => self.mistake(&error, format!("{:?} cannot stand here", text)),
        })
    }

    /// A number.
    pub(crate) fn number(&self) -> Result<f64, Mistake> {
        let value = self.value()?;
        value.number().ok_or_else(|| {
            self.mistake(format!("{:?} is no number", value.to_string()), "write for example 2.5")
        })
    }

    /// A number within `range`.
    pub(crate) fn number_in(&self, range: RangeInclusive<f64>) -> Result<f64, Mistake> {
        let number = self.number()?;
        if range.contains(&number) {
            return Ok(number);
        }
        let (low, high) = (range.start(), range.end());
        Err(self.mistake(
            format!("{number} is out of range"),
            format!("write a number from {low} to {high}"),
        ))
    }

    /// A whole number within `range`.
    pub(crate) fn whole(&self, range: RangeInclusive<u64>) -> Result<u64, Mistake> {
        let (low, high) = (*range.start(), *range.end());
        let number = self.number()?;
        let whole = number as u64;
        // a float's cast saturates, so that anything that is no such number differs from its cast
        if (whole as f64 - number).abs() < 1e-9 && range.contains(&whole) {
            return Ok(whole);
        }
        Err(self.mistake(
            format!("{number} does not fit"),
            format!("write a whole number from {low} to {high}"),
        ))
    }

    /// True or false.
    pub(crate) fn truth(&self) -> Result<bool, Mistake> {
        match self.value()? {
            Value::Truth(truth) => Ok(truth),
            other => Err(self.mistake(
                format!("{:?} is neither true nor false", other.to_string()),
                "write true or false, without quotes",
            )),
        }
    }

    /// A time.
    pub(crate) fn duration(&self) -> Result<Duration, Mistake> {
        self.read(text::duration)
    }

    /// A time longer than none.
    pub(crate) fn long_duration(&self) -> Result<Duration, Mistake> {
        let time = self.duration()?;
        if time.is_zero() {
            return Err(self.mistake("this time cannot be 0", "write for example 10ms"));
        }
        Ok(time)
    }

    /// The elements of an array.
    pub(crate) fn array(&self) -> Result<Vec<Self>, Mistake> {
        let Some(array) = self.value.get_ref().as_array() else {
            let found = article(self.value.get_ref().type_str());
            let help = format!("write {} = [ ... ]", self.last());
            return Err(self.mistake(format!("here stands {found}, not an array"), help));
        };
        let element = |(index, value)| Self {
            context: self.context,
            path: format!("{}[{index}]", self.path),
            value,
        };
        Ok(array.iter().enumerate().map(element).collect())
    }

    /// An array, or the one value that stands for an array of one.
    pub(crate) fn list(&self) -> Result<Vec<Self>, Mistake> {
        if self.value.get_ref().is_array() { self.array() } else { Ok(vec![self.clone()]) }
    }

    /// The table it is.
    pub(crate) fn table(&self) -> Result<Table<'a>, Mistake> {
        let Some(table) = self.value.get_ref().as_table() else {
            let found = article(self.value.get_ref().type_str());
            let help = format!("write [{}], or {} = {{ ... }}", self.path, self.last());
            return Err(self.mistake(format!("here stands {found}, not a table"), help));
        };
        let start = self.value.span().start;
        Ok(Table::new(self.context, self.path.clone(), start, table))
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// Whether it is a string.
    pub(crate) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    fn last(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}
