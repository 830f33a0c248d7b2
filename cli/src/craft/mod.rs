//! `mpuser craft`, `mpuser scan`, `mpuser script`: packets by hand.

pub(crate) mod args;
mod live;
mod repl;
mod scan;
mod script;
mod send;
mod trace;

pub(crate) use scan::run as scan;
pub(crate) use script::run as script;

use crate::error::Failure;
use crate::output::Printer;
use crate::session::capture;
use args::Craft;
use mpuser_craft::{BuildError, Built, Exchange, Known, ParseError, SPECS, Stack, parse};
use mpuser_tun::capture::Direction;
use mpuser_tun::clock;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

/// Runs the command.
pub(crate) fn run(args: &Craft, printer: Printer) -> Result<ExitCode, Failure> {
    if args.layers {
        return put(&if printer.json { layers_object() } else { layers() });
    }
    if args.repl {
        return repl::run(args, printer);
    }
    if args.send {
        return send::run(args, printer);
    }
    let known = Known { checksum: args.checksum, ..Known::default() };
    let packets: Vec<Built> = args
        .expressions
        .iter()
        .map(|text| built(text, &known, printer))
        .collect::<Result<_, _>>()?;
    if let Some(file) = &args.pcap {
        let at = clock::to_wall(clock::now());
        let exchange = |packet: &Built| Exchange { at, sent: true, packet: packet.bytes.clone() };
        return write(file, &packets.iter().map(exchange).collect::<Vec<_>>());
    }
    let mut text = String::new();
    for (number, packet) in packets.iter().enumerate() {
        if number > 0 && !printer.json {
            text.push('\n');
        }
        if printer.json {
            let _ = writeln!(text, "{}", packet.object());
        } else if args.hex {
            text.push_str(&packet.hexdump());
        } else {
            text.push_str(&packet.show(true));
        }
    }
    put(&text)
}

/// Reads an expression and builds its packet.
fn built(text: &str, known: &Known, printer: Printer) -> Result<Built, Failure> {
    read(text, printer)?.build(known).map_err(|error| unbuilt(&error))
}

/// Reads an expression; a mistake is shown where it is.
fn read(text: &str, printer: Printer) -> Result<Stack, Failure> {
    parse(text).map_err(|error| misread("the expression", text, &error, printer))
}

/// What is wrong with a text, after the line with a mark below the place.
pub(crate) fn misread(what: &str, text: &str, error: &ParseError, printer: Printer) -> Failure {
    let (line, column) = error.place(text);
    error.caret(text).lines().for_each(|line| printer.line(&format!("  {line}")));
    let what = format!("{what} is not understood at line {line}, column {column}");
    Failure::usage(what, &error.what, &error.help)
}

/// A packet that cannot be.
pub(crate) fn unbuilt(error: &BuildError) -> Failure {
    Failure::usage("the packet cannot be built", &error.what, &error.help)
}

/// Writes packets as a capture.
fn write(file: &std::path::Path, packets: &[Exchange]) -> Result<ExitCode, Failure> {
    let mut writer = capture(file, 0)?;
    let interface = writer.add_interface("craft");
    for Exchange { at, sent, packet } in packets {
        let direction = if *sent { Direction::Outbound } else { Direction::Inbound };
        writer.packet(interface, *at, direction, (packet, &[]), None);
    }
    writer.finish();
    match writer.error() {
        // whoever read it has seen enough
        None => Ok(ExitCode::SUCCESS),
        Some(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Some(error) => Err(Failure::io(format!("cannot write {}", file.display()), error)),
    }
}

/// Every layer and its fields.
fn layers() -> String {
    let mut text = String::new();
    for spec in SPECS {
        let _ = writeln!(text, "{:<16} {}", spec.name, spec.about());
        for field in spec.fields {
            let input = if field.input { " (not on the wire)" } else { "" };
            let _ = writeln!(text, "  {:<14} {}{input}", field.name, field.about());
        }
    }
    text
}

fn layers_object() -> String {
    let all = SPECS.iter().map(|spec| {
        let fields = spec.fields.iter().map(|field| {
            json!({ "name": field.name, "about": field.about(), "takes": field.form.expected(),
                "wire": !field.input })
        });
        json!({ "layer": spec.name, "about": spec.about(), "fields": fields.collect::<Vec<_>>() })
    });
    format!("{}\n", json!(all.collect::<Vec<_>>()))
}

/// Text to standard output; a reader that has seen enough is no error.
pub(crate) fn put(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::io("cannot write to standard output", &error)),
    }
}
