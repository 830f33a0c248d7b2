//! `mpuser craft --repl`: lines, history and completion around what the crate makes of them.

use super::args::Craft;
use super::live::Live;
use super::trace::Tracer;
use super::{misread, put};
use crate::address::{parse_target, resolve};
use crate::error::{Code, Failure};
use crate::output::Printer;
use mpuser_craft::repl::{Peer, Repl, complete, parse};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Completes layers, fields, and the names given so far.
struct Words(Vec<String>);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..position).unwrap_or(line);
        Ok(complete(before, self.0.iter().map(String::as_str)))
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

/// Where lines are remembered, if there is a place and somebody types them.
fn history() -> Option<PathBuf> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let state =
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    Some(state.or_else(home)?.join("mpuser/craft-history"))
}

fn broken(error: &ReadlineError) -> Failure {
    Failure::new(
        Code::Io,
        "standard input cannot be read",
        error,
        "run it on a terminal, or pipe lines into it",
    )
}

/// Runs the command.
pub(super) fn run(args: &Craft, printer: Printer) -> Result<ExitCode, Failure> {
    let mut editor: Editor<Words, DefaultHistory> =
        Editor::new().map_err(|error| broken(&error))?;
    let file = history();
    if let Some(file) = &file {
        // the first time there is none
        let _ = editor.load_history(file);
    }
    let mut repl = Repl::default();
    let mut tracer = Tracer::new();
    loop {
        editor.set_helper(Some(Words(repl.names().map(str::to_owned).collect())));
        let text = match editor.readline("mpuser> ") {
            Ok(text) => text,
            // Ctrl-C takes the line back, Ctrl-D is the end
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(&error)),
        };
        // a line that cannot be remembered is read all the same
        let _ = editor.add_history_entry(&text);
        if one(args, &text, &mut repl, &mut tracer, printer)? {
            break;
        }
    }
    if let Some(file) = &file {
        let _ = file.parent().map(std::fs::create_dir_all);
        let _ = editor.save_history(file);
    }
    Ok(ExitCode::SUCCESS)
}

/// Does one line; `true` at the end. What is wrong with it is told, and the next one is read.
fn one(
    args: &Craft,
    text: &str,
    repl: &mut Repl,
    tracer: &mut Tracer,
    printer: Printer,
) -> Result<bool, Failure> {
    let line = match parse(text) {
        Ok(line) => line,
        Err(error) => {
            let _ = misread("the line", text, &error, printer).report(printer.json);
            return Ok(false);
        }
    };
    let mut find = |target: &str| {
        peer(args, target, printer)
            .map_err(|failure| format!("{}: {}; {}", failure.what, failure.because, failure.help))
    };
    match repl.run(&line, &mut find) {
        Ok(reply) => {
            let lines: Vec<String> =
                reply.log.iter().map(|exchange| tracer.line(exchange) + "\n").collect();
            put(&(lines.concat() + reply.text.as_str()))?;
            Ok(reply.quit)
        }
        Err(why) => {
            printer.line(&why);
            Ok(false)
        }
    }
}

/// The way to a host.
fn peer(args: &Craft, target: &str, printer: Printer) -> Result<Peer, Failure> {
    let remotes = resolve(&parse_target(&[target.to_owned()])?)?;
    let seed = mpuser_tun::system_seed().map_err(|e| Failure::io("no randomness", &e))?;
    let (live, remote) = Live::open(&remotes, &args.path, args.pcap.as_deref(), printer)?;
    let ours = live.addresses();
    Ok(Peer { wire: Box::new(live), ours, remote, seed })
}
