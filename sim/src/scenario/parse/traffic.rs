//! What flows carry, and background load.

use super::flows::{direction, link_name};
use crate::direction::Direction;
use crate::document::{Item, Mistake, Table, suggest};
use crate::scenario::{Background, Chunks, Scenario, Spread, Traffic};
use crate::text;
use mpuser_engine::time::Duration;

/// Kinds of traffic and their keys.
const KINDS: [(&str, &[&str]); 6] = [
    ("bulk", &["size"]),
    ("request-response", &["request", "response", "every", "count"]),
    ("cbr", &["rate", "message", "deadline"]),
    (
        "chunks",
        &["length", "rates", "buffer", "prebuffer", "caution", "reservoir", "count", "request"],
    ),
    ("web", &["objects", "connections", "request"]),
    ("on-off", &["on", "off", "rate"]),
];

/// Bytes of a request nobody described.
const REQUEST: u64 = 300;
/// Bytes that fit a `Traffic`'s sizes.
const MAX_SIZE: u64 = 1 << 40;

/// A table with `kind`, or the kind alone.
pub(super) fn traffic(item: &Item<'_>) -> Result<Traffic, Mistake> {
    if !item.is_table() {
        let name = item.text()?;
        return match name.as_str() {
            "bulk" => Ok(Traffic::Bulk { size: None }),
            "chunks" => Ok(Traffic::Chunks(Chunks::default())),
            _ => Err(unknown(item, &name)),
        };
    }
    let table = item.table()?;
    let kind = table.need("kind", "kind = \"bulk\"")?;
    let name = kind.text()?;
    let Some((name, keys)) = KINDS.iter().find(|(known, _)| *known == name) else {
        return Err(unknown(&kind, &name));
    };
    let known: Vec<&str> = std::iter::once("kind").chain(keys.iter().copied()).collect();
    table.only(&known)?;
    match *name {
        "bulk" => {
            Ok(Traffic::Bulk { size: table.get("size").map(|item| size(&item)).transpose()? })
        }
        "request-response" => Ok(Traffic::RequestResponse {
            request: sized(&table, "request", REQUEST)?,
            response: size(&table.need("response", "response = \"100k\"")?)?,
            every: table.get("every").map_or(Ok(Duration::ZERO), |item| item.duration())?,
            count: count(&table)?,
        }),
        "cbr" => Ok(Traffic::Cbr {
            rate: table.need("rate", "rate = \"2mbit\"")?.read(text::rate)?,
            message: sized(&table, "message", 1000)?,
            deadline: table.get("deadline").map(|item| item.long_duration()).transpose()?,
        }),
        "chunks" => chunks(&table).map(Traffic::Chunks),
        "web" => web(&table),
        _ => Ok(Traffic::OnOff {
            on: spread(&table.need("on", "on = \"exp:2s\"")?)?,
            off: spread(&table.need("off", "off = \"pareto:2s,1.5\"")?)?,
            rate: table.get("rate").map(|item| item.read(text::rate)).transpose()?,
        }),
    }
}

fn unknown(item: &Item<'_>, name: &str) -> Mistake {
    let known = KINDS.iter().map(|(known, _)| *known);
    let help = match KINDS.iter().find(|(known, _)| *known == name) {
        Some((known, keys)) => {
            format!("write {{ kind = \"{known}\", ... }} with {}", keys.join(", "))
        }
        None => suggest(name, known),
    };
    item.mistake(format!("{name:?} alone is no traffic"), help)
}

fn size(item: &Item<'_>) -> Result<u64, Mistake> {
    let bytes = item.read(text::size)?;
    if (1..=MAX_SIZE).contains(&bytes) {
        return Ok(bytes);
    }
    Err(item.mistake("this size cannot be", "write for example 100k or 10M"))
}

fn sized(table: &Table<'_>, key: &str, default: u64) -> Result<u64, Mistake> {
    table.get(key).map_or(Ok(default), |item| size(&item))
}

fn count(table: &Table<'_>) -> Result<Option<u32>, Mistake> {
    let count = table.get("count").map(|item| item.whole(1..=10_000_000)).transpose()?;
    Ok(count.map(|count| count as u32))
}

fn chunks(table: &Table<'_>) -> Result<Chunks, Mistake> {
    let plain = Chunks::default();
    let time = |key: &str, default: Duration| {
        table.get(key).map_or(Ok(default), |item| item.long_duration())
    };
    let length = time("length", plain.length)?;
    let mut rates = Vec::new();
    for item in table.get("rates").map_or_else(|| Ok(Vec::new()), |item| item.array())? {
        let rate = item.read(text::rate)?;
        if rates.last().is_some_and(|last| *last >= rate) {
            return Err(
                item.mistake("it is not above the one before", "write rates in ascending order")
            );
        }
        rates.push(rate);
    }
    Ok(Chunks {
        length,
        rates: if rates.is_empty() { plain.rates } else { rates },
        buffer: time("buffer", plain.buffer)?,
        prebuffer: time("prebuffer", length)?,
        caution: table
            .get("caution")
            .map_or(Ok(plain.caution), |item| item.number_in(0.01..=10.0))?,
        reservoir: table.get("reservoir").map(|item| item.long_duration()).transpose()?,
        count: count(table)?,
        request: sized(table, "request", plain.request)?,
    })
}

fn web(table: &Table<'_>) -> Result<Traffic, Mistake> {
    let list = table.need("objects", "objects = [\"20k\", \"5k\"]")?;
    let objects: Result<Vec<u64>, Mistake> = list.array()?.iter().map(size).collect();
    let objects = objects?;
    if objects.is_empty() {
        return Err(list.mistake("there is no object", "write their sizes: [\"20k\", \"5k\"]"));
    }
    let connections = table.get("connections").map_or(Ok(1), |item| item.whole(1..=64))?;
    let request = sized(table, "request", REQUEST)?;
    Ok(Traffic::Web { objects, connections: connections as u32, request })
}

/// `2s`, `exp:2s`, `pareto:2s,1.5`.
fn spread(item: &Item<'_>) -> Result<Spread, Mistake> {
    item.read(|words| {
        let wrong =
            || format!("{words:?} is no time: write for example 2s, exp:2s or pareto:2s,1.5");
        match words.split_once(':') {
            None => text::duration(words).map(Spread::Constant).map_err(|_| wrong()),
            Some(("exp", mean)) => Ok(Spread::Exponential(text::duration(mean)?)),
            Some(("pareto", rest)) => {
                let (mean, index) = rest.split_once(',').ok_or_else(wrong)?;
                let index: f64 = index.trim().parse().map_err(|_| wrong())?;
                if !(1.0..=100.0).contains(&index) || index <= 1.0 {
                    return Err(wrong());
                }
                Ok(Spread::Pareto { mean: text::duration(mean)?, index })
            }
            Some(_) => Err(wrong()),
        }
    })
}

const BACKGROUND: [&str; 10] =
    ["name", "count", "link", "direction", "rate", "packet", "on", "off", "start", "stop"];

/// `[[background]]`.
pub(super) fn background(
    table: &Table<'_>,
    number: usize,
    scenario: &Scenario,
) -> Result<Background, Mistake> {
    table.only(&BACKGROUND)?;
    let always = Spread::Constant(Duration::from_secs(1));
    let times =
        |key: &str, default: Spread| table.get(key).map_or(Ok(default), |item| spread(&item));
    let load = Background {
        name: table
            .get("name")
            .map_or_else(|| Ok(format!("background{number}")), |item| item.text())?,
        count: table.get("count").map_or(Ok(1), |item| item.whole(0..=10_000))? as u32,
        link: link_name(&table.need("link", "link = \"wifi\"")?, scenario)?,
        direction: table
            .get("direction")
            .map_or(Ok(Direction::Forward), |item| direction(&item))?,
        rate: table.need("rate", "rate = \"5mbit\"")?.read(text::rate)?,
        packet: table.get("packet").map_or(Ok(1500), |item| item.whole(28..=65_535))? as u16,
        on: times("on", always)?,
        off: times("off", Spread::Constant(Duration::ZERO))?,
        start: table.get("start").map_or(Ok(Duration::ZERO), |item| item.duration())?,
        stop: table.get("stop").map(|item| item.duration()).transpose()?,
    };
    Ok(load)
}
