//! `[[flows]]`: who talks to whom over which paths.

use super::{Wishes, traffic};
use crate::direction::Direction;
use crate::document::{Item, Mistake, Table, suggest};
use crate::link::ReadFile;
use crate::scenario::{FlowGroup, Path, Scenario, Stack};
use crate::script;
use crate::text;
use mpuser_engine::config::{CongestionAlgorithm, Profile, SCHEDULER_NAMES, SchedulerSpec};

const KEYS: [&str; 21] = [
    "name",
    "count",
    "stack",
    "paths",
    "scheduler",
    "cc",
    "start",
    "start_jitter",
    "stop",
    "direction",
    "traffic",
    "send_buffer",
    "receive_buffer",
    "tuned_buffers",
    "checksum",
    "mtu",
    "profile",
    "nagle",
    "delayed_ack",
    "pacing",
    "slow_start_after_idle",
];

const STACKS: [(&str, Stack); 3] =
    [("mptcp", Stack::Mptcp), ("tcp", Stack::Tcp), ("smoltcp", Stack::Smoltcp)];
const DIRECTIONS: [(&str, Direction); 2] =
    [("up", Direction::Forward), ("down", Direction::Backward)];

/// One of these words.
pub(super) fn word<T: Copy>(item: &Item<'_>, words: &[(&str, T)]) -> Result<T, Mistake> {
    let text = item.text()?;
    let found = words.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names = words.iter().map(|(name, _)| *name);
        item.mistake(format!("{text:?} is not known"), suggest(&text, names))
    })
}

/// Up or down.
pub(super) fn direction(item: &Item<'_>) -> Result<Direction, Mistake> {
    word(item, &DIRECTIONS)
}

/// A link there is.
pub(super) fn link_name(item: &Item<'_>, scenario: &Scenario) -> Result<String, Mistake> {
    let name = item.text()?;
    if scenario.links.contains_key(&name) {
        return Ok(name);
    }
    let help = suggest(&name, scenario.links.keys().map(String::as_str));
    Err(item.mistake(format!("there is no link `{name}`"), help))
}

/// A group of flows; `number` names it if nothing else does.
pub(super) fn group(
    table: &Table<'_>,
    number: usize,
    scenario: &Scenario,
    wishes: &Wishes,
    read: ReadFile<'_>,
) -> Result<FlowGroup, Mistake> {
    table.only(&KEYS)?;
    let mut group = FlowGroup { name: format!("flow{number}"), ..FlowGroup::default() };
    if let Some(item) = table.get("name") {
        group.name = item.text()?;
        if scenario.flows.iter().any(|other| other.name == group.name) {
            return Err(item.mistake("two flows have this name", "give each a name of its own"));
        }
    }
    if let Some(item) = table.get("count") {
        group.count = item.whole(0..=100_000)? as u32;
    }
    if let Some(item) = table.get("stack") {
        group.stack = word(&item, &STACKS)?;
    }
    let paths = table.need("paths", "paths = [\"wifi\", \"lte\"]")?;
    for item in paths.array()? {
        group.paths.push(path(&item, scenario)?);
    }
    if group.paths.is_empty() {
        return Err(paths.mistake("there is no path", "name at least one link"));
    }
    engines(table, &mut group, wishes, read)?;
    times(table, &mut group)?;
    if let Some(item) = table.get("direction") {
        group.direction = direction(&item)?;
    }
    if let Some(item) = table.get("traffic") {
        group.traffic = traffic::traffic(&item)?;
    }
    Ok(group)
}

/// What the stacks at both ends are told.
fn engines(
    table: &Table<'_>,
    group: &mut FlowGroup,
    wishes: &Wishes,
    read: ReadFile<'_>,
) -> Result<(), Mistake> {
    if let Some(item) = table.get("profile") {
        group.profile = named(&item, Profile::from_name, Profile::NAMES)?;
    }
    if let Some(item) = table.get("scheduler") {
        group.scheduler = item.text().and_then(|text| {
            scheduler(&text, read).map_err(|(message, help)| item.mistake(message, help))
        })?;
    }
    if let Some(item) = table.get("cc") {
        group.cc = item.text().and_then(|text| {
            congestion(&text).map_err(|(message, help)| item.mistake(message, help))
        })?;
    }
    if group.stack == Stack::Mptcp {
        if let Some(name) = &wishes.scheduler {
            group.scheduler =
                scheduler(name, read).map_err(|(m, h)| Mistake::new(format!("--sched: {m}"), h))?;
        }
        if let Some(name) = &wishes.cc {
            group.cc = congestion(name).map_err(|(m, h)| Mistake::new(format!("--cc: {m}"), h))?;
        }
    }
    for (key, place) in
        [("send_buffer", &mut group.send_buffer), ("receive_buffer", &mut group.receive_buffer)]
    {
        let Some(item) = table.get(key) else { continue };
        let bytes = item.read(text::size)?;
        if !(2_000..=1 << 32).contains(&bytes) {
            return Err(item.mistake("this buffer cannot work", "write a size from 2000 to 4096M"));
        }
        *place = bytes as usize;
        // Who asks for a size gets just that, as with SO_RCVBUF.
        group.tuned_buffers = false;
    }
    if let Some(item) = table.get("mtu") {
        group.mtu = item.whole(576..=65_535)? as u16;
    }
    for (key, place) in [
        ("checksum", &mut group.checksum),
        ("nagle", &mut group.nagle),
        ("pacing", &mut group.pacing),
        ("tuned_buffers", &mut group.tuned_buffers),
        ("slow_start_after_idle", &mut group.slow_start_after_idle),
    ] {
        if let Some(item) = table.get(key) {
            *place = item.truth()?;
        }
    }
    if let Some(item) = table.get("delayed_ack") {
        group.delayed_ack = item.duration()?;
    }
    Ok(())
}

fn times(table: &Table<'_>, group: &mut FlowGroup) -> Result<(), Mistake> {
    if let Some(item) = table.get("start") {
        group.start = item.duration()?;
    }
    if let Some(item) = table.get("start_jitter") {
        group.start_jitter = item.duration()?;
    }
    if let Some(item) = table.get("stop") {
        let stop = item.duration()?;
        if stop <= group.start {
            return Err(item.mistake("it stops before it starts", "write a time after `start`"));
        }
        group.stop = Some(stop);
    }
    Ok(())
}

/// A path: `"wifi"`, `["access", "core"]`, or a table.
fn path(item: &Item<'_>, scenario: &Scenario) -> Result<Path, Mistake> {
    let mut path = Path::default();
    let names = |item: &Item<'_>| -> Result<Vec<String>, Mistake> {
        let names: Result<Vec<_>, _> =
            item.list()?.iter().map(|item| link_name(item, scenario)).collect();
        let names = names?;
        if names.is_empty() {
            return Err(item.mistake("a path needs a link", "write for example [\"wifi\"]"));
        }
        Ok(names)
    };
    if !item.is_table() {
        path.links = names(item)?;
        return Ok(path);
    }
    let table = item.table()?;
    table.only(&["links", "backup", "start", "stop", "subflows"])?;
    path.links = names(&table.need("links", "links = [\"wifi\"]")?)?;
    if let Some(item) = table.get("backup") {
        path.backup = item.truth()?;
    }
    if let Some(item) = table.get("start") {
        path.start = Some(item.duration()?);
    }
    if let Some(item) = table.get("stop") {
        path.stop = Some(item.duration()?);
    }
    if let Some(item) = table.get("subflows") {
        path.subflows = item.whole(1..=32)? as u32;
    }
    Ok(path)
}

fn named<T>(
    item: &Item<'_>,
    from: impl Fn(&str) -> Option<T>,
    names: &[&str],
) -> Result<T, Mistake> {
    let text = item.text()?;
    from(&text).ok_or_else(|| {
        item.mistake(format!("{text:?} is not known"), suggest(&text, names.iter().copied()))
    })
}

/// A scheduler with its parameters, or a script; else message and remedy.
fn scheduler(text: &str, read: ReadFile<'_>) -> Result<SchedulerSpec, (String, String)> {
    if text.ends_with(".rhai") {
        let help = || "sim/data/schedulers/README.md says what a script may say".to_owned();
        let script = read(text).map_err(|error| (error, help()))?;
        return script::compile(text, &script).map_err(|error| (error.to_string(), help()));
    }
    let (name, _) = text.split_once(',').unwrap_or((text, ""));
    SchedulerSpec::parse(text).map_err(|error| match SchedulerSpec::named(name.trim()) {
        None => {
            let names = SCHEDULER_NAMES.iter().copied();
            (format!("there is no scheduler {name:?}"), suggest(name, names))
        }
        Some(_) => match error.split_once("; ") {
            Some((message, remedy)) => (message.to_owned(), remedy.to_owned()),
            None => (error, "`mpuser sched` lists names and parameters".to_owned()),
        },
    })
}

/// A congestion control by name; else message and remedy.
fn congestion(text: &str) -> Result<CongestionAlgorithm, (String, String)> {
    let names = CongestionAlgorithm::NAMES.iter().copied();
    let unknown = || (format!("there is no congestion control {text:?}"), suggest(text, names));
    CongestionAlgorithm::from_name(text).ok_or_else(unknown)
}
