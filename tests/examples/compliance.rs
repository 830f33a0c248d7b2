//! Prints the table of requirements; `tests/compliance` calls it.

use mpuser_tests::compliance::Report;
use std::process::ExitCode;

const USAGE: &str = "\
Which requirements of RFC 8684 are cited in code and in tests.

  tests/compliance          the table, and what is missing
  tests/compliance --md     with one row per requirement, as Markdown
  tests/compliance --json   everything, as JSON

Exit code 1: something is missing.";

fn main() -> ExitCode {
    let found = Report::of_the_repository();
    let argument = std::env::args().nth(1).unwrap_or_default();
    match argument.as_str() {
        "" => println!("{}", found.table()),
        "--md" => println!("{}{}", found.table(), found.details()),
        "--json" => match serde_json::to_string_pretty(&found) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("{error}"),
        },
        "-h" | "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("unknown argument: {argument}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    }
    for complaint in &found.complaints {
        eprintln!("{complaint}");
    }
    if found.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
