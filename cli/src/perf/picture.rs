//! What was measured as a picture: bars for the standard set, rates over time for one measurement.

use super::figures::bits_per_second;
use super::meter::{Interval, Row};
use super::report::Obeyed;
use crate::error::Failure;
use crate::units;
use mpuser_sim::report::{Bar, Curve, Mark, Panel, bars, timeline};
use serde_json::Value;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

const MEGA: f64 = 1e6;

/// What is drawn of a row of the standard set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) bytes: u64,
    pub(super) time: Duration,
    /// The data's rate as it arrived, bit/s.
    pub(super) goodput: f64,
    /// Segments sent again, where the sender says so.
    pub(super) again: Option<u64>,
    /// Number of the subflow, and its share in what the client sent or received.
    pub(super) shares: Vec<(u64, f64)>,
}

impl Figures {
    /// Those of a row in `results.json`; none of a run that failed.
    pub(super) fn of(row: &Value) -> Option<Self> {
        let end = &row["result"]["end"];
        let (got, sent) = (&end["received"][0], &end["sent"][0]);
        let bytes = got["bytes"].as_u64()?;
        let time = Duration::try_from_secs_f64(got["seconds"].as_f64().unwrap_or(0.0));
        let time = time.unwrap_or_default();
        let key = if sent["sender"] == true { "share_sent" } else { "share_received" };
        let subflows = row["result"]["subflows"][0]["subflows"].as_array();
        let share = |subflow: &Value| Some((subflow["id"].as_u64()?, subflow[key].as_f64()?));
        let shares = subflows.into_iter().flatten().filter_map(share).collect();
        let (goodput, again) = (bits_per_second(bytes, time), sent["retransmits"].as_u64());
        Some(Self { bytes, time, goodput, again, shares })
    }
}

/// The standard set as bars, a colour for each subflow.
pub(super) fn suite(rows: &[Value], title: &str) -> Result<String, Failure> {
    let figures: Vec<Option<Figures>> = rows.iter().map(Figures::of).collect();
    let shares = || figures.iter().flatten().flat_map(|figures| &figures.shares);
    let subflows = shares().map(|(id, _)| id + 1).max().unwrap_or(1);
    let names: Vec<String> = (0..subflows).map(|id| format!("subflow {id}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bar = |(row, figures): (&Value, &Option<Figures>)| {
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let (parts, note) = match figures {
            None => (Vec::new(), "failed".to_owned()),
            Some(figures) => (parts(figures, subflows), note(figures)),
        };
        Bar { group: word("group"), name: word("name"), parts, note }
    };
    let all: Vec<Bar> = rows.iter().zip(&figures).map(bar).collect();
    let unit = "goodput, Mbit/s; coloured by each subflow's share in the bytes";
    drawn(bars(title, unit, &names, &all))
}

fn drawn(svg: Result<String, String>) -> Result<String, Failure> {
    svg.map_err(|why| Failure::internal("the picture cannot be drawn", why))
}

fn parts(figures: &Figures, subflows: u64) -> Vec<f64> {
    let share = |id| figures.shares.iter().find(|(known, _)| *known == id).map_or(0.0, |s| s.1);
    (0..subflows).map(|id| share(id) * figures.goodput / MEGA).collect()
}

/// The rate; of short ones the time, which is what counts.
fn note(figures: &Figures) -> String {
    let rate = units::bit_rate(figures.goodput);
    if figures.time < Duration::from_secs(1) {
        format!("{rate} in {}", units::time(figures.time))
    } else {
        rate
    }
}

/// One measurement: the rate of each subflow over time, of all connections together, and what `--at` did when.
pub(super) fn measurement(
    title: &str,
    intervals: &[Interval],
    orders: &[Obeyed],
) -> Result<String, Failure> {
    let mut panels = Vec::new();
    for (sends, word) in [(true, "sent"), (false, "received")] {
        let curves = curves(intervals, sends);
        if !curves.is_empty() {
            panels.push(Panel { y: format!("{word}, Mbit/s"), curves });
        }
    }
    let mark = |obeyed: &Obeyed| {
        let failed = if obeyed.refusals.is_empty() { "" } else { " (refused)" };
        Mark { at: obeyed.at.as_secs_f64(), text: format!("{}{failed}", obeyed.order) }
    };
    let marks: Vec<Mark> = orders.iter().map(mark).collect();
    drawn(timeline(title, &panels, &marks))
}

/// A curve for each subflow by number, and what the application wrote or read.
fn curves(intervals: &[Interval], sends: bool) -> Vec<Curve> {
    let mut of_subflows: Vec<(u32, Curve)> = Vec::new();
    let mut total = Curve { name: "application".to_owned(), steps: Vec::new(), wide: true };
    for interval in intervals {
        let (from, to) = (interval.from.as_secs_f64(), interval.to.as_secs_f64());
        let time = interval.to.saturating_sub(interval.from);
        let rows = || interval.rows.iter().filter(|row| row.sends == sends);
        // where there are several connections, the last row is their sum
        let Some(row) = rows().find(|row| row.flow.is_none()).or_else(|| rows().next()) else {
            continue;
        };
        let rate = |bytes| bits_per_second(bytes, time) / MEGA;
        total.steps.push((from, to, rate(row.bytes)));
        for (number, share) in &row.subflows {
            let place = of_subflows.iter().position(|(known, _)| known == number);
            let place = place.unwrap_or_else(|| {
                let name = name(*number, intervals);
                of_subflows.push((*number, Curve { name, ..Curve::default() }));
                of_subflows.len() - 1
            });
            if let Some((_, curve)) = of_subflows.get_mut(place) {
                curve.steps.push((from, to, rate(share.bytes)));
            }
        }
    }
    of_subflows.sort_by_key(|(number, _)| *number);
    let mut curves: Vec<Curve> = of_subflows.into_iter().map(|(_, curve)| curve).collect();
    if !total.steps.is_empty() {
        curves.push(total);
    }
    curves
}

/// `#0 eth1`; without the path where connections use different ones under this number.
fn name(number: u32, intervals: &[Interval]) -> String {
    let rows = intervals.iter().flat_map(|interval| &interval.rows);
    let mut paths = rows.filter_map(|row: &Row| Some(row.subflows.get(&number)?.path.as_str()));
    match paths.next() {
        Some(first) if paths.all(|path| path == first) => format!("#{number} {first}"),
        _ => format!("#{number}"),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::io(format!("cannot write to {}", path.display()), &error)
}

/// Whether a picture can be left there: it is better to know before measuring.
pub(super) fn writable(path: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map(drop).map_err(failed(path))
}

/// Leaves a picture in a file.
pub(super) fn write(path: &Path, svg: &str) -> Result<(), Failure> {
    std::fs::write(path, svg).map_err(failed(path))
}

#[cfg(test)]
mod tests {
    use super::super::meter::Share;
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn words(svg: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let texts = document.descendants().filter(|n| n.is_text()).filter_map(|n| n.text());
        texts.map(|text| text.trim().to_owned()).collect()
    }

    fn result(bytes: u64, seconds: f64, shares: &[f64]) -> Value {
        let share = |(id, share): (usize, &f64)| json!({ "id": id, "share_sent": share });
        let subflows: Vec<Value> = shares.iter().enumerate().map(share).collect();
        json!({
            "end": {
                "received": [{ "bytes": bytes, "seconds": seconds }],
                "sent": [{ "sender": true, "retransmits": 3 }],
            },
            "subflows": [{ "subflows": subflows }],
        })
    }

    #[test]
    fn a_bar_for_each_run() {
        let rows = [
            json!({ "group": "g", "name": "two", "result": result(12_500_000, 1.0, &[0.75, 0.25]) }),
            json!({ "group": "g", "name": "short", "result": result(1_000, 0.01, &[1.0]) }),
            json!({ "group": "h", "name": "dead", "result": null }),
        ];
        let figures = Figures::of(&rows[0]).unwrap();
        assert_eq!(parts(&figures, 2), [75.0, 25.0]);
        assert_eq!(figures.again, Some(3));
        let words = words(&suite(&rows, "T").unwrap());
        for word in ["T", "g", "h", "two", "short", "dead", "failed", "subflow 0", "subflow 1"] {
            assert!(words.iter().any(|found| found == word), "{word}: {words:?}");
        }
        assert!(words.iter().any(|found| found.ends_with("in 10.0 ms")), "{words:?}");
    }

    fn interval(from: u64, shares: &[(u32, u64)]) -> Interval {
        let share = |bytes| Share { path: "eth1".to_owned(), bytes, backup: false };
        let subflows: BTreeMap<_, _> = shares.iter().map(|(n, b)| (*n, share(*b))).collect();
        let bytes = shares.iter().map(|(_, bytes)| bytes).sum();
        let row = Row { flow: Some(1), sends: true, bytes, retransmits: None, subflows };
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(from + 1));
        Interval { from, to, rows: vec![row] }
    }

    #[test]
    fn curves_have_gaps_and_orders_are_marked() {
        let intervals =
            [interval(0, &[(0, 125_000)]), interval(1, &[(1, 250_000)]), interval(2, &[(0, 0)])];
        let curves = curves(&intervals, true);
        assert_eq!(curves[0].steps, [(0.0, 1.0, 1.0), (2.0, 3.0, 0.0)]);
        assert_eq!(curves[1].steps, [(1.0, 2.0, 2.0)]);
        assert_eq!(curves[2].steps.len(), 3);
        let at = Duration::from_secs(1);
        let order = Obeyed { at, order: "del=0".to_owned(), refusals: vec!["no".to_owned()] };
        let words = words(&measurement("T", &intervals, &[order]).unwrap());
        for word in ["#0 eth1", "#1 eth1", "application", "del=0 (refused)", "sent, Mbit/s"] {
            assert!(words.iter().any(|found| found == word), "{word}: {words:?}");
        }
        assert!(measurement("T", &[], &[]).is_err());
    }
}
