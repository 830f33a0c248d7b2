//! Scenarios as people write them: TOML, with parameters and `${expressions}`. Links are described in the words of
//! `mpuser link`.

mod flows;
mod links;
mod params;
#[cfg(test)]
mod tests;
mod traffic;

use super::spec::Scenario;
use crate::document::{Context, Mistake, Table, parse as parse_document};
use crate::expression::Params;
use crate::link::ReadFile;
pub use params::{Assignments, Param};
use toml::de::DeTable;

/// Keys of the whole file. Those of experiments and presets are read elsewhere.
const KEYS: [&str; 12] = [
    "name",
    "description",
    "seed",
    "duration",
    "warm_up",
    "sample",
    "params",
    "links",
    "flows",
    "background",
    "experiment",
    "preset",
];

/// What is wanted of a scenario beside what its file says.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Parameters with other values than the file's.
    pub set: Assignments,
    /// The scheduler of every MPTCP flow, by name, or a script (`my.rhai`).
    pub scheduler: Option<String>,
    /// The congestion control of every MPTCP flow, by name.
    pub cc: Option<String>,
}

impl Scenario {
    /// Reads a scenario. `read` gives the contents of the traces and scripts it names.
    ///
    /// # Errors
    /// The first mistake, with its place and what would be right.
    pub fn parse(text: &str, wishes: &Wishes, read: ReadFile<'_>) -> Result<Self, Mistake> {
        let document = parse_document(text)?;
        let mut wishes = wishes.clone();
        let params = params::resolve(text, document.get_ref(), &mut wishes)?;
        let root = body(Context { text, params: &params }, document.get_ref())?;
        root.only(&KEYS)?;
        let mut scenario =
            Self { name: root.need("name", "name = \"two-path\"")?.text()?, ..Self::default() };
        if let Some(item) = root.get("description") {
            scenario.description = item.text()?;
        }
        if let Some(item) = root.get("seed") {
            scenario.seed = item.whole(0..=1 << 53)?;
        }
        if let Some(item) = root.get("duration") {
            scenario.duration = item.long_duration()?;
        }
        if let Some(item) = root.get("warm_up") {
            scenario.warm_up = item.duration()?;
            if scenario.warm_up >= scenario.duration {
                return Err(item.mistake(
                    "nothing is left to measure",
                    "warm_up has to be shorter than duration, which is 10s unless it is given",
                ));
            }
        }
        if let Some(item) = root.get("sample") {
            scenario.sample = item.duration()?;
        }
        let example = "[links.wifi] with rate = \"20mbit\"";
        for (name, item) in root.need("links", example)?.table()?.items() {
            scenario.links.insert(name.to_owned(), links::link(&item, read)?);
        }
        let flows = root.need("flows", "[[flows]] with paths = [\"wifi\"]")?;
        for (number, item) in flows.array()?.iter().enumerate() {
            let group = flows::group(&item.table()?, number, &scenario, &wishes, read)?;
            scenario.flows.push(group);
        }
        if scenario.flows.is_empty() {
            return Err(flows.mistake("there is no flow", "write a table [[flows]]"));
        }
        if let Some(item) = root.get("background") {
            for (number, item) in item.array()?.iter().enumerate() {
                let load = traffic::background(&item.table()?, number, &scenario)?;
                scenario.background.push(load);
            }
        }
        scenario
            .check()
            .map_err(|error| root.mistake(error, "see sim/README.md for what can be said"))?;
        Ok(scenario)
    }

    /// The parameters a scenario's text has, with their defaults.
    ///
    /// # Errors
    /// As [`Scenario::parse`].
    pub fn params(text: &str) -> Result<Vec<Param>, Mistake> {
        let document = parse_document(text)?;
        params::declared(text, document.get_ref())
    }

    /// The values the parameters have with these wishes.
    ///
    /// # Errors
    /// As [`Scenario::parse`].
    pub fn values(text: &str, wishes: &Wishes) -> Result<Params, Mistake> {
        let document = parse_document(text)?;
        params::resolve(text, document.get_ref(), &mut wishes.clone())
    }
}

/// Where the scenario is: the whole file, or its table `[scenario]`, as in the plan of an experiment.
fn body<'a>(context: Context<'a>, document: &'a DeTable<'a>) -> Result<Table<'a>, Mistake> {
    let root = Table::root(context, document);
    match root.get("scenario") {
        Some(item) if item.is_text() => Err(item.mistake(
            "this is the plan of an experiment, not a scenario",
            "run it by `mpuser exp run`, or name the scenario itself",
        )),
        Some(item) => item.table(),
        None => Ok(root),
    }
}
