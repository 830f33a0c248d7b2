//! `mpuser perf --suite DIR`: the standard set, in a lab of its own, as a table.
//!
//! Every run is this program again: a client in the lab's client, a server in its server. So what the table says of a run
//! can be had by hand, with the words of its row.

use super::args::Perf;
use super::picture::{self, Figures};
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use crate::units;
use mpuser_engine::config::SCHEDULER_NAMES;
use mpuser_tun::lab::{self, Lab, LabOptions};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// The rate of each of the three paths, each way.
const RATE: &str = "50mbit";
/// The same for people.
const SHOWN_RATE: &str = "50 Mbit/s";
/// How long each run sends unless told otherwise.
const EACH: Duration = Duration::from_secs(3);
/// How long the server may take to listen.
const READY: Duration = Duration::from_secs(5);
const SERVERS: [(&str, &str); 2] = [("IPv4", "192.168.56.101"), ("IPv6", "fd00:192:168:56::101")];

/// One line of the table: its name, and the words of the client behind `perf -c HOST`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Case {
    /// What it is shown with in the picture.
    group: String,
    name: String,
    server: &'static str,
    words: Vec<String>,
    /// It moves so much rather than for a time.
    short: bool,
}

fn case(group: &str, name: String, server: &'static str, words: &str) -> Case {
    let (group, short) = (group.to_owned(), words.contains("-n "));
    Case {
        group,
        name,
        server,
        words: words.split_whitespace().map(str::to_owned).collect(),
        short,
    }
}

/// Up and down, both families, one to four subflows, every scheduler, checksums, short transfers.
fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (family, server) in SERVERS {
        for (direction, letter) in [("up", ""), ("down", "-R")] {
            for subflows in 1..=3_u8 {
                let paths: String = (1..=subflows).map(|n| format!("--path eth{n} ")).collect();
                let name = match subflows {
                    1 => format!("{direction} {family}, 1 subflow"),
                    _ => format!("{direction} {family}, {subflows} subflows on as many paths"),
                };
                let joins = if family == "IPv6" { joins_v6(subflows) } else { String::new() };
                let group = format!("{family}, {direction}");
                all.push(case(&group, name, server, &format!("{paths}{joins}{letter}")));
            }
        }
    }
    let [(_, server), _] = SERVERS;
    let one = "--path eth1 --pm ndiffports=4";
    all.push(case("One path", "up IPv4, 4 subflows on one path".to_owned(), server, one));
    for name in SCHEDULER_NAMES {
        all.push(case(
            "Schedulers",
            format!("up IPv4, scheduler {name}"),
            server,
            &format!("--sched {name}"),
        ));
    }
    for switch in ["on", "off"] {
        let words = format!("--checksum {switch}");
        all.push(case("Checksums", format!("up IPv4, checksum {switch}"), server, &words));
        all.push(case(
            "Checksums",
            format!("down IPv4, checksum {switch}"),
            server,
            &format!("{words} -R"),
        ));
    }
    let group = "Short transfers";
    for size in ["1K", "100K", "1M"] {
        let words = format!("-n {size}");
        all.push(case(group, format!("up IPv4, short: {size}"), server, &words));
        all.push(case(group, format!("down IPv4, short: {size}"), server, &format!("{words} -R")));
    }
    all
}

/// With IPv6 an interface does not answer for another one's address, so each path joins the address on its own link.
fn joins_v6(subflows: u8) -> String {
    let join = |n: u8| format!("--at 0.1s add=eth{n}:fd00:192:168:{}::101 ", 55 + n);
    format!("--pm none {}", (2..=subflows).map(join).collect::<String>())
}

/// The lab; gone when dropped.
struct SuiteLab(Lab);

impl Drop for SuiteLab {
    fn drop(&mut self) {
        let _ = lab::down(&self.0.state().name);
    }
}

/// A server process, ended when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the cases and leaves `table.md`, `results.json`, `goodput.svg` and captures in `directory`.
pub(super) fn run(args: &Perf, directory: &Path, printer: Printer) -> Result<ExitCode, Failure> {
    let wanted = |case: &Case| {
        args.only.is_empty() || args.only.iter().any(|word| case.name.contains(word.as_str()))
    };
    let cases: Vec<Case> = cases().into_iter().filter(wanted).collect();
    if cases.is_empty() {
        let help = "`--only short` and `--only IPv6` are examples; leave it out for all";
        return Err(Failure::usage("there is nothing to run", "no case has such a name", help));
    }
    let failed = |error| Failure::io(format!("cannot write to {}", directory.display()), &error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let options = LabOptions {
        name: format!("suite-{}", std::process::id()),
        rate: Some(RATE.to_owned()),
        server_signal: false,
        ipv6: true,
        ..LabOptions::default()
    };
    let lab = SuiteLab(lab::up(&options)?);
    let _server = serve(&lab.0)?;
    let mut rows = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        printer.line(&format!("{:3} of {}: {}", number + 1, cases.len(), case.name));
        rows.push(one(args, case, number + 1, directory, &lab.0)?);
    }
    let table = table(&rows);
    std::fs::write(directory.join("table.md"), &table).map_err(failed)?;
    let results = json!({ "schema": "mpuser.perf.suite/1", "rate": RATE, "runs": rows });
    let text = format!("{results}\n");
    std::fs::write(directory.join("results.json"), &text).map_err(failed)?;
    picture::write(&directory.join("goodput.svg"), &picture::suite(&rows, &heading())?)?;
    output::stdout(if printer.json { &text } else { &table });
    if rows.iter().all(|row| row["exit"] == 0) {
        return Ok(ExitCode::SUCCESS);
    }
    let help = "the same words behind `mpuser perf -c` in a lab repeat a run";
    Err(Failure::new(Code::Check, "some runs failed", "the table says which", help))
}

fn program() -> Result<Command, Failure> {
    let own = std::env::current_exe();
    own.map(Command::new).map_err(|error| Failure::io("cannot find this program", &error))
}

/// The kernel's sockets: the other end every client has to get on with.
fn serve(lab: &Lab) -> Result<Server, Failure> {
    let mut command = program()?;
    command.args(["perf", "-s", "--kernel", "-q"]).stdin(Stdio::null()).stdout(Stdio::null());
    let server = Server(lab.spawn("server", command)?);
    let namespace = lab.netns("server")?;
    let [(_, address), _] = SERVERS;
    let address = format!("{address}:{}", super::args::PORT);
    let mut waited = Duration::ZERO;
    while namespace.run(|| std::net::TcpStream::connect(address.as_str()))?.is_err() {
        if waited >= READY {
            let why = "it does not listen after 5 s";
            return Err(Failure::internal("the server of the suite did not start", why));
        }
        std::thread::sleep(Duration::from_millis(20));
        waited += Duration::from_millis(20);
    }
    Ok(server)
}

/// One run as a row.
fn one(
    args: &Perf,
    case: &Case,
    number: usize,
    directory: &Path,
    lab: &Lab,
) -> Result<Value, Failure> {
    let mut command = program()?;
    command.args(["perf", "-J", "-c", case.server]).args(&case.words);
    if !case.short {
        command.arg("-t").arg(format!("{}ms", args.each.unwrap_or(EACH).as_millis()));
    }
    if args.capture {
        let file = directory.join(format!("{number:02}.pcapng"));
        command.arg("--pcap").arg(file).args(["--snaplen", "128"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error| Failure::io("cannot follow a run", &error);
    let mut child = lab.spawn("client", command)?;
    let mut said = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut said).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    let result: Value = serde_json::from_str(&said).unwrap_or_default();
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(json!({
        "name": case.name, "group": case.group, "words": case.words.join(" "), "exit": output.status.code(),
        "error": (!output.status.success()).then_some(error), "result": result,
    }))
}

/// What was measured.
fn heading() -> String {
    format!("Three paths of {SHOWN_RATE} each way, the kernel's MPTCP at the other end")
}

/// The table for people.
fn table(rows: &[Value]) -> String {
    let mut text = format!(
        "{}.\n\n\
         | run | received | in | rate | sent again | subflows, share of each |\n\
         |---|---:|---:|---:|---:|---|\n",
        heading()
    );
    for row in rows {
        let name = row["name"].as_str().unwrap_or_default();
        let Some(figures) = Figures::of(row) else {
            // writing to a String cannot fail
            let _ = writeln!(text, "| {name} | failed | | | | |");
            continue;
        };
        let shares = figures.shares.iter().map(|(_, share)| units::percent(*share));
        let shares = shares.collect::<Vec<_>>().join(", ");
        let again = figures.again.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let rate = units::bit_rate(figures.goodput);
        let (bytes, time) = (units::size(figures.bytes), units::time(figures.time));
        let _ = writeln!(text, "| {name} | {bytes} | {time} | {rate} | {again} | {shares} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser as _;

    /// Every case is a command line that is understood, and has a name of its own.
    #[test]
    fn cases_are_command_lines() {
        let all = cases();
        for (number, case) in all.iter().enumerate() {
            let words = ["mpuser", "perf", "-J", "-c", case.server];
            let words = words.iter().map(|word| (*word).to_owned()).chain(case.words.clone());
            Cli::try_parse_from(words).unwrap();
            assert!(all[..number].iter().all(|other| other.name != case.name), "{}", case.name);
        }
        assert!(SCHEDULER_NAMES.iter().all(|name| all.iter().any(|c| c.name.ends_with(name))));
    }

    /// Those of a group stand together, whatever is left out: each group has one heading.
    #[test]
    fn groups_are_in_one_piece() {
        let all = cases();
        let pieces: Vec<&str> =
            all.chunk_by(|a, b| a.group == b.group).map(|p| p[0].group.as_str()).collect();
        for (number, piece) in pieces.iter().enumerate() {
            assert!(!pieces[..number].contains(piece), "{piece}");
        }
    }

    #[test]
    fn a_run_that_failed_has_a_row() {
        let failed = json!({ "name": "up", "exit": 3, "result": null });
        assert!(table(&[failed]).ends_with("| up | failed | | | | |\n"));
    }
}
