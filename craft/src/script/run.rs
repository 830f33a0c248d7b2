//! A script at work.

use super::matching::{Comparison, Variables, compare, plus_of};
use super::stage::Stage;
use super::{Action, App, Expect, Script, Step};
use crate::dialogue::{Exchange, Wire as _};
use crate::layer::Stack;
use crate::session::{Deaf, FlowId, Heard, Session};
use crate::value::{Form, Value};
use mpuser_sim::conform::target::{AppError, PORT, Setup, probe_address, stack_address};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long the application tries to read what has to be there.
const READ: Duration = Duration::from_secs(1);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(10);
/// Packets kept that nobody has asked for yet.
const WAITING_MAX: usize = 10_000;

/// The addresses of both ends.
#[derive(Clone, Debug)]
pub struct Places {
    /// Ours.
    pub ours: Vec<IpAddr>,
    /// Those of the stack under test.
    pub theirs: Vec<IpAddr>,
    /// Where its listener is, or ours.
    pub port: u16,
}

impl Places {
    /// Those of the targets of [`mpuser_sim::conform`].
    #[must_use]
    pub fn of(setup: &Setup) -> Self {
        let all =
            |address: fn(u8, bool) -> IpAddr| (0..200).map(|i| address(i, setup.ipv6)).collect();
        Self { ours: all(probe_address), theirs: all(stack_address), port: PORT }
    }
}

/// Why a script ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line of the step.
    pub line: usize,
    /// The step.
    pub step: String,
    /// What happened; no full stop.
    pub what: String,
    /// What came instead, in layers.
    pub came: Option<String>,
    /// The expectation and what came, field by field.
    pub difference: Option<Comparison>,
}

/// A step that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its line.
    pub line: usize,
    /// The step.
    pub step: String,
    /// When it was done.
    pub at: Duration,
}

/// How a script ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Steps that went as they should.
    pub done: Vec<Progress>,
    /// The first one that did not.
    pub problem: Option<Problem>,
    /// All packets.
    pub log: Vec<Exchange>,
    /// The variables at the end.
    pub variables: BTreeMap<String, Value>,
}

impl Outcome {
    /// An object.
    #[must_use]
    pub fn object(&self) -> Json {
        let problem = self.problem.as_ref().map(|problem| {
            let rows = problem.difference.iter().flat_map(|difference| &difference.rows).map(|row| {
                json!({ "field": row.name, "expected": row.expected, "came": row.came, "same": row.same })
            });
            json!({
                "line": problem.line, "step": problem.step, "what": problem.what, "came": problem.came,
                "fields": rows.collect::<Vec<_>>(),
            })
        });
        let variables: BTreeMap<&String, String> =
            self.variables.iter().map(|(name, value)| (name, Form::Hex(64).write(value))).collect();
        json!({
            "passed": self.problem.is_none(),
            "steps": self.done.len(),
            "packets": self.log.len(),
            "problem": problem,
            "variables": variables,
        })
    }
}

/// What went wrong in a step.
struct Wrong {
    what: String,
    came: Option<String>,
    difference: Option<Comparison>,
}

fn wrong(what: impl Into<String>) -> Wrong {
    Wrong { what: what.into(), came: None, difference: None }
}

type Done = Result<(), Wrong>;

/// Runs a script against a stack. `seed` is what our keys and numbers are drawn from.
#[must_use]
pub fn run(script: &Script, stage: &mut Stage<'_>, places: &Places, seed: [u8; 32]) -> Outcome {
    let mut run = Run {
        stage,
        places,
        session: Session::new(seed),
        names: Vec::new(),
        current: None,
        waiting: VecDeque::new(),
        variables: Variables::new(),
        log: Vec::new(),
    };
    let mut done = Vec::new();
    let mut problem = None;
    for Step { line, text, action } in &script.steps {
        let (line, step) = (*line, text.clone());
        match run.step(action, script.setup.client) {
            Ok(()) => done.push(Progress { line, step, at: run.stage.now() }),
            Err(Wrong { what, came, difference }) => {
                problem = Some(Problem { line, step, what, came, difference });
                break;
            }
        }
    }
    Outcome { done, problem, log: run.log, variables: run.variables }
}

struct Run<'r, 't> {
    stage: &'r mut Stage<'t>,
    places: &'r Places,
    session: Session,
    /// Subflows by name.
    names: Vec<(String, FlowId)>,
    /// The one that was named last.
    current: Option<FlowId>,
    /// What came and was not asked for yet.
    waiting: VecDeque<Heard>,
    variables: Variables,
    log: Vec<Exchange>,
}

impl Run<'_, '_> {
    fn step(&mut self, action: &Action, client: bool) -> Done {
        match action {
            Action::Flow { name, from, to } => self.open(name, *from, *to),
            Action::Send { flow, stack, times } => {
                let flow = self.flow(flow.as_deref(), client)?;
                let stack = self.filled_in(stack)?;
                for _ in 0..*times {
                    let built = self.session.craft(flow, &stack);
                    let packet = built.map_err(|error| wrong(error.to_string()))?.bytes;
                    self.stage.send(&packet);
                    self.log.push(Exchange { at: self.stage.now(), sent: true, packet });
                }
                Ok(())
            }
            Action::Expect(expect) => self.expect(expect),
            Action::Silence(limit) => {
                if self.waiting.is_empty() {
                    self.take_in(*limit, true);
                }
                match self.waiting.front() {
                    None => Ok(()),
                    Some(heard) => {
                        let came = Some(heard.stack.to_string());
                        Err(Wrong { came, ..wrong("a packet came where there was to be none") })
                    }
                }
            }
            Action::Wait(limit) => {
                self.take_in(*limit, false);
                Ok(())
            }
            Action::Let { name, value } => {
                let value = self.value(value)?;
                self.variables.insert(name.clone(), value);
                Ok(())
            }
            Action::Check(left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                if left == right {
                    return Ok(());
                }
                let write = |value: &Value| Form::Hex(64).write(value);
                Err(wrong(format!("{} is not {}", write(&left), write(&right))))
            }
            Action::Link(words) => self.stage.set_link(words).map_err(wrong),
            Action::App(app) => self.app(app),
        }
    }

    fn open(&mut self, name: &str, from: usize, to: usize) -> Done {
        let (Some(ours), Some(theirs)) = (self.places.ours.get(from), self.places.theirs.get(to))
        else {
            let (ours, theirs) = (self.places.ours.len(), self.places.theirs.len());
            return Err(wrong(format!(
                "there are {ours} addresses of ours and {theirs} of theirs"
            )));
        };
        let local = SocketAddr::new(*ours, self.session.port());
        let flow = self.session.open(local, SocketAddr::new(*theirs, self.places.port));
        self.names.retain(|(known, _)| known != name);
        self.names.push((name.to_owned(), flow));
        self.current = Some(flow);
        Ok(())
    }

    /// A subflow by its name, or the one named last. Towards a server the first one needs not be opened.
    fn flow(&mut self, name: Option<&str>, client: bool) -> Result<FlowId, Wrong> {
        if let Some(name) = name {
            let known = self.names.iter().find(|(known, _)| known == name).map(|(_, flow)| *flow);
            let flow = known.ok_or_else(|| wrong(format!("there is no flow {name}")))?;
            self.current = Some(flow);
        }
        match self.current {
            Some(flow) => Ok(flow),
            None if client => Err(wrong("the stack under test has not connected yet")),
            None => {
                self.open("a", 0, 0)?;
                self.flow(None, client)
            }
        }
    }

    /// With the values of variables in their place.
    fn filled_in(&self, stack: &Stack) -> Result<Stack, Wrong> {
        stack.try_map(|value| self.value(value))
    }

    fn value(&self, value: &Value) -> Result<Value, Wrong> {
        let Value::Variable { name, plus } = value else { return Ok(value.clone()) };
        let found =
            self.variables.get(name).ok_or_else(|| wrong(format!("${name} has no value yet")))?;
        Ok(plus_of(found, *plus, Form::Hex(64)))
    }

    /// Lets time pass; what comes has to wait. With `one` only until something has come.
    fn take_in(&mut self, limit: Duration, one: bool) {
        let end = self.stage.now() + limit;
        loop {
            let left = end.saturating_sub(self.stage.now());
            let Some(packet) = self.stage.receive(left) else { return };
            let heard = self.session.hear(&packet);
            if !matches!(heard, Err(Deaf::Stranger)) {
                self.log.push(Exchange { at: self.stage.now(), sent: false, packet });
            }
            if let Ok(heard) = heard {
                self.waiting.push_back(heard);
                if one {
                    return;
                }
            }
            if self.waiting.len() >= WAITING_MAX {
                return;
            }
        }
    }

    fn expect(&mut self, expect: &Expect) -> Done {
        let end = self.stage.now() + expect.within;
        let wanted = self.wanted(expect);
        let mut last: Option<(String, Comparison)> = None;
        loop {
            let mine = |heard: &Heard| wanted.is_none_or(|flow| heard.flow == flow);
            let index = self.waiting.iter().position(mine);
            let Some(heard) = index.and_then(|index| self.waiting.remove(index)) else {
                let left = end.saturating_sub(self.stage.now());
                let before = self.waiting.len();
                if !left.is_zero() {
                    self.take_in(left, true);
                }
                if self.waiting.len() == before {
                    break;
                }
                continue;
            };
            let comparison = compare(expect, &heard, &heard.right, &mut self.variables);
            if comparison.holds() {
                self.name(expect, heard.flow);
                return Ok(());
            }
            last = Some((heard.stack.to_string(), comparison));
            if !expect.eventually {
                break;
            }
        }
        let (came, difference) = last.unzip();
        let what = match (&came, expect.eventually) {
            (None, _) => format!("nothing came within {:?}", expect.within),
            (Some(_), true) => format!("nothing like it came within {:?}; last", expect.within),
            (Some(_), false) => "something else came".to_owned(),
        };
        Err(Wrong { what, came, difference })
    }

    /// The subflow an expectation is about; a name that is new stands for a subflow that has none.
    fn wanted(&mut self, expect: &Expect) -> Option<FlowId> {
        match &expect.flow {
            None => self.current,
            Some(name) => {
                let known =
                    self.names.iter().find(|(known, _)| known == name).map(|(_, flow)| *flow);
                self.current = known.or(self.current);
                let nameless =
                    |heard: &&Heard| !self.names.iter().any(|(_, flow)| *flow == heard.flow);
                // it may still have to come: then whatever comes first on a new one
                known
                    .or_else(|| self.waiting.iter().find(nameless).map(|heard| heard.flow))
                    .or_else(|| {
                        let next = self.session.flows().len();
                        (!self.names.is_empty()).then_some(next)
                    })
            }
        }
    }

    fn name(&mut self, expect: &Expect, flow: FlowId) {
        self.current = Some(flow);
        let name = expect.flow.clone().unwrap_or_else(|| "a".to_owned());
        let known = self.names.iter().any(|(known, id)| *known == name || *id == flow);
        if !known {
            self.names.push((name, flow));
        }
    }

    fn app(&mut self, app: &App) -> Done {
        let failed = |what: &str, error: AppError| wrong(format!("{what}: {}", error.word()));
        match app {
            App::Connect => {
                let to = self.places.ours.first().map(|ip| SocketAddr::new(*ip, self.places.port));
                let to = to.ok_or_else(|| wrong("there is no address of ours"))?;
                self.stage.target().connect(to).map_err(|error| failed("connect", error))
            }
            App::Accept => {
                let accepted = self.stage.target().accept();
                accepted.then_some(()).ok_or_else(|| wrong("there is no connection to accept"))
            }
            App::Write(octets) => match self.stage.target().write(octets) {
                Ok(taken) if taken == octets.len() => Ok(()),
                Ok(taken) => Err(wrong(format!("write took {taken} of {} octets", octets.len()))),
                Err(error) => Err(failed("write", error)),
            },
            App::Read(octets) => self.read(octets),
            App::Eof => match self.read_some(1) {
                Ok(read) if read.is_empty() => Ok(()),
                Ok(read) => Err(wrong(format!("read {} instead of the end", text(&read)))),
                Err(error) => Err(failed("read", error)),
            },
            App::Error => match self.read_some(1) {
                Err(AppError::WouldBlock) => {
                    Err(wrong("there is no error, nor anything else to read"))
                }
                Err(_) => Ok(()),
                Ok(read) => Err(wrong(format!("read {} instead of an error", text(&read)))),
            },
            App::Shutdown => {
                self.stage.target().shutdown();
                Ok(())
            }
            App::Close => {
                self.stage.target().close();
                Ok(())
            }
            App::Abort => {
                self.stage.target().abort();
                Ok(())
            }
        }
    }

    fn read(&mut self, octets: &[u8]) -> Done {
        let mut read = Vec::new();
        while read.len() < octets.len() {
            match self.read_some(octets.len() - read.len()) {
                Ok(more) if more.is_empty() => {
                    return Err(wrong(format!("read {} and then the end", text(&read))));
                }
                Ok(more) => read.extend(more),
                Err(error) => {
                    return Err(wrong(format!("read {} and then {}", text(&read), error.word())));
                }
            }
        }
        if read == octets { Ok(()) } else { Err(wrong(format!("read {} instead", text(&read)))) }
    }

    /// Reads; waits a little where nothing has arrived.
    fn read_some(&mut self, limit: usize) -> Result<Vec<u8>, AppError> {
        let end = self.stage.now() + READ;
        loop {
            match self.stage.target().read(limit) {
                Err(AppError::WouldBlock) if self.stage.now() < end => self.take_in(LOOK, false),
                outcome => return outcome,
            }
        }
    }
}

fn text(octets: &[u8]) -> String {
    crate::value::shorten(&Form::Text.write(&Value::Octets(octets.to_vec())), 60)
}
