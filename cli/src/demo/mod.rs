//! `mpuser demo`: everything out and everything back over several paths, one of them cut in the middle.

mod kernel;
mod live;
mod memory;
mod payload;
mod proxies;
mod report;
pub(crate) mod transfer;
mod view;

use crate::args::{Demo, DemoNet};
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use crate::{runtime, signals};
use mpuser_engine::config::ConnectionConfig;
use mpuser_tun::net::doctor::{Level, doctor};
use report::DemoReport;
use std::process::ExitCode;
use tokio::sync::mpsc;

/// Bytes of each packet in the capture: headers with all options, and a little payload.
const SNAPLEN: u32 = 128;

/// Runs the demo and says what was seen.
pub(crate) fn run(args: &Demo, printer: Printer) -> Result<ExitCode, Failure> {
    let report = runtime::block_on(async {
        // from the first namespace on, a signal means: take it all down
        let mut stop = signals::listen()?;
        choose(args, printer, &mut stop).await
    })?;
    if printer.json {
        output::stdout(&(serde_json::to_string(&report).unwrap_or_default() + "\n"));
    } else {
        report.lines().iter().for_each(|line| printer.line(line));
    }
    if report.intact() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::new(
            Code::Check,
            "the data that came back differ from the data sent",
            "their SHA-256 hashes are not equal",
            "this is a bug in mpuser: please report it with the capture file",
        ))
    }
}

/// What all demos ask of a connection.
fn connection_config(args: &Demo) -> ConnectionConfig {
    let mut config = ConnectionConfig::default();
    config.tcp.congestion = args.cc.unwrap_or(config.tcp.congestion);
    config
}

async fn choose(
    args: &Demo,
    printer: Printer,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<DemoReport, Failure> {
    let lacking = || doctor().into_iter().find(|finding| finding.level == Level::Fail);
    let why = match args.net {
        DemoNet::Memory => None,
        DemoNet::Kernel => return kernel::run(args, printer, stop),
        DemoNet::Proxies => return proxies::run(args, printer, stop),
        DemoNet::Auto => match lacking() {
            Some(finding) => Some(finding.detail),
            None => match kernel::run(args, printer, stop) {
                Err(failure) if failure.code == Code::Permission => Some(failure.because),
                outcome => return outcome,
            },
        },
    };
    if let Some(why) = why {
        printer.line(&format!("no lab here: {why}"));
        printer.line("the same between two engines in memory; `mpuser doctor` names the repair");
    }
    memory::run(args, printer, stop).await
}

/// 32 bytes for the engine from the user's number.
fn engine_seed(seed: u64, which: u8) -> [u8; 32] {
    let mut bytes = [which; 32];
    for (byte, part) in bytes.iter_mut().zip(seed.to_le_bytes()) {
        *byte = part;
    }
    bytes
}

/// The transfer, unless a signal comes first.
async fn or_stop<T>(
    work: impl Future<Output = Result<T, Failure>>,
    stop: &mut mpsc::Receiver<Code>,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        Some(code) = stop.recv() => Err(crate::connect::interrupted(code)),
    }
}
