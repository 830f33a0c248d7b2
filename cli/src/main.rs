//! `mpuser`: Multipath TCP in user space, from the command line.
//!
//! This crate reads arguments, prints and shows progress. The protocol is in `mpuser-engine`, everything that
//! touches the operating system in `mpuser-tun`.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "doc comments of arguments are their help text, brackets and all"
)]

mod address;
mod args;
mod conform;
mod connect;
mod craft;
mod demo;
mod device;
mod doctor;
mod error;
mod exp;
mod follow;
mod inspect;
mod lab;
mod link;
mod listen;
mod operator;
mod output;
mod perf;
mod proxy;
mod relay;
mod replay;
mod run;
mod runtime;
mod scheduler;
mod session;
mod settings;
mod signals;
mod simulate;
mod spread;
mod streams;
mod table;
mod units;
mod via;

use args::{Cli, Command, Global, Transport};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use error::Failure;
use output::Printer;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

fn main() -> ExitCode {
    // before the grammar is known, so that even its errors come in the form that was asked for
    let json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    error::install_panic_hook(json);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, json),
    };
    // a panic has been reported by the hook
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(cli)));
    outcome.unwrap_or_else(|_| ExitCode::from(error::Code::Internal.exit()))
}

fn run(cli: Cli) -> ExitCode {
    let printer = Printer::new(&cli.global);
    let outcome = match cli.command {
        Command::Connect(mut args) => with_settings(&cli.global, &mut args.transport, printer)
            .and_then(|printer| connect::run(&args, printer)),
        Command::Listen(mut args) => with_settings(&cli.global, &mut args.transport, printer)
            .and_then(|printer| listen::run(*args, printer)),
        Command::Run(mut args) => with_settings(&cli.global, &mut args.transport, printer)
            .and_then(|printer| run::run(&args, printer)),
        Command::Forward(mut args) => with_settings(&cli.global, &mut args.transport, printer)
            .and_then(|printer| proxy::forward(&args, printer)),
        Command::Proxy(mut args) => with_settings(&cli.global, &mut args.transport, printer)
            .and_then(|printer| proxy::run(&args, printer)),
        Command::Perf(mut args) => with_settings(&cli.global, &mut args.transport, printer)
            .and_then(|printer| perf::run(&args, printer)),
        Command::Settings(args) => operator::settings(&args, printer),
        Command::Set(args) => operator::set(&args, printer),
        Command::Config(command) => operator::config(&command, &cli.global, printer),
        Command::Lab(command) => lab::run(&command, printer),
        Command::Link(command) => link::run(&command, printer),
        Command::Doctor => Ok(doctor::run(printer)),
        Command::Sched(args) => scheduler::run(&args, printer),
        Command::Ss(args) => operator::ss(&args, printer),
        Command::Stats(args) => operator::stats(&args, printer),
        Command::Monitor(args) => operator::monitor(&args, printer),
        Command::Endpoint(args) => operator::endpoint(&args, printer),
        Command::Limits(args) => operator::limits(&args, printer),
        Command::Via(args) => operator::via(&args, printer),
        Command::Subflow(args) => operator::subflow(&args, printer),
        Command::Multipath(args) => operator::multipath(&args, printer),
        Command::Demo(args) => demo::run(&args, printer),
        Command::Conform(args) => conform::run(&args, printer),
        Command::Sim(args) => simulate::run(&args, printer),
        Command::Exp(command) => exp::run(&command, printer),
        Command::Decode(args) => inspect::decode(&args, printer),
        Command::Inspect(args) => inspect::inspect(&args, printer),
        Command::Replay(args) => replay::run(&args, printer),
        Command::Craft(args) => craft::run(&args, printer),
        Command::Scan(args) => craft::scan(&args, printer),
        Command::Script(args) => craft::script(&args, printer),
    };
    outcome.unwrap_or_else(|failure| failure.report(cli.global.json))
}

/// Fills in what the configuration file, the environment and `--set` say.
fn with_settings(
    global: &Global,
    transport: &mut Transport,
    printer: Printer,
) -> Result<Printer, Failure> {
    let loaded = settings::load(global)?;
    transport.settings = loaded.values;
    transport.orders = loaded.orders;
    Ok(if transport.settings.debug { printer.debug() } else { printer })
}

/// Help and version go to stdout; mistakes get three lines and exit code 2.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // a reader that has seen enough is no error
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let help = "`mpuser --help` lists the commands; `mpuser demo` shows what it is about";
            Failure::usage("no command was given", "mpuser does nothing by itself", help)
                .report(json)
        }
        _ => explain(error).report(json),
    }
}

/// Clap's message in the three-line form: its first line, its details, and where to read on.
fn explain(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let (what, because) = match first.split_once(": ") {
        Some((what, because)) => (what, because.to_owned()),
        None => (first, "the command line is not understood".to_owned()),
    };
    let suggestion =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
            .into_iter()
            .find_map(|kind| match error.get(kind) {
                Some(ContextValue::String(word)) => Some(word.clone()),
                Some(ContextValue::Strings(words)) => words.first().cloned(),
                _ => None,
            });
    let because = match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            format!("it must be one of {}", values.join(", "))
        }
        _ => because,
    };
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    let help = match (suggestion, usage) {
        (Some(word), _) => format!("did you mean `{word}`?"),
        (None, Some(usage)) => format!("usage: {usage}; more with --help"),
        (None, None) => "see --help".to_owned(),
    };
    Failure::usage(what, because, help)
}
