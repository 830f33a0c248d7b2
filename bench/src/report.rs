//! What came of a run: a table, JSON, a picture.

use crate::case::Settings;
use crate::run::{Outcome, median};
use mpuser_sim::report::{Bar, Table, bars};
use mpuser_tun::clock;
use serde::Serialize;
use std::fs;

/// Where and when it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// UTC.
    pub date: String,
    /// The processor's name.
    pub processor: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Rounds of each case.
    pub rounds: usize,
    /// Not to be taken for a result.
    pub quick: bool,
}

impl Setting {
    /// This machine, now.
    #[must_use]
    pub fn here(settings: &Settings) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let processor = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, n)| n);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            date: clock::utc(clock::to_wall(clock::now()))
                .split('.')
                .next()
                .unwrap_or_default()
                .to_owned()
                + "Z",
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            kernel: kernel.trim().to_owned(),
            rounds: settings.rounds,
            quick: settings.quick,
        }
    }

    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { date, processor, cores, kernel, rounds, quick } = self;
        let quick = if *quick { ", quick: no result, only a look" } else { "" };
        format!(
            "{date}, {processor}, {cores} cores, Linux {kernel}; medians of {rounds} rounds{quick}"
        )
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

fn verdict(outcome: &Outcome) -> &'static str {
    match outcome.is_met() {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "not run",
    }
}

/// Smallest and largest.
fn span(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// What the ask is about, round by round.
fn judged(outcome: &Outcome) -> Vec<f64> {
    match &outcome.values {
        Err(_) => Vec::new(),
        Ok(values) if outcome.case.ask.is_ratio() => values.ratios(),
        Ok(values) => values.contenders.first().map(|(_, v)| v.clone()).unwrap_or_default(),
    }
}

/// One line for each case, as Markdown.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let head = ["#", "what", "ask", "result", "rounds, from .. to", "", "medians"];
    let mut table = Table::new(&head);
    for outcome in outcomes {
        let case = &outcome.case;
        let (result, range, medians) = match &outcome.values {
            Err(reason) => (String::new(), String::new(), reason.clone()),
            Ok(values) => {
                let (least, most) = span(&judged(outcome));
                let each = values.contenders.iter();
                let each = each.map(|(name, v)| format!("{name} {}", number(median(v))));
                let mut medians = format!("{} {}", each.collect::<Vec<_>>().join(", "), case.unit);
                if values.disturbed > 0 {
                    medians += &format!(" ({} rounds DISTURBED)", values.disturbed);
                }
                let range = format!("{} .. {}", number(least), number(most));
                (outcome.result().map(number).unwrap_or_default(), range, medians)
            }
        };
        table.rows.push(vec![
            case.id.to_owned(),
            case.what.to_owned(),
            case.ask.to_string(),
            result,
            range,
            verdict(outcome).to_owned(),
            medians,
        ]);
    }
    table.markdown()
}

/// Rounds beside which others used the machine, in words; `None` if there were none.
#[must_use]
pub fn warning(outcomes: &[Outcome]) -> Option<String> {
    let values = outcomes.iter().filter_map(|outcome| outcome.values.as_ref().ok());
    let disturbed: usize = values.map(|values| values.disturbed).sum();
    (disturbed > 0).then(|| {
        format!(
            "WARNING: others used the processor during {disturbed} rounds. These numbers say little; \
             run it again on a quiet machine."
        )
    })
}

#[derive(Serialize)]
struct Report<'a> {
    setting: &'a Setting,
    cases: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    what: &'a str,
    unit: &'a str,
    ask: String,
    result: Option<f64>,
    met: Option<bool>,
    /// What the ask is about, round by round.
    judged: Vec<f64>,
    contenders: Vec<Values<'a>>,
    disturbed_rounds: usize,
    /// Why it was not run.
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Values<'a> {
    name: &'a str,
    median: f64,
    values: &'a [f64],
}

/// Everything, as JSON.
///
/// # Errors
/// Never short of a bug.
pub fn json(setting: &Setting, outcomes: &[Outcome]) -> Result<String, String> {
    let cases = outcomes.iter().map(|outcome| {
        let values = outcome.values.as_ref().ok();
        let contenders = values.map_or(&[][..], |values| &values.contenders);
        Entry {
            id: outcome.case.id,
            what: outcome.case.what,
            unit: outcome.case.unit,
            ask: outcome.case.ask.to_string(),
            result: outcome.result(),
            met: outcome.is_met(),
            judged: judged(outcome),
            contenders: contenders
                .iter()
                .map(|(name, values)| Values { name, median: median(values), values })
                .collect(),
            disturbed_rounds: values.map_or(0, |values| values.disturbed),
            error: outcome.values.as_ref().err().map(String::as_str),
        }
    });
    let report = Report { setting, cases: cases.collect() };
    serde_json::to_string_pretty(&report).map_err(|error| error.to_string())
}

/// A bar for each case: how many times what was asked for.
///
/// # Errors
/// Nothing was measured.
pub fn svg(setting: &Setting, outcomes: &[Outcome]) -> Result<String, String> {
    let bar = |outcome: &Outcome| {
        let (case, result) = (outcome.case, outcome.result()?);
        let reached = case.ask.reached(result);
        let parts = if case.ask.is_met(result) { vec![reached, 0.0] } else { vec![0.0, reached] };
        let note = format!("{} ({})", number(result), case.ask);
        Some(Bar { group: String::new(), name: format!("{} {}", case.id, case.what), parts, note })
    };
    let all: Vec<Bar> = outcomes.iter().filter_map(bar).collect();
    let disturbed = if warning(outcomes).is_some() { ", DISTURBED" } else { "" };
    let title = format!("mpuser, {}, {}{disturbed}", setting.date, setting.processor);
    bars(&title, "times what was asked for; 1 is met", &["met", "missed"], &all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Ask, Case, Watch};
    use crate::run::Values;

    fn outcomes() -> Vec<Outcome> {
        let case = |id, ask| Case {
            id,
            what: "this | that",
            unit: "Gbit/s",
            ask,
            watch: Watch::Throughout,
            prepare: |_| Ok(Vec::new()),
        };
        let contenders =
            vec![("ours".to_owned(), vec![3.0, 4.0, 5.0]), ("theirs".to_owned(), vec![2.0; 3])];
        let values = Ok(Values { contenders, disturbed: 1 });
        vec![
            Outcome { case: case("P1", Ask::RatioAtLeast(1.5)), values: values.clone() },
            Outcome { case: case("P9", Ask::RatioAtMost(0.8)), values: values.clone() },
            Outcome { case: case("P18", Ask::AtMost(8.0)), values },
            Outcome { case: case("P4", Ask::AtLeast(1.0)), values: Err("needs root".to_owned()) },
        ]
    }

    #[test]
    fn all_say_the_same() {
        let outcomes = outcomes();
        let text = table(&outcomes);
        assert!(
            text.contains("| >= 1.5 | 2.00 ") && text.contains("ours 4.00, theirs 2.00 Gbit/s"),
            "{text}"
        );
        assert!(
            text.contains("MISSED") && text.contains("needs root") && text.contains("DISTURBED")
        );
        let setting = Setting::here(&Settings::new(true));
        let report: serde_json::Value =
            serde_json::from_str(&json(&setting, &outcomes).unwrap()).unwrap();
        let met: Vec<_> = (0..4).map(|i| report["cases"][i]["met"].as_bool()).collect();
        assert_eq!(met, [Some(true), Some(false), Some(true), None]);
        assert_eq!(report["cases"][2]["result"], 4.0);
        let picture = svg(&setting, &outcomes).unwrap();
        assert!(picture.contains("P18") && !picture.contains("P4 "), "{picture}");
        assert!(warning(&outcomes).is_some_and(|text| text.contains("3 rounds")));
        assert!(setting.line().contains("quick"));
    }
}
