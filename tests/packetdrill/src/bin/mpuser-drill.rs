//! Says to a drilled machine what scripts say to a kernel.
//!
//! Under the names `ip`, `sysctl` and `tc` (links to this program, first in `PATH`) it stands in for those programs:
//! `ip mptcp ...` and `sysctl NAME=VALUE` go to the control socket, everything else that a script sets up on a kernel
//! is passed over in silence. Under any other name its arguments are one command.

use mpuser_packetdrill::serve::CONTROL;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

/// One command, and whether its refusal counts.
struct Line {
    text: String,
    matters: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let words: Vec<String> = arguments.collect();
    let lines = match name {
        "ip" => ip(&words),
        "sysctl" => sysctl(&words),
        "tc" => Vec::new(),
        _ if words.is_empty() => {
            eprintln!("usage: mpuser-drill COMMAND, for instance: endpoint add 192.0.2.1 signal");
            return ExitCode::from(2);
        }
        _ => vec![Line { text: words.join(" "), matters: true }],
    };
    let mut failed = false;
    for line in lines {
        match say(&line.text) {
            Ok(answer) if answer == "ok" => {}
            Ok(answer) if line.matters => {
                eprintln!("{name}: {answer}");
                failed = true;
            }
            Ok(_) => {}
            Err(why) => {
                eprintln!("{name}: no machine answers at {CONTROL}: {why}");
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}

/// `ip [OPTIONS] mptcp COMMAND`
fn ip(words: &[String]) -> Vec<Line> {
    let object = words.iter().position(|word| !word.starts_with('-'));
    match object.map(|at| words.split_at(at).1) {
        Some([object, command @ ..]) if object == "mptcp" => {
            vec![Line { text: command.join(" "), matters: true }]
        }
        _ => Vec::new(),
    }
}

/// `sysctl [OPTIONS] NAME=VALUE...`; what is not MPTCP's may be unknown.
fn sysctl(words: &[String]) -> Vec<Line> {
    let settings = words.iter().filter(|word| word.contains('='));
    let line = |word: &String| Line {
        text: format!("sysctl {word}"),
        matters: word.starts_with("net.mptcp") || word.starts_with("net/mptcp"),
    };
    settings.map(line).collect()
}

/// Sends a command; gives the answer.
fn say(line: &str) -> io::Result<String> {
    let path = std::env::var_os(CONTROL).unwrap_or_default();
    let mut stream = UnixStream::connect(Path::new(&path))?;
    writeln!(stream, "{line}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
