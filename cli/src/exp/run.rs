//! `mpuser exp run`.

use super::args::Run;
use super::store::Store;
use super::{campaign, library, merge, summary};
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use mpuser_engine::time::Duration;
use mpuser_sim::experiment::{Plan, Rows, Shard};
use mpuser_tun::clock;
use std::process::ExitCode;

/// How often rows are written to disk at most: what a kill may cost.
const FLUSH: Duration = Duration::from_secs(1);

/// Runs the command.
pub(crate) fn run(args: &Run, printer: Printer) -> Result<ExitCode, Failure> {
    let plan = library::open(&args.file)?.plan(&args.wishes.overrides())?;
    let shard = match args.shard.as_deref() {
        None => Ok(Shard::default()),
        Some("auto") => Shard::from_environment(|name| std::env::var(name).ok()),
        Some(text) => Shard::parse(text),
    };
    let shard =
        shard.map_err(|error| Failure::usage("this is no shard", error.message, error.help))?;
    if shard.count > plan.total() && shard.index >= plan.total() {
        printer
            .line(&format!("shard {shard} has nothing to do: the plan has {} runs", plan.total()));
    }
    let rows = match &args.out {
        None => in_memory(&plan, args, printer)?,
        Some(dir) => {
            let mut store = Store::open(dir, &plan, shard)?;
            resume(&plan, shard, &mut store, args, printer)?;
            if shard.count == 1 {
                merge::merge(dir)?;
            }
            store.rows
        }
    };
    report(&plan, &rows, printer);
    if let (Some(dir), false) = (&args.out, printer.json) {
        let dir = dir.display();
        printer.line(&match shard.count {
            1 => format!("rows in {dir}/rows.csv; {dir}/manifest.json says what they are"),
            _ => format!("shard {shard} is done; when all are: mpuser exp merge {dir}"),
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything, kept nowhere.
fn in_memory(plan: &Plan, args: &Run, printer: Printer) -> Result<Rows, Failure> {
    let mut rows = Rows::default();
    let runs: Vec<u64> = (0..plan.total()).collect();
    campaign::run(plan, &runs, args.wishes.threads, printer, |done| {
        let cells = cells(plan, &done)?;
        rows.add(done.run.number, cells)
            .map_err(|error| Failure::internal("a run was run twice", error))
    })?;
    Ok(rows)
}

/// What of the shard is not in the store.
fn resume(
    plan: &Plan,
    shard: Shard,
    store: &mut Store,
    args: &Run,
    printer: Printer,
) -> Result<(), Failure> {
    let all: Vec<u64> = shard.runs(plan.total()).collect();
    let runs: Vec<u64> = all.iter().copied().filter(|run| !store.rows.has(*run)).collect();
    if runs.len() < all.len() {
        printer.line(&format!(
            "{} of {} runs are there already",
            all.len() - runs.len(),
            all.len()
        ));
    }
    let mut written = clock::now();
    campaign::run(plan, &runs, args.wishes.threads, printer, |done| {
        store.add(done.run.number, cells(plan, &done)?)?;
        let now = clock::now();
        if now.saturating_since(written) >= FLUSH {
            store.write(false)?;
            // a long table takes its time: most of it is for running
            let took = clock::now().saturating_since(now);
            written = now + took * 20;
        }
        Ok(())
    })?;
    store.write(true)
}

fn cells(plan: &Plan, done: &campaign::Done) -> Result<Vec<String>, Failure> {
    let cells = plan.row(&done.run, &done.scenario, &done.outcome);
    cells.map_err(|mistake| {
        Failure::new(Code::Internal, "a run has no row", mistake, "please report it")
    })
}

fn report(plan: &Plan, rows: &Rows, printer: Printer) {
    let points = summary::points(plan, rows);
    if printer.json {
        let lines = rows.iter().map(|(_, cells)| format!("{}\n", summary::row(plan, cells)));
        output::stdout(&lines.collect::<String>());
        output::stdout(&format!("{}\n", summary::object(plan, &points, rows.len())));
        return;
    }
    let seeds = plan.seeds.count();
    printer.line(&format!(
        "{}: {} runs, {} points with {seeds} seeds each; means ±95 % interval",
        plan.name,
        rows.len(),
        plan.points.len(),
    ));
    output::stdout(&summary::render(plan, &points));
}
