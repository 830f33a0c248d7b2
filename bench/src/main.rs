//! Runs the cases; see `tests/bench`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use clap::Parser;
use mpuser_bench::case::{Case, Settings};
use mpuser_bench::{cases, report, run};
use std::path::PathBuf;
use std::process::ExitCode;

/// How fast mpuser is beside others, as ratios measured in one run.
#[derive(Debug, Parser)]
#[command(name = "tests/bench")]
struct Arguments {
    /// Three short rounds: does it work? No result
    #[arg(long)]
    quick: bool,
    /// These cases alone, such as P1,P4
    #[arg(long, value_delimiter = ',', value_name = "P..")]
    only: Vec<String>,
    /// Rounds of each case, 7 or more for a result [default: 9]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// Everything measured goes there, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A picture goes there
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// For the case itself: resident octets of each of so many idle connections
    #[arg(long, value_name = "N", hide = true)]
    resident_of_idle: Option<usize>,
    /// Which cases there are
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match go(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn chosen(only: &[String]) -> Result<Vec<Case>, String> {
    let all = cases::all();
    let is = |case: &Case, name: &String| case.id.eq_ignore_ascii_case(name.trim());
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|case| is(case, name))) {
        return Err(format!("there is no case {unknown}; --list names them"));
    }
    let wanted = |case: &Case| only.is_empty() || only.iter().any(|name| is(case, name));
    Ok(all.into_iter().filter(wanted).collect())
}

fn go(arguments: &Arguments) -> Result<(), String> {
    if let Some(count) = arguments.resident_of_idle {
        println!("{}", cases::resident_of_idle(count)?);
        return Ok(());
    }
    let chosen = chosen(&arguments.only)?;
    if arguments.list {
        for case in chosen {
            println!("{:<4} {:<62} {}", case.id, case.what, case.ask);
        }
        return Ok(());
    }
    let mut settings = Settings::new(arguments.quick);
    settings.rounds = arguments.rounds.map_or(settings.rounds, usize::from);
    let setting = report::Setting::here(&settings);
    println!("{}\n", setting.line());
    let mut outcomes = Vec::new();
    for case in &chosen {
        eprintln!("{} {} ...", case.id, case.what);
        outcomes.push(run::run(case, &settings));
    }
    println!("{}", report::table(&outcomes));
    if let Some(warning) = report::warning(&outcomes) {
        println!("{warning}");
    }
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    };
    if let Some(path) = &arguments.json {
        write(path, report::json(&setting, &outcomes)?)?;
    }
    if let Some(path) = &arguments.svg {
        write(path, report::svg(&setting, &outcomes)?)?;
    }
    Ok(())
}
