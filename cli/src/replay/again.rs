//! A log of `--record`, done again.

use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use mpuser_record::{Ended, LogError, Problem, Rerun, rerun};
use serde_json::json;
use std::fmt::Write as _;
use std::io::BufRead;
use std::process::ExitCode;

/// Makes the calls of the log, compares the packets.
pub(super) fn run(
    source: Box<dyn BufRead>,
    name: &str,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let outcome = rerun(source).map_err(|error| failure(name, &error))?;
    let text = if printer.json { object(name, &outcome) } else { words(&outcome) };
    output::stdout(&text);
    let code = if outcome.is_identical() { 0 } else { Code::Check.exit() };
    Ok(ExitCode::from(code))
}

fn failure(name: &str, error: &LogError) -> Failure {
    let help = match error.problem {
        Problem::Format(_) => "replay it with the version that wrote it; the first line says which",
        Problem::Io(_) => "check that the file can be read",
        _ => "the log was changed or damaged; what `connect --record` writes is not to be edited",
    };
    Failure::new(Code::Malformed, format!("{name} cannot be replayed"), error, help)
}

const fn ending(ended: Ended) -> &'static str {
    match ended {
        Ended::Whole => "whole",
        Ended::Full => "full: what came behind its limit is not in it",
        Ended::Cut => "cut: whoever wrote it was stopped",
    }
}

fn words(outcome: &Rerun) -> String {
    let Rerun { received, sent, calls, .. } = outcome;
    let mut text = format!("{received} packets received, {calls} calls, {sent} packets sent: ");
    // writing to a string does not fail
    let _ = match &outcome.difference {
        None => writeln!(text, "identical, SHA-256 {}", outcome.digest),
        Some(found) => writeln!(
            text,
            "DIFFERENT from line {} on, after {:.6} s: {}\n  recorded: {}\n  now:      {}",
            found.line,
            found.time as f64 / 1e9,
            found.what,
            found.expected,
            found.found
        ),
    };
    if outcome.version != env!("CARGO_PKG_VERSION") {
        let _ = writeln!(text, "recorded by version {}", outcome.version);
    }
    if outcome.ended != Ended::Whole {
        let _ = writeln!(text, "the log is {}", ending(outcome.ended));
    }
    text
}

fn object(name: &str, outcome: &Rerun) -> String {
    let difference = outcome.difference.as_ref().map(|found| {
        json!({
            "line": found.line,
            "time_ns": found.time,
            "what": found.what,
            "recorded": found.expected,
            "now": found.found,
        })
    });
    let object = json!({
        "schema": "mpuser.rerun/1",
        "file": name,
        "version": outcome.version,
        "identical": outcome.is_identical(),
        "log": ending(outcome.ended),
        "packets_received": outcome.received,
        "packets_sent": outcome.sent,
        "calls": outcome.calls,
        "digest": outcome.digest,
        "difference": difference,
    });
    format!("{object}\n")
}
