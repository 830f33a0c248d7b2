//! `mpuser run`: a program as it is, whose TCP connections leave as MPTCP over all paths.

pub(crate) mod args;
mod child;
mod name_server;

use crate::error::Failure;
use crate::output::Printer;
use crate::runtime;
use crate::session::{Session, stack_failure};
use crate::units;
use args::Run;
use child::{Program, Signals};
use mpuser_proxy::dial::Dialler;
use mpuser_proxy::relay::Limits;
use mpuser_proxy::run::{MTU, Outlet, Report, Wishes, addresses};
use mpuser_tun::net::Cell;
use name_server::NameServer;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;

/// Reports that may wait to be printed.
const REPORTS: usize = 1_024;
/// How long connections may go on once the program has ended: what it wrote last is still on its way.
const LINGER: Duration = Duration::from_secs(10);

/// Runs the program; its exit code is ours.
pub(crate) fn run(args: &Run, printer: Printer) -> Result<ExitCode, Failure> {
    runtime::block_on(async {
        let mut signals = Signals::listen()?;
        let title = args.command.iter().map(|word| word.to_string_lossy());
        let title = format!("run {}", title.collect::<Vec<_>>().join(" "));
        let session = Session::anywhere(&args.transport, title, &printer)?;
        let outcome = inside(args, &session, printer, &mut signals).await;
        let closed = session.close().await;
        let code = outcome?;
        closed.map(|()| code)
    })
}

/// Everything between the making of the program's namespace and its end.
async fn inside(
    args: &Run,
    session: &Session,
    printer: Printer,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let any = |v6: bool| session.plans().iter().any(|plan| plan.engine.is_ipv6() == v6);
    let (cell, device) = Cell::make(&addresses((any(false), any(true))), MTU)?;
    let names = NameServer::find(&printer)?;
    let dialler = Dialler::new(session.stack.clone())
        .timeout(args.connect_timeout)
        .require_mptcp(args.transport.require_mptcp);
    let (reports, said) = mpsc::channel(REPORTS);
    let wishes = Wishes {
        name_server: names.server(),
        limits: Limits { idle: args.transport.idle_timeout },
    };
    let outlet = Outlet::start(device, dialler, wishes, reports);
    let mut outlet = outlet.map_err(|error| stack_failure(&error))?;
    let narrator = tokio::spawn(narrate(said, printer));
    let mut program = Program::start(&cell, &args.command, names.file())?;
    // it has its own view of the file by now
    drop(names);
    let status = tokio::select! {
        status = program.wait(signals) => status?,
        ended = outlet.serve() => {
            let why = ended.map_or_else(|error| error.to_string(), |()| "nobody knows".to_owned());
            return Err(Failure::internal("the program's connections are served no longer", why));
        }
    };
    let idle = outlet.idle();
    tokio::select! {
        _ = outlet.serve() => {}
        () = idle => {}
        () = tokio::time::sleep(LINGER) => {}
        _ = signals.next() => {}
    }
    drop(outlet);
    let _ = narrator.await;
    Ok(status)
}

/// One line for those who asked for more, and what programs read.
fn tell(report: Report, printer: Printer) {
    match report {
        Report::Opened { to, mptcp } => {
            let spoken = if mptcp { "MPTCP" } else { "plain TCP" };
            printer.detail(&format!("{to}: {spoken}"));
            printer.object(&json!({
                "schema": "mpuser.event/1", "event": "opened", "remote": to.to_string(), "mptcp": mptcp,
            }));
        }
        Report::Failed { to, error } => {
            let why = crate::error::plain_words(&error);
            printer.detail(&format!("{to}: {why}"));
            printer.object(&json!({
                "schema": "mpuser.event/1", "event": "failed", "remote": to.to_string(), "reason": why,
            }));
        }
        Report::Closed { to, up, down, subflows, lost } => {
            let with =
                if subflows == 0 { "plain TCP".to_owned() } else { format!("{subflows} subflows") };
            let end = lost.as_ref().map_or_else(String::new, |why| format!("; {why}"));
            let (sent, received) = (units::size(up), units::size(down));
            printer.detail(&format!("{to}: {sent} sent, {received} received, {with}{end}"));
            printer.object(&json!({
                "schema": "mpuser.event/1", "event": "closed", "remote": to.to_string(),
                "bytes_sent": up, "bytes_received": down, "subflows": subflows, "reason": lost,
            }));
        }
        Report::EchoesGivenUp { given_up } => {
            printer.detail(&format!("{given_up} pings given up: too many at once"));
            printer.object(&json!({
                "schema": "mpuser.event/1", "event": "pings_given_up", "count": given_up,
            }));
        }
    }
}

/// Says what becomes of connections, to those who asked for more.
async fn narrate(mut reports: mpsc::Receiver<Report>, printer: Printer) {
    while let Some(report) = reports.recv().await {
        tell(report, printer);
    }
}
