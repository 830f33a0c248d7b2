//! `mpuser link`: the link and middlebox models of `mpuser-sim` between two TUN devices.

pub(crate) mod args;
mod capture;
mod control;
mod live;
mod spec;

use crate::error::Failure;
use crate::output::{self, Printer};
use crate::{runtime, session, signals, units};
use args::{Link, LinkDown, LinkSet, LinkShow, LinkUp};
use control::Order;
use live::Live;
use mpuser_sim::middlebox::KINDS;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Runs one of the link's commands.
pub(crate) fn run(command: &Link, printer: Printer) -> Result<ExitCode, Failure> {
    match command {
        Link::Up(args) => up(args, printer),
        Link::Set(args) => set(args, printer),
        Link::Show(args) => show(args, printer),
        Link::Down(args) => down(args, printer),
        Link::Boxes => {
            boxes(printer);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn up(args: &LinkUp, printer: Printer) -> Result<ExitCode, Failure> {
    let specs = spec::specs(args)?;
    let writer = args.pcap.as_deref().map(|file| session::capture(file, 0)).transpose()?;
    let shared = writer.map(capture::Shared::new);
    let outcome = serve(specs, shared.as_ref(), printer);
    let written = session::complete(shared.and_then(|shared| shared.finish()));
    outcome.and_then(|code| written.map(|()| code))
}

/// Moves packets until it is told to end.
fn serve(
    specs: Vec<spec::Spec>,
    capture: Option<&capture::Shared>,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    runtime::block_on(async {
        let mut stop = signals::listen()?;
        let mut tasks = tokio::task::JoinSet::new();
        let mut doors = Vec::new();
        for spec in specs {
            let (door, orders) = control::open(&spec.name)?;
            let capture = capture.map(|shared| shared.link(&spec.name));
            let live = Live::new(spec, capture)?;
            printer.line(&headline(&live.state()));
            printer.object(&live.state());
            printer.detail(&format!("next: mpuser link set {} loss=1%", live.name()));
            tasks.spawn(live.run(orders));
            doors.push(door);
        }
        let mut signalled = false;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    Some(Ok(state)) => report(&state?, printer),
                    Some(Err(error)) => return Err(Failure::internal("a link stopped", error)),
                    None => return Ok(ExitCode::SUCCESS),
                },
                Some(_) = stop.recv(), if !signalled => {
                    // each is told by its own door, so that its last state is seen
                    signalled = true;
                    let names = control::names()?;
                    let own = std::process::id();
                    for name in names {
                        let _ = tokio::task::spawn_blocking(move || end_own(&name, own)).await;
                    }
                }
            }
        }
    })
}

/// Ends a link if it is this process's.
fn end_own(name: &str, pid: u32) {
    let ours = control::order(name, &Order::Show).is_ok_and(|state| state["pid"] == pid);
    if ours {
        let _ = control::order(name, &Order::Down);
    }
}

fn set(args: &LinkSet, printer: Printer) -> Result<ExitCode, Failure> {
    let words: Vec<String> = args.words.iter().map(|word| spec::absolute(word)).collect();
    let state = control::order(&args.name, &Order::Set { words: words.join(" ") })?;
    if printer.json {
        output::stdout(&format!("{state}\n"));
    } else {
        printer.line(&headline(&state));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &LinkShow, printer: Printer) -> Result<ExitCode, Failure> {
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => control::names()?,
    };
    for name in &names {
        let state = control::order(name, &Order::Show)?;
        output::stdout(&if printer.json { format!("{state}\n") } else { table(&state) });
    }
    if names.is_empty() && !printer.json {
        printer.line("no link is up");
    }
    Ok(ExitCode::SUCCESS)
}

fn down(args: &LinkDown, printer: Printer) -> Result<ExitCode, Failure> {
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => control::names()?,
    };
    for name in &names {
        let state = control::order(name, &Order::Down)?;
        if printer.json {
            output::stdout(&format!("{state}\n"));
        }
    }
    if names.is_empty() {
        printer.line("no link is up");
    }
    Ok(ExitCode::SUCCESS)
}

fn boxes(printer: Printer) {
    let mut text = String::new();
    for kind in KINDS {
        // writing to a String cannot fail
        let _ = if printer.json {
            let object = json!({
                "schema": "mpuser.link.box/1",
                "name": kind.name, "arguments": kind.arguments, "about": kind.about,
            });
            writeln!(text, "{object}")
        } else {
            let arguments = match kind.arguments {
                "" => String::new(),
                arguments => format!(":{arguments}"),
            };
            writeln!(text, "{}{arguments}\n    {}", kind.name, kind.about)
        };
    }
    if !printer.json {
        text.push_str(
            "\nSEGMENTS are syn, synack, third, nonsyn, data, ack; SUBTYPES capable, join, dss, add-addr,\n\
             remove-addr, prio, fail, fastclose, tcprst; none named means all. from=SIZE: behind so many bytes.\n",
        );
    }
    output::stdout(&text);
}

/// At the end of `link up`.
fn report(state: &Value, printer: Printer) {
    printer.object(state);
    printer.line(table(state).trim_end());
}

fn text<'a>(state: &'a Value, key: &str) -> &'a str {
    state[key].as_str().unwrap_or_default()
}

fn headline(state: &Value) -> String {
    let config = match text(state, "config") {
        "" => "no delay, no loss, as fast as it goes",
        config => config,
    };
    format!("{}: {} <-> {}  {config}", text(state, "name"), text(state, "from"), text(state, "to"))
}

/// A link and its counters for people.
fn table(state: &Value) -> String {
    let mut out = headline(state) + "\n";
    for direction in ["forward", "backward"] {
        let lane = &state[direction];
        let number = |key: &str| lane[key].as_u64().unwrap_or(0);
        // writing to a String cannot fail
        let _ = write!(
            out,
            "  {direction:8}  in {} ({})  out {} ({})",
            number("received"),
            units::size(number("received_bytes")),
            number("delivered"),
            units::size(number("delivered_bytes")),
        );
        for (key, word) in [
            ("lost", "lost"),
            ("queue_full", "queue full"),
            ("managed", "managed"),
            ("too_big", "too big"),
            ("down", "down"),
            ("duplicated", "duplicated"),
            ("reordered", "reordered"),
            ("corrupted", "corrupted"),
            ("refused_by_device", "refused by the device"),
            ("backlog_packets", "waiting"),
        ] {
            if number(key) > 0 {
                let _ = write!(out, "  {word} {}", number(key));
            }
        }
        out.push('\n');
    }
    for one in state["boxes"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "  box {}  acted {}", text(one, "box"), one["acted"]);
    }
    out
}
