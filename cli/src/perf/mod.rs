//! `mpuser perf`: iperf3's habits over our stack, with a column per subflow.

pub(crate) mod args;
mod client;
mod figures;
mod flow;
mod link;
mod meter;
mod picture;
mod report;
mod schedule;
mod server;
mod suite;
mod wire;

use crate::error::Failure;
use crate::output::Printer;
use crate::session::Session;
use args::Perf;
use meter::Names;
use std::process::ExitCode;

/// Serves, measures, or runs the standard set.
pub(crate) fn run(args: &Perf, mut printer: Printer) -> Result<ExitCode, Failure> {
    printer.json |= args.json;
    match (&args.client, &args.suite) {
        (_, Some(directory)) => suite::run(args, directory, printer),
        (Some(host), None) => client::run(args, host, printer),
        (None, None) => server::run(args, printer),
    }
}

/// The names of a session's paths.
fn names(session: Option<&Session>) -> Names {
    let plans = session.map(Session::plans).unwrap_or_default();
    plans.iter().map(|plan| (plan.engine, plan.egress.name.clone())).collect()
}
