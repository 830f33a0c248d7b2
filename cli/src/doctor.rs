//! `mpuser doctor`: what this machine lacks.

use crate::error::Code;
use crate::output::{Printer, Tint};
use mpuser_tun::net::doctor::{Finding, Level, doctor};
use serde::Serialize;
use std::fmt::Write as _;
use std::process::ExitCode;

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    ok: bool,
    findings: &'a [Finding],
}

/// Checks, prints, and fails with 6 if paths cannot be set up.
pub(crate) fn run(printer: Printer) -> ExitCode {
    let findings = doctor();
    let ok = findings.iter().all(|finding| finding.level != Level::Fail);
    if printer.json {
        let report = Report { schema: "mpuser.doctor/1", ok, findings: &findings };
        crate::output::stdout(&(serde_json::to_string(&report).unwrap_or_default() + "\n"));
    } else {
        crate::output::stdout(&lines(&findings, &printer));
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::from(Code::Permission.exit()) }
}

fn lines(findings: &[Finding], printer: &Printer) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (tint, word) = match finding.level {
            Level::Ok => (Tint::Good, "ok  "),
            Level::Warn => (Tint::Warn, "warn"),
            Level::Fail => (Tint::Bad, "fail"),
        };
        // writing to a String cannot fail
        let _ = writeln!(
            text,
            "{} {:<width$}  {}",
            printer.tint(tint, word),
            finding.check,
            crate::error::strip_number(&finding.detail)
        );
        if let Some(fix) = finding.fix.as_ref().filter(|_| finding.level != Level::Ok) {
            let _ = writeln!(text, "     {:<width$}  repair: {fix}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Color, Global};

    #[test]
    fn one_line_per_check_and_the_repair_below() {
        let finding = |check, level, fix: Option<&str>| Finding {
            check,
            level,
            detail: "detail".to_owned(),
            fix: fix.map(str::to_owned),
        };
        let printer = Printer::new(&Global { color: Color::Never, ..Global::default() });
        let findings =
            [finding("tun", Level::Fail, Some("chmod")), finding("net-admin", Level::Ok, None)];
        assert_eq!(
            lines(&findings, &printer),
            "fail tun        detail\n                repair: chmod\nok   net-admin  detail\n"
        );
    }
}
