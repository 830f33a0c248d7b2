//! `mpuser sim`: a scenario in virtual time, once or with many seeds.

pub(crate) mod args;
mod traces;
mod view;

use crate::error::Failure;
use crate::exp::{campaign, library, store, summary};
use crate::output::{self, Printer};
use args::Sim;
use mpuser_sim::experiment::{Rows, Seeds};
use serde_json::json;
use std::process::ExitCode;

/// Runs the command.
pub(crate) fn run(args: &Sim, printer: Printer) -> Result<ExitCode, Failure> {
    let mut opened = library::open(&args.scenario)?;
    let overrides = args.wishes.overrides();
    match (&args.wishes.seeds, args.seed) {
        (Some(seeds), _) => many(&mut opened, &overrides, seeds.clone(), args, printer),
        (None, seed) => once(&mut opened, &overrides, seed, args, printer),
    }
}

/// One run, shown flow by flow.
fn once(
    opened: &mut library::Opened,
    overrides: &mpuser_sim::experiment::Overrides,
    seed: Option<u64>,
    args: &Sim,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let plan = opened.single(overrides, seed.map(|seed| Seeds::Given(vec![seed])))?;
    let watched = args.traces.pcap.is_some() || args.traces.qlog.is_some();
    let done = if watched { traces::run(&plan, &args.traces)? } else { campaign::one(&plan, 0)? };
    if printer.json {
        let object = json!({
            "schema": "mpuser.sim/1",
            "scenario": done.scenario.name,
            "seed": done.run.seed,
            "digest": done.outcome.digest,
            "outcome": done.outcome,
        });
        output::stdout(&format!("{object}\n"));
    } else {
        output::stdout(&view::run(&done, printer));
    }
    Ok(ExitCode::SUCCESS)
}

/// Many runs in short. The digest is that of all runs' digests.
fn many(
    opened: &mut library::Opened,
    overrides: &mpuser_sim::experiment::Overrides,
    seeds: Seeds,
    args: &Sim,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let plan = opened.single(overrides, Some(seeds))?;
    let runs: Vec<u64> = (0..plan.total()).collect();
    let mut rows = Rows::default();
    let mut digests = vec![String::new(); runs.len()];
    campaign::run(&plan, &runs, args.wishes.threads, printer, |done| {
        if let Some(place) =
            usize::try_from(done.run.number).ok().and_then(|at| digests.get_mut(at))
        {
            place.clone_from(&done.outcome.digest);
        }
        let cells = plan.row(&done.run, &done.scenario, &done.outcome);
        let cells = cells.map_err(|mistake| Failure::internal("a run has no row", mistake))?;
        rows.add(done.run.number, cells)
            .map_err(|error| Failure::internal("a run was run twice", error))
    })?;
    let digest = store::sha256(digests.concat().as_bytes());
    let points = summary::points(&plan, &rows);
    if printer.json {
        for (_, cells) in rows.iter() {
            output::stdout(&format!("{}\n", summary::row(&plan, cells)));
        }
        let mut object = summary::object(&plan, &points, rows.len());
        object["digest"] = json!(digest);
        output::stdout(&format!("{object}\n"));
    } else {
        let text = summary::render(&plan, &points);
        let runs = rows.len();
        output::stdout(&format!("{text}{runs} runs, means ±95 % interval; digest {digest}\n"));
    }
    Ok(ExitCode::SUCCESS)
}
