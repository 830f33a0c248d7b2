//! Scenario scripts: what a hand-made end sends, and what has to come back.
//!
//! `docs/script.md` in the repository is the manual.

mod matching;
mod parse;
mod run;
mod stage;

pub use matching::{Comparison, Row};
pub use parse::parse;
pub use run::{Outcome, Places, Problem, Progress, run};
pub use stage::Stage;

use crate::layer::Stack;
use crate::table::Kind;
use crate::value::Value;
use mpuser_sim::conform::Setup;
use std::time::Duration;

/// A script that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// How the stack under test is made, where it is made for the script.
    pub setup: Setup,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line it begins on, from 1.
    pub line: usize,
    /// As it is written.
    pub text: String,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A subflow from our address number `from` to theirs number `to`, both from 0.
    Flow {
        /// Its name.
        name: String,
        /// Our address.
        from: usize,
        /// Theirs.
        to: usize,
    },
    /// A packet goes out.
    Send {
        /// On this subflow; else on the one named last.
        flow: Option<String>,
        /// What.
        stack: Stack,
        /// So many times.
        times: u64,
    },
    /// A packet has to come.
    Expect(Expect),
    /// Nothing comes for so long.
    Silence(Duration),
    /// Time passes.
    Wait(Duration),
    /// A variable gets a value.
    Let {
        /// Its name.
        name: String,
        /// The value.
        value: Value,
    },
    /// Two values have to be equal.
    Check(Value, Value),
    /// The link to the stack under test changes.
    Link(String),
    /// The application on the stack under test does something.
    App(App),
}

/// What has to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// On this subflow; else on the one named last.
    pub flow: Option<String>,
    /// What is compared: the fields that are said.
    pub pattern: Stack,
    /// Layers that must not be there; `MPTCP` is any MPTCP option.
    pub without: Vec<Kind>,
    /// How long it may take.
    pub within: Duration,
    /// What comes before is passed over.
    pub eventually: bool,
}

/// What an application does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum App {
    /// Connects to our first address.
    Connect,
    /// Takes the next connection.
    Accept,
    /// Writes.
    Write(Vec<u8>),
    /// Has to read exactly this.
    Read(Vec<u8>),
    /// Has to read the end.
    Eof,
    /// Has to get an error when it reads.
    Error,
    /// Ends its direction.
    Shutdown,
    /// Closes.
    Close,
    /// Aborts.
    Abort,
}

#[cfg(test)]
mod tests;
