//! `mpuser inspect`: connections, findings, data, plots.

use super::args::{From, Inspect};
use super::files::{Capture, each, settings};
use super::plot::Plots;
use crate::error::{Code, Failure};
use crate::output::{self, Printer};
use mpuser_inspect::packet::dissect;
use mpuser_inspect::trace::Follow;
use mpuser_inspect::{Content, Report, Trace};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the command.
pub(crate) fn run(args: &Inspect, printer: Printer) -> Result<ExitCode, Failure> {
    let groups: Vec<&[PathBuf]> =
        if args.merge { vec![&args.files] } else { args.files.chunks(1).collect() };
    let several = groups.len() > 1;
    let mut code = ExitCode::SUCCESS;
    let mut broken = None;
    for group in groups {
        let name =
            group.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("+");
        let (report, others, read) = read(args, group, printer)?;
        if args.follow.is_none() {
            show(args, &report, &others, &name, several, printer)?;
        }
        if args.check && !report.findings.is_empty() {
            code = ExitCode::from(Code::Check.exit());
        }
        // the files after a broken one are looked at, too
        broken = broken.or(read);
    }
    match broken {
        Some(failure) => Err(failure),
        None => Ok(code),
    }
}

/// What a file has shown, what frames that are no TCP held, and why it could not be read to its end.
type Seen = (Report, BTreeMap<String, u64>, Option<Failure>);

fn read(args: &Inspect, group: &[PathBuf], printer: Printer) -> Result<Seen, Failure> {
    let mut captures = Vec::new();
    for path in group {
        captures.push(Capture::open(path, printer)?);
    }
    let mut trace = Trace::new(settings(args.keylog.as_ref())?);
    if let Some(connection) = args.follow {
        let out: Box<dyn Write> = match &args.output {
            Some(path) => Box::new(BufWriter::new(File::create(path).map_err(|error| {
                Failure::io(format!("{} cannot be written", path.display()), &error)
            })?)),
            None => Box::new(BufWriter::new(std::io::stdout())),
        };
        trace.follow(Follow::new(connection, usize::from(args.from == From::Other), out));
    }
    let mut plots = args.plot.as_ref().map(|_| Plots::default());
    let mut others = BTreeMap::new();
    let read = each(&mut captures, |frame| {
        match dissect(frame) {
            Content::Tcp(packet) => {
                let placed = trace.push(&packet);
                if let Some(plots) = &mut plots {
                    plots.add(&packet, &placed, &trace);
                }
            }
            other => *others.entry(kind(&other)).or_default() += 1,
        }
        Ok(())
    });
    if let Some(follow) = trace.followed() {
        let end =
            follow.finish().map_err(|error| Failure::io("the data cannot be written", &error))?;
        let mut text = format!("{} octets", end.written);
        if end.waiting + end.lost > 0 {
            text += &format!(
                "; octet {} is not in the capture, {} octets behind it were left out",
                end.missing_at,
                end.waiting + end.lost
            );
        }
        printer.line(&text);
    }
    let report = trace.finish();
    if let (Some(directory), Some(plots)) = (&args.plot, plots) {
        for path in plots.write(directory)? {
            printer.line(&format!("wrote {}", path.display()));
        }
    }
    Ok((report, others, read.err()))
}

fn kind(content: &Content<'_>) -> String {
    match content {
        Content::Tcp(_) => "TCP".to_owned(),
        Content::Fragment { .. } => "IP fragments, not put together".to_owned(),
        Content::NotTcp(protocol) => format!("IP protocol {protocol}"),
        Content::NotIp(kind) => format!("ethertype {kind:#06x}"),
        Content::Link(error) => error.to_string(),
        Content::Malformed { what, .. } => (*what).to_owned(),
    }
}

fn show(
    args: &Inspect,
    report: &Report,
    others: &BTreeMap<String, u64>,
    name: &str,
    several: bool,
    printer: Printer,
) -> Result<(), Failure> {
    if printer.json {
        let mut object = report.json();
        object["file"] = json!(name);
        object["not_tcp"] = json!(others);
        output::stdout(&format!("{object}\n"));
        return Ok(());
    }
    if args.csv {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in report.csv_rows() {
            writer
                .write_record(row)
                .map_err(|e| Failure::internal("a row cannot be written", e))?;
        }
        let bytes =
            writer.into_inner().map_err(|e| Failure::internal("rows cannot be written", e))?;
        output::stdout(&String::from_utf8_lossy(&bytes));
        return Ok(());
    }
    let mut text = if several { format!("{name}: ") } else { String::new() };
    if args.check {
        text += &checked(report);
    } else {
        text += &report.text();
        for (what, count) in others {
            text += &format!("{count} frames are no TCP: {what}\n");
        }
        text.push('\n');
    }
    output::stdout(&text);
    Ok(())
}

/// One line for each broken rule.
fn checked(report: &Report) -> String {
    if report.findings.is_empty() {
        return format!("{} packets, nothing found\n", report.packets);
    }
    let mut text = format!("{} packets, {} findings\n", report.packets, report.findings.len());
    for finding in &report.findings {
        let connection = finding.connection.map_or_else(|| "-".to_owned(), |c| c.to_string());
        let ids = finding.ids.join(" ");
        text += &format!(
            "packet {} [{ids}] {connection}.{}: {}\n",
            finding.packet, finding.stream, finding.what
        );
    }
    if report.more_findings > 0 {
        text += &format!("and {} more\n", report.more_findings);
    }
    text
}
