//! Schedulers on the command line: `--sched`, scripts included, and `mpuser sched`.

use crate::error::Failure;
use crate::output::Printer;
use clap::Args;
use mpuser_engine::config::{SCHEDULERS, SchedulerDoc, SchedulerSpec};
use mpuser_sim::script;
use serde_json::json;
use std::fmt::Write as _;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  mpuser sched                     every scheduler in one line
  mpuser sched blest-linux         one of them, with its parameters
  mpuser sched my.rhai             check a script
  mpuser connect --sched minrtt,penalise=off host 7000
  mpuser connect --sched my.rhai host 7000";

/// Which one.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sched {
    /// A scheduler or a script; without it all are listed
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// A scheduler by name and parameters, or by the file of a script.
pub(crate) fn parse(text: &str) -> Result<SchedulerSpec, String> {
    if text == "help" {
        return Err(format!("the schedulers are\n{}", list()));
    }
    if !text.ends_with(".rhai") {
        return SchedulerSpec::parse(text);
    }
    let script = std::fs::read_to_string(text).map_err(|error| format!("{text}: {error}"))?;
    script::compile(text, &script).map_err(|error| error.to_string())
}

/// Lists them, or shows one.
pub(crate) fn run(args: &Sched, printer: Printer) -> Result<ExitCode, Failure> {
    let wrong = |why: String| Failure::usage("no such scheduler", why, "`mpuser sched` lists them");
    let shown: Vec<&SchedulerDoc> = match args.name.as_deref() {
        None | Some("help") => SCHEDULERS.iter().collect(),
        Some(name) => {
            let spec = parse(name).map_err(wrong)?;
            SCHEDULERS.iter().filter(|doc| doc.name == spec.name()).collect()
        }
    };
    let text = match (printer.json, args.name.as_deref(), shown.as_slice()) {
        (true, ..) => json(&shown),
        (_, Some(script), []) => format!("{script} is a scheduler\n"),
        (_, Some(name), [doc]) if name != "help" => one(doc),
        _ => list(),
    };
    crate::output::stdout(&text);
    Ok(ExitCode::SUCCESS)
}

fn list() -> String {
    let width = SCHEDULERS.iter().map(|doc| doc.name.len()).max().unwrap_or_default();
    SCHEDULERS.iter().fold(String::new(), |mut text, doc| {
        // writing to a String cannot fail
        let _ = writeln!(text, "{:<width$}  {}", doc.name, doc.help);
        text
    })
}

fn one(doc: &SchedulerDoc) -> String {
    let mut text = format!("{}: {}\n", doc.name, doc.help);
    if !doc.aliases.is_empty() {
        let _ = writeln!(text, "also called {}", doc.aliases.join(", "));
    }
    for param in doc.params {
        let _ = writeln!(text, "  {}: {}; {}", param.name, param.help, param.kind);
    }
    text
}

fn json(shown: &[&SchedulerDoc]) -> String {
    let schedulers: Vec<_> = shown
        .iter()
        .map(|doc| {
            let params: Vec<_> = doc
                .params
                .iter()
                .map(|p| json!({ "name": p.name, "help": p.help, "value": p.kind.to_string() }))
                .collect();
            json!({ "name": doc.name, "aliases": doc.aliases, "help": doc.help, "params": params })
        })
        .collect();
    json!({ "schema": "mpuser.sched/1", "schedulers": schedulers }).to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parameters_and_scripts_are_understood() {
        assert_eq!(
            parse("rr,num_segments=3").map(|s| s.to_string()),
            Ok("rr,num_segments=3".into())
        );
        assert!(parse("minrt").is_err_and(|why| why.contains("did you mean `minrtt`")));
        assert!(parse("help").is_err_and(|why| why.contains("blest-paper")));
        assert!(parse("/nowhere/x.rhai").is_err_and(|why| why.contains("No such file")));
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim/data/schedulers/rr.rhai");
        assert_eq!(parse(example).map(|s| s.name().to_owned()), Ok(example.to_owned()));
    }

    #[test]
    fn each_has_a_line_and_its_parameters() {
        assert_eq!(list().lines().count(), SCHEDULERS.len());
        let text = one(&SCHEDULERS[0]);
        assert!(text.contains("also called default") && text.contains("ratio: "), "{text}");
        assert!(json(&[&SCHEDULERS[0]]).contains("\"mpuser.sched/1\""));
    }
}
