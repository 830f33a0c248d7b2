//! `[params]`: names with defaults, and what was set instead.

use super::Wishes;
use crate::document::{Context, Item, Mistake, suggest};
use crate::expression::{Params, Value, is_name};
use toml::de::DeTable;

/// A parameter as its scenario declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// What it is if nobody says otherwise.
    pub default: Value,
    /// What it is for, for people.
    pub about: String,
    /// The least and the greatest number it may be.
    pub range: (f64, f64),
}

/// Names and values from outside the file, in order; a later one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignments(pub Vec<(String, String)>);

impl Assignments {
    /// Reads `n=2,c=1`. A comma also stands within values like `blest-paper,delta=1`: a part that assigns to none of
    /// `known` belongs to the text before it, if that is a text.
    ///
    /// # Errors
    /// A part is no assignment.
    pub fn add(&mut self, words: &str, known: &[Param]) -> Result<(), Mistake> {
        let find = |name: &str| known.iter().find(|param| param.name == name);
        let mut fresh = true;
        for part in words.split(',') {
            let assigned = part.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
            let is_known = assigned.is_some_and(|(name, _)| find(name).is_some());
            let open = self.0.last_mut().filter(|(name, _)| {
                let text = |param: &Param| matches!(param.default, Value::Text(_));
                !fresh && !is_known && find(name).is_some_and(text)
            });
            match (open, assigned) {
                (Some((_, value)), _) => *value = format!("{value},{part}"),
                (None, Some((name, value))) => self.0.push((name.to_owned(), value.to_owned())),
                (None, None) => {
                    return Err(Mistake::new(
                        format!("{part:?} sets nothing"),
                        "write --set NAME=VALUE, for example --set n=2,c=1",
                    ));
                }
            }
            fresh = false;
        }
        Ok(())
    }

    /// Takes out the last value of `name`.
    fn take(&mut self, name: &str) -> Option<String> {
        let (mine, others) = std::mem::take(&mut self.0).into_iter().partition(|(n, _)| n == name);
        self.0 = others;
        let mine: Vec<(String, String)> = mine;
        mine.into_iter().next_back().map(|(_, value)| value)
    }
}

/// The parameters with the values they have in this run. A wish for a scheduler or a congestion control is a
/// parameter's value if there is one of that name.
pub(super) fn resolve(
    text: &str,
    document: &DeTable<'_>,
    wishes: &mut Wishes,
) -> Result<Params, Mistake> {
    let mut set = wishes.set.clone();
    let mut params = Params::default();
    each(
        text,
        document,
        |item, name, so_far| {
            let declared = declare(item, name)?;
            let wish = match name {
                "cc" => wishes.cc.take(),
                "sched" | "scheduler" => wishes.scheduler.take(),
                _ => None,
            };
            let value = match set.take(name).or(wish) {
                None => declared.default.clone(),
                Some(text) => assigned(&declared, &text)?,
            };
            so_far.set(name, value);
            Ok(())
        },
        &mut params,
    )?;
    // what is left of the assignments names nothing
    match set.0.first() {
        None => Ok(params),
        Some((name, _)) => Err(Mistake::new(
            format!("there is no parameter `{name}` to set"),
            match name.as_str() {
                "cc" => "write --cc NAME for every MPTCP flow".to_owned(),
                "sched" | "scheduler" => "write --sched NAME for every MPTCP flow".to_owned(),
                _ => suggest(name, params.names()),
            },
        )),
    }
}

/// What can be set.
pub(super) fn declared(text: &str, document: &DeTable<'_>) -> Result<Vec<Param>, Mistake> {
    let mut all = Vec::new();
    each(
        text,
        document,
        |item, name, so_far| {
            let param = declare(item, name)?;
            so_far.set(name, param.default.clone());
            all.push(param);
            Ok(())
        },
        &mut Params::default(),
    )?;
    Ok(all)
}

/// Goes through `[params]` in the order of the file; a default may use the parameters before it.
fn each(
    text: &str,
    document: &DeTable<'_>,
    mut visit: impl FnMut(&Item<'_>, &str, &mut Params) -> Result<(), Mistake>,
    params: &mut Params,
) -> Result<(), Mistake> {
    let none = Params::default();
    let body = super::body(Context { text, params: &none }, document)?;
    let Some(item) = body.get("params") else { return Ok(()) };
    let names: Vec<&str> = item.table()?.items().map(|(name, _)| name).collect();
    for name in names {
        let so_far = params.clone();
        let body = super::body(Context { text, params: &so_far }, document)?;
        let Some(item) = body.get("params").and_then(|item| item.table().ok()?.get(name)) else {
            continue;
        };
        if !is_name(name) {
            return Err(item.mistake(
                format!("{name:?} cannot be a parameter's name"),
                "use letters, digits and _, and no word of the expressions like `if`",
            ));
        }
        visit(&item, name, params)?;
    }
    Ok(())
}

/// `n = 2`, or `n = { default = 2, about = "...", min = 1, max = 5 }`.
fn declare(item: &Item<'_>, name: &str) -> Result<Param, Mistake> {
    let mut param = Param {
        name: name.to_owned(),
        default: Value::Truth(false),
        about: String::new(),
        range: (f64::MIN, f64::MAX),
    };
    if !item.is_table() {
        param.default = item.value()?;
        return Ok(param);
    }
    let table = item.table()?;
    table.only(&["default", "about", "min", "max"])?;
    param.default = table.need("default", "default = 1")?.value()?;
    if let Some(about) = table.get("about") {
        param.about = about.text()?;
    }
    if let Some(min) = table.get("min") {
        param.range.0 = min.number()?;
    }
    if let Some(max) = table.get("max") {
        param.range.1 = max.number()?;
    }
    within(&param, &param.default).map_err(|error| item.mistake(error, "change the default"))?;
    Ok(param)
}

fn assigned(param: &Param, text: &str) -> Result<Value, Mistake> {
    let value = param.default.like(text);
    let value = value.and_then(|value| within(param, &value).map(|()| value));
    value.map_err(|error| {
        let help = format!("its default is {}", param.default);
        Mistake::new(format!("parameter {}: {error}", param.name), help)
    })
}

fn within(param: &Param, value: &Value) -> Result<(), String> {
    let (low, high) = param.range;
    match value {
        Value::Number(number) if !(low..=high).contains(number) => {
            let limit = |x: f64, none: f64, word: &str| {
                if x.total_cmp(&none).is_eq() { String::new() } else { format!(" {word} {x}") }
            };
            let least = limit(low, f64::MIN, "at least");
            let most = limit(high, f64::MAX, "at most");
            Err(format!("{number} is out of range, it is{least}{most}"))
        }
        _ => Ok(()),
    }
}
