//! `mpuser replay`: one side of a capture against the engine, or a log of its own done again.

mod again;

use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use clap::{Args, ValueEnum};
use mpuser_replay::{LoadError, Options, Outcome, Recording, Role, compare_golden, replay};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Which side the engine plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sides {
    /// Who opened the connection
    Client,
    /// The other end
    Server,
    /// One after the other
    #[default]
    Both,
}

/// Where the RFC and Linux part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// As the RFC
    #[default]
    Rfc,
    /// As Linux
    Linux,
}

/// `replay`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  mpuser replay bug.log                         what `connect --record bug.log` has seen, once more: the same packets?
  mpuser replay file.pcap                       the engine as client, then as server
  mpuser replay --role server file.pcap         the capture's client is played, the engine answers
  mpuser replay --strict file.pcap              packet by packet, too
  mpuser replay --write-expect log file.pcap    every packet of the replay, as text that is the same every time
  mpuser replay --expect log file.pcap          and compared with what was written before

The packets of the other side are said again with keys, tokens, nonces, HMACs, sequence numbers and timestamps that fit
the engine's; what the application did is read off the capture. Compared is what the packets mean: handshakes, options,
data, closing. Where a stack is free (windows, segment sizes, schedulers, times) a divergence is a choice. Exit code 7
if anything else differs.")]
pub(crate) struct Replay {
    /// pcap or pcapng file, or a log of `--record`; `-` is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which side the engine plays
    #[arg(long, value_name = "SIDE", default_value = "both")]
    pub(crate) role: Sides,
    /// Only this MPTCP connection, as `inspect` counts them
    #[arg(long, value_name = "N")]
    pub(crate) connection: Option<usize>,
    /// What the engine does where RFC and Linux part
    #[arg(long, value_name = "NAME", default_value = "rfc")]
    pub(crate) profile: Profile,
    /// Compare packet by packet, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Keys, nonces and ports of the engine come from this number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Show every packet of the replay
    #[arg(long)]
    pub(crate) packets: bool,
    /// Compare the packets of the replay with this log
    #[arg(long, value_name = "LOG")]
    pub(crate) expect: Option<PathBuf>,
    /// Write the packets of the replay to this log
    #[arg(long, value_name = "LOG", conflicts_with = "expect")]
    pub(crate) write_expect: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Replay, printer: Printer) -> Result<ExitCode, Failure> {
    let name = args.file.display().to_string();
    let mut source = open(&args.file, &name)?;
    let beginning = source.fill_buf();
    let beginning = beginning.map_err(|e| Failure::io(format!("{name} cannot be read"), &e))?;
    if mpuser_record::is_log(beginning) {
        return again::run(source, &name, printer);
    }
    let recording = load(source, &name)?;
    let roles: &[Role] = match args.role {
        Sides::Client => &[Role::Client],
        Sides::Server => &[Role::Server],
        Sides::Both => &[Role::Client, Role::Server],
    };
    let linux = args.profile == Profile::Linux;
    let options = Options { seed: args.seed, linux, strict: args.strict };
    let (mut outcomes, mut unfit) = (Vec::new(), Vec::new());
    for case in recording.cases() {
        if args.connection.is_some() && args.connection != case.connection {
            continue;
        }
        match case.unfit {
            Some(why) => unfit.push((case.connection, why.to_string())),
            None => {
                outcomes.extend(roles.iter().map(|role| replay(&recording, case, *role, options)))
            }
        }
    }
    if outcomes.is_empty() {
        let because = unfit.first().map_or("it has no such connection", |(_, why)| why.as_str());
        return Err(Failure::new(
            Code::Malformed,
            format!("nothing of {name} can be replayed"),
            because,
            "a connection has to be captured from its SYN on; `mpuser inspect` shows what is there",
        ));
    }
    show(args, &outcomes, &unfit, printer);
    golden(args, &outcomes)?;
    let good = outcomes.iter().all(Outcome::is_good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(Code::Check.exit()) })
}

fn open(path: &Path, name: &str) -> Result<Box<dyn BufRead>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = File::open(path);
    let file = file.map_err(|error| Failure::io(format!("{name} cannot be read"), &error))?;
    Ok(Box::new(BufReader::new(file)))
}

fn load(source: Box<dyn BufRead>, name: &str) -> Result<Recording, Failure> {
    Recording::load(source).map_err(|error| {
        let help = match error {
            LoadError::Read(_) => "`mpuser decode` shows what can be read of it",
            LoadError::TooLarge => "cut the connection out of it, with `tshark -Y` or `editcap`",
        };
        Failure::new(Code::Malformed, format!("{name} cannot be replayed"), error, help)
    })
}

fn show(args: &Replay, outcomes: &[Outcome], unfit: &[(Option<usize>, String)], printer: Printer) {
    if printer.json {
        let skipped = unfit
            .iter()
            .map(|(connection, why)| json!({ "connection": connection, "because": why }));
        let object = json!({
            "schema": "mpuser.replay/1",
            "file": args.file.display().to_string(),
            "good": outcomes.iter().all(Outcome::is_good),
            "replays": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
            "not_replayed": skipped.collect::<Vec<_>>(),
        });
        output::stdout(&format!("{object}\n"));
        return;
    }
    let mut text = String::new();
    for outcome in outcomes {
        text += &outcome.text();
        if args.packets {
            // writing to a string does not fail
            let _ = writeln!(text, "{}", outcome.log.join("\n"));
        }
    }
    for (connection, why) in unfit {
        let name = connection.map_or_else(|| "plain TCP".to_owned(), |n| format!("connection {n}"));
        let _ = writeln!(text, "{name}: not replayed: {why}");
    }
    output::stdout(&text);
}

/// The log that is the same every time.
fn log(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let _ = writeln!(text, "# {}", outcome.headline());
        outcome.log.iter().for_each(|line| text.extend([line, "\n"]));
    }
    text
}

fn golden(args: &Replay, outcomes: &[Outcome]) -> Result<(), Failure> {
    if let Some(path) = &args.write_expect {
        return std::fs::write(path, log(outcomes))
            .map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error));
    }
    let Some(path) = &args.expect else { return Ok(()) };
    let name = path.display();
    let expected = std::fs::read_to_string(path)
        .map_err(|error| Failure::io(format!("{name} cannot be read"), &error))?;
    match compare_golden(&expected, &log(outcomes)) {
        None => Ok(()),
        Some(found) => Err(Failure::new(
            Code::Check,
            format!("the replay is not as in {name}, from line {} on", found.line),
            format!(
                "expected `{}`, but it was `{}`",
                found.expected.as_deref().unwrap_or("the end").trim(),
                found.found.as_deref().unwrap_or("the end").trim()
            ),
            "if the new one is right, write it with --write-expect",
        )),
    }
}
