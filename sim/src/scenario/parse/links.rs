//! `[links.NAME]`: the words of `mpuser link` as keys, and what becomes of the link later.

use crate::document::{Item, Mistake, Table};
use crate::link::{KEYS, LinkConfig, ReadFile};
use crate::scenario::{LinkChange, LinkSpec};
use crate::text;
use mpuser_engine::time::Duration;

/// A link: a table, or its words in one string.
pub(super) fn link(item: &Item<'_>, read: ReadFile<'_>) -> Result<LinkSpec, Mistake> {
    let mut spec = LinkSpec::default();
    if item.is_text() {
        let words = item.text()?;
        let applied = spec.config.apply(&words, read);
        applied.map_err(|error| split(item, &error))?;
        return Ok(spec);
    }
    let table = item.table()?;
    words(&table, &["changes", "schedule"], &mut spec.config, read)?;
    if let (Some(_), Some(second)) = (table.get("changes"), table.get("schedule")) {
        return Err(
            second.mistake("there are changes, too", "keep one of `changes` and `schedule`")
        );
    }
    let mut current = spec.config.clone();
    let mut before = Duration::ZERO;
    for item in table.get("changes").map_or_else(|| Ok(Vec::new()), |item| item.array())? {
        let change = item.table()?;
        let at = change.need("at", "at = \"10s\"")?;
        let time = at.duration()?;
        if time < before {
            return Err(at.mistake(
                "this is earlier than the change before it",
                "write changes in the order of time",
            ));
        }
        before = time;
        words(&change, &["at"], &mut current, read)?;
        spec.changes.push(LinkChange { at: time, config: current.clone() });
    }
    if let Some(item) = table.get("schedule") {
        let name = item.text()?;
        let changes = read(&name).and_then(|text| schedule(&text, &current, read, &name));
        spec.changes = changes.map_err(|error| split(&item, &error))?;
    }
    Ok(spec)
}

/// The words a table has, but for its other keys.
fn words(
    table: &Table<'_>,
    others: &[&str],
    config: &mut LinkConfig,
    read: ReadFile<'_>,
) -> Result<(), Mistake> {
    let lane: Vec<&str> = KEYS.split(", ").filter(|key| *key != "box").collect();
    let more = ["box", "boxes", "fwd", "back"];
    let known: Vec<&str> = lane.iter().chain(&more).chain(others).copied().collect();
    table.only(&known)?;
    // the key as it is in a word, its value, and where it stands
    let mut all: Vec<(String, String, Item<'_>)> = Vec::new();
    for (key, item) in table.items() {
        match key {
            "box" | "boxes" => {
                for one in item.list()? {
                    all.push(("box".to_owned(), one.text()?, one));
                }
            }
            "fwd" | "back" => {
                let side = item.table()?;
                side.only(&lane)?;
                for (inner, item) in side.items() {
                    all.push((format!("{key}.{inner}"), item.text()?, item));
                }
            }
            key if others.contains(&key) => {}
            key => all.push((key.to_owned(), item.text()?, item)),
        }
    }
    // what is said of one direction stands, wherever it is said
    all.sort_by_key(|(key, ..)| key.contains('.'));
    let pairs: Vec<(&str, &str)> = all.iter().map(|(key, value, _)| (&**key, &**value)).collect();
    config.apply_pairs(&pairs, read).map_err(|(at, error)| match all.get(at) {
        Some((_, _, item)) => split(item, &error),
        None => table.mistake(error, "see `mpuser link up --help`"),
    })
}

/// A message of the link's words as message and remedy.
fn split(item: &Item<'_>, error: &str) -> Mistake {
    if let Some((message, help)) = error.split_once(": write ") {
        return item.mistake(message, format!("write {help}"));
    }
    let help = if error.starts_with("cannot read") {
        "a relative name counts from the directory of the file that names it"
    } else {
        "`mpuser link up --help` and `mpuser link boxes` say what a link can be"
    };
    item.mistake(error, help)
}

/// A link over time as CSV: a header `at,rate,loss`, then a line per change. A heading may carry the unit of its
/// column, `at:s,rate:mbit`; a cell left empty changes nothing.
fn schedule(
    text: &str,
    first: &LinkConfig,
    read: ReadFile<'_>,
    name: &str,
) -> Result<Vec<LinkChange>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = lines.next().map(|(_, line)| line).unwrap_or_default();
    let columns: Vec<(&str, &str)> = header
        .split(',')
        .map(|cell| cell.trim().split_once(':').unwrap_or((cell.trim(), "")))
        .collect();
    if columns.first().is_none_or(|(key, _)| *key != "at") || columns.len() < 2 {
        return Err(format!(
            "{name}: its first line is no header: write for example at:s,rate:mbit"
        ));
    }
    let mut current = first.clone();
    let mut changes: Vec<LinkChange> = Vec::new();
    for (number, line) in lines {
        let wrong = |error: String| format!("{name}, line {}: {error}", number + 1);
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != columns.len() {
            return Err(wrong(format!("{} cells under {} headings", cells.len(), columns.len())));
        }
        let filled = columns.iter().zip(&cells).filter(|(_, cell)| !cell.is_empty());
        let values: Vec<(&str, String)> =
            filled.map(|((key, unit), cell)| (*key, format!("{cell}{unit}"))).collect();
        let at = values.first().filter(|(key, _)| *key == "at");
        let at = text::duration(at.map(|(_, value)| value.as_str()).unwrap_or_default());
        let at = at.map_err(wrong)?;
        if changes.last().is_some_and(|before| before.at > at) {
            return Err(wrong("it is earlier than the line before".to_owned()));
        }
        let pairs: Vec<(&str, &str)> =
            values.iter().skip(1).map(|(key, value)| (*key, value.as_str())).collect();
        current.apply_pairs(&pairs, read).map_err(|(_, error)| wrong(error))?;
        changes.push(LinkChange { at, config: current.clone() });
    }
    if changes.is_empty() {
        return Err(format!("{name}: there is no line below its header"));
    }
    Ok(changes)
}
