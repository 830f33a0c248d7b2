//! `mpuser conform`: the catalogue of cases against our engine, and against this machine's kernel.

pub(crate) mod kernel;
mod run;
mod view;

use crate::args::{Conform, ConformTarget};
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use mpuser_sim::conform::{Case, Differences, Observation, Row, Verdict, compare, select};
use std::process::ExitCode;

/// Runs the cases that were asked for, prints them, and fails with 7 on an unexplained difference.
pub(crate) fn run(args: &Conform, printer: Printer) -> Result<ExitCode, Failure> {
    let cases = select(&args.only).map_err(|word| {
        Failure::usage(
            format!("there is no group or case {word:?}"),
            "groups are letters, cases a letter and two digits",
            "`mpuser conform --list` lists them",
        )
    })?;
    if args.list {
        output::stdout(&view::list(&cases, printer.json));
        return Ok(ExitCode::SUCCESS);
    }
    let known = Differences::reviewed()
        .map_err(|why| Failure::internal("the file of expected differences is broken", why))?
        .of(args.profile);
    let whole = args.only.is_empty();
    let kernel = args.target == ConformTarget::Kernel;
    let rows = judged(&cases, args, &known, printer)?;
    let stale = known.stale(&rows, whole);
    let text = match (printer.json, args.md) {
        (true, _) => view::json(&rows, &stale),
        (false, true) => view::markdown(&rows, kernel),
        (false, false) => view::table(&rows, &printer),
    };
    output::stdout(&text);
    for id in &stale {
        printer.line(&format!(
            "{id}: the file of expected differences has an entry that no longer holds"
        ));
    }
    match rows.iter().filter(|row| row.verdict == Verdict::Differs).count() {
        0 if stale.is_empty() => Ok(ExitCode::SUCCESS),
        count => {
            if count > 0 {
                printer.line(&format!("{count} differences that nobody has explained"));
            }
            Ok(ExitCode::from(Code::Check.exit()))
        }
    }
}

/// Runs the cases against the engine and, if asked, the kernel.
fn judged(
    cases: &[Case],
    args: &Conform,
    known: &Differences,
    printer: Printer,
) -> Result<Vec<Row>, Failure> {
    let ours: Vec<Option<Observation>> =
        cases.iter().map(|case| run::engine(case, args.profile)).collect();
    let mut theirs = vec![None; cases.len()];
    if args.target == ConformTarget::Kernel {
        theirs = run::kernel(cases, run::MANY, printer)?;
        retry(cases, &ours, &mut theirs, known, printer)?;
    }
    let rows = cases.iter().zip(ours).zip(theirs);
    Ok(rows
        .map(|((case, ours), theirs)| compare::judge_with_counters(*case, ours, theirs, known))
        .collect())
}

/// Cases of the kernel's that came out as nobody expected run once more, few at a time: they depend on the wall
/// clock, and a machine under load is late.
fn retry(
    cases: &[Case],
    ours: &[Option<Observation>],
    theirs: &mut [Option<Observation>],
    known: &Differences,
    printer: Printer,
) -> Result<(), Failure> {
    let odd = |index: &usize| {
        let row = compare::judge_with_counters(
            cases[*index],
            ours[*index].clone(),
            theirs[*index].clone(),
            known,
        );
        row.verdict == Verdict::Differs
    };
    let again: Vec<usize> = (0..cases.len()).filter(odd).collect();
    let few: Vec<Case> = again.iter().map(|index| cases[*index]).collect();
    let outcome = run::kernel(&few, run::FEW, printer)?;
    for (index, observed) in again.into_iter().zip(outcome) {
        theirs[index] = observed;
    }
    Ok(())
}
