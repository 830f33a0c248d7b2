//! `mpuser exp`: a scenario at many points, with many seeds, on all cores or many machines.

pub(crate) mod args;
pub(crate) mod campaign;
mod jobs;
pub(crate) mod library;
mod merge;
#[cfg(feature = "parquet")]
mod parquet;
mod presets;
mod report;
mod run;
pub(crate) mod store;
pub(crate) mod summary;

use crate::error::Failure;
use crate::output::Printer;
use args::Exp;
use std::process::ExitCode;

/// Runs one of the commands.
pub(crate) fn run(command: &Exp, printer: Printer) -> Result<ExitCode, Failure> {
    match command {
        Exp::Run(args) => run::run(args, printer),
        Exp::Presets(args) => presets::run(args, printer),
        Exp::Report(args) => report::run(args, printer),
        Exp::Merge(args) => merge::run(args, printer),
        Exp::Slurm(args) => jobs::slurm(args, printer),
        Exp::K8s(args) => jobs::k8s(args, printer),
    }
}
