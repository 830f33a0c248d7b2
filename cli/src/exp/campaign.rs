//! Many runs on all cores. Each run is single-threaded and knows nothing of the others, so that the number of threads
//! changes nothing but the time it takes.

use crate::error::{Code, Failure};
use crate::output::Printer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mpuser_sim::experiment::{Plan, Run};
use mpuser_sim::metrics::Outcome;
use mpuser_sim::scenario::Scenario;
use mpuser_sim::world;
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};
use std::sync::mpsc;

/// A run that is done.
pub(crate) struct Done {
    pub(crate) run: Run,
    pub(crate) scenario: Scenario,
    pub(crate) outcome: Outcome,
}

/// Does these runs, and hands over each when it is done, in no order.
pub(crate) fn run(
    plan: &Plan,
    runs: &[u64],
    threads: Option<u16>,
    printer: Printer,
    mut done: impl FnMut(Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.map_or(0, usize::from)).build();
    let pool = pool.map_err(|error| Failure::internal("there are no threads to run on", error))?;
    let bar = bar(runs.len(), printer);
    std::thread::scope(|scope| {
        // a few finished runs may wait while rows are written
        let (sender, receiver) = mpsc::sync_channel(64);
        scope.spawn(move || {
            pool.install(|| {
                // a receiver that has gone ends it all
                runs.par_iter().with_max_len(1).try_for_each_with(sender, |sender, number| {
                    sender.send(one(plan, *number)).map_err(|_| ())
                })
            })
        });
        for finished in receiver {
            done(finished?)?;
            bar.inc(1);
        }
        Ok::<(), Failure>(())
    })?;
    bar.finish_and_clear();
    Ok(())
}

/// Does one run.
pub(crate) fn one(plan: &Plan, number: u64) -> Result<Done, Failure> {
    let none = || Failure::internal("a run is not part of its plan", format!("run {number}"));
    let run = plan.run(number).ok_or_else(none)?;
    let failed = |because: String| {
        let point = plan.points.get(run.point).map(|point| point.label()).unwrap_or_default();
        let what = format!("run {number} (seed {}, {point}) cannot be simulated", run.seed);
        Failure::new(Code::Malformed, what, because, "change the scenario, or what was set")
    };
    let scenario = plan.scenario(run.point).map_err(|mistake| failed(mistake.to_string()))?;
    let outcome = world::run(&scenario, run.seed).map_err(failed)?;
    Ok(Done { run, scenario, outcome })
}

/// On stderr, if that is a terminal.
fn bar(runs: usize, printer: Printer) -> ProgressBar {
    if printer.is_mute() || runs < 2 {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(5);
    let bar = ProgressBar::with_draw_target(Some(runs as u64), target);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {elapsed}, {eta} to go");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("##."));
    }
    bar
}
