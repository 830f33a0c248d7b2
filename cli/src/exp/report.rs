//! `mpuser exp report`: kept rows as tables and plots, on one page.

use super::args::Report;
use super::{campaign, library, store};
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use mpuser_engine::time::Duration;
use mpuser_sim::Direction;
use mpuser_sim::experiment::{Overrides, Seeds};
use mpuser_sim::metrics::{FlowOutcome, Histogram, Outcome};
use mpuser_sim::report::{
    Ladder, Page, Table, completion_boxes, delay_ccdf, dsn_ladder, throughput,
};
use mpuser_sim::scenario::Scenario;
use mpuser_sim::stats::Summary;
use mpuser_sim::world;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Most points of which runs are done once more.
const MAX_POINTS: usize = 6;

/// The kept rows: columns, and cells as text.
struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Parameters that were set.
type Set = Vec<(String, String)>;
/// What was set, and the rows of it.
type Point<'a> = (Set, Vec<&'a Vec<String>>);
/// A number of the run's, by its column's place.
type Metric<'a> = (&'a str, usize);

impl Rows {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("rows.csv");
        let shown = path.display().to_string();
        let damaged = |error: csv::Error| {
            let help =
                "mpuser exp run FILE --out DIR writes it; mpuser exp merge DIR puts parts together";
            Failure::new(Code::Malformed, format!("cannot read {shown}"), error, help)
        };
        let mut reader = csv::Reader::from_path(&path).map_err(damaged)?;
        let columns = reader.headers().map_err(damaged)?.iter().map(str::to_owned).collect();
        let rows = reader.records().map(|record| {
            record.map(|record| record.iter().map(str::to_owned).collect()).map_err(damaged)
        });
        Ok(Self { columns, rows: rows.collect::<Result<_, _>>()? })
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    /// The columns between the seed and the digest: parameters; behind the digest there are numbers.
    fn parts(&self) -> Option<(&[String], usize)> {
        let (seed, digest) = (self.place("seed")?, self.place("digest")?);
        Some((self.columns.get(seed + 1..digest)?, seed + 1))
    }

    /// Rows by what was set, in the order of the table.
    fn points(&self) -> Vec<Point<'_>> {
        let Some((names, from)) = self.parts() else { return Vec::new() };
        let mut points: Vec<Point<'_>> = Vec::new();
        for row in &self.rows {
            let values = names.iter().cloned().zip(row.iter().skip(from).cloned());
            let set: Set = values.filter(|(_, v)| !v.is_empty()).collect();
            match points.iter_mut().find(|(known, _)| *known == set) {
                Some((_, rows)) => rows.push(row),
                None => points.push((set, vec![row])),
            }
        }
        points
    }

    fn numbers(&self) -> impl Iterator<Item = Metric<'_>> {
        let from = self.place("digest").map_or(usize::MAX, |at| at.saturating_add(1));
        self.columns.iter().enumerate().skip(from).map(|(at, name)| (name.as_str(), at))
    }
}

/// Values of a column.
fn values(rows: &[&Vec<String>], at: usize) -> Vec<f64> {
    rows.iter().filter_map(|row| row.get(at)?.parse().ok()).collect()
}

/// What was set, without what is the same everywhere.
fn label(set: &[(String, String)], all: &[Set]) -> String {
    let differs = |pair: &&(String, String)| all.iter().any(|other| !other.contains(pair));
    let words: Vec<String> = set.iter().filter(differs).map(|(k, v)| format!("{k}={v}")).collect();
    if words.is_empty() { "all runs".to_owned() } else { words.join(" ") }
}

/// Runs the command.
pub(crate) fn run(args: &Report, printer: Printer) -> Result<ExitCode, Failure> {
    let rows = Rows::read(&args.dir)?;
    let manifest = store::manifest(&args.dir.join("manifest.json"))?;
    let points = rows.points();
    let sets: Vec<Set> = points.iter().map(|(set, _)| set.clone()).collect();
    let mut page = Page::new(&format!("{}: report", manifest.name));
    page.text(&format!(
        "{} runs, {} points; mpuser {}, plan {}. Means with 95 % confidence intervals (Student's t).",
        rows.rows.len(),
        points.len(),
        manifest.version,
        manifest.plan,
    ));
    let mut files = Files { dir: &args.dir, written: Vec::new() };
    page.heading(1, "Results");
    for (set, of_point) in &points {
        page.heading(2, &label(set, &sets));
        page.table(&summary(&rows, of_point));
    }
    boxes(&rows, &points, &sets, &mut page, &mut files)?;
    let file = args.scenario.as_deref().unwrap_or(&manifest.name);
    again(file, &rows, &points, &sets, &mut page, &mut files, printer)?;
    files.write("report.html", &page.html())?;
    let written: Vec<String> = files.written.iter().map(|p| p.display().to_string()).collect();
    if printer.json {
        let object = json!({ "schema": "mpuser.exp.report/1", "files": written });
        output::stdout(&format!("{object}\n"));
    } else {
        output::stdout(&format!("{}\n", written.join("\n")));
    }
    Ok(ExitCode::SUCCESS)
}

/// What goes into the directory.
struct Files<'a> {
    dir: &'a Path,
    written: Vec<PathBuf>,
}

impl Files<'_> {
    fn write(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.join(name);
        store::replace(&path, text.as_bytes())?;
        self.written.push(path);
        Ok(())
    }

    /// A plot, beside the page and on it.
    fn plot(
        &mut self,
        page: &mut Page,
        name: &str,
        svg: &str,
        caption: &str,
    ) -> Result<(), Failure> {
        page.figure(svg, caption);
        self.write(&format!("{name}.svg"), svg)
    }
}

/// All numbers of a point that are not zero everywhere.
fn summary(rows: &Rows, of_point: &[&Vec<String>]) -> Table {
    let mut table = Table::new(&["quantity", "mean", "95 % interval", "sd", "min", "max", "n"]);
    for (name, at) in rows.numbers() {
        let s = Summary::of(&values(of_point, at));
        if s.n == 0 || (s.min.abs() < f64::MIN_POSITIVE && s.max.abs() < f64::MIN_POSITIVE) {
            continue;
        }
        let show = mpuser_sim::presets::show;
        let half = if s.n > 1 { format!("± {}", show(s.ci95)) } else { String::new() };
        let cells = [name.to_owned(), show(s.mean), half, show(s.sd), show(s.min), show(s.max)];
        let mut cells = cells.to_vec();
        cells.push(s.n.to_string());
        table.rows.push(cells);
    }
    table
}

/// Completion times, a box per point, for each group of flows.
fn boxes(
    rows: &Rows,
    points: &[Point<'_>],
    sets: &[Set],
    page: &mut Page,
    files: &mut Files<'_>,
) -> Result<(), Failure> {
    let mut first = true;
    for (name, at) in rows.numbers() {
        let Some(group) = name.strip_suffix(".completion_mean_s") else { continue };
        let times: Vec<(String, Vec<f64>)> =
            points.iter().map(|(set, rows)| (label(set, sets), values(rows, at))).collect();
        let title = format!("Completion times of {group}, a value per run");
        let Ok(svg) = completion_boxes(&title, &times) else { continue };
        if std::mem::take(&mut first) {
            page.heading(1, "Completion times");
        }
        let caption =
            "Box: quartiles and median; whiskers: 1.5 interquartile ranges; dots: beyond them.";
        files.plot(page, &format!("completions-{group}"), &svg, caption)?;
    }
    Ok(())
}

/// The first run of each point, once more.
fn again(
    file: &str,
    rows: &Rows,
    points: &[Point<'_>],
    sets: &[Set],
    page: &mut Page,
    files: &mut Files<'_>,
    printer: Printer,
) -> Result<(), Failure> {
    page.heading(1, "One run of each point");
    let mut delays: Vec<(String, Histogram)> = Vec::new();
    for (number, (set, of_point)) in points.iter().take(MAX_POINTS).enumerate() {
        let Some(row) = of_point.first() else { continue };
        let name = label(set, sets);
        let repeated = repeat(file, rows, set, row);
        let (scenario, outcome, ladder) = match repeated {
            Ok(repeated) => repeated,
            Err(because) => {
                let text = format!("{name}: there are no plots over time: {because}");
                printer.line(&text);
                page.text(&text);
                continue;
            }
        };
        page.heading(2, &format!("{name}, seed {}", outcome.seed));
        let Some(flow) = shown(&outcome) else { continue };
        let who = format!("{} {}", flow.group, flow.instance);
        if let Ok(svg) = throughput(&format!("Throughput of {who}"), flow, scenario.sample) {
            files.plot(
                page,
                &format!("throughput-{number}"),
                &svg,
                "Payload by subflow, and what the application read.",
            )?;
        }
        if let Ok(svg) = dsn_ladder(&format!("DSN ladder of {who}"), &ladder.sent) {
            files.plot(
                page,
                &format!("ladder-{number}"),
                &svg,
                "A dot for each mapping sent, retransmissions included.",
            )?;
        }
        let mut all = Histogram::default();
        outcome.flows.iter().filter(|f| f.mptcp).for_each(|f| all.merge(&f.ofo_delay));
        delays.push((name, all));
    }
    let shown: Vec<(String, &Histogram)> = delays.iter().map(|(n, h)| (n.clone(), h)).collect();
    if let Ok(svg) = delay_ccdf("Out-of-order delay of all MPTCP flows", &shown) {
        page.heading(1, "Out-of-order delay");
        files.plot(
            page,
            "out-of-order-delay",
            &svg,
            "How long bytes waited for the ones before them.",
        )?;
    }
    Ok(())
}

/// The flow that is shown: the first one with several subflows.
fn shown(outcome: &Outcome) -> Option<&FlowOutcome> {
    let several = outcome.flows.iter().find(|flow| flow.subflows.len() > 1);
    several.or(outcome.flows.first())
}

/// Does the run of a row once more; its digest has to be that of the row.
fn repeat(
    file: &str,
    rows: &Rows,
    set: &[(String, String)],
    row: &[String],
) -> Result<(Scenario, Outcome, Ladder), String> {
    let cell =
        |name: &str| rows.place(name).and_then(|at| row.get(at)).cloned().unwrap_or_default();
    let seed: u64 = cell("seed").parse().map_err(|_| "the row has no seed".to_owned())?;
    let words = |failure: Failure| format!("{}: {}", failure.what, failure.because);
    let overrides = Overrides {
        set: set.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        ..Overrides::default()
    };
    let mut opened = library::open(file).map_err(words)?;
    let plan = opened.single(&overrides, Some(Seeds::Given(vec![seed]))).map_err(words)?;
    let mut scenario = plan.scenario(0).map_err(|mistake| mistake.to_string())?;
    let outcome = campaign::one(&plan, 0).map_err(words)?.outcome;
    if outcome.digest != cell("digest") {
        return Err(format!("the run with seed {seed} comes out otherwise than its row says"));
    }
    let at = outcome.flows.iter().position(|flow| flow.subflows.len() > 1).unwrap_or(0);
    let group = outcome.flows.get(at).map(|flow| flow.group.clone()).unwrap_or_default();
    let direction = scenario.flows.iter().find(|f| f.name == group).map(|f| f.direction);
    let mut ladder = Ladder::new(at as u32, direction.unwrap_or(Direction::Forward));
    // samples take no part in what happens
    if scenario.sample.is_zero() {
        scenario.sample = Duration::from_millis(100);
    }
    let outcome = world::run_with(&scenario, seed, &mut ladder)?;
    Ok((scenario, outcome, ladder))
}
