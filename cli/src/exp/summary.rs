//! Many rows in short: means with 95 % intervals, by point.

use crate::table::Table;
use crate::units;
use mpuser_sim::experiment::{Plan, Rows};
use mpuser_sim::stats::Summary;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What the runs of a point have shown.
pub(crate) struct PointSummary {
    /// Parameters that differ between points.
    pub(crate) varying: Vec<(String, String)>,
    /// Every number by column.
    pub(crate) metrics: BTreeMap<String, Summary>,
}

/// A summary for each point that has rows.
pub(crate) fn points(plan: &Plan, rows: &Rows) -> Vec<PointSummary> {
    let column = |name: &str| plan.columns().iter().position(|column| column == name);
    let Some(digest) = column("digest") else { return Vec::new() };
    let mut by_point: BTreeMap<usize, Vec<&[String]>> = BTreeMap::new();
    for (number, cells) in rows.iter() {
        if let Some(run) = plan.run(number) {
            by_point.entry(run.point).or_default().push(cells);
        }
    }
    let varying = plan.varying();
    let summarise = |(point, rows): (usize, Vec<&[String]>)| {
        let of_point = plan.points.get(point);
        let value =
            |name: &String| of_point.and_then(|point| point.get(name)).unwrap_or("-").to_owned();
        let numbers = plan.columns().iter().enumerate().skip(digest + 1);
        let metrics = numbers.map(|(at, name)| {
            let cells = rows.iter().filter_map(|cells| cells.get(at)?.parse().ok());
            (name.clone(), Summary::of(&cells.collect::<Vec<f64>>()))
        });
        PointSummary {
            varying: varying.iter().map(|name| (name.clone(), value(name))).collect(),
            metrics: metrics.collect(),
        }
    };
    by_point.into_iter().map(summarise).collect()
}

/// A column of the tables: its heading, its metric, and how a value is shown.
type Shown = (&'static str, &'static str, fn(f64) -> String);

const GROUP: [Shown; 11] = [
    ("goodput", "goodput_bps", units::bit_rate),
    ("benefit", "aggregation_benefit", two),
    ("Jain", "jain", three),
    ("finished", "finished", one),
    ("completion", "completion_mean_s", units::seconds),
    ("in time", "deadline_met", units::percent),
    ("out of order", "ofo_max_bytes", size),
    ("waited p95", "ofo_delay_p95_s", units::seconds),
    ("duplicate", "duplicate_bytes", size),
    ("resent", "retransmitted_bytes", size),
    ("errors", "errors", one),
];

const LINK: [Shown; 4] = [
    ("used", "utilisation", units::percent),
    ("queue full", "queue_full", one),
    ("lost", "lost", one),
    ("longest queue", "queue_max", one),
];

fn one(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn two(value: f64) -> String {
    format!("{value:.2}")
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

fn size(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only for printing"
    )]
    units::size(value.max(0.0).round() as u64)
}

/// `28.4 Mbit/s ±0.2`
fn cell(metrics: &BTreeMap<String, Summary>, name: &str, show: fn(f64) -> String) -> String {
    match metrics.get(name) {
        Some(summary) if summary.n > 1 && summary.ci95 > 0.0 => {
            format!("{} ±{}", show(summary.mean), show(summary.ci95))
        }
        Some(summary) if summary.n > 0 => show(summary.mean),
        _ => "-".to_owned(),
    }
}

/// Names in front of these metrics, as the columns have them: flow groups, links with their direction.
fn owners(plan: &Plan, metric: &str, link: bool) -> Vec<String> {
    let suffix = format!(".{metric}");
    let of = |column: &String| column.strip_suffix(&suffix).map(str::to_owned);
    let owners = plan.columns().iter().filter_map(of);
    owners.filter(|owner| owner.starts_with("link.") == link).collect()
}

/// The summary for people.
pub(crate) fn render(plan: &Plan, points: &[PointSummary]) -> String {
    let mut text = String::new();
    let varying = points.first().map(|point| &point.varying).into_iter().flatten();
    let varying: Vec<String> = varying.map(|(name, _)| name.clone()).collect();
    let mut table = |title: &str, shown: &[Shown], link: bool, first: &str| {
        let head = varying.iter().map(String::as_str).chain([title]);
        let mut table = Table::new(head.chain(shown.iter().map(|(heading, ..)| *heading)));
        for point in points {
            for owner in owners(plan, first, link) {
                let values = point.varying.iter().map(|(_, value)| value.clone());
                let name = owner.strip_prefix("link.").unwrap_or(&owner);
                let cells = shown.iter().map(|(_, metric, show)| {
                    cell(&point.metrics, &format!("{owner}.{metric}"), *show)
                });
                // a link without a rate, or one that carries ACKs only, says nothing
                let used = point.metrics.get(&format!("{owner}.utilisation"));
                let idle = used.is_none_or(|used| used.n == 0 || used.max < 0.1);
                if !(link && idle) {
                    table.row(values.chain([name.to_owned()]).chain(cells));
                }
            }
        }
        text.push_str(&table.render());
    };
    table("flow", &GROUP, false, "goodput_bps");
    if points.len() == 1 {
        table("link", &LINK, true, "utilisation");
    }
    text.push_str(&quantities(plan, points, &varying));
    text
}

/// What a preset takes from its runs.
fn quantities(plan: &Plan, points: &[PointSummary], varying: &[String]) -> String {
    let of = |column: &String| column.strip_prefix("preset.").map(str::to_owned);
    let names: Vec<String> = plan.columns().iter().filter_map(of).collect();
    if names.is_empty() {
        return String::new();
    }
    let mut table = Table::new([&["quantities".to_owned()], varying, &names].concat());
    for point in points {
        let values = point.varying.iter().map(|(_, value)| value.clone());
        let cells = names.iter().map(|name| cell(&point.metrics, &format!("preset.{name}"), short));
        table.row([String::new()].into_iter().chain(values).chain(cells));
    }
    table.render()
}

/// Four digits.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// The summary for programs.
pub(crate) fn object(plan: &Plan, points: &[PointSummary], runs: usize) -> Value {
    let point = |point: &PointSummary| {
        let parameters: Map<String, Value> =
            point.varying.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let metrics: Map<String, Value> = point
            .metrics
            .iter()
            .filter(|(_, summary)| summary.n > 0)
            .map(|(name, s)| {
                (name.clone(), json!({ "n": s.n, "mean": s.mean, "ci95": s.ci95, "sd": s.sd, "min": s.min, "max": s.max }))
            })
            .collect();
        json!({ "parameters": parameters, "metrics": metrics })
    };
    json!({
        "schema": "mpuser.exp.summary/1",
        "name": plan.name,
        "plan": plan.digest,
        "runs": runs,
        "points": points.iter().map(point).collect::<Vec<_>>(),
    })
}

/// A row for programs: parameters as they were used, numbers as numbers.
pub(crate) fn row(plan: &Plan, cells: &[String]) -> Value {
    let parameters = plan.parameters();
    let (mut set, mut metrics, mut object) = (Map::new(), Map::new(), Map::new());
    object.insert("schema".to_owned(), json!("mpuser.exp.row/1"));
    for (name, cell) in plan.columns().iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
        let whole = cell.parse::<u64>().map(|number| json!(number)).ok();
        let number = || cell.parse::<f64>().map(|number| json!(number)).ok();
        let value = whole.or_else(number).unwrap_or_else(|| json!(cell));
        match name.as_str() {
            "run" | "point" | "seed" => drop(object.insert(name.clone(), value)),
            "digest" => drop(object.insert(name.clone(), json!(cell))),
            name if parameters.iter().any(|parameter| parameter == name) => {
                set.insert(name.to_owned(), value);
            }
            _ => drop(metrics.insert(name.clone(), value)),
        }
    }
    object.insert("parameters".to_owned(), Value::Object(set));
    object.insert("metrics".to_owned(), Value::Object(metrics));
    Value::Object(object)
}
