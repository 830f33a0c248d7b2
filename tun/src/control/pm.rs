//! The path manager by commands of `ip mptcp`.

use super::protocol::{Refusal, Reply};
use crate::stack::Stack;
use mpuser_engine::grammar::{self, Command};

const HELP: &str = "see `mpuser endpoint --help` and `mpuser limits --help`";

/// Does what a line of `ip mptcp` says.
pub(super) fn command(stack: &Stack, line: &str) -> Result<Vec<Reply>, Refusal> {
    let what = || format!("cannot do `{line}`");
    let command = grammar::parse_line(line);
    let command = command.map_err(|error| Refusal::new(what(), error.to_string(), HELP))?;
    let _ = stack;
    match command {
        Command::Monitor | Command::Endpoint(_) | Command::Limits(_) => {
            Err(Refusal::new(what(), "not wired yet", HELP))
        }
    }
}
