//! Plans as people write them: TOML with a scenario, axes and seeds; or a scenario that says in `[experiment]` how it
//! is to be run.

use super::lhs::{self, Axis};
use super::plan::{Plan, Point, Seeds};
use crate::document::{Context, Item, Mistake, Table, parse as parse_document, suggest};
use crate::expression::Params;
use crate::scenario::{Assignments, Param, Scenario};
use std::collections::BTreeSet;

/// Where scenarios and traces come from.
pub trait Library {
    /// The text of a scenario, by the name of a file or of a preset.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn scenario(&mut self, name: &str) -> Result<String, String>;

    /// The contents of a trace; a relative name counts from the scenario that was opened last.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn file(&mut self, name: &str) -> Result<String, String>;
}

/// What is said outside the file; it wins over what stands in it.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `n=2,c=1`, for every point; an axis of the name is gone.
    pub set: Vec<String>,
    /// The scheduler of every MPTCP flow.
    pub scheduler: Option<String>,
    /// The congestion control of every MPTCP flow.
    pub cc: Option<String>,
    /// The seeds of every point.
    pub seeds: Option<Seeds>,
}

impl Overrides {
    /// What they set, for a scenario with these parameters.
    ///
    /// # Errors
    /// One of them sets nothing.
    pub fn point(&self, known: &[Param]) -> Result<Point, Mistake> {
        let mut assignments = Assignments::default();
        for words in &self.set {
            assignments.add(words, known)?;
        }
        let mut point = Point::from(&assignments);
        let scheduler =
            ["scheduler", "sched"].into_iter().find(|n| known.iter().any(|p| p.name == *n));
        for (name, value) in [(scheduler.unwrap_or("sched"), &self.scheduler), ("cc", &self.cc)] {
            if let Some(value) = value {
                point.set(name, value);
            }
        }
        Ok(point)
    }

    /// Points with these settings in place of their own; those that have become equal are one.
    #[must_use]
    pub fn apply(set: &Point, points: Vec<Point>) -> Vec<Point> {
        let mut seen = BTreeSet::new();
        let changed = points.into_iter().map(|mut point| {
            point.set.retain(|(name, _)| set.get(name).is_none());
            point.set.extend_from_slice(&set.set);
            point
        });
        changed.filter(|point| seen.insert(point.set.clone())).collect()
    }
}

/// Repetitions of a point if nobody says how many.
const REPEAT: u32 = 10;
/// Most repetitions or seeds.
const MAX_SEEDS: u64 = 1_000_000;
const AXES: [&str; 6] = ["seeds", "repeat", "set", "grid", "list", "lhs"];

/// Reads a plan, or a scenario with or without `[experiment]`.
///
/// # Errors
/// The first mistake, with its place and what would be right.
pub fn read(text: &str, overrides: &Overrides, library: &mut dyn Library) -> Result<Plan, Mistake> {
    let document = parse_document(text)?;
    let none = Params::default();
    let root = Table::root(Context { text, params: &none }, document.get_ref());
    let (scenario, from, axes) = match root.get("scenario") {
        // a scenario, with a plan of its own or without
        None => {
            let axes = root.get("experiment").map(|item| item.table()).transpose()?;
            if let Some(axes) = &axes {
                axes.only(&AXES)?;
            }
            (text.to_owned(), None, axes)
        }
        Some(item) => {
            let known: Vec<&str> =
                ["name", "description", "scenario"].into_iter().chain(AXES).collect();
            root.only(&known)?;
            if item.is_table() {
                (text.to_owned(), None, Some(root.clone()))
            } else {
                let name = item.text()?;
                let there = library.scenario(&name);
                let there = there.map_err(|error| {
                    item.mistake(
                        error,
                        "name a file, a preset of `mpuser exp presets`, or write [scenario]",
                    )
                })?;
                (there, Some(name), Some(root.clone()))
            }
        }
    };
    let in_scenario = |mistake: Mistake| match &from {
        Some(name) if mistake.file.is_none() => Mistake { file: Some(name.clone()), ..mistake },
        _ => mistake,
    };
    let known = Scenario::params(&scenario).map_err(in_scenario)?;
    let set = overrides.point(&known)?;
    let (points, seeds) = match &axes {
        None => (vec![Point::default()], None),
        Some(table) => (points(table, &known)?, seeds(table)?),
    };
    let name = root.need("name", "name = \"my-experiment\"")?.text()?;
    let seeds = overrides.seeds.clone().or(seeds).unwrap_or(Seeds::Derived(REPEAT));
    let points = Overrides::apply(&set, points);
    Plan::new(&name, &scenario, points, seeds, &mut |name| library.file(name)).map_err(in_scenario)
}

/// `A..B` (both included), or one number.
///
/// # Errors
/// Says how it is written.
pub fn read_seeds(text: &str) -> Result<Seeds, String> {
    let wrong = || format!("{text:?} names no seeds: write for example 1..10, both included");
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let last = last.strip_prefix('=').unwrap_or(last);
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|n| *n <= 1 << 53);
    let (first, last) = number(first).zip(number(last)).ok_or_else(wrong)?;
    if first > last || last - first >= MAX_SEEDS {
        return Err(wrong());
    }
    Ok(Seeds::Given((first..=last).collect()))
}

fn seeds(table: &Table<'_>) -> Result<Option<Seeds>, Mistake> {
    if let (Some(_), Some(second)) = (table.get("seeds"), table.get("repeat")) {
        return Err(second.mistake("there are seeds, too", "keep one of `seeds` and `repeat`"));
    }
    if let Some(item) = table.get("repeat") {
        return Ok(Some(Seeds::Derived(item.whole(1..=MAX_SEEDS)? as u32)));
    }
    let Some(item) = table.get("seeds") else { return Ok(None) };
    if item.is_text() {
        return item.read(read_seeds).map(Some);
    }
    let list: Result<Vec<u64>, Mistake> =
        item.list()?.iter().map(|item| item.whole(0..=1 << 53)).collect();
    let list = list?;
    if list.is_empty() {
        return Err(item.mistake("there is no seed", "write for example seeds = \"1..10\""));
    }
    Ok(Some(Seeds::Given(list)))
}

/// A name that can be set: a parameter, or `sched` or `cc`.
fn settable(name: &str, item: &Item<'_>, known: &[Param]) -> Result<(), Mistake> {
    let names = known.iter().map(|param| param.name.as_str());
    if names.clone().chain(["sched", "scheduler", "cc"]).any(|other| other == name) {
        return Ok(());
    }
    let help = suggest(name, names.chain(["sched", "cc"]));
    Err(item.mistake(format!("the scenario has no parameter `{name}`"), help))
}

/// Every combination of the list's rows, the hypercube's points and the grid's values; the last axis changes fastest.
fn points(table: &Table<'_>, known: &[Param]) -> Result<Vec<Point>, Mistake> {
    let mut base = Point::default();
    if let Some(item) = table.get("set") {
        for (name, item) in item.table()?.items() {
            settable(name, &item, known)?;
            base.set(name, &item.text()?);
        }
    }
    let mut points = vec![base];
    let mut named = BTreeSet::new();
    let blocks = [
        table.get("list").map(|item| list(&item, known)),
        table.get("lhs").map(|item| hypercube(&item, known)),
    ];
    for block in blocks.into_iter().flatten() {
        points = product(&points, &block?, &mut named);
    }
    if let Some(item) = table.get("grid") {
        for (name, item) in item.table()?.items() {
            settable(name, &item, known)?;
            let values: Result<Vec<String>, Mistake> =
                item.list()?.iter().map(Item::text).collect();
            let values = values?;
            if values.is_empty() {
                return Err(item.mistake("this axis has no value", "write for example [1, 2]"));
            }
            if named.contains(name) {
                return Err(item.mistake("it is an axis already", "name each parameter once"));
            }
            let axis = |value: String| Point { set: vec![(name.to_owned(), value)] };
            points =
                product(&points, &values.into_iter().map(axis).collect::<Vec<_>>(), &mut named);
        }
    }
    Ok(points)
}

fn product(outer: &[Point], inner: &[Point], named: &mut BTreeSet<String>) -> Vec<Point> {
    named.extend(inner.iter().flat_map(|point| &point.set).map(|(name, _)| name.clone()));
    let combine = |one: &Point| {
        let one = one.clone();
        inner.iter().map(move |other| {
            let mut both = one.clone();
            other.set.iter().for_each(|(name, value)| both.set(name, value));
            both
        })
    };
    outer.iter().flat_map(combine).collect()
}

/// `[[list]]`: a row for each point.
fn list(item: &Item<'_>, known: &[Param]) -> Result<Vec<Point>, Mistake> {
    let mut rows = Vec::new();
    for item in item.array()? {
        let mut point = Point::default();
        for (name, item) in item.table()?.items() {
            settable(name, &item, known)?;
            point.set(name, &item.text()?);
        }
        rows.push(point);
    }
    if rows.is_empty() {
        return Err(item.mistake("the list is empty", "write tables [[list]]"));
    }
    Ok(rows)
}

/// `[lhs]` with `points`, `seed` and `axes`.
fn hypercube(item: &Item<'_>, known: &[Param]) -> Result<Vec<Point>, Mistake> {
    let table = item.table()?;
    table.only(&["points", "seed", "axes"])?;
    let count = table.need("points", "points = 100")?.whole(1..=200_000)? as usize;
    let seed = table.get("seed").map_or(Ok(1), |item| item.whole(0..=1 << 53))?;
    let axes = table.need("axes", "[lhs.axes] with rate = { from = 1, to = 100 }")?.table()?;
    let mut points = vec![Point::default(); count];
    for (name, item) in axes.items() {
        settable(name, &item, known)?;
        let values = lhs::values(name, &axis(&item)?, count, seed);
        points.iter_mut().zip(values).for_each(|(point, value)| point.set(name, &value));
    }
    Ok(points)
}

fn axis(item: &Item<'_>) -> Result<Axis, Mistake> {
    if !item.is_table() {
        let values: Result<Vec<String>, Mistake> = item.array()?.iter().map(Item::text).collect();
        let values = values?;
        if values.is_empty() {
            return Err(
                item.mistake("there is nothing to choose from", "write [\"lia\", \"olia\"]")
            );
        }
        return Ok(Axis::Choice(values));
    }
    let table = item.table()?;
    table.only(&["from", "to", "scale", "whole"])?;
    let from = table.need("from", "from = 1")?.number()?;
    let to = table.need("to", "to = 100")?;
    let end = to.number()?;
    if end <= from {
        return Err(to.mistake("it ends before it begins", "write a number above `from`"));
    }
    let log = match table.get("scale") {
        None => false,
        Some(item) => match item.text()?.as_str() {
            "linear" => false,
            "log" if from > 0.0 => true,
            "log" => return Err(item.mistake("a logarithm needs `from` above 0", "use linear")),
            _ => return Err(item.mistake("this is no scale", "write linear or log")),
        },
    };
    let whole = table.get("whole").map_or(Ok(false), |item| item.truth())?;
    Ok(Axis::Span { from, to: end, log, whole })
}
