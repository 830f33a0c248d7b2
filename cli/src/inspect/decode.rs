//! `mpuser decode`: a line or an object for each packet.

use super::args::{Decode, Only};
use super::files::{Capture, each, settings};
use crate::error::Failure;
use crate::output::Printer;
use mpuser_inspect::decode::{line, object, other_line, other_object};
use mpuser_inspect::option::options;
use mpuser_inspect::packet::dissect;
use mpuser_inspect::{Content, Frame, Packet, Trace};
use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;

/// TCP option kind of MPTCP.
const MPTCP: u8 = mpuser_engine::wire::mptcp::KIND;

/// Runs the command.
pub(crate) fn run(args: &Decode, printer: Printer) -> Result<ExitCode, Failure> {
    let mut out = Out { to: BufWriter::new(std::io::stdout().lock()), closed: false };
    for path in &args.files {
        let mut captures = [Capture::open(path, printer)?];
        if args.files.len() > 1 && !printer.json {
            out.put(&format!("{}:", path.display()))?;
        }
        let mut trace = Trace::new(settings(args.keylog.as_ref())?);
        let mut first = None;
        let read = each(&mut captures, |frame| {
            first = first.or(frame.time);
            match show(args, frame, &mut trace, first, printer.json) {
                Some(text) => out.put(&text),
                None => Ok(()),
            }
        });
        if out.closed {
            return Ok(ExitCode::SUCCESS);
        }
        out.flush()?;
        read?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(
    args: &Decode,
    frame: &Frame<'_>,
    trace: &mut Trace,
    first: Option<i64>,
    json: bool,
) -> Option<String> {
    let content = dissect(frame);
    let Content::Tcp(packet) = &content else {
        let wanted = args.only == Only::All && args.stream.is_empty() && args.connection.is_empty();
        return wanted.then(|| {
            if json {
                other_object(frame, &content).to_string()
            } else {
                other_line(frame, &content, first)
            }
        });
    };
    let placed = trace.push(packet);
    let wanted = (args.stream.is_empty() || args.stream.contains(&placed.stream))
        && (args.connection.is_empty()
            || placed.connection.is_some_and(|number| args.connection.contains(&number)))
        && (args.only != Only::Mptcp || has_mptcp(packet));
    wanted.then(|| {
        if json { object(packet, &placed).to_string() } else { line(packet, &placed, first) }
    })
}

fn has_mptcp(packet: &Packet<'_>) -> bool {
    options(packet.options, packet.options_len).any(|option| option.kind == MPTCP)
}

/// Stdout, until its reader has seen enough.
struct Out<W: Write> {
    to: BufWriter<W>,
    closed: bool,
}

impl<W: Write> Out<W> {
    fn put(&mut self, text: &str) -> Result<(), Failure> {
        let written = writeln!(self.to, "{text}");
        self.judge(written)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.to.flush();
        self.judge(flushed)
    }

    fn judge(&mut self, outcome: std::io::Result<()>) -> Result<(), Failure> {
        outcome.map_err(|error| {
            self.closed = error.kind() == ErrorKind::BrokenPipe;
            Failure::io("stdout cannot be written", &error)
        })
    }
}
